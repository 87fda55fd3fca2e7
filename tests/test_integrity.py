"""`deriva-ml-init --check` tells a person what was changed in the vendored runner, before an update meets it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, Render
from deriva_ml.cli.init import main
from deriva_ml.integrity import DIGESTS
from git_repository import Repository, isolate_git

CORE = "src/deriva_ml/core.py"


@pytest.fixture(scope="module")
def template(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with digests that are right, whatever somebody is working on."""
    folder = tmp_path_factory.mktemp("digests") / "template"
    shutil.copytree(plain, folder)
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, folder / "scripts" / "digests.py"], check=True)
    return folder


@pytest.fixture(scope="module")
def made(render: Render, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was committed as it was rendered. Tests copy it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        isolate_git(patch, folder)
        made = Repository(render(folder / "my project", template=template))
        made.git("init", "--quiet")
        made.git("add", "--all")
        made.git("commit", "--quiet", "--message", "Start")
    return made.path


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Such a project; the working directory is in it."""
    isolate_git(monkeypatch, tmp_path)
    copied = Repository(shutil.copytree(made, tmp_path / "my project"))
    monkeypatch.chdir(copied.path)
    return copied


def test_the_templates_digests_are_those_of_its_files() -> None:
    """They are refreshed by hand, since they say that somebody looked at what goes out."""
    done = subprocess.run(
        [sys.executable, "scripts/digests.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_stale_digests_are_noticed_and_written_anew(template: Path, tmp_path: Path) -> None:
    """`make digests` writes the list; it never is written by looking."""
    copied = tmp_path / "template"
    shutil.copytree(template, copied)
    script = [sys.executable, str(copied / "scripts" / "digests.py")]
    assert subprocess.run([*script, "--check"]).returncode == 0
    (copied / "template" / CORE).write_text("# newer\n")
    listed = (copied / "template/src/deriva_ml" / f"{DIGESTS}.jinja").read_bytes()
    done = subprocess.run([*script, "--check"], capture_output=True, text=True)
    assert done.returncode == 1 and "make digests" in done.stderr
    assert (copied / "template/src/deriva_ml" / f"{DIGESTS}.jinja").read_bytes() == listed
    assert subprocess.run(script).returncode == 0
    assert subprocess.run([*script, "--check"]).returncode == 0


@pytest.mark.parametrize("include_example", [True, False])
def test_a_project_as_it_was_rendered_passes(
    render: Render, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], include_example: bool,
) -> None:  # fmt: skip
    """With the example and without, also where it is no repository, and for `sha256sum` itself."""
    project = render(tmp_path / "p", template=template, include_example=include_example)
    runner = project / "src" / "deriva_ml"
    assert ("demo.py" in (runner / DIGESTS).read_text()) is include_example
    monkeypatch.chdir(project)
    assert main(["--check"]) == 0
    assert capsys.readouterr().out == "runner: as the template brought it\n"
    if sha256sum := shutil.which("sha256sum"):
        subprocess.run([sha256sum, "--check", "--quiet", "--strict", DIGESTS], cwd=runner, check=True)


def test_what_was_edited_removed_or_added_is_named_and_nothing_is_changed(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line each, then how to see it and how to get the original back; exit status 1."""
    commit = project.git("rev-parse", "--short", "HEAD")
    with (project.path / CORE).open("a") as file:
        file.write("# mine\n")
    (project.path / "src/deriva_ml/lazy.py").unlink()
    project.write("src/deriva_ml/catalog/my own.py", "# mine\n")
    for ignored in (
        "__pycache__/core.cpython-311.pyc",
        ".ipynb_checkpoints/x.py",
        ".DS_Store",
        "catalog/a.pyc",
    ):
        project.write(f"src/deriva_ml/{ignored}", "")
    project.git("commit", "--quiet", "--all", "--message", "Mine")  # it is told whether committed or not
    before = project.git("status", "--porcelain"), project.refs()
    assert main(["--check"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[:4] == [
        "added    src/deriva_ml/catalog/my own.py",
        f"edited   {CORE}",
        "missing  src/deriva_ml/lazy.py",
        "",
    ]
    assert (project.git("status", "--porcelain"), project.refs()) == before
    see = next(line for line in out.splitlines() if "git diff" in line).partition("git ")[2]
    assert f"{commit} -- {CORE} src/deriva_ml/lazy.py" in see
    assert "+# mine" in project.git(*see.split())
    back = next(line for line in out.splitlines() if "git checkout" in line).partition("git ")[2]
    project.git(*back.split())
    (project.path / "src/deriva_ml/catalog/my own.py").unlink()
    assert main(["--check"]) == 0


def test_without_git_what_differs_is_named_all_the_same(
    project: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the commit that has the originals is not known then."""
    (project.path / CORE).write_text("# mine\n")
    monkeypatch.setenv("PATH", str(project.path))
    assert main(["--check"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith(f"edited   {CORE}\n") and said.err == ""
    assert "git checkout" not in said.out and "uvx copier copy" in said.out


def test_from_a_subfolder_it_names_paths_that_work_there(
    project: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.path / CORE).write_text("# mine\n")
    monkeypatch.chdir(project.path / "notebooks")
    assert main(["--check"]) == 1
    back = next(line for line in capsys.readouterr().out.splitlines() if "git checkout" in line)
    subprocess.run(["git", *shlex.split(back)[4:]], check=True)
    assert main(["--check"]) == 0


def test_formatting_and_linting_the_project_leaves_the_runner_as_it_is(project: Repository) -> None:
    """A later Ruff may have another style, and an update would meet it in every file."""
    for command in (
        ["check", "--fix", "--select=D,Q,ANN", "--unsafe-fixes"],
        ["format", "--config=line-length=60"],
    ):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet"], cwd=project.path)
    assert "src/configs/" in project.git("diff", "--name-only")
    assert main(["--check"]) == 0


def test_line_ends_of_a_windows_checkout_are_no_edits(project: Repository) -> None:
    for path in (project.path / "src/deriva_ml").rglob("*"):
        if path.is_file() and path.suffix != ".npz":
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert main(["--check"]) == 0


def test_an_original_that_is_in_no_commit_is_rendered_again(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after an update that merged an edit: the commit of the update has the merged file."""
    (project.path / CORE).write_text("# merged\n")
    project.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    answers = project.path / ".copier-answers.yml"
    known = [line for line in answers.read_text().splitlines() if not line.startswith("_")]
    answers.write_text("\n".join(["_commit: v1.2.0", "_src_path: gh:org/template", *known]))
    assert main(["--check"]) == 1
    out = capsys.readouterr().out
    assert "git checkout" not in out
    assert out.splitlines()[-1].strip() == (
        "uvx copier copy --defaults --data-file .copier-answers.yml --vcs-ref v1.2.0 gh:org/template ../original"
    )


@pytest.mark.parametrize("content", [None, b"no digest\n", b"\xff\xfe", b"0" * 64 + b"  core\xff.py\n"])
def test_without_its_digests_it_says_where_they_come_from(
    project: Repository, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    """A project of an earlier version has none, and a person may have deleted or damaged the list."""
    path = project.path / "src/deriva_ml" / DIGESTS
    path.unlink() if content is None else path.write_bytes(content)
    assert main(["--check"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert DIGESTS in error and "git" in error
