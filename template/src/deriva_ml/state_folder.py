"""Where a project's records and outputs lie: whether a folder elsewhere may hold them; both are ignored by git."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.working_tree import WorkingTree

STATE, OUTPUTS = ".deriva-ml", "outputs"
"""The names of the two folders that the runner makes in a project."""

VARIABLE = "DERIVA_ML_STATE"
"""The environment variable that names another folder for the records of a process and of those that it starts."""

_MARKERS = {STATE: ".deriva-ml-of", OUTPUTS: ".outputs-of"}
"""The file in each that says whose it is: the project's path, then what `_identity` says of its repository.

Below that a person may add the paths of clones that are to use the folder, too."""


def home_of(root: Path) -> Path:
    """Return the project whose records those of the project at ``root`` are kept with; links are resolved.

    In a linked working tree it is the same one in the main tree, which is not removed with a branch.

    Raises:
        DerivaMLRequestError: the working tree has lost its repository.
    """
    root = root.resolve()
    tree = WorkingTree.around(root)
    main = tree.main() if tree else None
    return main / root.relative_to(tree.top) if tree and main and main.is_dir() else root


def named_apart() -> Path | None:
    """Return the folder that the environment names for the records of this process.

    Raises:
        DerivaMLRequestError: it is no absolute path; the working directory of a notebook is its own.
    """
    named = os.environ.get(VARIABLE)
    if named and not os.path.isabs(named):
        raise DerivaMLRequestError(f"{VARIABLE} is {named}, which is no absolute path: give one")
    return Path(named) if named else None


def checked(name: str, place_in: Callable[[Path], Path], root: Path) -> Path:
    """Return the folder that the project at ``root`` has for its records or outputs, if it may be used.

    A folder of its own may. One that a link or a setting leads to has to be empty or marked as the project's, and
    to belong to the person: nothing is written into another project's records, nor among files that are none.

    Args:
        name: ``STATE`` or ``OUTPUTS``.
        place_in: where a project has that folder, by its root.

    Raises:
        DerivaMLRequestError: it may not be used.
    """
    place = place_in(root)
    if place == root / name and not place.is_symlink():
        return place
    folder, marker = _real(place), _MARKERS[name]
    if not os.path.lexists(folder) and folder.parent.is_dir():
        return folder
    if not folder.is_dir():
        raise DerivaMLRequestError(
            f"{place} leads to {folder}, which is no folder, nor a new one in a folder"
        )
    if hasattr(os, "geteuid") and folder.stat().st_uid != os.geteuid():
        raise DerivaMLRequestError(f"{place} leads to {folder}, which is another user's: choose one of yours")
    others = any(not path.name.startswith(f".{marker}.") for path in folder.iterdir())
    path, identity, *clones = [*_read(folder / marker).split("\n"), ""]
    if not others or str(root) in {path, *clones}:
        return folder
    if path and identity and identity == _identity(root) and _real(place_in(Path(path))) != folder:
        return folder  # the project has been moved
    whose = (
        f"is that of the project in {path}" if path else "holds files that are not marked as this project's"
    )
    raise DerivaMLRequestError(
        f"{place} leads to {folder}, which {whose}: choose an empty folder, or, to use it from here too, add the line"
        f" {root} to {folder / marker}"
    )


def make(name: str, folder: Path, root: Path) -> None:
    """Make the folder, mark it as the project's, and let it ignore itself. One that cannot be written stays as it is."""
    marker, ignoring = folder / _MARKERS[name], folder / ".gitignore"
    with suppress(OSError):  # whoever then writes records into it says so
        folder.mkdir(mode=0o770 if name == STATE else 0o777, parents=True, exist_ok=True)
        path, _, *clones = [*_read(marker).split("\n"), ""]
        if str(root) not in {path, *clones}:  # before anything else is in it
            _write(marker, "\n".join([str(root), _identity(root), *filter(None, clones), ""]))
        if not ignoring.exists():
            _write(ignoring, "*\n")


def _real(place: Path) -> Path:
    return Path(os.path.realpath(place))  # Path.resolve raises where links go in a circle


def _identity(root: Path) -> str:
    """Return what tells a project's repository from others, wherever it is moved; empty where there is none.

    A working tree of a bare repository has one of its own, since it has records of its own.
    """
    tree = WorkingTree.around(root)
    if tree is None:
        return ""
    path = (tree.common if tree.main() else tree.own) / "deriva-ml-project"
    # Of several processes at once, one makes it.
    with suppress(OSError), path.open("x", encoding="ascii") as stream:
        stream.write(os.urandom(16).hex())
    return _read(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return ""


def _write(path: Path, text: str) -> None:
    """Write a file so that another process sees all of the text or nothing."""
    held = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    held.write_text(text, encoding="utf-8", errors="surrogateescape")  # a path may have any bytes
    os.replace(held, path)
