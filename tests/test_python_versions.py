"""A project works with every Python that the template offers, as far as this machine has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ProjectFolder, Render

OFFERED = ("3.11", "3.12", "3.13", "3.14")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def interpreter(version: str) -> str | None:
    """A Python of this version: on the PATH, or among those of pyenv, whose shims may answer for none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))):
        try:
            subprocess.run(
                [candidate, "-c", "import ssl, sqlite3"], check=True, capture_output=True, timeout=30
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return candidate
    return None


CASES = [(version, True) for version in OFFERED if version != HERE] + [(HERE, False)]
ANSWERS = {
    "project_name": 'He said "hi", C:\\new\\table <script> {{ 7 * 7 }} # 数字 👩🏽\u200d🔬 שלום',
    "project_description": "key: value # 'quoted' [x] {y} | `tick` $(id) ${HOME} \\",
    "user_name": '"Ada" O\'Neil, PhD',
    "user_email": "ada.o'neil+ml@example.org",
    "github_user": "ada-l",
    "deriva_hostname": "www.example.org:8443",
}


@pytest.mark.parametrize(("version", "include_example"), CASES)
def test_a_project_is_set_up_and_records_a_run(
    version: str,
    include_example: bool,
    render: Render,
    clean_env: dict[str, str],
    furnish: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    """Whatever was answered. On the Python that runs this suite, every other test shows it for the example."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    path = render(tmp_path / "my-project", python_version=version, include_example=include_example, **ANSWERS)
    project = ProjectFolder(path, {**clean_env, "UV_PYTHON": python})
    if version == HERE:  # in which an environment is made from nothing for all tests
        furnish(path / ".venv")
    project.run("uv", "run", "deriva-ml-init", check=True, timeout=600)
    assert project.run("uv", "run", "python", "--version", check=True).out.startswith(f"Python {version}.")
    notebook = "my_analysis" if include_example else "my-notebook"
    project.run("uv", "run", "deriva-ml-run-notebook", f"notebooks/{notebook}.ipynb", check=True)
    project.run("uv", "run", "deriva-ml-run", check=True)
    recorded = json.loads(project.run("uv", "run", "deriva-ml-catalog", "list", "--json", check=True).out)
    assert [record["status"] for record in recorded] == ["Uploaded"] * (3 if include_example else 2)
    project.run("uv", "run", "pytest", "-q", check=True)
    project.run("uv", "run", "ruff", "check", check=True)
    if version in {HERE, "3.13"}:  # what mypy finds is much the same for one version and the next
        uncached = {"MYPY_CACHE_DIR": os.devnull}  # nobody checks the same again
        project.run("uv", "run", "mypy", check=True, env=uncached)
