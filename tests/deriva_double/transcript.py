"""What a real server answered: reading the recorded exchanges, and comparing answers with them.

``python -m deriva_double.transcript transcript.md exchanges.json.gz`` makes the file that the tests read.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from . import rid

_PRETTY = "(pretty-printed here; the wire form is one line unless rows) \n"
_CUT = re.compile(r"\n\.\.\. \[\d+ more characters\]\n?$")


@dataclass(frozen=True)
class Recorded:
    """One exchange. A pretty body is JSON with an indent of one, cut off where ``cut`` says so."""

    section: str
    title: str
    method: str
    target: str
    headers: dict[str, str]
    body: str
    status: int
    answer_headers: dict[str, str]
    answer: str
    pretty: bool
    cut: bool


def load(path: Path) -> list[Recorded]:
    """The exchanges in the order in which they were recorded."""
    return [Recorded(**one) for one in json.loads(gzip.decompress(path.read_bytes()))]


def parse_markdown(text: str) -> Iterator[Recorded]:
    """The exchanges of a transcript: under each second-level heading one block of request and one of response."""
    section = ""
    for part in re.split(r"^(?=#{1,2} )", text, flags=re.MULTILINE):
        if part.startswith("# "):
            section = part[2:].partition("\n")[0]
        blocks = re.findall(r"^```http\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL)
        if len(blocks) == 2:
            yield _exchange(section, part[3:].partition("\n")[0].strip(), *blocks)


def _exchange(section: str, title: str, request: str, response: str) -> Recorded:
    line, headers, body = _message(request)
    method, target, _ = line.split(" ")
    status, answer_headers, answer = _message(response)
    pretty = answer.startswith(_PRETTY)
    answer = answer.removeprefix(_PRETTY)
    cut = _CUT.search(answer) is not None
    answer = _CUT.sub("", answer) if cut else answer
    if re.fullmatch(r"<0 bytes .*>\n", answer):
        answer = ""
    return Recorded(
        section,
        title,
        method,
        target,
        headers,
        body.removesuffix("\n"),
        int(status.split(" ")[1]),
        answer_headers,
        answer.removesuffix("\n"),
        pretty,
        cut,
    )


def _message(block: str) -> tuple[str, dict[str, str], str]:
    head, _, body = block.partition("\n\n")
    first, *lines = head.splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return first, headers, body


# ------------------------------------------------------------------ comparison

_VARIABLE = re.compile(
    r"""
      (?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?)
    | (?P<snapshot>\b[0-9A-HJKMNP-TV-Z]{3}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}\b)
    | (?P<version>\b[A-Z2-7]{26}\b)
    | (?P<digest>(?<=")[A-Za-z0-9_+/-]{22}==(?=[;"]))
    | (?P<relation>(?<=input_data_)[A-Za-z0-9_-]+)
    | (?P<rid>\b(?:[1-9][0-9A-HJKMNP-TV-Z]{2,3}|V[0-9A-HJKMNP-TV-Z]{2})\b)
    """,
    re.VERBOSE,
)


class Mismatch(AssertionError):
    """An answer that is not the recorded one."""


class Correspondence:
    """Which of the double's identifiers, times and digests stand for which recorded ones: one for one, throughout."""

    def __init__(self) -> None:
        self._ours: dict[tuple[str, str], str] = {}
        self._theirs: dict[tuple[str, str], str] = {}

    def pair(self, kind: str, recorded: str, ours: str) -> None:
        """Let two values stand for each other.

        Raises:
            Mismatch: one of them stands for another already.
        """
        known = self._ours.setdefault((kind, recorded), ours)
        back = self._theirs.setdefault((kind, ours), recorded)
        if known != ours or back != recorded:
            raise Mismatch(
                f"the {kind} {recorded} was {known} before and is {ours} now"
                if known != ours
                else f"the {kind} {ours} stood for {back} before and stands for {recorded} now"
            )

    def check(self, recorded: str, ours: str) -> None:
        """Compare two texts: the same but for values that correspond.

        Raises:
            Mismatch: they differ.
        """
        theirs, mine = _split(recorded), _split(ours)
        if [part for kind, part in theirs if not kind] != [part for kind, part in mine if not kind]:
            raise Mismatch(f"recorded: {recorded!r}\nanswered: {ours!r}")
        for (kind, value), (other_kind, other) in zip(theirs, mine, strict=True):
            if kind != other_kind:
                raise Mismatch(f"recorded: {recorded!r}\nanswered: {ours!r}")
            if kind:
                self.pair(kind, value, other)

    def translate(self, text: str) -> str:
        """A recorded request with the double's values; what does not correspond to anything stays."""

        def ours(match: re.Match[str]) -> str:
            kind = str(match.lastgroup)
            value = match.group()
            if kind == "snapshot":
                moment = self._ours.get(("time", str(rid.decode(value))))
                return rid.encode(int(moment)) if moment else value
            if kind == "time":
                moment = self._ours.get(("time", _micros(value)))
                return str(rid.timestamp(int(moment))).removesuffix("+00:00") if moment else value
            return self._ours.get((kind, value), value)

        return _VARIABLE.sub(ours, text)


def _split(text: str) -> list[tuple[str, str]]:
    """Literal parts and values: times as microseconds, whether written out or as a snapshot's name."""
    parts = []
    at = 0
    for match in _VARIABLE.finditer(text):
        parts.append(("", text[at : match.start()]))
        kind, value = str(match.lastgroup), match.group()
        if kind == "time":
            parts.append(("time", _micros(value)))
        elif kind == "snapshot":
            parts.append(("time", str(rid.decode(value))))
        else:
            parts.append((kind, value))
        at = match.end()
    return [*parts, ("", text[at:])]


def _micros(written: str) -> str:
    return str(rid.micros(datetime.fromisoformat(written + "+00:00")))


if __name__ == "__main__":
    found = [asdict(one) for one in parse_markdown(Path(sys.argv[1]).read_text())]
    packed = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
    Path(sys.argv[2]).write_bytes(gzip.compress(packed, 9, mtime=0))
