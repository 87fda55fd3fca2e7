"""Repositories of this template with tagged versions, and projects that Copier makes from them: for tests of updates."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tarfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from copier.__main__ import CopierApp
from plumbum import local

import digests
from conftest import ROOT, SOURCE, Outcome, ProjectFolder, refresh_index

STARTER = ("docs", "notebooks", "src/configs", "src/models", "tests")
"""Folders whose content is the user's from the first copy on."""

RELEASED = ROOT / "tests" / "data" / "released"


@dataclass(frozen=True)
class Template:
    """A template in a repository of its own."""

    folder: ProjectFolder

    @classmethod
    def create(cls, path: Path, env: Mapping[str, str]) -> Template:
        """An empty one."""
        path.mkdir()
        folder = ProjectFolder(path, env)
        folder.git("init", "--quiet")
        return cls(folder)

    def put(self, plain: Path) -> None:
        """Make its content that of a template in a plain folder, with digests that are right."""
        self._clear()
        shutil.copytree(plain, self.folder.path, dirs_exist_ok=True)
        scripts = self.folder / "scripts"
        shutil.copytree(ROOT / "scripts", scripts, ignore=shutil.ignore_patterns("__pycache__"))
        self.refresh()

    def unpack(self, archive: Path) -> None:
        """Make its content that of a released version."""
        self._clear()
        with tarfile.open(archive) as released:
            released.extractall(self.folder.path)

    def refresh(self) -> None:
        """Do as `make digests`."""
        runner = self.folder / "template" / "src" / "deriva_ml"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(digests, "RUNNER", runner)
            patch.setattr(digests, "LIST", runner / digests.LIST.name)
            digests.LIST.write_text(digests.content(), encoding="utf-8")

    def tag(self, version: str) -> None:
        """Commit what is there, and give it a version."""
        self.folder.git("add", "--all")
        self.folder.git("commit", "--quiet", "--allow-empty", "--message", version)
        self.folder.git("tag", version)

    def find(self, name: str) -> Path:
        """The source of a rendered file."""
        path = self.folder / "template" / name
        return path if path.exists() else path.with_name(f"{path.name}.jinja")

    def replace(self, name: str, old: str, new: str) -> None:
        """Change the source of a rendered file."""
        replace(self.find(name), old, new)

    def append(self, name: str, text: str) -> None:
        """Add to the source of a rendered file, which may be new."""
        path = self.find(name) if self.find(name).exists() else self.folder / "template" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((path.read_text() if path.exists() else "") + text)

    def _clear(self) -> None:
        for path in self.folder.path.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def replace(path: Path, old: str, new: str) -> None:
    """Change a file in one place."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{path.name} has {text.count(old)} times: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def copier(project: ProjectFolder, *arguments: str, check: bool = True) -> Outcome:
    """Do as `copier` in a project, as a person has it: no trust, nothing installed beside it; without the start of a process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        contextlib.chdir(project.path),
        local.cwd(project.path),
        local.env(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        warnings.simplefilter("ignore")
        for name in os.environ.keys() - project.env.keys():
            patch.delenv(name)
        for name, value in project.env.items():
            patch.setenv(name, value)
        local.env.clear()
        local.env.update(project.env)
        _, status = CopierApp.run(["copier", *arguments], exit=False)
    outcome = Outcome(status, out.getvalue(), err.getvalue())
    if check and outcome.rc:
        pytest.fail(f"copier {' '.join(arguments)} ended with {outcome.rc}\n{outcome.text}")
    return outcome


def make(template: Template, path: Path, version: str, **answers: str) -> ProjectFolder:
    """A project that was made from a version of the template, and committed."""
    data = [word for name, answer in answers.items() for word in ("--data", f"{name}={answer}")]
    source = str(template.folder.path)
    command = ["copy", "--quiet", "--defaults", "--vcs-ref", version, *data, source, str(path)]
    copier(template.folder, *command)
    project = ProjectFolder(path, template.folder.env)
    project.git("init", "--quiet")
    commit(project, "Start")
    return project


def duplicate(project: ProjectFolder, path: Path) -> ProjectFolder:
    """The same project in another folder, to change freely."""
    shutil.copytree(project.path, path, symlinks=True)
    copied = ProjectFolder(path, project.env)
    refresh_index(copied)
    return copied


def commit(project: ProjectFolder, message: str) -> None:
    """Commit everything."""
    project.git("add", "--all")
    project.git("commit", "--quiet", "--allow-empty", "--message", message)


def starter(project: ProjectFolder) -> dict[str, bytes]:
    """Every file of the starter folders, with its content."""
    files = [path for name in STARTER for path in sorted((project / name).rglob("*")) if path.is_file()]
    return {path.relative_to(project.path).as_posix(): path.read_bytes() for path in files}


def edit_starter(project: ProjectFolder) -> None:
    """Edit, delete and rename what a project starts with in each folder, and add to it."""
    for name in STARTER:
        folder = project / name
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stem != "__init__")
        for i, path in enumerate(files):
            match i % 3:
                case 0:
                    path.write_bytes(path.read_bytes().replace(b'"cells": [', b'"cells":  [') + b"\n")
                case 1:
                    path.unlink()
                case 2:
                    path.rename(path.with_name(f"my_{path.name}"))
        if files:
            shutil.copy(
                next(path for path in folder.rglob("*") if path.is_file()), folder / f"own{files[0].suffix}"
            )


def changed(project: ProjectFolder) -> dict[str, str]:
    """What differs from the last commit, as `git status` has it: `M` modified, `D` deleted, `??` new, `UU` in conflict."""
    shown = project.run("git", "status", "--porcelain", "--untracked-files=all", check=True).out
    return {line[3:]: line[:2].strip() for line in shown.splitlines()}


def python(project: ProjectFolder, code: str) -> str:
    """What a program prints that imports the project's own runner, in an environment that is there already.

    A project that has a few files of the runner, and so no package, is served by the template's.
    """
    sources = os.pathsep.join([str(project / "src"), str(SOURCE)])
    return project.run(sys.executable, "-B", "-c", code, env={"PYTHONPATH": sources}).out


def check(project: ProjectFolder) -> list[str]:
    """What `deriva-ml-init --check` prints."""
    return python(project, "from deriva_ml.cli.init import main; main(['--check'])").splitlines()


def production(project: ProjectFolder) -> list[str]:
    """The server and the catalog that `deriva_ml=production` stands for."""
    code = (
        "from deriva_ml.project import Project; from deriva_ml.execution.configured_catalogs import connections\n"
        "entry = connections(Project.find())['production']; print(entry.hostname, entry.catalog_id, sep='|')"
    )
    return python(project, code).strip().split("|")
