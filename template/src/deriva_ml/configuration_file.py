"""What an execution's `configuration.json` says, read as a file that somebody else may have written."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deriva_ml.untrusted import read_json

CONFIGURATION = "configuration.json"
MODEL_COMMAND, NOTEBOOK_COMMAND = "deriva-ml-run", "deriva-ml-run-notebook"
"""The commands that run models and notebooks, as records name them."""

MODEL_CONFIG = "model_config."
"""What the names of a model's settings begin with, as its command line has them."""


def is_configuration(filename: str, types: Iterable[str]) -> bool:
    """Whether a file of an execution's record is its configuration; ``Execution_Config`` is the type of older runners."""
    return filename == CONFIGURATION and not {"Deriva_Config", "Execution_Config"}.isdisjoint(types)


def read_configuration(path: Path) -> dict[str, Any]:
    """Return what a configuration file says, each part of the type that it has to have; others are left out.

    Raises:
        OSError, ValueError: it cannot be read, or is no configuration.
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    for name in ("provenance", "parameters", "parameters_given", "config_choices"):
        if not isinstance(found.get(name), dict):
            found.pop(name, None)
    told = found.get("provenance", {})
    for part, name in (
        (told, "differences"),
        (found, "parameters_not_set"),
        (found, "overrides"),
        (found, "argv"),
    ):
        part[name] = [str(one) for one in part[name]] if isinstance(part.get(name), list) else []
    return found


def is_of_model(configuration: Mapping[str, Any]) -> bool:
    """Whether a model ran, and its parameters are the settings of ``model_config``."""
    started = configuration.get("started_by") or next(iter(configuration.get("argv", ())), "")
    return started == MODEL_COMMAND


def repeat_command(configuration: Mapping[str, Any], is_sweep: bool) -> str:
    """Return the command that repeats a run, at the commit that the record names; empty for one without a command."""
    words = configuration.get("argv", [])
    if (
        not is_sweep and is_of_model(configuration) and configuration.get("overrides")
    ):  # of a sweep's job, only its own
        flags = [word for word in words if word == "--allow-dirty"]
        words = [MODEL_COMMAND, *flags, *configuration["overrides"]]
    return shlex.join(["uv", "run", *words]) if words and words[0].startswith("deriva-ml-run") else ""


def parameters_of(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a notebook's parameters, or a model's settings as ``model_config.NAME``; mappings by dotted names."""
    prefix = MODEL_CONFIG if is_of_model(configuration) else ""
    return dict(_flat(configuration.get("parameters", {}), prefix))


def choices_of(configuration: Mapping[str, Any]) -> dict[str, str]:
    """Return the entry that was chosen in each group."""
    chosen = configuration.get("config_choices", {}).items()
    return {
        name: entry
        if isinstance(entry, str)
        else ", ".join(map(str, entry))
        if isinstance(entry, list)
        else str(entry)
        for name, entry in chosen
        if entry
    }


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
