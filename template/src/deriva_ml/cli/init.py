"""`deriva-ml-init`: set up a project or a fresh clone of one, step by step in view; safe to repeat."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import deriva_ml.integrity as integrity
from deriva_ml.cli.arguments import CommandParser
from deriva_ml.cli.bump_version import FIRST_VERSION
from deriva_ml.cli.command import FAILED, command
from deriva_ml.cli.install_kernel import install_kernel, kernel_name, project_name
from deriva_ml.cli.summary import relative
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.git import IDENTITY_HELP, git, has_identity, listed, repository_root
from deriva_ml.project import Project, write_atomically
from deriva_ml.state_folder import OUTPUTS, STATE
from deriva_ml.terminal import complaint, print, print_lines
from deriva_ml.working_tree import WorkingTree

DONE = "done"
PRESENT = "already there"

_DETAILS = "codemirror_mode file_extension mimetype nbconvert_exporter pygments_lexer version"
LANGUAGE_DETAILS = [f"metadata.language_info.{name}" for name in _DETAILS.split()]
"""What JupyterLab and nbclient write into every notebook that they save: the kernel's Python, not the person's work."""

ANSWERS = ".copier-answers.yml"

_ADVICE = """\
An update merges what is new into what you edited, or marks a conflict there; it leaves added files alone, and brings
no missing file back. Better keep changes outside: derive a class, or write a module in src/models. Commit what you
keep here."""

_PROBE = "notebooks/probe.ipynb"
_NOTEBOOK = """{"cells": [{"cell_type": "code", "execution_count": 1, "id": "0", "metadata": {},
"source": "1", "outputs": [{"name": "stdout", "output_type": "stream", "text": "x"}]}],
"metadata": {}, "nbformat": 4, "nbformat_minor": 5}"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "deriva-ml-init",
        usage="[options]",
        description="Set up this project, or this clone of it: git, the notebook filter, the kernel, the lock"
        " file, the embedded catalog and the first commit. What is there already stays as it is.",
        examples=["deriva-ml-init", "deriva-ml-init --check"],
    )
    parser.add_argument("--no-commit", action="store_true", help="leave the first commit to you")
    parser.add_argument(
        "--check",
        action="store_true",
        help="set up nothing: name the files of the runner in src/deriva_ml that are not as the template brought"
        " them, and exit with status 1 if there are any",
    )
    return parser


@command
def main(argv: Sequence[str]) -> int:
    """Do what is missing, one line a step."""
    options = parser().parse_args(argv)
    project = Project.find()
    if options.check:
        return check(project)
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


def check(project: Project) -> int:
    """Say which files of the runner are not as the template brought them, and what to do; the exit status.

    Raises:
        DerivaMLRequestError: the digests to compare with are not there.
    """
    found = integrity.compare(project)
    if not found:
        print("runner: as the template brought it")
        return 0
    originals: dict[str, list[str]] = {}
    for one in found:
        path = str(relative(project.root / one.path))
        print(f"{one.kind:7}  {path}")
        if one.kind != integrity.ADDED:
            originals.setdefault(one.commit, []).append(path)
    print_lines(f"\n{_ADVICE}")
    lost = originals.pop("", [])
    for commit, paths in originals.items():
        print(f"  see what differs    git diff {commit} -- {shlex.join(paths)}")
        print(f"  get originals back  git checkout {commit} -- {shlex.join(paths)}")
    if lost:
        print(f"No commit of this project has the original of {listed(lost, 3)}. To render it elsewhere:")
        print(f"  uvx copier copy {_rendering(project)} ../original")
    return FAILED


def _rendering(project: Project) -> str:
    """Return the options and the place with which Copier renders this project's version of the template again."""
    import yaml

    try:
        answers = yaml.safe_load((project.root / ANSWERS).read_text(encoding="utf-8"))
        version, place = str(answers["_commit"]), str(answers["_src_path"])
    except (OSError, LookupError, TypeError, yaml.YAMLError):
        return "TEMPLATE"
    return shlex.join(["--defaults", "--data-file", ANSWERS, "--vcs-ref", version, place])


def git_repository(project: Project) -> str:
    """Make the project a repository of its own, on the branch `main`, unless it is a folder of one."""
    outer = repository_root(project.root)
    if outer is not None and outer.samefile(project.root):
        return PRESENT
    if outer is not None and not git(project.root, "check-ignore", str(project.root), check=False):
        return f"{PRESENT} ({outer}, of which this project is a folder)"
    git(project.root, "init", "--quiet")
    git(project.root, "symbolic-ref", "HEAD", "refs/heads/main")  # `init --initial-branch` needs git 2.28
    return DONE


def notebook_filter(project: Project) -> str:
    """Have git strip the outputs of notebooks in this clone; a filter that no longer runs is replaced.

    It strips the details of the kernel's Python as well, so that opening a notebook is no change to commit.

    Raises:
        DerivaMLRunError: nbstripout could not install its filter, or git cannot run it.
    """
    key = "filter.nbstripout.extrakeys"  # nbstripout reads it whenever it runs
    own = git(project.root, "config", key, check=False).split()
    if missing := [name for name in LANGUAGE_DETAILS if name not in own]:
        git(project.root, "config", key, " ".join([*own, *missing]))
    if _strips(project.root):
        return DONE if missing else PRESENT
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
        write_atomically(path, _NOTEBOOK)
        stored = git(root, "hash-object", f"--path={_PROBE}", str(path), check=False)
        return stored not in ("", git(root, "hash-object", "--no-filters", str(path)))


def jupyter_kernel(project: Project) -> str:
    """Install a kernel of the project's name in its own environment, for the JupyterLab that runs there."""
    name = kernel_name(project_name(project))
    try:
        _, fresh = install_kernel(name, prefix=Path(sys.prefix))
    except DerivaMLRunError as error:
        return f"skipped because {error}"
    return f"{DONE} ({name})" if fresh else PRESENT


def lock_file(project: Project) -> str:
    """Lock the exact versions of the environment, as uv resolves them."""
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
    """Make the project's own catalog; one of an earlier runner is brought up to date."""
    from deriva_ml.catalog.connection import open_local

    there, kept = project.database.exists(), set(project.state.glob("catalog.db.v*"))
    open_local(project).close()
    new = set(project.state.glob("catalog.db.v*")) - kept
    notes = [f"brought up to date; as it was, it is kept as {copy.name}" for copy in new]
    tree = WorkingTree.around(project.root)
    if project.home != project.root.resolve():
        notes.append(f"that of the main working tree, in {project.state}")
    elif tree and tree.is_linked:
        notes.append("of this working tree alone, since no main one is known: git worktree remove deletes it")
    elif project.state != project.home / STATE:
        notes.append(f"in {project.state}")
    return (PRESENT if there and not new else DONE) + (f" ({'; '.join(notes)})" if notes else "")


def demo_content(project: Project) -> str:
    """Record the dataset and the models that the example notebook reads, where the project has the example."""
    if importlib.util.find_spec("deriva_ml.demo") is None:
        return "skipped because this project has no example"
    from deriva_ml.catalog.connection import open_local

    # By name: a project without the example has no such module to import or to type-check.
    demo = importlib.import_module("deriva_ml.demo")
    with closing(open_local(project)) as catalog:
        try:
            return DONE if demo.add_demo(catalog) else PRESENT
        except DerivaMLRequestError as error:
            return f"skipped because {error}"


def first_commit(project: Project) -> str:
    """Commit everything and tag it as the first version, in a repository that has no commit yet.

    Of a larger repository it is the project's folder that is committed, if nothing in it is yet; versions are that
    repository's affair.

    Raises:
        DerivaMLRequestError: neither git nor `pyproject.toml` says who commits.
    """
    root = project.root
    is_folder = bool(git(root, "rev-parse", "--show-prefix"))
    if git(root, "rev-parse", "--verify", "--quiet", "HEAD", check=False):
        if not is_folder or git(root, "ls-tree", "--name-only", "HEAD", "."):
            return PRESENT
    who: list[str] = []
    if not has_identity(root):
        match project.metadata().get("authors"):
            case [{"name": str(name), "email": str(email)}, *_] if name and email:
                who = ["-c", f"user.name={name}", "-c", f"user.email={email}"]
            case _:
                raise DerivaMLRequestError(
                    f"nothing is committed yet: {IDENTITY_HELP}; then run deriva-ml-init again"
                )
    own = ["."]
    for name in (STATE, OUTPUTS):  # a link does not ignore itself
        if (root / name).is_symlink() and not git(root, "check-ignore", name, check=False):
            own.append(f":(exclude){name}")
    git(root, "add", "--all", "--", *own)
    git(root, *who, "commit", "--quiet", "--message", f"Start {project_name(project)}", "--", *own)
    if is_folder:
        return f"{DONE} (this folder only, and no version)"
    git(root, *who, "tag", "--annotate", FIRST_VERSION, "--message", f"Version {FIRST_VERSION[1:]}")
    return f"{DONE} ({FIRST_VERSION})"


def _run(cwd: Path, *args: str) -> None:
    """Run a program; raises DerivaMLRunError with what it said of its failure."""
    done = subprocess.run(args, cwd=cwd, check=False, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        said = complaint(done.stderr) or complaint(done.stdout) or done.returncode
        raise DerivaMLRunError(f"{Path(args[0]).name} failed: {said}")
