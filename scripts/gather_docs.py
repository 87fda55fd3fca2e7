"""Gather the documentation site's pages in one folder, which is all that Zensical builds from.

They are those of ``docs/``, and some that have their place elsewhere in the repository. A link is written as it works
in the repository, and made to work on the site here.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ELSEWHERE = {"CHANGELOG.md": "changelog.md", "benchmarks/README.md": "benchmarks.md"}
"""Pages outside ``docs/``, and what they are called on the site."""
INSTEAD = {"README.md": "index.md"}
"""Pages that are not on the site, and where links to them lead there."""

FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)[^)\s#]+")


def gather(root: Path, target: Path) -> None:
    """Copy a repository's pages and their pictures into a folder, which is emptied first.

    Raises:
        SystemExit: a page links to a file that is not on the site; the message names both.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(root / "docs", target)
    pages = {path: target / path.relative_to(root / "docs") for path in (root / "docs").rglob("*.*")}
    pages |= {root / path: target / name for path, name in ELSEWHERE.items()}
    places = pages | {root / path: target / name for path, name in INSTEAD.items()}
    for source, page in pages.items():
        if source.suffix == ".md":
            page.write_text(for_site(source, page, places), encoding="utf-8")


def for_site(source: Path, page: Path, places: dict[Path, Path]) -> str:
    """A page's text as it is on the site.

    Args:
        source: the page in the repository.
        page: the same on the site.
        places: every file that may be linked to, and its place on the site.
    """

    def moved(link: re.Match[str]) -> str:
        file = Path(os.path.normpath(source.parent / link[0]))
        if file not in places:
            sys.exit(
                f"error: {source.name} links to {link[0]}, which is not on the site; gather_docs.py says what is"
            )
        return Path(os.path.relpath(places[file], page.parent)).as_posix()

    parts = FENCE.split(source.read_text(encoding="utf-8"))
    parts[::2] = [LINK.sub(moved, text) for text in parts[::2]]  # between two of these is a block of code
    return "".join(parts)


if __name__ == "__main__":
    gather(ROOT, ROOT / "build" / "docs")
