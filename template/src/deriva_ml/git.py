"""Asks git about a repository, through the `git` command, with errors a person can act on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError

IDENTITY_HELP = (
    "git does not know who you are: run"
    """ git config --global user.name "Your Name" and git config --global user.email you@example.com"""
)


def git(cwd: Path, *args: str, check: bool = True) -> str:
    """Run `git *args` in `cwd` and return what it printed, without the final newline.

    Output is read as UTF-8; bytes that are not are replaced, so that it can always be shown.

    Raises:
        DerivaMLRequestError: git is not installed, or `check` is set and the command failed
            (the message is git's own line, a note holds all that it said).
    """
    environment = {**os.environ, "LANGUAGE": "en"}  # its words become part of our English messages
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=cwd,
            env=environment,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
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
    """Where git says why it failed: a refused ref, else its first complaint, else its last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("hint:")]
    # In a push of all or nothing, the refs that only went down with another one say "atomic".
    refused = [line for line in lines if line.startswith("! [") and "atomic push" not in line]
    complaints = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:"))]
    return next(iter([*refused, *complaints, *lines[-1:]]), f"git {args[0]} failed")


def repository_root(cwd: Path) -> Path | None:
    """The top folder of the working tree that holds `cwd`, or None outside any repository.

    Raises:
        DerivaMLRequestError: there is a repository, but git will not read it (for instance
            because another user owns it), or git is not installed.
    """
    try:
        return Path(git(cwd, "rev-parse", "--show-toplevel"))
    except DerivaMLRequestError as error:
        folder = Path(cwd).resolve()
        if isinstance(error.__cause__, OSError) or any(
            (f / ".git").exists() for f in (folder, *folder.parents)
        ):
            raise
        return None


def changed_files(root: Path) -> list[str]:
    """Paths, relative to the repository's top, that differ from the last commit; untracked files too.

    A renamed file counts under both of its names. Ignored files do not count.
    """
    return parse_status(git(root, "status", "--porcelain=v1", "-z", "--untracked-files=all"))


def parse_status(status: str) -> list[str]:
    """The paths in the output of `git status --porcelain=v1 -z` (format: git-status(1))."""
    paths: list[str] = []
    entries = iter(status.split("\0"))
    for entry in entries:
        if not entry:
            continue
        paths.append(entry[3:])
        # A rename or a copy is followed by the name it came from; a copy leaves that one as it was.
        if "R" in entry[:2]:
            paths.append(next(entries))
        elif "C" in entry[:2]:
            next(entries)
    return paths
