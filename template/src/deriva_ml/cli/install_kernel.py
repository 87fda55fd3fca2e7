"""`deriva-ml-install-kernel`: a named Jupyter kernel that runs notebooks with this project's environment."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from deriva_ml.cli.arguments import CommandParser
from deriva_ml.cli.command import command
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.project import Project
from deriva_ml.terminal import print


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "deriva-ml-install-kernel",
        usage="[options]",
        description="Install a Jupyter kernel that runs notebooks with the project's environment. It is for a"
        " JupyterLab outside of the project.",
        examples=['deriva-ml-install-kernel --name digits --display-name "Handwritten digits"'],
    )
    parser.add_argument("--name", metavar="NAME", help="the kernel's name (default: the project's)")
    parser.add_argument(
        "--display-name", metavar="NAME", help="what Jupyter shows (default: the kernel's name)"
    )
    parser.add_argument(
        "--sys-prefix",
        "--install-local",
        action="store_true",
        help="install into the project's environment, for a JupyterLab that is installed there (default: into your"
        " own Jupyter folder, for every JupyterLab)",
    )
    return parser


@command
def main(argv: Sequence[str]) -> None:
    """Install the kernel for the user, or into the environment itself, and print where it went."""
    options = parser().parse_args(argv)
    name = kernel_name(project_name(Project.find())) if options.name is None else options.name
    folder, fresh = install_kernel(
        name, options.display_name, Path(sys.prefix) if options.sys_prefix else None
    )
    print(f"kernel {name}: {'installed in' if fresh else 'already in'} {folder}")


def install_kernel(
    name: str, display_name: str | None = None, prefix: Path | None = None
) -> tuple[Path, bool]:
    """Install an IPython kernel that starts this interpreter, for the user or in the environment at `prefix`.

    Returns:
        The kernel's folder, and whether anything was written (not when it is there and the same).

    Raises:
        DerivaMLRequestError: the name is not one, or is in use for another environment that still exists.
        DerivaMLRunError: the folder cannot be written.
    """
    from jupyter_core.paths import jupyter_data_dir

    # jupyter_client's rule, but for a dot or a dash at an end: so no name is a way out of Jupyter's folder.
    if kernel_name(name) != name.lower():
        raise DerivaMLRequestError(
            f"{name!r} cannot name a kernel: use letters, digits, and '.', '_', '-' inside"
        )
    data = prefix / "share" / "jupyter" if prefix else Path(jupyter_data_dir())
    folder = data / "kernels" / name.lower()
    try:
        kernel = json.loads((folder / "kernel.json").read_text(encoding="utf-8"))
        interpreter, shown = str(kernel["argv"][0]), kernel["display_name"]
    except (OSError, ValueError, LookupError, TypeError):  # none, or a broken one
        interpreter = shown = ""
    if interpreter == sys.executable and shown == (display_name or shown):
        return folder, False
    # Inside an environment another interpreter is a leftover; the user's folder is shared by projects.
    if prefix is None and interpreter != sys.executable and Path(interpreter).is_file():
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
    """Return `text` as a kernel's name: lower case, with a dash for whatever Jupyter does not allow in one."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.") or "deriva-ml"


def project_name(project: Project) -> str:
    """Return the name that the project's `pyproject.toml` declares, else its folder's."""
    return str(project.metadata().get("name") or project.root.name)
