"""Compares texts line by line: exactly, then but for what must differ and for rounding."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice, zip_longest
from pathlib import Path

from deriva_ml.replay.compare.images import compare_images
from deriva_ml.replay.compare.tally import MOST, below_one, difference, note_of
from deriva_ml.replay.compare.terms import RunTerms, Terms
from deriva_ml.replay.compare.tokens import LONGEST, Token, same, tokens
from deriva_ml.replay.verdict import Comparison, Difference, Verdict

WINDOW = 200
"""Lines, from the first differing one on, that are aligned with each other: that costs their square."""

HELD = 200_000
"""Lines, from the first differing one on, that the similarity is measured on."""

WORDS = 1000
"""Words, of two texts, whose sequence is compared for the similarity; of longer ones lines are counted."""

Lines = Callable[[], Iterable[str]]
"""Opens a text anew: its lines, each with its end."""

Line = tuple[int, str]
"""A line with its number, from 1."""

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_BAR = re.compile(
    r"(?P<name>[^|]*?)\s*\d+%\s*\|[^|]*\|\s*(?P<done>\d[\d.]*[kMGTP]?)/(?P<total>\d[\d.]*[kMGTP]?)"
    r"\s*\[(?P<times>[^\]]*)\](?P<more>.*)"
    r"|(?P<called>[^|]*?)(?P<counted>\d+)(?P<unit>[A-Za-z]+) \[\d+:\d\d(?P<rates>[^\]]*)\](?P<rest>.*)",
    re.DOTALL,
)
"""A line of tqdm's, with a total or without (https://tqdm.github.io/docs/tqdm/, ``bar_format``)."""

_CLEARED = re.compile(r"\r {3,}(?:[\r\n\x1b]|$)")
_UP = "\x1b[A"
_SLOWEST = re.compile(r"The slowest run took [\d.]+ times longer than the fastest\.")
_LAYOUT = re.compile(r"[ \t\n\u00a0]+|[-=_─━═]{3,}")
_BESIDE = re.compile(r"^ | $|(?<=[\[(|,]) | (?=[\])|])")


def compare_text(recorded: str, repeated: str, terms: Terms, where: str = "line {}") -> Comparison:
    """Compare two texts in memory.

    Args:
        where: how a line is called by its number: ``cell [4], line {} of its output``.
    """
    ours, theirs = terms.recorded.named(recorded), terms.repeated.named(repeated)
    if ours == theirs:
        return Comparison(Verdict.identical)
    return _loosely(
        lambda: io.StringIO(ours, newline="\n"), lambda: io.StringIO(theirs, newline="\n"), terms, where
    )


def compare_text_files(recorded: Path, repeated: Path, terms: Terms, only: str = "") -> Comparison:
    """Compare two files of text that are not the same; a bounded number of their lines is held.

    Args:
        only: the one kind of what may differ, in a file of data.

    Raises:
        UnicodeDecodeError: one is no text.
    """
    return _loosely(
        lambda: named_lines(recorded, terms.recorded),
        lambda: named_lines(repeated, terms.repeated),
        terms,
        "line {}",
        only=only,
        printed=False,
    )


def named_lines(path: Path, side: RunTerms, encoding: str = "utf-8-sig") -> Iterator[str]:
    """Yield the lines of a file of text, each with its end, with names for what is the run's own.

    Raises:
        UnicodeDecodeError: it is no text.
    """
    with path.open(encoding=encoding, newline="\n") as stream:
        yield from map(side.named, stream)


def same_text(recorded: Path, repeated: Path, terms: Terms) -> bool:
    """Whether two files hold the same text, byte order mark included, but for what is each run's own.

    Raises:
        UnicodeDecodeError: one is no text.
    """
    sides = (recorded, terms.recorded), (repeated, terms.repeated)
    pairs = zip_longest(*(named_lines(path, side, "utf-8") for path, side in sides))
    return all(one == other for one, other in pairs)


def _loosely(
    ours: Lines,
    theirs: Lines,
    terms: Terms,
    where: str,
    strict: bool = False,
    only: str = "",
    printed: bool = True,
) -> Comparison:
    """Compare two texts that are not the same, with names for what is each run's own.

    Args:
        strict: blanks count.
        only: the one kind of what may differ; empty for all.
        printed: what comes before a carriage return was overwritten, whatever it was; in a file it may be a line.
    """
    kinds: Counter[str] = Counter()
    masked: list[Difference] = []
    equal = 0
    left, right = _as_shown(ours(), printed), _as_shown(theirs(), printed)
    for one, other in zip_longest(left, right):
        found = alike(one[1], other[1], terms, strict, only) if one and other else None
        if found is None:
            rest = [one, *islice(left, HELD)] if one else [], [other, *islice(right, HELD)] if other else []
            found = _alike_wrapped(*rest, terms) if not (strict or only) else None
            if found is None:
                return _different(*rest, equal, terms, where)
            kinds.update(found)
            break
        equal += 1
        kinds.update(found)
        if found and found != ["layout"] and len(masked) < MOST and one and other:
            masked.append(_difference(one, other, where))
    if [*kinds] == ["layout"]:  # blanks that nothing explains
        return _loosely(ours, theirs, terms, where, True, only, printed)
    return Comparison(Verdict.equivalent, 1.0, note_of(kinds), masked)


def alike(a: str, b: str, terms: Terms, strict: bool = False, only: str = "") -> list[str] | None:
    """Return the kinds of what differs in two lines that are the same otherwise; None if they are not.

    ``layout`` stands for blanks and rules, whose number follows from the width of what differs.

    Args:
        strict: blanks count.
        only: the one kind of what may differ.
    """
    if a == b:
        return []
    if max(len(a), len(b)) > LONGEST and "base64," not in a:
        return None
    kinds = []
    ours, theirs = tokens(a, only), tokens(b, only)
    if len(ours) != len(theirs):
        return None
    for one, other in zip(ours, theirs, strict=True):
        if one.kind != other.kind:
            return None
        if one.before != other.before and (strict or _laid_out(one.before) != _laid_out(other.before)):
            return None
        if one.text != other.text:
            if one.kind == "picture":
                kind = "picture" if _same_picture(one, other) else ""
            else:
                kind = same(one, other, terms)
            if not kind:
                return None
            kinds.append(kind)
    return kinds or ["layout"]


def _laid_out(text: str) -> str:
    return _BESIDE.sub("", _LAYOUT.sub(" ", text))


def _same_picture(one: Token, other: Token) -> bool:
    """Whether two pictures in a text look the same."""
    try:
        ours, theirs = (base64.b64decode(token.text.partition(",")[2]) for token in (one, other))
    except ValueError:  # it was cut
        return False
    return compare_images(ours, theirs).verdict is not Verdict.different


def _alike_wrapped(ours: Sequence[Line], theirs: Sequence[Line], terms: Terms) -> list[str] | None:
    """Return the kinds of what differs in texts whose lines are broken at other places, as arrays are by their width."""
    if not 0 < len(ours) < WINDOW or not 0 < len(theirs) < WINDOW:
        return None
    one, other = ("".join(line for _, line in lines) for lines in (ours, theirs))
    found = alike(one, other, terms)
    return found if found and "number" in found else None


def _as_shown(lines: Iterable[str], printed: bool = True) -> Iterator[Line]:
    """Yield the lines of a text as a terminal shows them in the end: without colours, of each progress bar the last."""
    bars = _Bars()
    for number, raw in enumerate(lines, start=1):
        line = _overwritten(raw, printed or "%|" in raw or "it/s]" in raw)
        if bar := _BAR.fullmatch(line) if "[" in line and ":" in line else None:
            name, total = bar["name"] or bar["called"] or "", bar["total"] or ""
            times = re.split(r"[,\]]", bar["times"] or bar["rates"] or "", maxsplit=2)
            said = f"{name.strip()} {bar['done'] or bar['counted']}/{total or bar['unit']}"
            said += f"{','.join(times[2:])}{bar['more'] or bar['rest'] or ''}"
            ended = not total or bar["done"] == total
            bars.add((number, said), (name, total), ended, _UP in raw)
        elif bars.lines and _CLEARED.search(raw) and not line.strip():
            bars.clear()
        elif (bars.moves and not line.strip()) or _SLOWEST.match(line):
            continue
        else:
            yield from bars.lines
            bars = _Bars()
            yield number, line
    yield from bars.lines


class _Bars:
    """Progress bars in lines in a row: of each its last state, where one that has ended stands for itself.

    Attributes:
        moves: the cursor goes up, as it does with one bar below another; then a state may be written several times.
    """

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.moves = False
        self._last: dict[tuple[str, str], tuple[int, bool]] = {}

    def add(self, line: Line, name: tuple[str, str], ended: bool, moves: bool) -> None:
        """Add a state of a bar, or replace the one that it comes from."""
        self.moves |= moves
        place, had_ended = self._last.get(name, (len(self.lines), True))
        if had_ended and not (self.moves and place < len(self.lines) and self.lines[place][1] == line[1]):
            place = len(self.lines)
        self.lines[place : place + 1] = [line]
        self._last[name] = place, ended

    def clear(self) -> None:
        """Take away the last bar that has not ended: its line was cleared, however far it had come."""
        going = [(place, name) for name, (place, ended) in self._last.items() if not ended]
        if going:
            place, name = max(going)
            self.lines[place] = self.lines[place][0], ""
            del self._last[name]


def _overwritten(line: str, returns: bool) -> str:
    """Return what a terminal shows of a line in the end.

    Args:
        returns: it goes back to the line's beginning.
    """
    if "\x1b" in line:
        line = _ESCAPE.sub("", line)
    if not returns:
        return line.replace("\r\n", "\n")
    if "\x08" in line:
        line = re.sub("\x08+", "\r", line)
    if "\r" in line:
        body = line.rstrip("\r\n")
        last = next((part for part in reversed(body.split("\r")) if part), "")
        line = (last if last.strip() else "") + line[len(body) :].replace("\r", "")
    return line


def _masked(line: str) -> str:
    """Return a line with the kind of what must differ in its place, and numbers as they are."""
    if len(line) > LONGEST:
        return line
    kept = {"", "number", "path"}
    return "".join(before + (text if kind in kept else f"<{kind}>") for before, kind, text in tokens(line))


def _different(
    ours: Sequence[Line], theirs: Sequence[Line], equal: int, terms: Terms, where: str
) -> Comparison:
    """Return how two texts differ after a number of equal lines."""
    left, right = ([_masked(line) for _, line in lines] for lines in (ours, theirs))
    words = [" ".join(lines).split() if len(lines) < WORDS else [] for lines in (left, right)]
    if 0 < len(words[0]) < WORDS and 0 < len(words[1]) < WORDS:
        ratio = SequenceMatcher(None, words[0], words[1], autojunk=False).ratio()
    else:
        ratio = 2 * (Counter(left) & Counter(right)).total() / (len(left) + len(right))
    rest = len(left) + len(right)
    similarity = (2 * equal + ratio * rest) / (2 * equal + rest)
    found: list[Difference] = []
    matcher = SequenceMatcher(None, left[:WINDOW], right[:WINDOW], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal" or len(found) == MOST:
            continue
        for one, other in zip_longest(ours[a:b], theirs[c:d]):
            if one and other and alike(one[1], other[1], terms) is not None:
                continue
            found.append(_difference(one, other, where))
    return Comparison(
        Verdict.different,
        below_one(similarity),
        "the share of words or lines in common",
        found[:MOST] or [_difference(ours[0] if ours else None, theirs[0] if theirs else None, where)],
    )


def _difference(one: Line | None, other: Line | None, where: str) -> Difference:
    number = (one or other or (0, ""))[0]
    return difference(where.replace("{}", str(number)), one and one[1], other and other[1])
