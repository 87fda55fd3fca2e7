"""The folders in which a replay works: they go when it ends, and those of a killed one when the next begins."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from deriva_ml.process import Owner
from deriva_ml.project import Project, write_atomically
from deriva_ml.signals import raise_on_signals, signals_ignored
from deriva_ml.state_folder import VARIABLE
from deriva_ml.untrusted import read_json, well_formed
from deriva_ml.working_tree import WorkingTree

FOLDER = "replaying"
"""In a project's state folder."""


@contextmanager
def workspace(project: Project, keep: bool = False) -> Iterator[Path]:
    """Yield a path in the project's state folder for one replay's files, where nothing is yet.

    What is there in the end is removed, and also when the process is told to stop; if it is a working tree, git
    forgets it. What replays left that were killed is removed before.

    Args:
        keep: leave all of it, for a person to look at, unless an error ends the replay.
    """
    project.make_state()
    folder = project.state / FOLDER
    folder.mkdir(mode=0o770, exist_ok=True)
    clear(project)
    place = folder / f"replay-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(4).hex()}"
    write_atomically(_owner(place), json.dumps(asdict(Owner.here(project.state))))  # before there is anything
    try:
        with raise_on_signals():
            yield place
    except BaseException:
        keep = False
        raise
    finally:
        with signals_ignored():
            if keep:
                _owner(place).unlink(missing_ok=True)  # nobody clears it
            else:
                _remove(project, place)


def clear(project: Project) -> None:
    """Remove what replays left that were killed."""
    for path in (project.state / FOLDER).glob("replay-*.json"):
        try:
            gone = well_formed(Owner(**read_json(path))).is_gone(project.state)
        except (OSError, ValueError, TypeError):  # it has just gone, or a full disk took half of it
            gone = path.exists() and time.time() - path.stat().st_mtime > 86_400
        if gone:
            _remove(project, path.with_suffix(""))


def _owner(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _remove(project: Project, place: Path) -> None:
    """Remove a replay's folder, what git keeps of it, and last what says whose it is; end what its runs left running."""
    _end_processes(place)
    remove_tree(place)
    if tree := WorkingTree.around(project.root):
        # As `git worktree remove`, which a second Ctrl-C would end, and which refuses one that is not whole.
        remove_tree(tree.common / "worktrees" / place.name)
        with suppress(OSError):
            (tree.common / "worktrees").rmdir()  # the last one's
    if not place.exists():
        _owner(place).unlink(missing_ok=True)


def _end_processes(place: Path) -> None:
    """End the processes whose records were to go to a folder: those that a run put out of its own reach."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError, ValueError):
            if Path(process.environ().get(VARIABLE, "")).is_relative_to(place):
                process.kill()


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, also what its owner may not write."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_dir() and not folder.is_symlink():
        for parent, names, _ in os.walk(folder):
            for name in (parent, *(os.path.join(parent, one) for one in names)):
                with suppress(OSError):
                    if not os.path.islink(name):
                        os.chmod(name, stat.S_IRWXU)
        shutil.rmtree(folder, ignore_errors=True)
