"""Composes a notebook's configuration in a process of its own: a wrong override is refused before a kernel starts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.calls import Call

if TYPE_CHECKING:
    from deriva_ml.config.compose import Composition


def start(call: Call, overrides: Sequence[str], notebook: Path) -> subprocess.Popen[str] | None:
    """Begin to compose, as the kernel will: in the notebook's folder, with the same Python; None if that fails."""
    request = {**asdict(call), "overrides": [*overrides, *call.overrides], "notebook": str(notebook)}
    command = [sys.executable, "-m", __name__, json.dumps(request)]
    try:
        return subprocess.Popen(
            command,
            cwd=notebook.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
    except OSError:
        return None


def finish(process: subprocess.Popen[str]) -> None:
    """Wait for the answer. Where there is none, the kernel will give it.

    Raises:
        DerivaMLRequestError: the configuration cannot be composed; in the same words as in the kernel.
    """
    answer = process.communicate()[0].rpartition("\n")[2]  # modules of configurations may print
    try:
        refused = json.loads(answer)["refused"]
    except (ValueError, TypeError, LookupError):
        return
    if refused:
        raise DerivaMLRequestError(refused)


def composition_of(call: Call, notebook: Path, overrides: Sequence[str]) -> Composition | None:
    """Compose a notebook's configuration; None where only the kernel can, because of what cells may set.

    Args:
        call: of ``run_notebook``.
        notebook: its file.
        overrides: Hydra's, with those of the call.

    Raises:
        DerivaMLRequestError: the kernel will refuse it, too.
    """
    from omegaconf.errors import InterpolationResolutionError

    from deriva_ml.config.compose import compose
    from deriva_ml.config.modules import configuration_of

    try:
        return compose(configuration_of(call.name, notebook, call.package), overrides)
    except DerivaMLRequestError as refused:
        cause: BaseException | None = refused
        while cause:
            if isinstance(cause, InterpolationResolutionError):
                return None
            cause = cause.__cause__ or cause.__context__
    for module, names in call.imports:
        __import__(module, fromlist=names)  # which may store what was not found
    return compose(configuration_of(call.name, notebook, call.package), overrides)


def _why_refused(request: dict[str, Any]) -> str | None:
    """Why the kernel will refuse; None if it may not."""
    from deriva_ml.config.modules import configuration_of, find_configs
    from deriva_ml.project import Project

    notebook = Path(request["notebook"])
    call = Call(request["name"], package=request["package"], imports=request["imports"])
    find_configs(Project.find(notebook.parent), call.package)
    configuration_of(call.name, notebook, call.package)
    try:
        composition_of(call, notebook, request["overrides"])
    except DerivaMLRequestError as error:
        return str(error)
    return None


if __name__ == "__main__":
    # Raises, and so does not answer, where the kernel is to tell.
    answer = _why_refused(json.loads(sys.argv[1]))
    print(f"\n{json.dumps({'refused': answer})}", end="", flush=True)
