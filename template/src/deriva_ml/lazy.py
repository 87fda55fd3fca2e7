"""Lets a package export names that are loaded when first used: a command imports only what it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def exporter(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of ``package``.

    Args:
        package: its ``__name__``.
        homes: the names that it exports, separated by spaces, by the module in ``deriva_ml`` that defines them.
    """
    modules = {name: module for module, names in homes.items() for name in names.split()}

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"deriva_ml.{modules[name]}"), name)
        setattr(sys.modules[package], name, value)  # the next use finds it at once
        return value

    return load


def builds_of(module: str, **classes: type) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of ``module`` that makes hydra-zen's configurations of classes, each by its name there.

    Hydra-zen is loaded for those who write configurations, not for every command.
    """

    def load(name: str) -> Any:
        if name not in classes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        from hydra_zen import builds

        value: Any = builds(classes[name], populate_full_signature=True)
        setattr(sys.modules[module], name, value)  # the same one from now on
        return value

    return load
