"""Upstream's names: where those that mean something here are, and what to do instead of those that do not.

Nothing here is loaded before somebody asks for a name that the runner itself does not have.
"""

from __future__ import annotations

import sys
from collections import ChainMap
from enum import StrEnum
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from deriva_ml.exceptions import DerivaMLRequestError


class NotHere(DerivaMLRequestError, AttributeError):
    """An attribute that only upstream's library has; ``hasattr`` and the like take it for one that is not there."""


class NotImportable(DerivaMLRequestError, ImportError):
    """A module or a name of a module that only upstream's library has."""


@cache
def _table() -> dict[str, Any]:
    import tomllib

    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


@cache
def _instead() -> dict[str, str]:
    return {name: entry["do"] for entry in _table()["instead"] for name in entry["names"].split()}


@cache
def same(kind: type) -> ChainMap[str, str]:
    """Return what the attributes are here that a class has under other names, by those."""
    return ChainMap(*(_table()["same"].get(one.__name__, {}) for one in kind.__mro__))


class Upstream:
    """What has, for records and connections, attributes by upstream's names, and refuses those that only upstream has."""

    if not TYPE_CHECKING:  # for which a name that is not there has to stay an error

        def __dir__(self) -> list[str]:
            """List them for those who complete names."""
            return [*super().__dir__(), *same(type(self))]

        def __getattr__(self, name: str) -> Any:
            """Return an attribute that has another name here; refuse one that is not here."""
            if not name.startswith("_") and name in same(type(self)):
                return attrgetter(same(type(self))[name])(self)
            if not name.startswith("_") and name in _instead():
                raise NotHere(f"{type(self).__name__}.{name} is not here: {_instead()[name]}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def look_up(module: str, name: str) -> Any:
    """Return what a name of one of upstream's modules is here.

    Raises:
        NotImportable: only upstream has it.
        AttributeError: upstream has no such name, as far as is known here.
    """
    known = {} if name.startswith("_") else _table()["names"]
    if name in known:
        return resolve_name(known[name])
    if known and name in _instead():
        raise NotImportable(f"{module}.{name} is not here: {_instead()[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def find_spec(fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
    """Return how to import a module of this package, its own or one of upstream's whose names are here; None for others.

    By this function, this module is one of those that ``sys.meta_path`` has. Which modules are packages is said
    here and not in these, because another thread may import from one that is half loaded.

    Raises:
        NotImportable: only upstream has it.
    """
    _, inside, module = fullname.partition("deriva_ml.")
    if not inside or not fullname.startswith(inside):
        return None
    if spec := PathFinder.find_spec(fullname, path):
        if module in {"core", "asset", "dataset"}:  # upstream's packages of that name have modules
            spec.submodule_search_locations = []
        return spec
    if hint := _instead().get(module):
        raise NotImportable(f"{fullname} is not here: {hint}")
    loader: Any = SimpleNamespace(
        create_module=lambda spec: _Module(spec.name), exec_module=lambda module: None
    )
    return ModuleSpec(fullname, loader, is_package=True) if module in _table()["modules"].split() else None


class _Module(ModuleType):
    """One that has upstream's names; and can be called where it hides a function of its own name, as upstream's does not."""

    def __getattr__(self, name: str) -> Any:
        return look_up(self.__name__, name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return look_up(self.__name__, self.__name__.rpartition(".")[2])(*arguments, **keywords)


@cache
def __getattr__(name: str) -> Any:
    """Return one of upstream's vocabularies."""
    if name.startswith("_") or name not in _table()["terms"]:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return StrEnum(name, {value.lower(): value for value in _table()["terms"][name]}, module=__name__)


DerivaSystemColumns = ["RID", "RCT", "RMT", "RCB", "RMB"]
DerivaAssetColumns = {"Filename", "URL", "Length", "MD5", "Description", *DerivaSystemColumns}


def reset_multirun_state() -> None:
    """Do nothing: no sweep leaves anything behind here."""


def accepting(names: str) -> Any:
    """Return what gives a dataclass, yet to be made, fields that upstream's configurations set and nothing reads."""

    def accept(kind: type) -> type:
        for name in names.split():
            kind.__annotations__[name] = Any
            setattr(kind, name, None)
        return kind

    return accept


sys.meta_path.insert(0, sys.modules[__name__])  # before Python's own, for which no file has modules
