"""The pages of the documentation, as the tests read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HERE_DOCUMENT = re.compile(r"<<'END'.*?^END$", re.MULTILINE | re.DOTALL)
PROMPT = "$ "


@dataclass(frozen=True)
class Step:
    """Something that a page tells its reader to type, and what it shows as the answer, if it does.

    Attributes:
        session: True for what stands behind a prompt, in a terminal of its own; False for a block of commands.
    """

    typed: str
    shown: str = ""
    session: bool = False


@dataclass(frozen=True)
class Page:
    """A page of the documentation: its name for messages, the folder that its links start from, its text."""

    name: str
    folder: Path
    text: str

    def blocks(self, *languages: str) -> list[str]:
        """The contents of its fenced blocks in any of these languages."""
        return [content for language, content in FENCE.findall(self.text) if language in languages]

    def steps(self) -> list[list[Step]]:
        """What its reader types, block by block. A block of text right after one of commands is their answer."""
        found: list[list[Step]] = []
        end = 0
        for block in FENCE.finditer(self.text):
            language, content = block.groups()
            follows = found and not self.text[end : block.start()].strip()
            if language == "bash":
                found.append([Step(content)])
            elif language == "console":
                found.append(list(_session(content)))
            elif language == "text" and follows and not found[-1][-1].session:
                found[-1] = [Step(found[-1][-1].typed, content)]
            else:
                continue
            end = block.end()
        return found

    def shell_lines(self) -> Iterator[str]:
        """What it tells a person to type, line by line: in its blocks, and among its words."""
        for block in self.steps():
            for step in block:
                yield from HERE_DOCUMENT.sub("", step.typed).replace("\\\n", " ").splitlines()
        yield from re.findall(r"`((?:uv|uvx|make) (?!run`)[^`]+)`", FENCE.sub("", self.text))

    def anchors(self) -> set[str]:
        """What a link into it may name, in GitHub's spelling."""
        headings = re.findall(r"^#+ (.+)$", FENCE.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def _session(content: str) -> Iterator[Step]:
    for part in re.split(rf"^{re.escape(PROMPT)}", content, flags=re.MULTILINE)[1:]:
        typed = re.match(r"(?:.*\\\n)*.*\n", part)
        assert typed, content
        yield Step(typed[0], part[typed.end() :], session=True)


def read(path: Path) -> Page:
    """The page in a file."""
    return Page(path.relative_to(ROOT).as_posix(), path.parent, path.read_text(encoding="utf-8"))
