"""`deriva-ml-init`: set up a project or a fresh clone of one, step by step in view; safe to repeat."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from deriva_ml.cli.bump_version import FIRST_VERSION
from deriva_ml.cli.common import command
from deriva_ml.cli.install_kernel import install_kernel, kernel_name, project_name, pyproject
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.git import IDENTITY_HELP, git, has_identity, repository_root
from deriva_ml.project import Project

DONE = "done"
PRESENT = "already there"

_PROBE = "notebooks/probe.ipynb"
_NOTEBOOK = """{"cells": [{"cell_type": "code", "execution_count": 1, "id": "0", "metadata": {},
"source": "1", "outputs": [{"name": "stdout", "output_type": "stream", "text": "x"}]}],
"metadata": {}, "nbformat": 4, "nbformat_minor": 5}"""


@command
def main(argv: Sequence[str]) -> int:
    """Do what is missing, one line a step."""
    parser = argparse.ArgumentParser(
        prog="deriva-ml-init",
        description="Set up this project, or this clone of it: git, the notebook filter, the kernel, the lock"
        " file, the embedded catalog and the first commit. What is there already stays as it is.",
    )
    parser.add_argument("--no-commit", action="store_true", help="leave the first commit to you")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(argv)
    project = Project.find()
    steps: dict[str, Callable[[Project], str]] = {
        "git repository": git_repository,
        "notebook filter": notebook_filter,
        "Jupyter kernel": jupyter_kernel,
        "lock file": lock_file,
        "embedded catalog": embedded_catalog,
        "demo content": demo_content,
        "first commit": (lambda _: "skipped because of --no-commit") if options.no_commit else first_commit,
    }
    for label, step in steps.items():
        print(f"{label}: {step(project)}", flush=True)
    return 0


def git_repository(project: Project) -> str:
    """Make the project a repository of its own, on the branch `main`.

    Raises:
        DerivaMLRequestError: the project lies in the tree of another repository, which does not ignore it.
    """
    outer = repository_root(project.root)
    if outer is not None and outer.samefile(project.root):
        return PRESENT
    if outer is not None and not git(project.root, "check-ignore", str(project.root), check=False):
        raise DerivaMLRequestError(
            f"{project.root} lies inside the repository {outer}: move the project out of it,"
            " or run git init here yourself if a repository within a repository is what you want"
        )
    git(project.root, "init", "--quiet")
    git(project.root, "symbolic-ref", "HEAD", "refs/heads/main")  # `init --initial-branch` needs git 2.28
    return DONE


def notebook_filter(project: Project) -> str:
    """Have git strip the outputs of notebooks in this clone; a filter that no longer runs is replaced.

    Raises:
        DerivaMLRunError: nbstripout could not install its filter, or git cannot run it.
    """
    if _strips(project.root):
        return PRESENT
    # Where the attributes name the filter already, nbstripout is given no file to add its own spelling to.
    named = git(project.root, "check-attr", "filter", "--", _PROBE).endswith(": nbstripout")
    attributes = os.devnull if named else ".gitattributes"
    _run(project.root, sys.executable, "-P", "-m", "nbstripout", "--install", "--attributes", attributes)
    if not _strips(project.root):
        raise DerivaMLRunError(
            f"git cannot run the notebook filter of {sys.executable}: see git config filter.nbstripout.clean"
        )
    return DONE


def _strips(root: Path) -> bool:
    """Whether the filter that git runs on `git add` works, and changes a notebook that has outputs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.ipynb"
        path.write_text(_NOTEBOOK, encoding="utf-8")
        stored = git(root, "hash-object", f"--path={_PROBE}", str(path), check=False)
        return stored not in ("", git(root, "hash-object", "--no-filters", str(path)))


def jupyter_kernel(project: Project) -> str:
    """A kernel of the project's name in its own environment, for the JupyterLab that runs there."""
    name = kernel_name(project_name(project))
    try:
        _, fresh = install_kernel(name, prefix=Path(sys.prefix))
    except DerivaMLRunError as error:
        return f"skipped because {error}"
    return f"{DONE} ({name})" if fresh else PRESENT


def lock_file(project: Project) -> str:
    """The exact versions of the environment, as uv resolves them."""
    if (project.root / "uv.lock").exists():
        return PRESENT
    # `uv run` names itself in UV, also where it is not on the PATH.
    uv = shutil.which(os.environ.get("UV", "")) or shutil.which("uv")
    if uv is None:
        return "skipped because uv is not installed"
    try:
        _run(project.root, uv, "lock")
    except DerivaMLRunError as error:
        return f"skipped because {error}"
    return DONE


def embedded_catalog(project: Project) -> str:
    """The project's own catalog."""
    from deriva_ml.catalog.embedded import EmbeddedCatalog

    there = project.database.exists()
    EmbeddedCatalog(project).close()
    return PRESENT if there else DONE


def demo_content(project: Project) -> str:
    """The dataset and the models that the example notebook reads, where the project has the example."""
    if importlib.util.find_spec("deriva_ml.demo") is None:
        return "skipped because this project has no example"
    from deriva_ml.catalog.embedded import EmbeddedCatalog

    # By name: a project without the example has no such module to import or to type-check.
    demo = importlib.import_module("deriva_ml.demo")
    with closing(EmbeddedCatalog(project)) as catalog:
        try:
            return DONE if demo.add_demo(catalog) else PRESENT
        except DerivaMLRequestError as error:
            return f"skipped because {error}"


def first_commit(project: Project) -> str:
    """Commit everything and tag it as the first version, in a repository that has no commit yet.

    Raises:
        DerivaMLRequestError: neither git nor `pyproject.toml` says who commits.
    """
    root = project.root
    if git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False):
        return PRESENT
    who: list[str] = []
    if not has_identity(root):
        match pyproject(project).get("authors"):
            case [{"name": str(name), "email": str(email)}, *_] if name and email:
                who = ["-c", f"user.name={name}", "-c", f"user.email={email}"]
            case _:
                raise DerivaMLRequestError(
                    f"nothing is committed yet: {IDENTITY_HELP}; then run deriva-ml-init again"
                )
    git(root, "add", "--all")
    git(root, *who, "commit", "--quiet", "--message", f"Start {project_name(project)}")
    git(root, *who, "tag", "--annotate", FIRST_VERSION, "--message", f"Version {FIRST_VERSION[1:]}")
    return f"{DONE} ({FIRST_VERSION})"


def _run(cwd: Path, *args: str) -> None:
    """Run a program; raises DerivaMLRunError with the last line it wrote when it fails."""
    done = subprocess.run(args, cwd=cwd, check=False, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise DerivaMLRunError(f"{Path(args[0]).name} failed: {said[-1] if said else done.returncode}")
