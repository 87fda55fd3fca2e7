"""Where a project keeps things: its root folder, the folders that the runner works in, and `pyproject.toml`."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError


@dataclass(frozen=True)
class Project:
    """A rendered project, known by its root folder (the one with ``pyproject.toml``)."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """Walk up from ``start`` (default: the working directory) to the nearest ``pyproject.toml``.

        Raises:
            DerivaMLRequestError: no folder on the way up is a project.
        """
        folder = (start or Path.cwd()).absolute()
        for candidate in (folder, *folder.parents):
            if (candidate / "pyproject.toml").is_file():
                return cls(candidate)
        raise DerivaMLRequestError(
            f"{folder} is not inside a project (no pyproject.toml above it): cd into one"
        )

    @property
    def state(self) -> Path:
        """The folder with the embedded catalog and everything still in progress; never committed."""
        return self.root / ".deriva-ml"

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
    def outputs(self) -> Path:
        """Copies of executed notebooks for the reader; never committed."""
        return self.root / "outputs"

    @property
    def source(self) -> Path:
        """The folder that holds ``configs``, ``models`` and the runner."""
        return self.root / "src"

    @property
    def runner(self) -> Path:
        """The folder that holds the vendored runner."""
        return self.source / "deriva_ml"

    def pyproject(self) -> dict[str, Any]:
        """What `pyproject.toml` says.

        Raises:
            DerivaMLRequestError: the file is not TOML.
        """
        import tomllib  # not at the top: most commands do without

        path = self.root / "pyproject.toml"
        try:
            return tomllib.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DerivaMLRequestError(f"{path} cannot be read: {error}") from error

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
    """The settings of a project, for its configurations to use.

    Args:
        start: a file or folder in the project, such as a module's ``__file__``; by default the working directory.

    Raises:
        DerivaMLRequestError: ``start`` is in no project, or its `pyproject.toml` is not as it has to be.
    """
    project = Project.find(Path(start) if start else None)
    path, table = project.root / "pyproject.toml", project.pyproject()
    for name in ("tool", "deriva-ml"):
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise DerivaMLRequestError(
                f"{name} in {path} is no table: its settings stand under [tool.deriva-ml]"
            )
    given = {name: table[name] for name in ("hostname", "catalog_id") if name in table}
    for name, value in given.items():
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise DerivaMLRequestError(f"{name} of [tool.deriva-ml] in {path} is not a text in quotes")
    return ProjectSettings(**{name: str(value) for name, value in given.items()})


PARTIAL = ".deriva-ml-"
"""What the names of files begin with that are not whole yet."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file in one step by the one that is written inside, so that nobody ever sees, or keeps, a part."""
    temporary = path.with_name(f"{PARTIAL}{os.urandom(8).hex()}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file in one step by one with this content."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def copy_atomically(source: Path, path: Path) -> None:
    """Replace a file in one step by a copy of another."""
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)
