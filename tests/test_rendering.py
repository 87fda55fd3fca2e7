"""A project renders without trust and without a question, and other tools accept every file of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT, Render
from deriva_ml.demo import FILES
from rendered_files import answers_of, files_of, parse, pyproject

MOST_FILES = 385 + len(FILES)
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = [
    name for name, question in CONFIG.items() if name[0] != "_" and question.get("when", True) is not False
]


def test_the_command_line_asks_nothing_with_defaults_and_says_what_to_do_next(tmp_path: Path) -> None:
    """`copier copy --defaults` needs no terminal and no trust, and ends with the next commands."""
    done = subprocess.run(
        [sys.executable, "-m", "copier", "copy", "--defaults", "--vcs-ref", "HEAD", str(ROOT), "my project"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    after = done.stderr[done.stderr.index("is ready") :]
    assert [line.strip() for line in after.splitlines() if line.startswith("    ")] == [
        "cd 'my project'",
        "uv run deriva-ml-init",
        "uv run deriva-ml-run-notebook notebooks/my_analysis.ipynb",
    ]
    assert answers_of(tmp_path / "my project")["project_slug"] == "my-project"


def test_the_template_uses_nothing_that_copier_asks_trust_for() -> None:
    """No tasks, no migrations, no Jinja extensions."""
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(CONFIG)


def test_questions_are_complete_and_in_the_order_a_person_thinks_of_them() -> None:
    """Each has help and a default; each that takes free text says what to type instead."""
    assert QUESTIONS == [
        "project_name",
        "project_slug",
        "project_description",
        "user_name",
        "user_email",
        "github_user",
        "license",
        "python_version",
        "deriva_hostname",
        "deriva_catalog_id",
        "include_example",
    ]
    for name in QUESTIONS:
        assert CONFIG[name]["help"] and "default" in CONFIG[name]
        assert "choices" in CONFIG[name] or CONFIG[name]["type"] == "bool" or CONFIG[name]["validator"]


def test_every_rendered_file_parses(rendered: Path) -> None:
    """Python, TOML, YAML, notebooks cell by cell, what editors read; and the rest is text."""
    parsed: Counter[str] = Counter()
    for name in files_of(rendered):
        parse(rendered / name)
        parsed[Path(name).suffix or name] += 1
    assert parsed[".py"] > 60 and parsed[".ipynb"] == 2 and parsed[".md"] == 2
    assert parsed[".toml"] == 3  # of the package, of the site, and of upstream's names
    assert parsed[".yml"] + parsed[".yaml"] == 4  # answers, CI, dependabot, pre-commit
    assert (
        parsed[".editorconfig"] == parsed[".gitattributes"] == parsed[".gitignore"] == parsed["LICENSE"] == 1
    )


def test_nothing_of_the_template_language_is_left(rendered: Path) -> None:
    """No file keeps the suffix, and none that Jinja should have rendered was copied as it is."""
    left = re.compile(r"\{%|\{\{-? *(" + "|".join(QUESTIONS) + r")\b")
    for name in files_of(rendered):
        assert not name.endswith(".jinja") and "{" not in name
        content = (rendered / name).read_bytes()
        copied = ROOT / "template" / name
        if not (copied.is_file() and copied.read_bytes() == content):  # Jinja had nothing to do with it
            assert not left.search(content.decode()), f"{name}: {left.search(content.decode())}"


def test_a_project_is_tidy(rendered: Path) -> None:
    """Few enough files to look through."""
    assert len(files_of(rendered)) <= MOST_FILES


@pytest.mark.parametrize(
    ("python_version", "include_example"),
    [("3.11", True), ("3.11", False), ("3.12", True), ("3.13", True), ("3.14", True)],
)
def test_a_project_passes_its_own_linter(
    render: Render, plain: Path, tmp_path: Path, python_version: str, include_example: bool
) -> None:
    """Ruff, with the settings in the project, has nothing to say and nothing to format."""
    answers = {"python_version": python_version, "include_example": include_example}
    project = render(tmp_path / "my-project", template=plain, **answers)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_notebooks_are_rendered_as_the_filter_commits_them(rendered: Path) -> None:
    """So that the project's first `git status`, and its CI, find nothing to strip."""
    notebooks = [str(path) for path in (rendered / "notebooks").glob("*.ipynb")]
    assert notebooks
    done = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", *notebooks],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("tags", "source", "accepted"),
    [([], "x = 1", False), (["parameters"], "x = 1", True), (["parameters"], "", True)],
)
def test_a_projects_own_tests_ask_for_one_parameters_cell_by_name(
    sketch: Render, tmp_path: Path, tags: list[str], source: str, accepted: bool
) -> None:
    """A notebook without any is named with what it needs; the cell may be empty."""
    project = sketch(tmp_path / "p")
    cell = {
        "cell_type": "code",
        "metadata": {"tags": tags},
        "source": source,
        "outputs": [],
        "execution_count": None,
    }
    (project / "notebooks/counts.ipynb").write_text(json.dumps({"cells": [cell]}))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_notebooks.py"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == accepted, done.stdout
    assert ("counts.ipynb: tag one code cell 'parameters'" in done.stdout) != accepted, done.stdout


def test_pytest_copie_renders_the_template_too(copie: Any) -> None:
    """The plugin with which derived templates are tested finds everything it expects."""
    result = copie.copy(extra_answers={"project_slug": "from-copie"})
    assert result.exit_code == 0 and result.exception is None
    assert pyproject(result.project_dir)["project"]["name"] == "from-copie"


def test_a_plain_folder_renders_the_same_project(
    render: Render, rendered: Path, plain: Path, tmp_path: Path
) -> None:
    """A template that was downloaded rather than cloned, with the caches that working on it leaves."""
    (plain / "template" / "src" / "deriva_ml" / "__pycache__").mkdir(exist_ok=True)
    (plain / "template" / "src" / "deriva_ml" / "__pycache__" / "core.pyc").touch()
    project = render(tmp_path / "my-project", template=plain)
    assert files_of(project) == files_of(rendered)


def test_without_the_example_its_files_are_left_out(
    render: Render, rendered: Path, plain: Path, tmp_path: Path
) -> None:
    """And nothing else is."""
    project = render(tmp_path / "my-project", template=plain, include_example=False)
    assert set(files_of(rendered)) - set(files_of(project)) == {
        "notebooks/my_analysis.ipynb",
        "src/configs/digits.py",
        "src/configs/my_analysis.py",
        "src/deriva_ml/demo.py",
        *(f"src/deriva_ml/demo_files/{file.file_name}" for file in FILES),
        "src/models/digits.py",
        "tests/test_digits.py",
    }
