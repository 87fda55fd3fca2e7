"""A project's configurations read in `pyproject.toml` which Deriva catalog is meant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SOURCE
from deriva_ml import DerivaMLRequestError, ProjectSettings, project_settings


def write(folder: Path, text: str) -> Path:
    """A project with this `pyproject.toml`; returns a module of its configurations."""
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    module = folder / "src" / "configs" / "deriva.py"
    module.parent.mkdir(parents=True)
    module.touch()
    return module


def test_the_settings_are_found_from_any_file_of_the_project_and_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = write(tmp_path, '[tool.deriva-ml]\nhostname = "www.example.org"\ncatalog_id = "digits"\n')
    wanted = ProjectSettings("www.example.org", "digits")
    assert project_settings(module) == project_settings(str(module)) == wanted
    monkeypatch.chdir(module.parent)
    assert project_settings() == wanted


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", ProjectSettings()),
        ('[tool.deriva-ml]\nhostname = "h"\n', ProjectSettings("h", "")),
        ('[tool.deriva-ml]\nhostname = "h"\ncatalog_id = 7\n', ProjectSettings("h", "7")),
        ('[tool.deriva-ml]\nlater_setting = ["x"]\n', ProjectSettings()),
    ],
)
def test_what_is_not_said_is_empty_and_a_number_will_do(
    tmp_path: Path, text: str, settings: ProjectSettings
) -> None:
    assert project_settings(write(tmp_path, text)) == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.deriva-ml]\nhostname = ['h']\n", "hostname of"),
        ("[tool.deriva-ml]\nhostname = true\n", "hostname of"),
        ("[tool.deriva-ml]\ncatalog_id = false\n", "catalog_id of"),
        ('[tool]\nderiva-ml = "hostname"\n', "deriva-ml in"),
        ("[[tool.deriva-ml]]\nhostname = 'h'\n", "deriva-ml in"),
        ("tool = 3\n", "tool in"),
        ("[tool.deriva-ml]\nhostname = www.example.org\n", "cannot be read"),
        ("<<<<<<< before updating\n", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line_that_names_the_file(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(DerivaMLRequestError) as refused:
        project_settings(write(tmp_path, text))
    line = str(refused.value)
    assert said in line and "pyproject.toml" in line and "\n" not in line


def test_what_every_command_imports_needs_no_cryptography() -> None:
    """`--help` does not wait for it: names that do not clash are all that is wanted."""
    code = "import sys, deriva_ml.cli.command; print({'secrets', 'hmac', 'hashlib'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
