"""A project works with every Python that the template offers, as far as this machine has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import STRANGE, ProjectFolder, Render, lock

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


@pytest.fixture(scope="module")
def checked() -> str:
    """The version that mypy runs on: what it finds is much the same for one and the next."""
    found = (version for version in ("3.13", *OFFERED) if version != HERE and interpreter(version))
    return next(found, "")


@pytest.mark.parametrize("version", [version for version in OFFERED if version != HERE])
def test_a_project_is_set_up_and_records_a_run(
    version: str, checked: str, render: Render, synced: ProjectFolder, tmp_path: Path
) -> None:
    """Whatever was answered. On the Python that runs this suite, every other test shows it."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    path = render(tmp_path / "my-project", python_version=version, **STRANGE)
    project = ProjectFolder(path, {**synced.env, "UV_PYTHON": python})
    lock(project)
    project.run("uv", "run", "deriva-ml-init", check=True, timeout=600)
    assert project.run("uv", "run", "python", "--version", check=True).out.startswith(f"Python {version}.")
    project.run("uv", "run", "deriva-ml-run-notebook", "notebooks/my_analysis.ipynb", check=True)
    project.run("uv", "run", "deriva-ml-run", check=True)
    recorded = json.loads(project.run("uv", "run", "deriva-ml-catalog", "list", "--json", check=True).out)
    assert [record["status"] for record in recorded] == ["Uploaded"] * 3
    project.run("uv", "run", "pytest", "-q", check=True)
    project.run("uv", "run", "ruff", "check", check=True)
    if version == checked:  # with the example, and without; what both have is looked at once
        lean = render(tmp_path / "lean", python_version=version, include_example=False, **STRANGE)
        once = {"MYPY_CACHE_DIR": str(tmp_path / "types"), "UV_NO_SYNC": "1"}
        once["UV_PROJECT_ENVIRONMENT"] = str(path / ".venv")
        for folder in (path, lean):
            project.run("uv", "run", "mypy", check=True, env=once, cwd=folder)
