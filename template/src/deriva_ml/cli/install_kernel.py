"""`deriva-ml-install-kernel`: a named Jupyter kernel that runs notebooks with this project's environment."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from deriva_ml.cli.common import command
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.project import Project


@command
def main(argv: Sequence[str]) -> int:
    """Install the kernel for the user, or into the environment itself, and print where it went."""
    parser = argparse.ArgumentParser(
        prog="deriva-ml-install-kernel",
        description="Install a named Jupyter kernel that runs notebooks with this project's environment.",
    )
    parser.add_argument("--name", help="the kernel's name (default: the project's name)")
    parser.add_argument("--display-name", help="what Jupyter shows (default: the kernel's name)")
    parser.add_argument(
        "--sys-prefix",
        action="store_true",
        help="into this environment, for the JupyterLab in it (default: for you, in every JupyterLab)",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    name = kernel_name(project_name(Project.find())) if options.name is None else options.name
    prefix = Path(sys.prefix) if options.sys_prefix else None
    folder, fresh = install_kernel(name, options.display_name, prefix)
    print(f"kernel {name}: {'installed in' if fresh else 'already in'} {folder}")
    return 0


def install_kernel(
    name: str, display_name: str | None = None, prefix: Path | None = None
) -> tuple[Path, bool]:
    """Install an IPython kernel that starts this interpreter, through `ipykernel.kernelspec.install`.

    Args:
        name: what notebooks call it; letters, digits, `.`, `_` and `-` (jupyter_client's rule; a dot or
            a dash may not be at an end here, so that no name is a way out of Jupyter's folder).
        display_name: what people read; the name when not given.
        prefix: an environment's root to install into; the user's own Jupyter folder when not given.

    Returns:
        The kernel's folder, and whether anything was written (not when it is there and the same).

    Raises:
        DerivaMLRequestError: the name is not one, or is in use for another environment that still exists.
        DerivaMLRunError: the folder cannot be written.
    """
    if kernel_name(name) != name.lower():
        raise DerivaMLRequestError(
            f"{name!r} cannot name a kernel: use letters, digits, and '.', '_', '-' inside"
        )
    folder = _kernels(prefix) / name.lower()
    interpreter, shown = _installed(folder / "kernel.json")
    ours = interpreter is not None and os.path.abspath(interpreter) == os.path.abspath(sys.executable)
    if ours and shown == (display_name or shown):
        return folder, False
    # Inside an environment another interpreter is a leftover; the user's folder is shared by projects.
    if prefix is None and interpreter is not None and not ours and Path(interpreter).exists():
        raise DerivaMLRequestError(
            f"a kernel {name} exists and runs {interpreter}: choose another with --name,"
            f" or remove it with jupyter kernelspec remove {name}"
        )
    from ipykernel.kernelspec import install

    try:
        where = install(
            user=prefix is None,
            prefix=str(prefix) if prefix else None,
            kernel_name=name.lower(),
            display_name=display_name or name,
        )
    except OSError as error:
        raise DerivaMLRunError(f"the kernel cannot be written to {folder}: {error.strerror}") from error
    return Path(where), True


def kernel_name(text: str) -> str:
    """`text` as a kernel's name: lower case, with a dash for whatever Jupyter does not allow in one."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.") or "deriva-ml"


def project_name(project: Project) -> str:
    """The name that the project's `pyproject.toml` declares, else its folder's."""
    declared = pyproject(project).get("name")
    return declared if isinstance(declared, str) else project.root.name


def pyproject(project: Project) -> dict[str, object]:
    """The `[project]` table of `pyproject.toml`; empty when there is none.

    Raises:
        DerivaMLRequestError: the file is not TOML.
    """
    path = project.root / "pyproject.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DerivaMLRequestError(f"{path} cannot be read: {error}") from error
    return table if isinstance(table, dict) else {}


def _kernels(prefix: Path | None) -> Path:
    """Where Jupyter keeps kernels: in an environment, or for the user (the Jupyter data folder)."""
    if prefix:
        return prefix / "share" / "jupyter" / "kernels"
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "kernels"


def _installed(spec: Path) -> tuple[str | None, str | None]:
    """The interpreter and the display name in a kernel's `kernel.json`; None for what is not there."""
    try:
        kernel = json.loads(spec.read_text(encoding="utf-8"))
        return kernel["argv"][0], kernel["display_name"]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None, None
