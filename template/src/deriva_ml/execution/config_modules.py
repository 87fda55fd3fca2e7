"""The modules of a project's configuration package: found, imported, and which of them stored what."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from traceback import walk_tb
from typing import Any

from hydra_zen import store

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


def load_configs(package_name: str = "configs") -> list[str]:
    """Import every module of a project's configuration package, sub-packages too, ``experiments`` last.

    Returns:
        The modules' names.

    Raises:
        DerivaMLRequestError: a module fails to import; the message names it and its error.
    """
    found = list(_modules_of(_import(package_name)))
    # Experiments refer to what the other modules register.
    found.sort(key=lambda name: (name.rpartition(".")[2] == "experiments", name))
    for name in found:
        _import(name)
    return found


def _modules_of(package: Any) -> Iterator[str]:
    """The names of a package's modules, also of its sub-packages, which are imported for that."""
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield info.name
        if info.ispkg:
            yield from _modules_of(_import(info.name))


_Key = tuple[str | None, str]  # an entry's group and name, as hydra-zen tells them apart

_stored_by: dict[_Key, str] = {}
"""The file of the configuration package that stored an entry."""


def _import(name: str) -> Any:
    before = _entries()
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a person's module can raise anything
        _refuse_stored_twice(name, error)
        at = _last_line_of(name, error)
        raise DerivaMLRequestError(
            f"the configuration module {name} fails to import{at}: {type(error).__name__}: {error}"
        ) from error
    for key in _entries() - before - _stored_by.keys():
        _stored_by[key] = _shown(vars(module))
    return module


def _entries() -> set[_Key]:
    """What is stored so far; nothing if an entry cannot be made, of which composing tells."""
    try:
        return {(entry["group"], entry["name"]) for entry in store}
    except Exception:
        return set()


def _refuse_stored_twice(name: str, error: Exception) -> None:
    """Name both files, if ``error`` is hydra-zen's about an entry that another module stored before.

    Raises:
        DerivaMLRequestError: it is.
    """
    said = re.match(r"\(name=(.*) group=(.*)\): Store entry already exists", str(error))
    if not said:
        return
    group = None if said[2] == "None" else said[2]
    first, second = _stored_by.get((group, said[1])), None
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] == name.partition(".")[0]:
            second = _shown(frame.f_globals)
    if first and second and first != second:
        entry = f"{group}={said[1]}" if group else f'"{said[1]}"'
        raise DerivaMLRequestError(
            f"{first} and {second} both store {entry}: rename it in one of them"
        ) from error


def _shown(module: dict[str, Any]) -> str:
    """The file of the module with these contents, as the project's pages name it."""
    path = module["__name__"].replace(".", "/")
    return f"src/{path}/__init__.py" if "__path__" in module else f"src/{path}.py"


def _last_line_of(name: str, error: Exception) -> str:
    """Where in module ``name`` an import went wrong, as far as the traceback tells."""
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_globals.get("__name__") == name]
    return f" (line {lines[-1]})" if lines else ""


def find_configs(project: Project, package_name: str = "configs") -> list[str]:
    """``load_configs`` for a project, whatever the working directory."""
    if str(project.source) not in sys.path:
        sys.path.insert(0, str(project.source))
    return load_configs(package_name)
