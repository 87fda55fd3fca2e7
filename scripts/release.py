"""Make a release of the template: changelog, version, archive for the tests of updates, commit and tag. Called by make.

bump-my-version does the changes, as `pyproject.toml` tells it; this looks first whether they may be made. Nothing is
pushed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

from packaging.version import InvalidVersion, Version

import digests
from digests import ROOT

BRANCH = "main"
TEMPLATE = ("copier.yml", "extensions", "template")
"""What Copier renders from."""

# https://semver.org, but a pre-release is called as PEP 440 has it too: Copier goes by that.
SEMANTIC = re.compile(r"(?:(?:0|[1-9]\d*)\.){2}(?:0|[1-9]\d*)(?:-(?:alpha|beta|rc)\.(?:0|[1-9]\d*))?")


class Refused(Exception):
    """Why there is no release, as one line."""


def main() -> int:
    """Release the version that the command line names."""
    try:
        version = sys.argv[1] if len(sys.argv) == 2 else ""
        check(version)
        release(version)
    except Refused as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    remotes = git("remote").split() or ["origin"]
    remote = "origin" if "origin" in remotes else remotes[0]
    print(f"released {version}: commit {git('rev-parse', '--short', 'HEAD')}, tag v{version}")
    print(f"to publish it: git push --atomic {remote} {BRANCH} v{version}")
    return 0


def check(version: str) -> None:
    """See that this version can be released from what stands here.

    Raises:
        Refused: it cannot.
    """
    if not version:
        raise Refused("say which version: make release VERSION=1.2.3")
    if not SEMANTIC.fullmatch(version):
        raise Refused(f"{version} is not a version such as 1.2.3 or, before it, 1.2.3-rc.1")
    if (branch := git("branch", "--show-current")) != BRANCH:
        raise Refused(
            f"releases are made on the branch {BRANCH}, and this is {branch or 'none'}: git switch {BRANCH}"
        )
    if changed := git("status", "--porcelain").splitlines():
        raise Refused(f"there are uncommitted changes ({changed[0][2:].strip()}): commit or stash them")
    newest = max([declared(), *tagged()])
    if Version(version) <= newest:
        raise Refused(f"{version} is not newer than {newest}: choose a later version")
    if not digests.LIST.exists() or digests.LIST.read_text(encoding="utf-8") != digests.content():
        raise Refused("the runner's digests are stale: run make digests, and commit them")
    if not unreleased():
        raise Refused("CHANGELOG.md says nothing under Unreleased: write what changes for a project")


def declared() -> Version:
    """The version in `pyproject.toml`: that of the last release."""
    return Version(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def tagged() -> list[Version]:
    """The versions that Copier finds here."""
    found = []
    for tag in git("tag", "--list").split():
        try:
            found.append(Version(tag))
        except InvalidVersion:
            continue
    return found


def unreleased() -> str:
    """The entries of the changelog that are in no release yet."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("\n## [Unreleased]\n")
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"^#.*$", "", section, flags=re.MULTILINE).strip()


def release(version: str) -> None:
    """Change the files, commit and tag; or, when that fails, leave everything as it was.

    A pre-release leaves the changelog to the release that it precedes, and no project is tested with an update from it.

    Raises:
        Refused: git or bump-my-version failed.
    """
    final = not Version(version).is_prerelease
    before, tag = git("rev-parse", "HEAD"), f"v{version}"
    archive = ROOT / "tests" / "data" / "released" / f"{version}.tar.gz"
    try:
        if final:
            archive.parent.mkdir(parents=True, exist_ok=True)
            git("archive", "--format=tar.gz", f"--output={archive}", "HEAD", *TEMPLATE)
            git("add", str(archive))
        only = [] if final else ["--no-configured-files"]
        bump = [sys.executable, "-m", "bumpversion", "bump", "--allow-dirty", "--new-version", version, *only]
        run(*bump)
    except BaseException:
        # Nothing was changed when this began, and no such tag was there: nothing else is taken back.
        git("reset", "--hard", "--quiet", before)
        if tag in git("tag", "--list").split():
            git("tag", "--delete", tag)
        archive.unlink(missing_ok=True)
        raise


def git(*arguments: str) -> str:
    """What a git command prints."""
    return run("git", *arguments)


def run(*command: str) -> str:
    """What a command prints.

    Raises:
        Refused: it failed; the line is the last that it wrote.
    """
    # bump-my-version frames and wraps what it says to the terminal's width.
    environment = {**os.environ, "COLUMNS": "1000", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", errors="replace"
    )
    if done.returncode:
        stripped = (raw.strip(" │╭╮╰╯─").removeprefix("error: ") for raw in done.stderr.splitlines())
        said = [line for line in stripped if line]
        raise Refused(said[-1] if said else f"{' '.join(command)} failed")
    return done.stdout.rstrip("\n")


if __name__ == "__main__":
    sys.exit(main())
