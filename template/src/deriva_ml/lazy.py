"""Lets a package or module export names that are loaded when first used: a command imports only what it needs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Container
from importlib import import_module
from pathlib import Path
from typing import Any

from deriva_ml.upstream import look_up


def exporter(package: str, source: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of ``package``, whose names are those that it imports for type checkers only.

    So each name is said with its module once, also for ``__all__``: where ``if TYPE_CHECKING`` has it, which nothing
    else than type checkers executes (as in https://scientific-python.org/specs/spec-0001/, without a file of stubs).
    They take ``import Name as Name`` for what a package exports.

    Args:
        package: its ``__name__``.
        source: its ``__file__``.
    """
    text = Path(source).read_text(encoding="utf-8")
    modules = {name: module for module, name in re.findall(r"(?m)^    from (\S+) import .* as (\w+)$", text)}
    sys.modules[package].__dict__["__all__"] = sorted(modules)
    return _loading(package, modules, lambda name: getattr(import_module(modules[name]), name))


def builds_of(module: str, **classes: type) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of ``module`` that makes hydra-zen's configurations of classes, each by its name there;
    the other names are upstream's.

    Hydra-zen is loaded for those who write configurations, not for every command.
    """

    def made(name: str) -> Any:
        from hydra_zen import builds

        return builds(classes[name], populate_full_signature=True)

    return _loading(module, classes, made)


def _loading(module: str, names: Container[str], make: Callable[[str], Any]) -> Callable[[str], Any]:
    def load(name: str) -> Any:
        value = make(name) if name in names else look_up(module, name)
        setattr(sys.modules[module], name, value)  # the next use finds it at once, and the same one
        return value

    return load
