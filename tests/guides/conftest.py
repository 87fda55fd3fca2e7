"""Where the reader of a guide starts: a folder or a project, the tools that the page counts on, and a server."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import quick_copier
from conftest import OFFLINE, ProjectFolder, on_environment_of
from deriva_double import DerivaDouble
from guides import upstream_project
from guides.reader import Reader
from guides.typed import MOVING, changes_its_environment, says
from pages import Page

SERVER = "www.example.org"
"""What every page calls the Deriva server."""

SOURCE = "gh:org/copier-deriva-ml"
OLDER, NEWER = "1.0.0", "1.1.0"
"""The template's versions: projects that are there already are of the older one."""

UVX = f"""import os, sys
tool, *words = sys.argv[1:]
assert tool == "copier", tool
asks = words[:1] in (["copy"], ["update"], ["recopy"]) and "--defaults" not in words
words[1:1] = ["--defaults"] if asks else []  # the reader presses Enter at each question
os.execv(sys.executable, [sys.executable, "-P", {quick_copier.__file__!r}, *words])
"""


def uvx(python: str) -> str:
    """The script of a `uvx` that runs the Copier of an interpreter, whose path may hold blanks."""
    return f'#!/bin/sh\nexec {shlex.quote(python)} -c {shlex.quote(UVX)} "$@"\n'


@pytest.fixture(scope="package")
def tools(plain: Path, clean_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables with which `uvx copier` is the tests' own, and the template's address a copy of it here."""
    folder = tmp_path_factory.mktemp("tools")
    template = ProjectFolder(folder / "template", clean_env)
    shutil.copytree(plain, template.path)
    for command in ("init -q", "add -A", "commit -qm Template", f"tag v{OLDER}"):
        template.git(*command.split())
    with (template / "template" / ".gitignore").open("a") as file:
        file.write("/newer/\n")
    for command in ("commit -qam Newer", f"tag v{NEWER}"):
        template.git(*command.split())
    address = SOURCE.replace("gh:", "https://github.com/") + ".git"
    instead = f'[url "{template.path}"]\n\tinsteadOf = {address}\n'
    (folder / "gitconfig").write_text(Path(clean_env["GIT_CONFIG_GLOBAL"]).read_text() + instead)
    (folder / "settings.yml").write_text("{}\n")
    (folder / "bin").mkdir()
    (folder / "bin" / "uvx").write_text(uvx(sys.executable))
    (folder / "bin" / "uvx").chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(folder / "bin"), clean_env["PATH"]]),
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "COPIER_SETTINGS_PATH": str(folder / "settings.yml"),
        "PYTHONUNBUFFERED": "1",  # what a command prints comes in the order of a terminal
    }


@pytest.fixture
def double(tmp_path: Path) -> Iterator[DerivaDouble]:
    """The server, with one catalog; its owner is logged in."""
    with DerivaDouble() as double:
        double.create_catalog("head")
        login = tmp_path / "home" / ".deriva" / "credential.json"
        login.parent.mkdir(parents=True)
        login.write_text(json.dumps({double.host: double.credential("admin")}))
        yield double


@pytest.fixture
def reader(
    page: Page,
    tools: dict[str, str],
    double: DerivaDouble,
    synced: ProjectFolder,
    copy_to: Callable[[Path], ProjectFolder],
    furnish: Callable[[Path], Path],
    tmp_path: Path,
) -> Iterator[Reader]:
    """Who reads the page, in a project that is set up; if the page makes one, where it goes.

    In the end nothing is open, and what was written has the project's style.
    """
    folder, env = tmp_path / "work", dict(synced.env)
    if made := says(page, r"copier copy.* gh:\S+ ([\w-]+)$"):
        folder.mkdir()
        env = on_environment_of(synced, folder / made[1])
    elif page.name != MOVING:
        project = copy_to(folder)
        env = dict(project.env)
        came_from_the_older(project)
        if says(page, "production"):
            name_the_catalog(project, double.url)
    if changes_its_environment(page):
        env = {**synced.env, "UV_PROJECT_ENVIRONMENT": str(furnish(tmp_path / "environment"))}
    if not says(page, r"\buv sync\b|--group"):  # with which comes what ``synced`` has not
        env |= OFFLINE
    home = {"HOME": str(tmp_path / "home"), "MPLCONFIGDIR": f"{synced.env['HOME']}/.cache/matplotlib"}
    if (machine := Path(synced.env["HOME"]) / ".config").is_dir():
        shutil.copytree(machine, tmp_path / "home" / ".config")
    shown = {f"{double.url}/": f"https://{SERVER}/", double.url: SERVER, double.host: SERVER}
    reader = Reader(folder, {**env, **tools, **home}, {SERVER: double.url}, shown)
    if page.name == MOVING:
        reader.known |= upstream_project.inputs(tmp_path / "inputs", double, "1")
        upstream_project.make(folder, page, env, reader.as_typed)
    yield reader
    statuses = {row["Status"] for row in double.rows("1", "Execution")} | recorded(reader.folder)
    assert not statuses & {"Created", "Running", "Stopped", "Pending_Upload"}
    if page.name != MOVING:  # what comes from upstream is formatted as upstream has it
        status, said = reader.type("uv run ruff check && uv run ruff format --check")
        assert status == 0, said


def came_from_the_older(project: ProjectFolder) -> None:
    """Let a project remember the template's address and older version, as if it had been made from there."""
    answers = project / ".copier-answers.yml"
    text = re.sub(r"^_commit: .*", f"_commit: v{OLDER}", answers.read_text(), flags=re.MULTILINE)
    answers.write_text(re.sub(r"^_src_path: .*", f"_src_path: {SOURCE}", text, flags=re.MULTILINE))
    project.git("commit", "-q", "--amend", "--no-edit", "--all")
    project.git("tag", "--force", "v0.1.0")


def name_the_catalog(project: ProjectFolder, hostname: str) -> None:
    """Answer Copier's question about the server, as who made the project did."""
    settings = project / "pyproject.toml"
    text = re.sub(r'^hostname = ".*"', f'hostname = "{hostname}"', settings.read_text(), flags=re.MULTILINE)
    settings.write_text(text)
    project.git("commit", "-qam", "Name the catalog")


def recorded(folder: Path) -> set[str]:
    """The statuses of the executions in a project's own catalog; none in a folder without one."""
    if not (database := folder / ".deriva-ml" / "catalog.db").is_file():
        return set()
    with closing(sqlite3.connect(database)) as catalog:
        return {status for (status,) in catalog.execute('SELECT "Status" FROM "Execution"')}
