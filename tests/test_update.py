"""`copier update` brings what is new in the template, and leaves to the user what is the user's."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import digests
from conftest import ROOT, ProjectFolder, Render
from rendered_files import answers_of, parse, pyproject
from template_versions import (
    STARTER,
    Template,
    changed,
    check,
    commit,
    copier,
    duplicate,
    edit_starter,
    make,
    production,
    replace,
    starter,
)

MARKERS = ("<<<<<<< before updating", "=======", ">>>>>>> after updating")
NEWER = "# newer\n"


@pytest.fixture(scope="module")
def small(slim: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with a few files of the runner, of each kind: Copier makes projects three times for an update.

    Released projects are updated to the whole.
    """
    folder = tmp_path_factory.mktemp("small")
    shutil.copytree(slim, folder, dirs_exist_ok=True)
    whole, runner = (place / "template/src/deriva_ml" for place in (ROOT, folder))
    shutil.copytree(whole / "demo_files", runner / "demo_files")
    for name in (digests.LIST.name, "core.py", "demo.py", "exceptions.py"):
        shutil.copy(whole / name, runner)
    return folder


@pytest.fixture(scope="module")
def template(small: Path, clean_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Template:
    """That template, called v1.9.0, and then with changes of every kind, v1.10.0; and tags to be passed over."""
    template = Template.create(tmp_path_factory.mktemp("versions") / "template", clean_env)
    template.put(small)
    template.append("src/deriva_ml/older.py", "# older\n")
    template.refresh()
    template.tag("v1.9.0")
    # The set-up
    template.append(".gitignore", "/newer/\n")
    template.append(".pre-commit-config.yaml", NEWER)
    template.append(".github/workflows/ci.yml", NEWER)
    template.append(".github/newer.yml", NEWER)
    template.replace("pyproject.toml", '"papermill>=', '"newer>=1",\n  "papermill>=')
    template.replace("README.md", "## Working on it", "## Working on it, newer")
    # The runner
    template.append("src/deriva_ml/exceptions.py", NEWER)
    template.append("src/deriva_ml/core.py", NEWER)
    template.append("src/deriva_ml/newer.py", NEWER)
    template.find("src/deriva_ml/older.py").unlink()
    # What a project starts with
    for name in (
        "docs/index.md",
        "src/configs/workflow.py",
        "src/models/my_model.py",
        "tests/test_configs.py",
    ):
        template.append(name, NEWER)
    for name in ("docs/newer.md", "src/configs/newer.py", "src/models/newer.py", "tests/test_newer.py"):
        template.append(name, NEWER)
    template.replace("notebooks/my-notebook.ipynb", '"cells": [', '"cells":  [')
    template.append("notebooks/newer.ipynb", (ROOT / "template/notebooks/my-notebook.ipynb").read_text())
    template.refresh()
    template.tag("v1.10.0")
    template.append("src/deriva_ml/exceptions.py", NEWER)
    template.tag("v1.11.0-rc.1")
    template.tag("not-a-version")
    return template


@pytest.fixture(scope="module")
def made(template: Template, tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project from v1.9.0, as it was made. Tests copy it."""
    return make(template, tmp_path_factory.mktemp("made") / "my-project", "v1.9.0", license="MIT")


@pytest.fixture
def project(made: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    """Such a project for one test."""
    return duplicate(made, tmp_path / "my-project")


# ----------------------------------------------------------------------------------------- a project with edits, updated


@pytest.fixture(scope="module")
def edited(made: ProjectFolder, tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """A project whose user has edited, deleted, renamed and added things all over it."""
    project = duplicate(made, tmp_path_factory.mktemp("edited") / "my-project")
    edit_starter(project)
    (project / ".pre-commit-config.yaml").unlink()
    (project / "data").mkdir()
    (project / "data/measurements.csv").write_text("length\n1.5\n")
    ignored = project / ".gitignore"
    ignored.write_text("/mine/\n" + ignored.read_text())
    replace(project / "README.md", "## Your own notebook", "## My notebooks")
    replace(project / "pyproject.toml", "dependencies = [\n", 'dependencies = [\n  "mine>=1",\n')
    core = project / "src/deriva_ml/core.py"
    core.write_text("# mine\n" + core.read_text())
    commit(project, "Mine")
    return project


@pytest.fixture(scope="module")
def updated(edited: ProjectFolder, tmp_path_factory: pytest.TempPathFactory) -> ProjectFolder:
    """The same after `copier update`. Tests read it and leave it as it is."""
    project = duplicate(edited, tmp_path_factory.mktemp("updated") / "my-project")
    done = copier(project, "update", "--defaults")
    assert "Updating to template version 1.10.0" in done.err and "deriva-ml-init --check" in done.err
    return project


def test_what_the_user_did_to_starter_content_stays_done(
    edited: ProjectFolder, updated: ProjectFolder
) -> None:
    """Edited, deleted, renamed and added files of every folder are byte for byte what they were, and none is new."""
    assert all(any(name.startswith(f"{folder}/") for name in starter(edited)) for folder in STARTER)
    assert starter(updated) == starter(edited)


def test_exactly_the_set_up_and_the_runner_change(updated: ProjectFolder) -> None:
    """What is new arrives, what the template gave up goes, and nothing is in conflict."""
    assert changed(updated) == {
        ".copier-answers.yml": "M",
        ".github/newer.yml": "??",
        ".github/workflows/ci.yml": "M",
        ".gitignore": "M",
        "README.md": "M",
        "pyproject.toml": "M",
        "src/deriva_ml/SHA256SUMS": "M",
        "src/deriva_ml/core.py": "M",
        "src/deriva_ml/exceptions.py": "M",
        "src/deriva_ml/older.py": "D",
        "src/deriva_ml/newer.py": "??",
    }
    assert answers_of(updated.path)["_commit"] == "v1.10.0"


def test_edits_of_the_set_up_are_merged_with_the_templates(updated: ProjectFolder) -> None:
    """Both sides' lines are there."""
    ignored = (updated / ".gitignore").read_text().splitlines()
    assert ignored[0] == "/mine/" and ignored[-1] == "/newer/"
    dependencies = pyproject(updated.path)["project"]["dependencies"]
    assert {"mine>=1", "newer>=1"} < set(dependencies)
    readme = (updated / "README.md").read_text()
    assert "\n## My notebooks\n" in readme and "\n## Working on it, newer\n" in readme


def test_a_file_of_the_set_up_that_the_user_deleted_stays_away(updated: ProjectFolder) -> None:
    """Though the template changed it."""
    assert not (updated / ".pre-commit-config.yaml").exists()


def test_an_edit_of_the_runner_is_named_before_the_update_and_merged_by_it(
    edited: ProjectFolder, updated: ProjectFolder
) -> None:
    """And is still named afterwards, since the next update will meet it again."""
    core = (updated / "src/deriva_ml/core.py").read_text()
    assert core.startswith("# mine\n") and core.endswith(NEWER)
    for project in (edited, updated):
        assert check(project)[:2] == ["edited   src/deriva_ml/core.py", ""]


def test_an_update_can_follow_an_update(updated: ProjectFolder, tmp_path: Path) -> None:
    """There is nothing to do then, and nothing comes back."""
    project = duplicate(updated, tmp_path / "my-project")
    commit(project, "Updated")
    copier(project, "update", "--defaults")
    assert changed(project) == {}


# -------------------------------------------------------------------------------------------------------- other projects


def test_a_user_who_deleted_every_starter_folder_gets_none_of_them_back(project: ProjectFolder) -> None:
    for name in STARTER:
        shutil.rmtree(project / name)
    commit(project, "Mine")
    copier(project, "update", "--defaults")
    assert starter(project) == {} and not any((project / name).exists() for name in STARTER)
    assert (project / "src/deriva_ml/newer.py").exists()


def test_a_conflict_is_marked_in_the_file_listed_by_git_and_in_no_notebook(project: ProjectFolder) -> None:
    """As Copier does it: both texts between markers, and `git checkout` takes either side whole."""
    edit_starter(project)
    replace(project / "README.md", "## Working on it", "## Working on my project")
    exceptions = project / "src/deriva_ml/exceptions.py"
    exceptions.write_text(exceptions.read_text() + "# mine\n")
    commit(project, "Mine")
    before = starter(project)
    copier(project, "update", "--defaults")
    conflicts = {name: state for name, state in changed(project).items() if state not in {"M", "D", "??"}}
    assert conflicts == {"README.md": "UU", "src/deriva_ml/exceptions.py": "UU"}
    for name, mine, newer in [
        ("README.md", "## Working on my project", "## Working on it, newer"),
        ("src/deriva_ml/exceptions.py", "# mine", "# newer"),
    ]:
        lines = (project / name).read_text().splitlines()
        places = [lines.index(text) for text in (MARKERS[0], mine, MARKERS[1], newer, MARKERS[2])]
        assert places == sorted(places)
    assert starter(project) == before
    for path in project.path.rglob("*.ipynb"):
        parse(path)

    project.git("checkout", "--quiet", "--theirs", "README.md")
    assert "\n## Working on it, newer\n" in (project / "README.md").read_text()
    project.git("checkout", "--quiet", "--ours", "README.md")
    assert "\n## Working on my project\n" in (project / "README.md").read_text()


def test_a_project_with_uncommitted_changes_is_refused(project: ProjectFolder) -> None:
    """Otherwise nobody could tell the update's changes from the user's."""
    (project / "README.md").write_text("Mine\n")
    done = copier(project, "update", "--defaults", check=False)
    assert done.rc == 1 and "dirty" in done.err
    assert changed(project) == {"README.md": "M"}


def test_a_notebook_that_only_has_outputs_is_no_uncommitted_change_once_it_is_added(
    project: ProjectFolder,
) -> None:
    """git sees that its size is another, and no more until it runs the filter over it."""
    project.git("config", "filter.nbstripout.clean", f'"{sys.executable}" -m nbstripout')
    path = project / "notebooks/my-notebook.ipynb"
    notebook = json.loads(path.read_text())
    notebook["cells"][-1]["outputs"] = [{"name": "stdout", "output_type": "stream", "text": ["a result\n"]}]
    path.write_text(json.dumps(notebook, indent=1) + "\n")
    assert copier(project, "update", "--defaults", check=False).rc == 1
    project.git("add", "--all")
    copier(project, "update", "--defaults")
    assert "a result" in path.read_text()


# ------------------------------------------------------------------------------------------------------ which version


def test_check_update_says_whether_there_is_a_newer_version(
    made: ProjectFolder, updated: ProjectFolder
) -> None:
    """For people, for programs, and by its exit status; 1.10.0 is newer than 1.9.0, as PEP 440 orders them."""
    assert "latest version is 1.10.0" in copier(made, "check-update").out
    said = json.loads(copier(made, "check-update", "--output-format", "json").out)
    assert said == {"update_available": True, "current_version": "1.9.0", "latest_version": "1.10.0"}
    assert copier(made, "check-update", "--quiet", check=False).rc == 2
    assert "latest version is 1.11.0rc1" in copier(made, "check-update", "--prereleases").out
    assert changed(made) == {}
    assert "up-to-date" in copier(updated, "check-update").out
    assert copier(updated, "check-update", "--quiet").rc == 0


def test_pre_releases_come_only_to_those_who_ask_and_nobody_goes_back(project: ProjectFolder) -> None:
    copier(project, "update", "--defaults", "--prereleases")
    assert answers_of(project.path)["_commit"] == "v1.11.0-rc.1"
    commit(project, "Updated")
    done = copier(project, "update", "--defaults", check=False)
    assert done.rc == 1 and "downgrading" in done.err


# ------------------------------------------------------------------------------------------------------ other answers


def test_answers_that_are_changed_on_update_take_effect(project: ProjectFolder) -> None:
    """In every file of the set-up; the licence keeps the year in which the project was made."""
    for name in ("LICENSE", ".copier-answers.yml"):
        path = project / name
        path.write_text(path.read_text().replace(str(answers_of(project.path)["copyright_year"]), "2019"))
    commit(project, "An older project")
    before = starter(project)
    answers = {
        "license": "BSD-3-Clause",
        "python_version": "3.12",
        "deriva_hostname": "www.example.org",
        "deriva_catalog_id": "digits",
        "project_name": "New name",
        "project_slug": "new-name",
        "user_name": "Grace Hopper",
    }
    copier(project, "update", "--defaults", *(f"--data={name}={answer}" for name, answer in answers.items()))
    assert "UU" not in changed(project).values()
    assert answers.items() <= answers_of(project.path).items()
    licence = (project / "LICENSE").read_text()
    assert licence.startswith("BSD 3-Clause License\n\nCopyright (c) 2019, Grace Hopper\n")
    settings = pyproject(project.path)
    assert (settings["project"]["name"], settings["project"]["license"]) == ("new-name", "BSD-3-Clause")
    assert settings["project"]["requires-python"] == ">=3.12"
    assert (project / ".python-version").read_text() == "3.12\n"
    assert (project / "README.md").read_text().startswith("# New name\n")
    assert production(project) == ["www.example.org", "digits"]
    assert starter(project) == before

    commit(project, "Updated")
    copier(project, "update", "--defaults", "--data=license=none")
    assert changed(project).pop("LICENSE") == "D" and "license" not in pyproject(project.path)["project"]
    commit(project, "Updated")
    copier(project, "update", "--defaults", "--data=license=MIT", "--data=deriva_hostname=")
    assert (project / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) 2019 Grace Hopper\n")
    assert production(project) == ["", "1"]


def test_the_example_can_be_switched_off_and_on(project: ProjectFolder) -> None:
    """Its part of the runner and its dependencies go and come; its notebooks, models and tests are the user's."""
    before = starter(project)
    copier(project, "update", "--defaults", "--data=include_example=false")
    assert not list((project / "src/deriva_ml").glob("demo*")) and starter(project) == before
    assert "scikit-learn" not in (project / "pyproject.toml").read_text()
    commit(project, "Without")
    assert check(project) == ["runner: as the template brought it"]
    copier(project, "update", "--defaults", "--data=include_example=true")
    assert len(list((project / "src/deriva_ml").glob("demo*/*.npz"))) == 5 and starter(project) == before
    assert "scikit-learn" in (project / "pyproject.toml").read_text()
    assert check(project) == ["runner: as the template brought it"]


def test_the_guide_names_every_file_that_the_example_is_in(sketch: Render, tmp_path: Path) -> None:
    """Who takes the example out of a project is told what to delete, and what to take from a fresh one."""
    page = (ROOT / "docs/updating.md").read_text(encoding="utf-8")
    guide = page.partition("### The example, off and on")[2].partition("\n## ")[0].replace("\\\n", " ")

    def named(pattern: str) -> set[str]:
        """The files that the guide's commands of this form name, as bash expands them."""
        found = " ".join(re.findall(pattern, guide, re.MULTILINE))
        listed = subprocess.run(
            ["bash", "-c", f"printf '%s\\n' {found}"], capture_output=True, text=True, check=True
        )
        return set(listed.stdout.split())

    having = starter(ProjectFolder(sketch(tmp_path / "p", include_example=True), {}))
    lacking = starter(ProjectFolder(sketch(tmp_path / "lacking" / "p", include_example=False), {}))
    assert named("^git rm (.+)$") == set(having) - set(lacking)
    differing = {name for name in lacking if lacking[name] != having.get(name)}
    assert named(r"^cp \.\./fresh/(\S+)") == differing


# ----------------------------------------------------------------------------------------------------------- recopying


def test_recopy_makes_the_project_anew_over_what_is_there(edited: ProjectFolder, tmp_path: Path) -> None:
    """With the same answers and without merging; git tells what it overwrote and brought back, and `--exclude` limits it."""
    project = duplicate(edited, tmp_path / "my-project")
    before = starter(project)
    excluded = [word for name in STARTER for word in ("--exclude", f"/{name}")]
    copier(project, "recopy", "--defaults", "--overwrite", *excluded)
    assert starter(project) == before
    assert "# mine" not in (project / "src/deriva_ml/core.py").read_text()
    assert check(project)[:2] == ["added    src/deriva_ml/older.py", ""], "what the template gave up stays"
    assert (project / ".pre-commit-config.yaml").exists(), "what was deleted is back"
    assert answers_of(project.path)["license"] == "MIT"

    copier(project, "recopy", "--defaults", "--overwrite")
    came = starter(project)
    assert {"notebooks/newer.ipynb", "src/configs/newer.py"} <= set(came)
    assert all(came[name] == before[name] for name in before if "/own." in name), "the user's own files stay"


# ------------------------------------------------------------------------------------------------------------ make demo


def test_the_demo_can_be_updated_after_another_commit_to_the_template(
    small: Path, clean_env: dict[str, str], tmp_path: Path
) -> None:
    """It knows where its template is, from inside its own folder; uv is not needed to see that."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text("#!/bin/sh\n")
    variables = {"PATH": f"{tools}{os.pathsep}{clean_env['PATH']}", "UV_PYTHON": sys.executable}
    template = Template.create(tmp_path / "template", {**clean_env, **variables})
    template.put(small)
    copier_here = template.folder / ".venv/bin/copier"
    copier_here.parent.mkdir(parents=True)
    copier_here.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m copier "$@"\n')
    for program in (tools / "uv", copier_here):
        program.chmod(0o755)
    (template.folder / ".gitignore").write_text("/.venv/\n/demo/\n__pycache__/\n")
    commit(template.folder, "First")
    said = template.folder.run("scripts/demo.sh", "demo", check=True).out
    assert "copier update --defaults --vcs-ref HEAD" in said
    project = ProjectFolder(template.folder / "demo", clean_env)
    project.git("init", "--quiet")
    commit(project, "Start")
    template.append(".gitignore", "/newer/\n")
    commit(template.folder, "Second")
    copier(project, "update", "--defaults", "--vcs-ref", "HEAD")
    assert changed(project) == {".copier-answers.yml": "M", ".gitignore": "M"}
