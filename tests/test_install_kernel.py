"""`deriva-ml-install-kernel` gives Jupyter a kernel of this environment, and takes nobody else's away."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from deriva_ml.cli.install_kernel import kernel_name, main


@pytest.fixture
def jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's Jupyter folder, and a project named `My.Project` as the working directory."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    root = tmp_path / "folder"
    root.mkdir()
    root.joinpath("pyproject.toml").write_text('[project]\nname = "My.Project"\n', encoding="utf-8")
    monkeypatch.chdir(root)
    return tmp_path / "jupyter"


def spec(folder: Path, name: str) -> dict[str, object]:
    return dict(json.loads((folder / "kernels" / name / "kernel.json").read_text(encoding="utf-8")))


def test_every_jupyterlab_of_the_user_finds_the_projects_kernel(
    jupyter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    found = KernelSpecManager().get_kernel_spec("my.project")
    assert found.argv[0] == sys.executable
    assert found.display_name == "my.project"
    assert str(jupyter / "kernels" / "my.project") in capsys.readouterr().out


def test_name_and_display_name_can_be_chosen(jupyter: Path) -> None:
    assert main(["--name", "digits", "--display-name", "Digits (Été)"]) == 0
    assert spec(jupyter, "digits")["display_name"] == "Digits (Été)"


@pytest.mark.parametrize("flag", ["--sys-prefix", "--install-local"])
def test_into_the_environment_itself(
    flag: str, jupyter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "env"))
    assert main([flag]) == 0
    assert (tmp_path / "env/share/jupyter/kernels/my.project/kernel.json").is_file()
    assert not jupyter.exists()


def test_a_repeat_writes_nothing(jupyter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--display-name", "Mine"]) == 0
    kernel = jupyter / "kernels" / "my.project" / "kernel.json"
    before = kernel.stat().st_mtime_ns
    assert main([]) == 0
    assert kernel.stat().st_mtime_ns == before
    assert "already in" in capsys.readouterr().out
    assert spec(jupyter, "my.project")["display_name"] == "Mine"


def write_kernel_of(interpreter: Path, jupyter: Path) -> None:
    """A kernel of the project's name that starts another environment."""
    folder = jupyter / "kernels" / "my.project"
    folder.mkdir(parents=True)
    kernel = {"argv": [str(interpreter), "-m", "x"], "display_name": "x", "language": "python"}
    folder.joinpath("kernel.json").write_text(json.dumps(kernel), encoding="utf-8")


def test_a_kernel_whose_environment_is_gone_is_replaced(jupyter: Path, tmp_path: Path) -> None:
    """A project that was moved or rebuilt gets its kernel back."""
    write_kernel_of(tmp_path / "gone" / "python", jupyter)
    assert main([]) == 0
    assert KernelSpecManager().get_kernel_spec("my.project").argv[0] == sys.executable


def test_the_kernel_of_another_project_is_left_alone(
    jupyter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two clones share a name; the second must not run the notebooks of the first."""
    other = tmp_path / "other-python"
    other.touch()
    write_kernel_of(other, jupyter)
    assert main([]) == 2
    assert "--name" in capsys.readouterr().err
    assert KernelSpecManager().get_kernel_spec("my.project").argv[0] == str(other)


def test_a_broken_kernel_is_replaced(jupyter: Path, tmp_path: Path) -> None:
    write_kernel_of(tmp_path / "gone", jupyter)
    (jupyter / "kernels" / "my.project" / "kernel.json").write_text("[]", encoding="utf-8")
    assert main([]) == 0
    assert spec(jupyter, "my.project")["argv"]


@pytest.mark.parametrize("name", ["two words", "naïve", "a/b", "../up", "..", ""])
def test_a_name_that_jupyter_cannot_use_is_refused(
    jupyter: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"--name={name}"]) == 2
    assert "letters, digits" in capsys.readouterr().err
    assert not jupyter.exists()


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    jupyter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jupyter.write_text("a file where the folder should be", encoding="utf-8")
    assert main([]) == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "name"),
    [("digits", "digits"), ("My Project 2.0", "my-project-2.0"), ("a/../b", "a-..-b"), ("数字", "deriva-ml")],
)
def test_any_project_name_makes_a_kernel_name(text: str, name: str) -> None:
    assert kernel_name(text) == name


def test_outside_a_project_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "not inside a project" in capsys.readouterr().err
