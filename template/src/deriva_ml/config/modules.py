"""The modules of a project's configuration package: found, imported, and which of them stored what."""

from __future__ import annotations

import importlib
import importlib.util
import json
import pkgutil
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from typing import Any

from hydra_zen import store

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project

STORED_TWICE = re.compile(r"\(name=(.*) group=(.*)\): Store entry already exists")
"""What hydra-zen 0.17 says of an entry that is there."""


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
    """Yield the names of a package's modules, also of its sub-packages, which are imported for that.

    A file whose own name has a dot is no module for Python, and gets a name in which it is one.
    """
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        yield info.name
        if info.ispkg:
            yield from _modules_of(_import(info.name))
    for file in sorted(file for folder in package.__path__ for file in Path(folder).glob("[!.]*.*.py")):
        name = file.stem.replace(".", "_")
        while (
            file.with_name(f"{name}.py").exists() or _dotted.get(f"{package.__name__}.{name}", file) != file
        ):
            name += "_"
        _dotted[f"{package.__name__}.{name}"] = file
        yield f"{package.__name__}.{name}"


_dotted: dict[str, Path] = {}
"""The files whose own names have a dot, by the names of the modules that they become."""


def _load(name: str) -> Any:
    """Import a module by its name, or from the file that has no name as one."""
    if name not in _dotted or name in sys.modules:
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(name, _dotted[name])
    assert spec and spec.loader  # it is a file of Python
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


_Key = tuple[str | None, str]  # an entry's group and name, as hydra-zen tells them apart

_stored_by: dict[_Key, str] = {}
"""The file of the configuration package that stored an entry."""


def _import(name: str) -> Any:
    before = _entries()
    try:
        module = _load(name)
    except Exception as error:  # a person's module can raise anything
        _refuse_stored_twice(name, error)
        at = _last_line_of(name, error)
        shown = f"{name.rpartition('.')[0]}/{_dotted[name].name}" if name in _dotted else name
        raise DerivaMLRequestError(
            f"the configuration module {shown} fails to import{at}: {type(error).__name__}: {error}"
        ) from error
    for key in _entries() - before - _stored_by.keys():
        _stored_by[key] = _shown(vars(module))
    return module


def _entries() -> set[_Key]:
    """Return the groups and names of what is stored; none if an entry cannot be made, of which composing tells."""
    try:
        return {(entry["group"], entry["name"]) for entry in store}
    except Exception:
        return set()


def _refuse_stored_twice(name: str, error: Exception) -> None:
    """Name both files, if ``error`` is hydra-zen's about an entry that another module stored before.

    Raises:
        DerivaMLRequestError: it is.
    """
    said = STORED_TWICE.match(str(error))
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
    """Return the file of the module with these contents, as the project's pages name it."""
    name = module["__name__"]
    path = name.replace(".", "/")
    if name in _dotted:
        return f"src/{path.rpartition('/')[0]}/{_dotted[name].name}"
    return f"src/{path}/__init__.py" if "__path__" in module else f"src/{path}.py"


def configuration_of(name: str | None, notebook: Path | None, package_name: str = "configs") -> str:
    """Return the name of the configuration that a notebook asks for.

    Args:
        name: given to ``run_notebook``; None for the one that has the name of the notebook's file.
        notebook: its file, as far as it is known.
        package_name: the package whose modules have been imported.

    Raises:
        DerivaMLRequestError: the notebook's file is not known, or no such configuration is registered.
    """
    from deriva_ml.config.entries import notebook_configs

    if not name and not notebook:
        raise DerivaMLRequestError(
            "this notebook's file is not known here: name its configuration, run_notebook(NAME)"
        )
    # File systems differ in how they spell an accented letter.
    stored = [entry["name"] for entry in store if name and entry["group"] is None]  # by plain ``store``
    known = {unicodedata.normalize("NFC", one): one for one in (*notebook_configs, *stored)}
    stem = unicodedata.normalize("NFC", name or (notebook.stem if notebook else ""))
    asked = [stem] if name else [stem.replace("-", "_"), stem, re.sub(r"\W", "_", stem)]
    found = next((known[one] for one in asked if one in known), None)
    if found is None:
        file = re.sub(r"\W", "_", stem)
        raise DerivaMLRequestError(
            f"no notebook configuration is named {asked[0]}: register it with"
            f" notebook_config({json.dumps(asked[0], ensure_ascii=False)}) in src/{package_name}/{file}.py;"
            f" registered are {', '.join(sorted(notebook_configs))}"
        )
    return found


def _last_line_of(name: str, error: Exception) -> str:
    """Return where in module ``name`` an import went wrong, as far as the traceback tells."""
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_globals.get("__name__") == name]
    return f" (line {lines[-1]})" if lines else ""


def find_configs(project: Project, package_name: str = "configs") -> list[str]:
    """Import a project's configuration modules, whatever the working directory; see ``load_configs``."""
    if str(project.source) not in sys.path:
        sys.path.insert(0, str(project.source))
    return load_configs(package_name)
