"""Says where executed code comes from: its commit, checksum, version and URL, asked of git."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import changed_files, git, repository_root

SHOWN_FILES = 5
"""How many changed files a message names."""

LARGEST_UNTRACKED = 1_000_000
"""Bytes of an untracked file beyond which a dirty run records its name only: data, not code."""


@dataclass(frozen=True)
class Provenance:
    """Where one executed notebook or script comes from.

    Attributes:
        url: the file's page on the web at `commit`; without a web remote `git:<commit>:<path>`,
            whose part after `git:` is what `git show` takes (percent-encoded).
        checksum: git's blob id of the file as it is committed, that is, of a notebook without outputs
            (deriva-ml's convention for `Workflow.Checksum`: `git hash-object`).
        version: PEP 440 version from the nearest `v*` tag: `0.1.0`, `0.1.0.post3+gabc1234`, `0.0.0+gabc1234`.
        commit: full commit id.
        path: POSIX path relative to the repository's top.
        dirty: whether anything in the working tree differed from `commit`.
        diff: what differed, as a patch for `git apply`; empty when clean.
        warnings: lines for the person who runs it.
    """

    url: str
    checksum: str
    version: str
    commit: str
    path: str
    dirty: bool
    diff: str
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The record as JSON types."""
        return {**asdict(self), "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Provenance:
        """The inverse of `to_json`."""
        return cls(**{**record, "warnings": tuple(record["warnings"])})


def collect(path: Path, *, allow_dirty: bool) -> Provenance:
    """Ask git for the provenance of the notebook or script `path`.

    Args:
        path: the file that is executed; a link stands for the file it points to.
        allow_dirty: record uncommitted changes as a diff, instead of refusing them. The diff holds tracked
            files, the executed file, and untracked ones under `src/` and `notebooks/`; other untracked
            files (and hidden or large ones) are listed by name only, since they may hold secrets or data.
            Notebooks are in it without their outputs.

    Raises:
        DerivaMLRequestError: there is no such file, no repository, no commit, or (without `allow_dirty`)
            the file is not committed or something else in the tree is not.
    """
    file = path.resolve()
    if not file.is_file():
        raise DerivaMLRequestError(f"no such file: {path}")
    cwd = file.parent
    # One call for four answers: each costs a process. What does not resolve ends the output or echoes itself.
    asked = ("--is-shallow-repository", "--show-toplevel", "HEAD", f"HEAD:./{file.name}")
    found = git(cwd, "rev-parse", *asked, check=False)
    shallow, top, commit, blob = (found.split("\n") + [""] * 4)[:4]
    if not top and repository_root(cwd) is None:
        raise DerivaMLRequestError(
            f"{path} is in no git repository, so a run could not be traced to its code:"
            " `uv run deriva-ml-init` makes one"
        )
    if not _is_id(commit):
        raise DerivaMLRequestError(f"{top} has no commit yet: `uv run deriva-ml-init` makes the first one")
    root = Path(top).resolve()
    name = file.relative_to(root).as_posix()
    tracked = _is_id(blob)
    changed = _changed(root)
    if not tracked and name not in changed:  # an ignored file: `git status` does not speak of it
        changed.append(name)
    if changed and not allow_dirty:
        raise DerivaMLRequestError(_refusal(root, sorted(changed, key=lambda other: other != name)))

    diff = ""
    if changed:
        with tempfile.TemporaryDirectory() as scratch:
            stripping = _stripping(root, Path(scratch))
            diff = _diff(root, stripping, file, tracked)
            if name in changed:
                blob = git(root, *stripping, "hash-object", "--", name)
    remotes = _remotes(root)
    describe = git(root, "describe", "--tags", "--long", "--match", "v[0-9]*", check=False)
    return Provenance(
        url=workflow_url(remotes, commit, name),
        checksum=blob,
        version=version_of(describe, commit, dirty=bool(changed)),
        commit=commit,
        path=name,
        dirty=bool(changed),
        diff=diff,
        warnings=tuple(_warnings(root, commit, changed, bool(remotes), shallow == "true" and not describe)),
    )


def workflow_url(remotes: Mapping[str, str], commit: str, path: str) -> str:
    """The address of `path` at `commit`: at the remote `origin`, or else the first that has a web page.

    Args:
        remotes: remote name to its fetch URL, as git reports them.

    Returns:
        a URL in the form of its host (GitHub's, unless the name says GitLab, Bitbucket, Forgejo or Gitea),
        without user, password or query; `git:<commit>:<path>` when no remote has a web page.
    """
    ordered = [remotes[name] for name in sorted(remotes, key=lambda name: name != "origin")]
    pages = filter(None, map(web_url, ordered))
    page = next(pages, None)
    if page is None:
        return f"git:{commit}:{quote(path)}"
    host = urlsplit(page).netloc
    infix = next((infix for part, infix in _FILE_PAGES.items() if part in host), "/blob/")
    return f"{page}{infix}{commit}/{quote(path)}"


_FILE_PAGES = {
    "gitlab": "/-/blob/",
    "bitbucket": "/src/",
    "codeberg": "/src/commit/",
    "forgejo": "/src/commit/",
    "gitea": "/src/commit/",
}

_SSH_OVER_HTTPS = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}


def web_url(remote: str) -> str | None:
    """The repository's web page for a git remote in any of git's forms (git-fetch(1), "GIT URLS").

    Returns None for a path on this machine, and for a form that cannot be read with certainty: a credential
    that was not encoded must never pass for a part of the path.
    """
    if "://" not in remote:
        # user@host:path; a slash before the colon makes it a path, a single letter a Windows drive.
        match = re.fullmatch(r"(?:[^@/:]+@)?(\[[^\]/]+\]|[^@/:\[\]]{2,}):(?!:)(.+)", remote)
        if match is None:
            return None
        remote = f"ssh://{match[1]}/{match[2].lstrip('/')}"
    try:
        parts = urlsplit(remote)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.removeprefix("git+").removesuffix("+git")
    if scheme not in {"https", "http", "ssh", "git"} or not parts.hostname or "@" in parts.path:
        return None
    host = _SSH_OVER_HTTPS.get(parts.hostname, parts.hostname)
    host = f"[{host}]" if ":" in host else host
    if scheme not in {"https", "http"}:  # their ports are not the web server's
        scheme, port = "https", None
    path = quote(unquote(parts.path).strip("/").removesuffix(".git"))
    return f"{scheme}://{host}{f':{port}' if port else ''}/{path}" if path else None


def version_of(describe: str, commit: str, *, dirty: bool) -> str:
    """The PEP 440 version for what `git describe --tags --long` printed ("" when no tag is reachable).

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


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def _changed(root: Path) -> list[str]:
    """Paths that a commit would change, and untracked ones.

    `git status` also reports a notebook whose outputs alone changed: it goes by the size of the file, and does
    not ask the filter that takes them off.
    """
    changed = changed_files(root)
    if any(name.endswith(".ipynb") for name in changed) and _filter(root):
        differing = set(git(root, "diff", "--name-only", "--no-renames", "-z", "HEAD").split("\0"))
        tracked = set(git(root, "ls-files", "-z").split("\0"))
        changed = [name for name in changed if name in differing or name not in tracked]
    return changed


def _refusal(root: Path, changed: Sequence[str]) -> str:
    """One line that names what is not committed, and how to mend it."""
    said = f"not committed: {_named(changed)}; commit, or pass --allow-dirty to record the run with the diff"
    if any(name.endswith(".ipynb") for name in changed) and not _filter(root):
        said += " (`uv run deriva-ml-init` installs the filter that keeps outputs out of git)"
    return said


def _named(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_FILES
    return ", ".join(names[:SHOWN_FILES]) + (f" and {more} more" if more > 0 else "")


def _filter(root: Path) -> str:
    return git(root, "config", "filter.nbstripout.clean", check=False)


def _stripping(root: Path, scratch: Path) -> list[str]:
    """Options that make git read notebooks without outputs, in a clone with or without its own filter.

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


def _diff(root: Path, stripping: Sequence[str], executed: Path, tracked: bool) -> str:
    """What the working tree has beyond HEAD, as one patch; the lines before it name what it leaves out."""
    # Explicit options: a person's own diff settings (external tools, prefixes, colours) make no patch.
    command = [*stripping, "diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv"]
    command += ["--src-prefix=a/", "--dst-prefix=b/"]
    patches = [git(root, *command, "--submodule=diff", "HEAD")]
    untracked = git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
    if not tracked:
        untracked.append(executed.relative_to(root).as_posix())
    folders = [folder for folder in executed.parents if folder.is_relative_to(root)]
    home = next((folder for folder in folders if (folder / "pyproject.toml").is_file()), root)
    left_out = []
    for name in filter(None, dict.fromkeys(untracked)):
        if root / name == executed or _is_code(root / name, home):
            patches.append(git(root, *command, "--no-index", "--", "/dev/null", name, check=False))
        else:
            left_out.append(f"# untracked, recorded by name only: {name}")
    return "".join(f"{part}\n" for part in [*left_out, *patches] if part)


def _is_code(file: Path, home: Path) -> bool:
    """Whether an untracked file is recorded whole: visible, small, and where a project keeps its code."""
    if not file.is_relative_to(home) or not file.is_file() or file.stat().st_size > LARGEST_UNTRACKED:
        return False
    parts = file.relative_to(home).parts
    return parts[0] in {"src", "notebooks"} and not any(part.startswith(".") for part in parts)


def _remotes(root: Path) -> dict[str, str]:
    """Remote name to fetch URL, with the user's `insteadOf` rewriting applied."""
    return dict(re.findall(r"^(\S+)\t(.*) \(fetch\)", git(root, "remote", "-v"), re.MULTILINE))


def _warnings(
    root: Path, commit: str, changed: Sequence[str], has_remote: bool, lacks_tags: bool
) -> Iterator[str]:
    if changed:
        yield f"uncommitted changes are recorded as a diff: {_named(changed)}"
    if has_remote and not git(root, "for-each-ref", "--count=1", f"--contains={commit}", "refs/remotes"):
        yield f"commit {commit[:7]} is on no remote branch: `git push`, or nobody else can find this code"
    if lacks_tags:
        yield "the clone is shallow and holds no version tag: `git fetch --unshallow --tags` gets them"
