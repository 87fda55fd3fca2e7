"""Where a project keeps things: its root folder, the folders that the runner works in, and `pyproject.toml`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
import deriva_ml.state_folder as state_folder
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.state_folder import OUTPUTS, STATE
from deriva_ml.untrusted import plain_name

DETACHED = "detached"
"""In a sweep's folder: see ``Project.detached``."""

_RUNNER = re.compile(r"^_commit:\s*['\"]?([\w.+-]+)", re.MULTILINE)


@dataclass(frozen=True)
class Project:
    """A rendered project, known by its root folder (the one with ``pyproject.toml``).

    Attributes:
        apart: a folder for its records instead of its own, as ``DERIVA_ML_STATE`` names one for a whole process.
    """

    root: Path
    apart: Path | None = None

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Walk up from ``start`` (default: the working directory) to the nearest ``pyproject.toml``.

        Raises:
            DerivaMLRequestError: no folder on the way up is a project.
        """
        folder = (start or Path.cwd()).absolute()
        if root := project_around(folder):
            return cls(root)
        raise DerivaMLRequestError(
            f"{folder} is not inside a project (no pyproject.toml above it): cd into one"
        )

    @cached_property
    def home(self) -> Path:
        """The root of the project that keeps the records: in a linked working tree, that in the main one."""
        return state_folder.home_of(self.root)

    @cached_property
    def state(self) -> Path:
        """The folder with the embedded catalog and everything still in progress; never committed.

        It is where ``DERIVA_ML_STATE`` says, or else ``state`` of ``[tool.deriva-ml]``; links are resolved.

        Raises:
            DerivaMLRequestError: it may not be used, or the records are in another place.
        """
        if apart := self.apart or state_folder.named_apart():
            return state_folder.checked(STATE, lambda root: apart, self.home)
        found, default = state_folder.checked(STATE, _state_place, self.home), self.home / STATE
        if found != default and (default / "catalog.db").exists() and not (found / "catalog.db").exists():
            raise DerivaMLRequestError(
                f"the records are in {default}, and state of [tool.deriva-ml] says {found}: move that folder there"
            )
        return found

    def make_state(self) -> None:
        """Make the folder for the records, before anything is written there; see that there can be outputs, too."""
        _ = self.outputs
        state_folder.make(STATE, self.state, self.home)

    @property
    def database(self) -> Path:
        """The embedded catalog's SQLite file."""
        return self.state / "catalog.db"

    @property
    def objects(self) -> Path:
        """Recorded file contents, named by digest."""
        return self.state / "objects"

    @property
    def executions(self) -> Path:
        """Working folders of executions that are under way, one per RID."""
        return self.state / "executions"

    @property
    def runs(self) -> Path:
        """Working folders of notebook runs that are under way."""
        return self.state / "runs"

    @property
    def sweeps(self) -> Path:
        """Folders of sweeps that are under way, each named by the RID of its execution."""
        return self.state / "sweeps"

    def detached(self, sweep: str) -> Path:
        """The file that is there as long as a sweep's jobs may go on when the process that submitted them is gone."""
        return self.sweeps / plain_name(sweep) / DETACHED

    @property
    def borrows(self) -> Path:
        """The file that makes a state folder that of a job on another machine: it says where the project's records are."""
        return self.state / "borrows.json"

    @property
    def replayed(self) -> Path:
        """The file that makes a state folder a replay's: nothing is sent from there, and it says what is read how."""
        return self.state / "replay.json"

    @property
    def environments(self) -> Path:
        """Environments that were made to repeat runs with the packages that they had."""
        return self.state / "environments"

    @property
    def outputs(self) -> Path:
        """Copies of executed notebooks for the reader; never committed. Each working tree has its own.

        Raises:
            DerivaMLRequestError: it is a link, and may not lead where it does.
        """
        return state_folder.checked(OUTPUTS, lambda root: root / OUTPUTS, self.root.resolve())

    def make_outputs(self) -> Path:
        """Make the folder for outputs."""
        state_folder.make(OUTPUTS, self.outputs, self.root.resolve())
        return self.outputs

    @property
    def source(self) -> Path:
        """The folder that holds ``configs``, ``models`` and the runner."""
        return self.root / "src"

    @property
    def runner(self) -> Path:
        """The folder that holds the vendored runner."""
        return self.source / "deriva_ml"

    @property
    def runner_version(self) -> str:
        """The template's version that the runner is of; empty where ``.copier-answers.yml`` does not tell."""
        try:
            found = _RUNNER.search((self.root / ".copier-answers.yml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        return found[1] if found else ""

    def pyproject(self) -> dict[str, Any]:
        """Return what `pyproject.toml` says.

        Raises:
            DerivaMLRequestError: the file is not TOML.
        """
        import tomllib  # not at the top: most commands do without

        path = self.root / "pyproject.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DerivaMLRequestError(f"{path} cannot be read: {error}") from error

    def metadata(self) -> dict[str, Any]:
        """Return the `[project]` table of `pyproject.toml`; empty where there is none.

        Raises:
            DerivaMLRequestError: the file is not TOML.
        """
        table = self.pyproject().get("project")
        return table if isinstance(table, dict) else {}

    def new_folder(self, parent: Path, name: str = "") -> Path:
        """Make and return an empty folder under ``parent``, named by ``name`` and the time, and by chance."""
        stamp = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
        folder = parent / (f"{name}-{stamp}" if name else stamp)
        folder.mkdir(parents=True, mode=0o700)
        return folder


@dataclass(frozen=True)
class ProjectSettings:
    """What a project's `pyproject.toml` says under ``[tool.deriva-ml]``.

    Attributes:
        hostname: the Deriva server that the entry ``production`` stands for; empty where none is named yet.
        catalog_id: number or alias of the catalog on it.
    """

    hostname: str = ""
    catalog_id: str = ""


def project_settings(start: str | Path | None = None) -> ProjectSettings:
    """Return the settings of a project, for its configurations to use.

    Args:
        start: a file or folder in the project, such as a module's ``__file__``; by default the working directory.

    Raises:
        DerivaMLRequestError: ``start`` is in no project, or its `pyproject.toml` is not as it has to be.
    """
    return ProjectSettings(
        **_settings(Project.find(Path(start) if start else None), "hostname", "catalog_id")
    )


def project_around(path: Path, top: Path | None = None) -> Path | None:
    """Return the nearest folder that is a project, from a path upwards, and not above ``top``; None if there is none."""
    folders = (folder for folder in (path, *path.parents) if top is None or folder.is_relative_to(top))
    return next((folder for folder in folders if (folder / "pyproject.toml").is_file()), None)


def _settings(project: Project, *names: str) -> dict[str, str]:
    """Return those of these settings that a project has."""
    path, table = project.root / "pyproject.toml", project.pyproject()
    for name in ("tool", "deriva-ml"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise DerivaMLRequestError(
                f"{name} in {path} is no table: its settings stand under [tool.deriva-ml]"
            )
    given = {name: table[name] for name in names if name in table}
    for name, value in given.items():
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise DerivaMLRequestError(f"{name} of [tool.deriva-ml] in {path} is not a text in quotes")
    return {name: str(value) for name, value in given.items()}


def _state_place(root: Path) -> Path:
    """Return where a project's records are to be, by its settings."""
    path = root / "pyproject.toml"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    # Every command asks, and reading TOML takes longer than all else here.
    if not re.search(r"""\bstate["']?\s*=""", text):
        return root / STATE
    return root / os.path.expanduser(_settings(Project(root), "state").get("state", STATE))


PARTIAL = ".deriva-ml-"
"""What the names of files begin with that are not whole yet."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file in one step by the one that is written inside, so that nobody ever sees, or keeps, a part."""
    with disk.temporary(path.parent, PARTIAL) as temporary:
        yield temporary
        os.replace(temporary, path)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step by one with this content, which no power cut takes back."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
        stream.flush()
        disk.flush_open(stream.fileno())


def copy_atomically(source: Path, path: Path) -> None:
    """Replace a file in one step by a copy of another, for those who can read that, and nobody else."""
    with replacing(path) as temporary:
        disk.copy_file(source, temporary)
