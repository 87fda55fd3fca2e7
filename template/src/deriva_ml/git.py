"""Asks git about a repository, through the `git` command, with errors a person can act on."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.state_folder import OUTPUTS, STATE
from deriva_ml.terminal import one_line
from deriva_ml.working_tree import WorkingTree

IDENTITY_HELP = (
    "git does not know who you are: run"
    """ git config --global user.name "Your Name" and git config --global user.email you@example.com"""
)


_NO_REASON = re.compile(
    r"(error|fatal): (failed to push some refs|Could not read from remote repository)|To "
    r"|Please make sure you have the correct access rights|and the repository exists\."
)
"""Lines of git that tell nothing but that it failed, beside the one that tells why."""


def git(cwd: Path, *args: str, check: bool = True) -> str:
    """Run `git *args` in `cwd` and return what it printed as UTF-8, without the final newline.

    Raises:
        DerivaMLRequestError: git is not installed, or `check` is set and the command failed
            (the message is git's own line, a note holds all that it said).
    """
    environment = {**os.environ, "LANGUAGE": "en"}  # its words become part of our English messages
    environment.pop("DERIVA_ML_AUDIT", None)  # a replay asks what the run starts, not what git's filters do
    if "GIT_DIR" in environment and "GIT_WORK_TREE" not in environment and WorkingTree.around(cwd):
        # A hook's, that git then takes for the repository of whichever folder it is started in.
        for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"):
            environment.pop(name, None)
    try:
        done = subprocess.run(
            ["git", *args], cwd=cwd, env=environment, capture_output=True, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        if not Path(cwd).is_dir():
            raise DerivaMLRequestError(f"no such folder: {cwd}") from error
        raise DerivaMLRequestError("git is not installed: get it from https://git-scm.com") from error
    if check and done.returncode:
        stderr = done.stderr.decode(errors="replace")
        failure = DerivaMLRequestError(_reason(stderr, args))
        failure.add_note(stderr)
        raise failure
    return done.stdout.decode(errors="replace").removesuffix("\n")


def has_identity(cwd: Path) -> bool:
    """Whether git was told who commits here; what it would guess from the machine's name does not count."""
    return bool(git(cwd, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT", check=False))


def _reason(stderr: str, args: tuple[str, ...]) -> str:
    """Return where git says why it failed: a refused ref, else its first complaint, else its last line.

    What a remote or a hook says of it is the reason more than what git makes of that.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("hint:")]
    told = [one_line(line) for line in lines if not _NO_REASON.match(line)]
    # In a push of all or nothing, the refs that only went down with another one say "atomic".
    refused = [line for line in told if line.startswith("! [") and "atomic push" not in line]
    complaints = [line for line in told if line.startswith(("fatal:", "error:", "ssh:"))]
    remote = [line for line in told if line.startswith("remote:") and re.search(r":.*\w", line)]
    if refused or complaints:
        return "; ".join([*(refused or complaints)[:1], *remote])
    failed = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return next(iter([*told[-1:], *failed, *lines[-1:]]), f"git {args[0]} failed")


def repository_root(cwd: Path) -> Path | None:
    """Return the top folder of the working tree that holds `cwd`, or None outside any repository.

    Raises:
        DerivaMLRequestError: there is a repository, but git will not read it (for instance
            because another user owns it), or git is not installed.
    """
    try:
        return Path(git(cwd, "rev-parse", "--show-toplevel"))
    except DerivaMLRequestError as error:
        folders = [Path(cwd).resolve(), *Path(cwd).resolve().parents]
        if isinstance(error.__cause__, OSError) or any((folder / ".git").exists() for folder in folders):
            raise
        return None


def changed_files(root: Path) -> list[str]:
    """Return paths, relative to the repository's top, that differ from the last commit; untracked files too."""
    return [*differing_files(root), *untracked_files(root)]


def differing_files(root: Path) -> list[str]:
    """Return paths, relative to the repository's top, that git knows and that differ from the last commit.

    A renamed file counts under both of its names. Notebooks do not count of which only outputs differ that a
    filter takes off (`git status` goes by a file's size, and reports those).
    """
    return _names(root, "diff", "--name-only", "--no-renames", "HEAD")


def deleted_files(root: Path) -> list[str]:
    """Return paths, relative to the repository's top, that git knows and that are gone from the folder."""
    return _names(root, "ls-files", "--deleted")


def untracked_files(root: Path) -> list[str]:
    """Return paths, relative to the repository's top, that git neither knows nor ignores, nor the runner made."""
    untracked = _names(root, "ls-files", "--others", "--exclude-standard")
    return [name for name in untracked if not _is_made_by_runner(root, name)]


def _names(root: Path, command: str, *options: str) -> list[str]:
    return [name for name in git(root, command, "-z", *options).split("\0") if name]


def _is_made_by_runner(root: Path, name: str) -> bool:
    """Whether a path is a project's state or outputs: of older runners, or a link, which git ignores as a file only."""
    for own in (STATE, OUTPUTS):
        before, found, after = f"/{name}".partition(f"/{own}")
        if found and after[:1] in {"", "/"} and (root / before[1:] / "pyproject.toml").is_file():
            return True
    return False


def push_remote(root: Path, branch: str) -> str | None:
    """Return where this branch is pushed to: git's own settings, else `origin`, else the first remote."""
    remotes = git(root, "remote").splitlines()
    configured = git(root, "for-each-ref", "--format=%(push:remotename)", f"refs/heads/{branch}")
    return next((name for name in (configured, "origin", *remotes) if name in remotes), None)


def listed(names: Sequence[str], most: int) -> str:
    """Return the first `most` names for a message, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def version_of(describe: str, commit: str, *, dirty: bool) -> str:
    """Return the PEP 440 version for what `git describe --tags --long` printed ("" when no tag is reachable).

    A commit after the tag is a post-release of it, and names its commit in the local part.
    """
    match = re.fullmatch(rf"v({_PUBLIC_VERSION})-(\d+)-g[0-9a-f]+", describe)
    public, distance = (match[1], int(match[2])) if match else ("0.0.0", None)
    local = [] if distance == 0 else [f"g{commit[:7]}"]
    if distance:
        # PEP 440 has one post-release segment, and none after `.dev`: such a tag keeps its own name.
        public += "" if re.search("post|dev", public) else f".post{distance}"
    if dirty:
        local.append("dirty")
    return f"{public}+{'.'.join(local)}" if local else public


_PUBLIC_VERSION = (
    r"\d+(?:\.\d+)*(?:[-_.]?(?:a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?(?:\.post\d+)?(?:\.dev\d+)?"
)
