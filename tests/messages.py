"""The runner's messages for a person, as a page may write them: what they consist of, and which the page explains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PREFIX = re.compile(r"(?:error|warning|note): ")
"""What stands before a message and is no part of it."""


@dataclass(frozen=True)
class Hole:
    """A part that is known only when it is printed; ``told`` if it is itself a message, made elsewhere."""

    source: str
    told: bool = False


@dataclass(frozen=True)
class Choice:
    """A part that is one of several texts, some of which may be empty."""

    texts: tuple[Text, ...]


Part = str | Hole | Choice
Text = tuple[Part, ...]


@dataclass(frozen=True)
class Message:
    """A message, and where in the source it is made."""

    text: Text
    file: str
    line: int
    function: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """The message as a page writes it, where one word stands for each hole."""
        return re.compile(_pattern(self.text))

    @property
    def variants(self) -> list[Text]:
        """Its parts that are not in every message of this kind."""
        return [text for text in _choices(self.text) if words(text)]

    @property
    def is_told(self) -> bool:
        """It only hands on a message that is made elsewhere."""
        return not words(self.text) and any(hole.told for hole in holes(self.text))

    @property
    def is_dynamic(self) -> bool:
        """None of its words stands in the source."""
        return not words(self.text) and not self.is_told

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {show(self.text)}"


def show(text: Text) -> str:
    """A text with ``{expression}`` for a hole, and ``[one|another]`` for a choice."""
    shown = []
    for part in text:
        match part:
            case str():
                shown.append(part)
            case Hole():
                shown.append(f"{{{part.source}}}")
            case Choice():
                shown.append(f"[{'|'.join(map(show, part.texts))}]")
    return "".join(shown)


def _pattern(text: Text) -> str:
    parts = []
    for part in text:
        match part:
            case str():
                parts.append(re.escape(re.sub(r"\s+", " ", part)))
            case Hole():
                parts.append(r"\S+?")
            case Choice():
                parts.append(f"(?:{'|'.join(map(_pattern, part.texts))})")
    return "".join(parts)


def _flat(text: Text) -> Iterator[str | Hole]:
    for part in text:
        if isinstance(part, Choice):
            for one in part.texts:
                yield from _flat(one)
        else:
            yield part


def holes(text: Text) -> list[Hole]:
    """The holes of a text, also of those to choose from."""
    return [part for part in _flat(text) if isinstance(part, Hole)]


def words(text: Text) -> list[str]:
    """The words of a text that the source has; of two letters or less, they tell nothing."""
    return [
        word for part in _flat(text) if isinstance(part, str) for word in re.findall(r"[A-Za-z]{3,}", part)
    ]


def _choices(text: Text) -> Iterator[Text]:
    for part in text:
        if isinstance(part, Choice):
            for one in part.texts:
                yield one
                yield from _choices(one)


def joined(texts: Sequence[Text]) -> Text:
    """Texts one after the other, with neighbouring words in one part."""
    parts: list[Part] = []
    for part in (part for text in texts for part in text):
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part != "":
            parts.append(part)
    return tuple(parts)


def chosen(texts: Sequence[Text]) -> Text:
    """A text that is one of several. Of single words, it is no matter of wording which one: a hole."""
    different = list(dict.fromkeys(texts))
    if len(different) == 1:
        return different[0]
    if all(
        text and not any(" " in part for part in _flat(text) if isinstance(part, str)) for text in different
    ):
        told = any(hole.told for text in different for hole in holes(text))
        return (Hole(" or ".join(map(show, different)), told),)
    return (Choice(tuple(different)),)


def alternatives(text: Text) -> Iterator[Text]:
    """The texts that one stands for which is nothing but a choice; without what is only a prefix."""
    if len(text) == 1 and isinstance(text[0], Choice):
        for one in text[0].texts:
            yield from alternatives(one)
    else:
        first, rest = text[:1], text[1:]
        bare = (PREFIX.sub("", first[0], count=1),) if first and isinstance(first[0], str) else first
        if whole := joined([bare, rest]):
            yield whole


# -------------------------------------------------------------------------------------------------------------- a page
@dataclass(frozen=True)
class Explained:
    """A message on a page, and the text that explains it and, perhaps, its neighbours above."""

    message: str
    line: int
    explanation: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the message is when it is printed: anything stands for a word in capitals."""
        pieces = re.split(r"\b(?:[A-Z]{2,}|[A-Z])\b", self.message)
        return re.compile(".+?".join(map(re.escape, pieces)), re.DOTALL)

    def __str__(self) -> str:
        return f"{self.message} (line {self.line})"


_ONLY_CODE = re.compile(r"(?:#### )?(`+) ?(.+?) ?\1", re.DOTALL)


def explained(page: Path) -> list[Explained]:
    """The messages that a page explains: each is a heading of the fourth level, or a paragraph, of nothing but code."""
    found: list[Explained] = []
    waiting: list[tuple[str, int]] = []
    line = 1
    for block in re.split(r"(\n\s*\n)", page.read_text(encoding="utf-8")):
        code = _ONLY_CODE.fullmatch(block.strip())
        if code and not block.lstrip().startswith("```"):
            waiting.append((" ".join(code[2].split()), line))
        elif block.strip():
            explanation = "" if block.lstrip().startswith("#") else block.strip()
            found += [Explained(message, at, explanation) for message, at in waiting]
            waiting = []
        line += block.count("\n")
    return found + [Explained(message, at, "") for message, at in waiting]


def unexplained(found: Iterable[Message], page: Iterable[Explained]) -> list[str]:
    """Messages that a page lacks, each with file and line; and parts that none of its messages shows."""
    texts = [one.message for one in page]
    lacking: list[str] = []
    parts: dict[Text, tuple[Message, list[str]]] = {}
    for message in found:
        shown = list(filter(message.pattern.fullmatch, texts))
        if not shown:
            lacking.append(str(message))
        for part in message.variants if shown else ():
            parts.setdefault(part, (message, []))[1].extend(shown)
    for part, (message, shown) in parts.items():
        if not any(map(re.compile(_pattern(part)).search, shown)):
            lacking.append(f"{message} (nowhere with {show(part)!r})")
    return lacking


def stale(found: Iterable[Message], page: Iterable[Explained]) -> list[str]:
    """Messages on a page that the runner does not have, each with its line."""
    patterns = [message.pattern for message in found]
    return [str(one) for one in page if not any(pattern.fullmatch(one.message) for pattern in patterns)]
