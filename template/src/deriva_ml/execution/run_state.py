"""A notebook run's own folder: what the runner, its kernel and a later recovery tell each other through it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from deriva_ml.process import Owner
from deriva_ml.project import write_atomically
from deriva_ml.untrusted import DAMAGED, is_inside, read_json, well_formed

RUN_VARIABLE = "DERIVA_ML_RUN"
"""The environment variable by which the runner tells its kernel the run's folder."""

LOG = "kernel.log"
"""The file of a run's folder to which its kernel process writes."""

OVER = ".over"
"""The end of the name of a run's folder that is being removed: what is left in it tells nothing any more."""


@dataclass(frozen=True)
class Report:
    """What a kernel tells its runner.

    Attributes:
        refused: why ``run_notebook`` refused to start.
        dry_run: an execution was started that is not to be recorded.
    """

    refused: str | None = None
    dry_run: bool = False


@dataclass(frozen=True)
class NotebookRun:
    """A run of a notebook by the runner, as its kernel and a later recovery find it in the run's folder.

    Attributes:
        folder: the run's own.
        notebook: the file that is executed.
        owner: the runner's process.
        kernel: the kernel's process.
        connection: the private folder through which the runner talks to it.
        parameters: values that were given, as JSON types.
        declared: the names that the notebook's parameters cell assigns.
        sweep: the execution of the sweep that this is a job of, by its RID here; empty for a run alone.
        place: which job.
        overrides: Hydra's.
        provenance: of the notebook, as JSON types.
        argv: the command line.
    """

    folder: Path
    notebook: Path
    owner: Owner
    kernel: Owner
    parameters: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)
    connection: str = ""
    declared: list[str] = field(default_factory=list)
    sweep: str = ""
    place: int = 0

    def save(self) -> None:
        """Write it into the folder."""
        write_atomically(self.folder / "run.json", json.dumps(asdict(self), default=os.fspath))

    @classmethod
    def load(cls, folder: Path) -> NotebookRun:
        """Read it from the folder."""
        record = read_json(folder / "run.json")
        record |= {name: Path(record[name]) for name in ("folder", "notebook")}
        record |= {name: well_formed(Owner(**record[name])) for name in ("owner", "kernel")}
        return well_formed(cls(**record))

    @classmethod
    def found(cls, folder: Path) -> NotebookRun | None:
        """Read it from a folder; None if that holds none, a damaged one, or one of another version of the runner.

        It may be somebody else's: what it names elsewhere proves nothing.
        """
        try:
            return None if folder.is_symlink() else replace(cls.load(folder), folder=folder)
        except (OSError, *DAMAGED):
            return None

    @classmethod
    def current(cls) -> NotebookRun | None:
        """Return the run that this kernel was started for, if the runner started it."""
        folder = os.environ.get(RUN_VARIABLE)
        return cls.load(Path(folder)) if folder else None

    @property
    def executed(self) -> Path:
        """Where the executed notebook is saved, cell by cell."""
        return self.folder / "executed" / self.notebook.name

    def holds(self, path: Path) -> bool:
        """Whether a file of the run's folder is there, and no link stands for it."""
        return is_inside(path, self.folder) and path.is_file()

    @property
    def dry_run(self) -> bool:
        """Whether the command line asks for a dry run; the last word on it counts."""
        return asks_for_dry_run(self.overrides)

    def new_dry_run_folder(self) -> Path:
        """Make a working folder for a dry run; a notebook may start several."""
        folder = self.folder / "dry-run" / str(len(self.dry_run_folders()) + 1)
        folder.mkdir(parents=True)
        return folder

    def dry_run_folders(self) -> list[Path]:
        """Return those that were made, in order."""
        parent = self.folder / "dry-run"
        return sorted(parent.iterdir(), key=lambda path: int(path.name)) if parent.is_dir() else []

    def report(self, **facts: Any) -> None:
        """Leave facts for the runner: fields of a ``Report``."""
        facts = asdict(replace(self.reported(), **facts))
        write_atomically(self.folder / "report.json", json.dumps(facts))

    def reported(self) -> Report:
        """Read what the kernel left; nothing if that is damaged."""
        try:
            return well_formed(Report(**read_json(self.folder / "report.json")))
        except (OSError, *DAMAGED):
            return Report()


def remove_run(folder: Path) -> None:
    """Remove a run's folder, which is over in one moment, however far the removal gets."""
    over = folder.with_suffix(OVER)
    with suppress(OSError):  # another command is at it too
        folder.replace(over)
    shutil.rmtree(over, ignore_errors=True)


def asks_for_dry_run(overrides: Sequence[str]) -> bool:
    """Whether Hydra overrides ask for a dry run, as far as can be told before they are composed."""
    said = [word.lower() for word in overrides if word.lower().lstrip("+").startswith("dry_run=")]
    return bool(said) and said[-1].endswith("=true")
