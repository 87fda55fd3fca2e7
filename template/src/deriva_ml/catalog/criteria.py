"""Which executions are meant: filters and an order, as a person writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from deriva_ml.definitions import RID, Status
from deriva_ml.exceptions import DerivaMLRequestError

OPERATORS = {"=": "=", "==": "=", "!=": "<>", "<>": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
"""Those of a condition, and as SQL has them."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<operator>==|!=|<>|<=|>=|=|<|>)
      | `(?P<quoted>(?:[^`]|``)+)`
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<word>[^\s`'"=<>!]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NAME = re.compile(
    r"\s*(?P<minus>-?)\s*(?:`(?P<quoted>(?:[^`]|``)+)`|(?P<plain>(?![-\s])[^,`]*[^,`\s]))\s*(?P<comma>,|$)",
    re.DOTALL,
)
_WORDS = {"true": "true", "false": "false", "nan": "NaN", "none": None, "null": None}
"""Words that stand for a value, however Python or JSON spell them, as ``as_cell`` has it."""


@dataclass(frozen=True)
class Comparison:
    """One condition: a name, an operator of SQL, and a value as a cell holds it."""

    name: str
    operator: str
    value: int | float | str | None


@dataclass(frozen=True)
class Criteria:
    """Which executions, and in which order: all that are given have to be met.

    Attributes:
        rids: these, in this order unless ``order`` says another.
        workflow: its name or RID.
        workflow_type: one of its types.
        sweep: those that are nested in this execution.
        dataset: those that read or made this one.
        since: ISO 8601 in UTC, as rows have it.
        where: see ``parse_where``.
        order: names to sort by, each with whether the greatest comes first; by default the newest come first.
        runs_only: leave out what stands for a sweep, and what no run of this project recorded.
        no_changes: leave out what made and changed datasets, unless a workflow is asked for.
        best: compare a metric by its greatest (``max``) or least (``min``) value, instead of its last.
    """

    rids: Sequence[RID] | None = None
    workflow: str | None = None
    workflow_type: str | None = None
    sweep: RID | None = None
    dataset: RID | None = None
    status: Status | None = None
    since: str | None = None
    where: Sequence[Comparison] = field(default_factory=list)
    order: Sequence[tuple[str, bool]] = field(default_factory=list)
    best: str | None = None
    runs_only: bool = False
    no_changes: bool = False


def parse_where(text: str) -> list[Comparison]:
    """Read conditions such as ``accuracy > 0.9 and model_config.l2 < 1``.

    A name with odd characters stands in backquotes, where two of them are one. A value is a number, ``true``,
    ``false``, ``nan``, ``none``, a text in quotes, or a word that stands for itself.

    Raises:
        DerivaMLRequestError: it is something else.
    """
    tokens, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise _wrong(text, f"there is no sense in {text[place:].strip()[:20]!r}")
        tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
        place = match.end()
    found = []
    while tokens:
        if len(tokens) < 3 or tokens[0][0] not in {"word", "quoted"} or tokens[1][0] != "operator":
            raise _wrong(text, "a condition is NAME > VALUE, or with another of = != < <= >=")
        (named, name), (_, operator), (kind, value) = tokens[:3]
        if kind == "operator":
            raise _wrong(text, f"there is no value after {operator}")
        name = name.replace("``", "`") if named == "quoted" else name
        found.append(Comparison(name, OPERATORS[operator], _value(kind, value)))
        tokens = tokens[3:]
        if tokens and (tokens[0] not in {("word", "and"), ("word", "AND")} or len(tokens) == 1):
            raise _wrong(text, f"conditions are joined by and, not by {tokens[0][1]!r}")
        tokens = tokens[1:]
    if not found:
        raise _wrong(text, "it is empty")
    return found


def _wrong(text: str, why: str) -> DerivaMLRequestError:
    return DerivaMLRequestError(f"the condition {text!r} cannot be read: {why}")


def _value(kind: str, text: str) -> int | float | str | None:
    if kind == "text":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    for number in (int, float):
        try:
            return as_cell(number(text))
        except ValueError:
            continue
    return _WORDS.get(text.lower(), text)


def as_cell(value: Any) -> int | float | str | None:
    """Return a value of JSON as a cell holds it, so that the database compares it.

    SQLite has no truth values, makes NULL of NaN, and takes whole numbers up to 64 bits and whole characters.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        try:
            value = float(value)
        except OverflowError:
            return float("-inf") if value < 0 else float("inf")
    if isinstance(value, float) and value != value:
        return "NaN"
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def parse_order(text: str, purpose: str = "sort by") -> list[tuple[str, bool]]:
    """Read names to sort by, such as ``-accuracy,model_config.l2``: a hyphen before one lets the greatest come first.

    Raises:
        DerivaMLRequestError: there is no name where one belongs.
    """
    found, place, more = [], 0, True
    while more:
        match = _NAME.match(text, place)
        if match is None:
            raise DerivaMLRequestError(
                f"{text!r} names nothing to {purpose}: give names parted by commas, odd ones in backquotes"
            )
        name = match["plain"] or match["quoted"].replace("``", "`")
        found.append((name, bool(match["minus"])))
        place, more = match.end(), bool(match["comma"])
    return found


def parse_columns(text: str) -> list[str]:
    """Read names of columns, parted by commas."""
    return ["-" * hyphen + name for name, hyphen in parse_order(text, "show")]


_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_since(text: str | datetime) -> str:
    """Return the time that ``2w``, ``3d``, ``12h`` or ``30m`` ago was, or a date or time in ISO 8601, as rows hold it.

    A text without a time zone is in UTC, as all times that are shown.

    Raises:
        DerivaMLRequestError: it is neither.
    """
    try:
        if isinstance(text, datetime):
            moment = text
        elif match := re.fullmatch(r"(\d{1,6})\s*([mhdw])", text := str(text).strip()):
            moment = datetime.now(UTC) - timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError) as error:
        raise DerivaMLRequestError(
            f"{text!r} is no time: give 2w, 3d, 12h or 30m for as long ago, or a date such as 2026-11-28"
        ) from error
