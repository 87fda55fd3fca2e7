"""The code of a record as it was: its commit in a temporary working tree, with what was not committed then."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import git, listed, repository_root
from deriva_ml.project import Project
from deriva_ml.redaction import HIDDEN
from deriva_ml.replay.verdict import CouldNotRun
from deriva_ml.replay.workspace import remove_tree, workspace
from deriva_ml.untrusted import is_inside
from deriva_ml.working_tree import WorkingTree

SHOWN = 5
"""Files that a message names."""

_SETTINGS = {
    "core.hooksPath": os.devnull,  # what a person has git do at a checkout is for their own working trees
    "core.fsmonitor": "false",  # nor is a process left behind for this one
    "core.sparseCheckout": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    # Without a command a filter does nothing. A commit has notebooks without outputs, and of a large file what names
    # its content; whether the programs are still where they were does not matter then.
    **{f"filter.{name}.process": "" for name in ("nbstripout", "lfs")},
    **{f"filter.{name}.required": "false" for name in ("nbstripout", "lfs")},
}
_OPTIONS = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]

_LEFT_OUT = re.compile(r"^# untracked, recorded by name only: (.*)$", re.MULTILINE)
_NEW = re.compile(
    rb"^(?:new file mode (?P<made>\d+)\n)?index [0-9a-f]+\.\.(?P<blob>[0-9a-f]+)(?: (?P<mode>\d+))?$",
    re.MULTILINE,
)


_POINTER = re.compile(rb"version https://git-lfs\.[^\n]*\n(?:[^\n]*\n)*?oid sha256:([0-9a-f]{64})\n")


@contextmanager
def checked_out(project: Project, commit: str, patch: bytes = b"", keep: bool = False) -> Iterator[Path]:
    """Check a commit of the project's repository out into a working tree that is there as long as the context.

    No hook is run, and no filter of nbstripout's or Git LFS's: notebooks are as they were committed. Large files of LFS,
    and submodules, are there if this clone has them; nothing is asked of a network.

    Args:
        project: whose state folder and repository these are.
        commit: full id.
        patch: `uncommitted.diff` as it is recorded, byte for byte.
        keep: leave it as it is in the end.

    Yields:
        The working tree's top, to which the paths of records are relative; the project may be a folder of it.

    Raises:
        CouldNotRun: the commit is not here, or the patch does not make of it what ran.
    """
    root = _repository(project, commit)
    with workspace(project, keep) as top:
        try:
            git(root, *_OPTIONS, "worktree", "add", "--detach", "--quiet", str(top), commit)
        except DerivaMLRequestError as error:
            raise CouldNotRun(f"commit {commit[:7]} cannot be checked out: {error}") from error
        tree = WorkingTree.around(root)
        if tree:
            _check_out_submodules(top, tree.common, root)
        if re.search(rb"^diff --git ", patch, re.MULTILINE):
            _apply(top, commit, patch)
        if tree:
            _bring_large(top, tree.common / "lfs" / "objects")
        yield top


def left_out(patch: bytes) -> list[str]:
    """Return the untracked files that a recorded patch names without having them."""
    return _LEFT_OUT.findall(patch.decode(errors="replace"))


def pointers(top: Path) -> Iterator[tuple[str, str]]:
    """Yield the files in a working tree that Git LFS keeps, and that are only pointers here, with their SHA-256.

    As https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md says it.
    """
    for name in git(top, "ls-files", "-z", "--", ":(attr:filter=lfs)").split("\0"):
        path = top / name
        if name and path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                found = _POINTER.match(stream.read(1024))
            if found:
                yield name, found[1].decode()


def _bring_large(top: Path, store: Path) -> None:
    """Put the contents of LFS that a clone has in the place of their pointers."""
    for name, oid in pointers(top):
        content = store / oid[:2] / oid[2:4] / oid
        if content.is_file():
            shutil.copyfile(content, top / name)


def untracked(top: Path) -> set[str]:
    """Return the files in a working tree that git does not know, ignored ones too."""
    return {*filter(None, git(top, "ls-files", "--others", "-z").split("\0"))}


def remove_new(top: Path, before: set[str]) -> None:
    """Remove the untracked files that were not there before, so that another run finds what the first one found."""
    for name in untracked(top) - before:
        path = top / name
        if name.endswith("/"):  # a repository
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                os.removedirs(path.parent)


def _repository(project: Project, commit: str) -> Path:
    """Return the top of the project's working tree, whose repository has the commit.

    Raises:
        CouldNotRun: it has not.
    """
    root = repository_root(project.root)
    if root is None:
        raise CouldNotRun(f"{project.root} is in no git repository, and so the code that ran is not here")
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", commit):
        raise CouldNotRun("the record names no commit: which code ran is not known")
    if git(root, "cat-file", "-t", commit, check=False) == "commit":
        return root
    if git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise CouldNotRun(
            f"commit {commit[:7]} is not in this clone, which is shallow: git fetch --unshallow brings its history"
        )
    raise CouldNotRun(
        f"commit {commit[:7]} is not in this repository: git fetch REMOTE 'refs/deriva-ml/*:refs/deriva-ml/*' brings it"
        " from where deriva-ml-upload --commits pushed it"
    )


def _check_out_submodules(top: Path, repository: Path, here: Path) -> None:
    """Check out the submodules below a working tree from the clones that a person has of them.

    One that is not there stays an empty folder, as it is there. By `git clone` and not by `git submodule`, which would
    write into the settings of the repository that both share.

    Args:
        repository: what git keeps of the person's clone, and in it of its submodules.
        here: the person's working tree.

    Raises:
        CouldNotRun: a clone lacks the commit.
    """
    if not (top / ".gitmodules").is_file():
        return
    asked = ("config", "--null", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    for entry in filter(None, git(top, *asked, check=False).split("\0")):
        key, _, path = entry.partition("\n")
        name, place = key.removeprefix("submodule.").removesuffix(".path"), top / path
        link = re.match(r"160000 commit ([0-9a-f]+)\t", git(top, "ls-tree", "HEAD", "--", f"./{path}"))
        if link is None or not is_inside(place, top) or ".." in Path(name).parts:
            continue
        clones = [repository / "modules" / name]
        if (here / path / ".git").exists() and (tree := WorkingTree.around(here / path)):
            clones.append(tree.common)
        clone = next((one for one in clones if (one / "HEAD").is_file()), None)
        if clone is None:
            continue
        try:
            git(top, *_OPTIONS, "clone", "--quiet", "--shared", "--no-checkout", "--", str(clone), str(place))
            git(place, *_OPTIONS, "checkout", "--quiet", "--detach", link[1])
        except DerivaMLRequestError as error:
            raise CouldNotRun(
                f"commit {link[1][:7]} of the submodule {path} cannot be checked out: {error}"
            ) from error
        _check_out_submodules(place, clone, here / path)


def _apply(top: Path, commit: str, patch: bytes) -> None:
    """Apply a recorded patch, and see that each file then is what ran: git wrote their ids into it.

    Raises:
        CouldNotRun: it does not fit, or a file is another one, since the record masks credentials.
    """
    tree = WorkingTree.around(top)
    file = (tree.own if tree else top) / "uncommitted.diff"
    file.write_bytes(patch)
    try:
        git(top, *_OPTIONS, "apply", "--whitespace=nowarn", "--no-ignore-whitespace", str(file))
        listing = git(top, "apply", "--numstat", "-z", str(file)).split("\0")
    except DerivaMLRequestError as error:
        masked = ", in which credentials are masked," if HIDDEN.encode() in patch else ""
        raise CouldNotRun(
            f"uncommitted.diff of the record{masked} does not fit commit {commit[:7]}: {error}"
        ) from error
    names = [line.split("\t", 2)[2] for line in listing if line]
    parts = re.split(rb"^diff --git .*$", patch, flags=re.MULTILINE)[1:]
    blobs = {
        name: found["blob"].decode()
        for name, part in zip(names, parts, strict=True)
        if (found := _NEW.search(part)) and set(found["blob"]) != {ord("0")}
        if b"120000" not in (found["made"], found["mode"])  # a link, which hash-object would follow
    }
    checked, others = [*blobs], []
    for first in range(0, len(checked), 500):  # a command line has an end
        some = checked[first : first + 500]
        ids = git(top, *_OPTIONS, "hash-object", "--", *some).split()
        # Of a text git wrote the beginning of its id.
        others += [name for name, blob in zip(some, ids, strict=True) if not blob.startswith(blobs[name])]
    if others:
        raise CouldNotRun(
            f"the record does not have {listed(others, SHOWN)} as it ran: credentials, and what is not UTF-8, are masked"
            " in uncommitted.diff"
        )
