"""Says where executed code comes from: its commit, checksum, version and URL, asked of git."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from deriva_ml.definitions import Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import (
    deleted_files,
    differing_files,
    git,
    listed,
    repository_root,
    untracked_files,
    version_of,
)
from deriva_ml.project import project_around
from deriva_ml.web_address import workflow_url

SHOWN_FILES = 5  # how many changed files a message names
UNCOMMITTED = "uncommitted changes, which uncommitted.diff has"
LARGEST_UNTRACKED = 1_000_000  # bytes; a larger untracked file is data, not code
NAMED_UNTRACKED = 100  # how many untracked files a record names
CODE_FOLDERS = {"src", "notebooks"}  # where a project keeps its code
CODE_SUFFIXES = {".py", ".ipynb", ".toml"}  # code, or what decides how it runs, wherever it lies


@dataclass(frozen=True)
class Provenance:
    """Where one executed notebook or script comes from.

    Attributes:
        url: the file's page on the web at `commit`, else `git:<commit>:<path>` (what `git show` takes).
        checksum: git's blob id of the file as it would be committed, that is, of a notebook without outputs
            (deriva-ml's convention for `Workflow.Checksum`: `git hash-object`).
        version: PEP 440 version from the nearest `v*` tag: `0.1.0`, `0.1.0.post3+gabc1234`, `0.0.0+gabc1234`;
            its local part ends in `dirty` if anything differed.
        commit: full commit id.
        path: POSIX path relative to the repository's top.
        dirty: whether code in the working tree differed from `commit`.
        diff: what differed, as a patch for `git apply`; empty when clean.
        warnings: lines for the person who runs it.
        blob: git's blob id of the file in `commit`; empty if it is not in it.
        untracked: files that git neither knows nor ignores, and that are no code; the last entry tells of more.
    """

    url: str
    checksum: str
    version: str
    commit: str
    path: str
    dirty: bool
    diff: str
    warnings: tuple[str, ...]
    blob: str = ""
    untracked: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON types."""
        return {**asdict(self), "warnings": list(self.warnings), "untracked": list(self.untracked)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Provenance:
        """Make the record of JSON types; the inverse of `to_json`."""
        lists = {name: tuple(record.get(name, ())) for name in ("warnings", "untracked")}
        return cls(**{**record, **lists})


def workflow_of(
    provenance: Mapping[str, Any], name: str, workflow_type: str | list[str], description: str
) -> Workflow:
    """Return the workflow that a run is filed under: the commit's, whatever differed from it when it ran.

    What differed is the execution's, which records it. A file that is in no commit has no other checksum than
    that of what ran.
    """
    version = re.sub(r"[+.]dirty$", "", provenance["version"])
    checksum = provenance.get("blob") or provenance["checksum"]
    workflow = Workflow(name, workflow_type, description, provenance["url"], checksum, version)
    workflow.commit = provenance.get("commit", "")
    return workflow


def collect(path: Path, *, allow_dirty: bool, apart_from: Path | None = None) -> Provenance:
    """Ask git for the provenance of the notebook or script `path` (a link stands for what it points to).

    What has to be committed are tracked files, and untracked ones that may be code: see `_is_code`. Other
    untracked files are named, and change nothing.

    Args:
        allow_dirty: record uncommitted changes as a diff, instead of refusing them: of tracked files, of the
            executed one, and of untracked code. Hidden or large untracked files may hold secrets or data, and
            are listed by name only.
        apart_from: an untracked file that the run itself is writing, which is no change: Papermill's output.

    Raises:
        DerivaMLRequestError: there is no such file, no repository, no commit, or (without `allow_dirty`)
            something is not committed.
    """
    root, name, commit, blob = _find_commit(path)
    home = _home(root, name)
    written = apart_from.resolve() if apart_from else None
    untracked = [other for other in untracked_files(root) if root / other != written]
    code = [other for other in untracked if other == name or _is_code(other, home)]
    changed = [*differing_files(root), *code]
    if not blob and name not in changed:  # an ignored file
        changed.append(name)
    diff, checksum = "", blob
    if changed:
        changed.sort(key=lambda other: other != name)
        if not allow_dirty:
            _refuse(root, changed)
        with tempfile.TemporaryDirectory() as scratch:
            stripping = _stripping(root, Path(scratch))
            diff = _diff(root, stripping, name, home, untracked)
            if name in changed:
                checksum = git(root, *stripping, "hash-object", "--", name)
    # Fetch URLs by remote, with the person's `insteadOf` rewriting applied.
    remotes = dict(re.findall(r"^(\S+)\t(.*) \(fetch\)", git(root, "remote", "-v"), re.MULTILINE))
    describe = git(root, "describe", "--tags", "--long", "--match", "v[0-9]*", check=False)
    return Provenance(
        url=workflow_url(remotes, commit, name),
        checksum=checksum,
        version=version_of(describe, commit, dirty=bool(changed)),
        commit=commit,
        path=name,
        dirty=bool(changed),
        diff=diff,
        warnings=_warnings(root, commit, changed, has_remote=bool(remotes), has_tag=bool(describe)),
        blob=blob,
        untracked=tuple(_cut(sorted({*untracked} - {*code}))),
    )


_REVISION = ("rev-parse", "--verify", "--quiet")


def _find_commit(path: Path) -> tuple[Path, str, str, str]:
    """Return the top of a file's repository, the file's path there, the commit that is checked out, and its blob there.

    Raises:
        DerivaMLRequestError: there is no such file, no repository, or no commit.
    """
    file = path.resolve()
    if not file.is_file():
        raise DerivaMLRequestError(f"no such file: {path}")
    with suppress(DerivaMLRequestError):  # one process for what usually is there; else each is asked for
        found = git(file.parent, "rev-parse", "--show-toplevel", "HEAD", f"HEAD:./{file.name}").split("\n")
        if len(found) == 3:
            root = Path(found[0]).resolve()
            return root, file.relative_to(root).as_posix(), found[1], found[2]
    known = repository_root(file.parent)
    if known is None:
        raise DerivaMLRequestError(
            f"{path} is in no git repository, so a run could not be traced to its code:"
            " uv run deriva-ml-init makes one"
        )
    root = known.resolve()
    commit = git(root, *_REVISION, "HEAD", check=False)
    if not commit:
        raise DerivaMLRequestError(f"{root} has no commit yet: uv run deriva-ml-init makes the first one")
    name = file.relative_to(root).as_posix()
    return root, name, commit, git(root, *_REVISION, f"HEAD:{name}", check=False)


def _refuse(root: Path, changed: Sequence[str]) -> NoReturn:
    """Say that these files are not committed, and what to do.

    Raises:
        DerivaMLRequestError: always.
    """
    if set(changed) <= set(deleted_files(root)):
        raise DerivaMLRequestError(
            f"deleted, and not committed: {listed(changed, SHOWN_FILES)}; git restore brings it back,"
            " or commit the deletion"
        )
    said = f"not committed: {listed(changed, SHOWN_FILES)};"
    said += " commit, or pass --allow-dirty to record the run with the diff"
    if any(other.endswith(".ipynb") for other in changed) and not _filter(root):
        said += " (uv run deriva-ml-init installs the filter that keeps outputs out of git)"
    raise DerivaMLRequestError(said)


def _warnings(
    root: Path, commit: str, changed: Sequence[str], has_remote: bool, has_tag: bool
) -> tuple[str, ...]:
    """Return what keeps others from finding this code, a line each."""
    warnings = []
    if changed:
        warnings.append(f"uncommitted changes are recorded as a diff: {listed(changed, SHOWN_FILES)}")
    if has_remote and not git(root, "for-each-ref", "--count=1", f"--contains={commit}", "refs/remotes"):
        warnings.append(
            f"commit {commit[:7]} is on no remote branch: git push, or nobody else can find this code"
        )
    if not has_tag and git(root, "rev-parse", "--is-shallow-repository") == "true":
        warnings.append(
            "the clone is shallow and holds no version tag: git fetch --unshallow --tags gets them"
        )
    return tuple(warnings)


def _cut(names: Sequence[str]) -> list[str]:
    more = len(names) - NAMED_UNTRACKED
    return [*names[:NAMED_UNTRACKED], *([f"... and {more} more"] if more > 0 else [])]


def _filter(root: Path) -> str:
    return git(root, "config", "filter.nbstripout.clean", check=False)


def _stripping(root: Path, scratch: Path) -> list[str]:
    """Return the options that make git read notebooks without outputs, in a clone with or without its own filter.

    Git then applies one and the same filter to a diff, a checksum and a commit.
    """
    attributes = scratch / "attributes"
    attributes.write_text("*.ipynb filter=nbstripout\n", encoding="utf-8")
    # Not required: a notebook that is no JSON is recorded as it is.
    options = ["-c", f"core.attributesFile={attributes}", "-c", "filter.nbstripout.required=false"]
    if not _filter(root):
        python = shlex.quote(Path(sys.executable).as_posix())
        options += ["-c", f"filter.nbstripout.clean={python} -m nbstripout"]
    return options


def _diff(root: Path, stripping: Sequence[str], executed: str, home: str, untracked: Sequence[str]) -> str:
    """Return what the working tree has beyond HEAD, as one patch; the lines before it name what it leaves out."""
    # Explicit options: a person's own diff settings (external tools, prefixes, colours) make no patch.
    command = [*stripping, "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv"]
    command += ["--src-prefix=a/", "--dst-prefix=b/"]
    patches = [git(root, *command, "--submodule=diff", "HEAD")]
    if executed not in untracked and not git(root, "ls-files", "--", f"./{executed}"):  # but an ignored file
        untracked = [*untracked, executed]
    left_out = []
    for name in untracked:
        if name == executed or (_is_code(name, home) and _is_fit(root / name, root / home)):
            patches.append(git(root, *command, "--no-index", "--", "/dev/null", name, check=False))
        else:
            left_out.append(f"# untracked, recorded by name only: {name}")
    return "".join(f"{part}\n" for part in [*left_out, *patches] if part)


def _home(root: Path, executed: str) -> str:
    """Return the project that an executed file belongs to: the nearest folder above it that has a `pyproject.toml`.

    Relative to the repository's top, and empty for that itself: a repository may hold several projects.
    """
    home = project_around((root / executed).parent, root) or root
    return "" if home == root else home.relative_to(root).as_posix()


def _is_code(name: str, home: str) -> bool:
    """Whether an untracked file may have a part in what a run does.

    All that lies where the project keeps its code may, and elsewhere in the repository what Python or uv reads. A
    name with a slash at its end is another repository's folder, into which git does not look.
    """
    path = PurePosixPath(name)
    inside = path.is_relative_to(home) and path.relative_to(home).parts[0] in CODE_FOLDERS
    return inside or name.endswith("/") or path.suffix.lower() in CODE_SUFFIXES or path.name == "uv.lock"


def _is_fit(file: Path, home: Path) -> bool:
    """Whether an untracked file of code is recorded whole: visible, small, and the project's own.

    Settings that lie elsewhere (`.toml`) are where people keep secrets.
    """
    if not file.is_relative_to(home) or not file.is_file() or file.stat().st_size > LARGEST_UNTRACKED:
        return False
    parts = file.relative_to(home).parts
    if any(part.startswith(".") for part in parts):
        return False
    return parts[0] in CODE_FOLDERS or file.suffix.lower() in CODE_SUFFIXES - {".toml"}
