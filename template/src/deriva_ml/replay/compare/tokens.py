"""What in a line of text may differ from run to run, and whether two such texts stand for the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from deriva_ml.replay.compare.terms import CLOSE, DAY, OPEN, RunTerms, Terms

LONGEST = 1 << 18
"""Characters of a line that is looked into; a longer one is compared as it is."""

ALIGNED = 8
"""Bytes of which the address of an object, which ``id()`` returns, is a multiple."""

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
_ZONE = r"(?:[ ](?:GMT|UTC|[+-]\d{4}))?"
_UNIT = r"(?:ns|[µuμm]s|s|secs?|seconds?|mins?|minutes?|hrs?|hours?|(?:micro|milli|nano)seconds?)"
_NUMBER = r"\d{1,20}(?:,\d{3}){0,4}(?:[.,]\d{1,20})?(?:e[-+]?\d{1,3})?"
_FLOAT = r"\d+\.\d+(?:e[-+]?\d+)?"
_SPAN = rf"{_NUMBER}[ ]?(?:{_UNIT}(?![\w/^*²])|h(?=[ ]?\d|(?![\w/]))|m(?=[ ]?\d{{1,3}}(?:[.,]\d{{1,9}})?[ ]?s(?!\w)))"
_HEX = "[0-9a-fA-F]"

TIMED = re.compile(
    r"(?:(?:mean|std|min|max|total)_)?"
    r"(?:(?:fit|fitting|score|scoring|train|training|infer|inference|predict|prediction|eval|evaluation|wall|cpu"
    r"|run|running|exec|execution|comput(?:e|ing|ation)|process|processing|load|loading|epoch|step|elapsed|total|test)"
    r"[ _-]?(?:time|runtime|seconds|secs|duration|(?:samples|steps)_per_second)(?:[ _-]?(?:s|ms|sec|seconds?|in[ _]s))?"
    r"|elapsed|runtime|walltime|time[ _](?:taken|elapsed|spent)|took)",
    re.IGNORECASE,
)
"""What measured durations are called; those of sklearn's ``cross_validate`` and searches are ``mean_fit_time`` and so on."""

_FLOATING = (
    r"(?:(?<![\w.)\]])[-+])?(?<![\w.])"
    r"(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?(?!\.?\d|\.\w)|\d+[eE][-+]?\d+(?![\w.]))"
)
_NUMBER_TOKEN = re.compile(rf"(?P<number>{_FLOATING}|(?<![\w.])(?:nan|inf|NaN|Infinity)(?![\w.]))")

# Grouped by what a token begins with: at most places in a text it is none of these, which is then seen at once.
_TOKEN = re.compile(
    rf"""
    (?<!\w)(?=[A-Za-z])(?:
        (?P<picture> data:image/[\w.+-]+;base64,[A-Za-z0-9+/=]+ )
      | (?P<moment>
            {_DAY}[ ]{_MONTH}[ ]{{1,2}}\d\d?[ ]\d\d:\d\d:\d\d(?:[ ][A-Z]{{3,4}})?[ ]\d{{4}}\b
          | {_DAY},?[ ]\d\d?[ -]{_MONTH}[ -]\d{{4}},?[ ]\d\d:\d\d(?::\d\d)?{_ZONE}
          | {_MONTH}[ ]\d\d?,?[ ]\d{{4}},?[ ]\d\d:\d\d(?::\d\d)?\b
          | {_MONTH}[ ]\d\d?,[ ]\d{{4}}\b
          | {_MONTH}[ ]{{1,2}}\d\d?[ ]\d\d:\d\d(?::\d\d)?(?![\w:]) )
      | (?P<clock> [IWEF]\d{{4}}[ ]\d\d:\d\d:\d+\.\d+[ ]+\d+(?=[ ]) )
      | (?P<timed> (?i:{TIMED.pattern})(?:[ ]\(?(?:in[ ])?{_UNIT}\)?)?["']?[ ]{{0,9}}[:=]?[ ]{{0,9}}(?:{_FLOAT}(?![\w.]|[ ]?{_UNIT}\b)
            | (?:array\()?\[[\d.e+, -]*\]\)?) )
      | (?P<process> ipykernel_\d+(?:/\d+\.py)? | (?:pid|PID)[ ]?[=:]?[ ]?\d+\b | ForkPoolWorker-\d+ )
      | (?P<port> localhost:\d{{4,5}}\b )
      | (?P<path> [A-Za-z]:(?:\\{{1,2}}[\w.+@~=-]+){{2,}} )
      | (?P<number> (?:nan|inf|NaN|Infinity)(?![\w.]) )
      | (?P<uuid> {_HEX}{{8}}-{_HEX}{{4}}-[1467]{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}\b ) )
  | (?<![A-Za-z0-9.])(?P<moment2> (?:\d{{8}}[T_-]\d{{6}} | \d{{4}}-\d\d-\d\d[T_/@ ]\d\d[-:]\d\d[-:]\d\d(?=[^:.,\d+Z-]|$)
      | (?<=_)\d{{4}}-\d\d-\d\d(?=[_.]) | (?<=_)20\d{{6}}(?=[_.]) )(?!\d) )
  | (?<![A-Za-z0-9])(?P<uuid2> [0-9a-f]{{12}}4[0-9a-f]{{3}}[89ab][0-9a-f]{{15}}(?![0-9a-fA-F]) )
  | (?<![\w.])(?=\d)(?:
        (?P<moment3>
            \d{{4}}(?P<mark>[-/])\d\d(?P=mark)\d\d
                [T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[ ]?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?(?![\w:])
          | \d\d?[ -]{_MONTH}[ -]\d{{4}},?[ ]\d\d:\d\d(?::\d\d)?{_ZONE}
          | (?<!/)\d\d?[/.]\d\d?[/.]\d{{4}},?[ ]\d\d?:\d\d(?::\d\d)?(?:[ ][AP]M)?
          | (?<!-)\d{{4}}(?P<dash>[-/])\d\d(?P=dash)\d\d(?![\w-])
          | \d\d?[ ]{_MONTH}[ ]\d{{4}}\b )
      | (?P<clock2> (?<!:)\d{{1,3}}:[0-5]\d:[0-5]\d(?:[.,]\d+)?(?:[ ][AP]M)?(?![\w:]) )
      | (?P<rate> (?<!,){_NUMBER}[ ]?(?:
            (?:it|iters?|iterations?|steps?|samples?|examples?|images?|imgs?|batch(?:es)?|tok|tokens?|rows?|files?
            |records?|epochs?|[kKMG]?i?B|bytes)/s(?:ec(?:ond)?)?
          | [mµuμn]?s(?:ec)?/(?:it|iter|iteration|step|sample|example|image|batch|epoch|token))(?!\w) )
      | (?P<loops> (?<!,)\d[\d,]{{0,12}}(?=[ ]loops?[ ]each\b|[ ]loops?,[ ]best[ ]of) )
      | (?P<stamp> 1[5-9]\d{{8}}(?:\d{{3}}|\d{{6}}|\d{{9}})?(?!\.?\w|\.\d) )
      | (?P<duration> (?<![,:/-]){_SPAN}(?:,?[ ]?(?:and[ ])?{_SPAN}){{0,5}} )
      | (?P<uuid3> {_HEX}{{8}}-{_HEX}{{4}}-[1467]{_HEX}{{3}}-[89abAB]{_HEX}{{3}}-{_HEX}{{12}}\b )
      | (?P<address> (?<=\bat[ ])0x{_HEX}{{6,16}}\b | 0x(?:7f|55|56){_HEX}{{10}}\b
          | (?:13[89]|140)\d{{12}}(?![\w.]) | (?:(?<=\bid[ ])|(?<=\bid[=:(])|(?<=\bid:[ ]))\d{{13,16}}\b )
      | (?P<port2> 127\.0\.0\.1:\d{{4,5}}\b ) )
  | (?P<path2> {OPEN}[^{CLOSE}]{{1,99}}{CLOSE}(?:/[\w.+@~=-]+)+/? )
  | (?P<path3> (?=/)(?<![\w:/.{CLOSE}<-])(?:/[\w.+@~=-]+){{2,}}/? )
  | (?=[-+.\d])(?P<number2> {_FLOATING} )
    """,
    re.VERBOSE,
)

_ABOUT_TIME = re.compile(
    r"(?:half-?li(?:fe|ves)|lifetimes?|periods?|tau|lags?|timeouts?|intervals?|windows?|delays?|every|cut-?offs?|horizon"
    r"|resolution|dt|thresholds?|sampl\w+|decay|budget|limit|deadline|up to|at least|at most|ttl|patience"
    r"|reaction|onset|offset|peak|rise|fall|constant|relaxation|recovery|refractory|survival|pulse|stimulus|exposure"
    r"|dwell|settling|spikes?|width|\bt|\bRT|\bISI|\bTR|\bTE)"
    r"(?:[ _-](?:times?|durations?|lengths?))?\W*(?:of|is|was|at|to|=|:)?\W*$",
    re.IGNORECASE,
)
"""Words before a duration that was set, or found, and not measured of the run."""

_ABOUT_RATE = re.compile(
    r"\b(?:sampl(?:ing|e)|bit|frame|data|baud|refresh|learning)[ _-]?rate\W*(?:of|is|was|=|:)?\W*$",
    re.IGNORECASE,
)
"""Words before a rate that was set."""

_VERSION = re.compile(r"(?:\b(?:version|release|revision)s?\W{0,3}|[=<>~!]=[ ]?)$", re.IGNORECASE)
"""What stands before a version, which is no number: 2.10 is not 2.1."""

_DIGEST = re.compile(
    r"\b(?:md5|sha\d*|hash|digest|checksum|etag|fingerprint)(?:sum)?\W{0,4}(?:of|is|was|to)?\W{0,3}$",
    re.IGNORECASE,
)
"""Words before a digest, which may look like an identifier that is made anew each time."""

_NOT_AFTER = {"duration": _ABOUT_TIME, "rate": _ABOUT_RATE, "number": _VERSION, "uuid": _DIGEST}
"""What a kind of token is none after."""

_SECONDS = {
    "n": 1e-9,
    "µ": 1e-6,
    "u": 1e-6,
    "μ": 1e-6,
    "mic": 1e-6,
    "ms": 1e-3,
    "mil": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}


class Token(NamedTuple):
    """A piece of a line that may differ, and the text since the one before it.

    Attributes:
        before: what comes before it, which has to be the same in both.
        kind: the pattern's name; empty for the end of the line.
        text: the piece.
    """

    before: str
    kind: str
    text: str


def tokens(line: str, only: str = "") -> list[Token]:
    """Return a line in tokens; the last one is its rest.

    Args:
        only: the kind of all tokens; empty for all kinds.
    """
    found, at = [], 0
    for match in (_NUMBER_TOKEN if only == "number" else _TOKEN).finditer(line):
        kind = (match.lastgroup or "").rstrip("23")
        found.append(Token(line[at : match.start()], kind, match[0]))
        at = match.end()
    return [*found, Token(line[at:], "", "")]


def _zeros(number: str) -> str:
    """Return a number without the zeros at its end, which rounding does not leave: 3.10 is a version, and not 3.1."""
    return number.rstrip("0") if re.fullmatch(r"[-+]?\d*\.\d+", number) else number


def same(a: Token, b: Token, terms: Terms) -> str:
    """Return as what two tokens of a kind, which are not the same text, stand for the same; empty if they do not.

    Args:
        a: of the recorded run.
        b: of the repeated one.
    """
    other = _NOT_AFTER.get(a.kind)
    if other and (other.search(a.before[-40:]) or other.search(b.before[-40:])):
        return ""
    good = True
    match a.kind:
        case "number":
            if a.text.endswith(".") and b.text.endswith(
                "."
            ):  # a whole number, perhaps at the end of a sentence
                good = float(a.text) == float(b.text) and max(len(a.text), len(b.text)) < 17
            elif _zeros(a.text) == _zeros(b.text):
                good = False
            elif not terms.close(float(a.text), float(b.text)):
                return "stamp" if terms.own_stamps(float(a.text), float(b.text)) else ""
        case "stamp":
            good = terms.own_stamps(float(a.text), float(b.text))
        case "path":
            good = _same_path(timeless(a.text, terms.recorded), timeless(b.text, terms.repeated))
        case "address" if a.text.isdigit() and b.text.isdigit():
            good = int(a.text) % ALIGNED == int(b.text) % ALIGNED == 0
        case "uuid" | "address" | "port" | "loops" | "rate":
            pass
        case "process":
            good = re.sub(r"\d+", "", a.text) == re.sub(r"\d+", "", b.text)
        case _:
            good = a.kind != "timed" or _timed_name(a.text) == _timed_name(b.text)
            good = good and _own(a, terms.recorded) and _own(b, terms.repeated)
    return a.kind if good else ""


def _own(token: Token, side: RunTerms) -> bool:
    """Whether a moment or a duration is of the run that a text is from."""
    match token.kind:
        case "moment":
            return is_own_moment(token.text, side)
        case "clock":
            if token.text[0] in "IWEF":  # the prefix of a line that glog writes, with its thread
                return True
            hours, minutes, seconds = re.findall(r"\d+(?:[.,]\d+)?", token.text)[:3]
            total = int(hours) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
            return side.could_take(total) or side.is_own_clock(total)
        case "timed":
            numbers = re.findall(rf"{_FLOAT}", token.text)
            return bool(numbers) and side.could_take(max(map(float, numbers)))
        case "duration":
            if re.search(r"\b(?:CPU times|user|sys|total|cumulative)\W*$", token.before):
                return True  # of several cores
            return side.could_take(_seconds(token.text))
    return False


def _timed_name(text: str) -> str:
    name, values = re.split(r"(?=\d|array\(|\[)", text, maxsplit=1)
    return f"{name}{values.count(',')}"


def _seconds(text: str) -> float:
    total = 0.0
    for number, unit in re.findall(rf"({_NUMBER})[ ]?([a-zA-Zµμ]+)", text):
        factor = next(value for start, value in _SECONDS.items() if unit.lower().startswith(start))
        total += float(number.replace(",", "")) * factor
    return total


_FORMATS = (
    "%b %d %H:%M %Y", "%b %d %H:%M:%S %Y", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%a %b %d %H:%M:%S %Y", "%d %b %Y %H:%M:%S", "%d %b %Y %H:%M", "%d %B %Y %H:%M:%S", "%d %B %Y %H:%M",
    "%B %d %Y %H:%M:%S", "%B %d %Y %H:%M", "%b %d %Y %H:%M:%S", "%b %d %Y %H:%M",
    "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p",
    "%Y-%m-%d", "%Y/%m/%d", "%d %b %Y", "%d %B %Y", "%B %d %Y", "%b %d %Y",
)  # fmt: skip


def moments(text: str) -> Iterator[tuple[datetime, float]]:
    """Yield what a date and time may mean, and the seconds that it leaves out."""
    if re.fullmatch(r"\d{4}-?\d\d-?\d\d[T_/@ -]\d\d[-:]?\d\d[-:]?\d\d", text):
        text = re.sub(r"\D", "", text)
        text = f"{text[:8]}T{text[8:]}"
    try:
        # A comma before the fraction, as logging writes it; a zone without a colon is taken by Python.
        found = datetime.fromisoformat(re.sub(r"[ ]?(?:UTC|GMT)$", "Z", re.sub(r"(?<=:\d\d),", ".", text)))
        yield found, DAY if len(text) <= 10 else 60.0 if re.search(r"[T ]\d\d:\d\d(?![:\d])", text) else 1.0
        return
    except ValueError:
        pass
    zone = re.search(r"[ ](?:GMT|UTC|[A-Z]{3,4}(?=[ ]\d{4}$)|[+-]\d{4})$", text)
    cleaned = re.sub(r"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (?=\d)|[ ](?:GMT|UTC|[+-]\d{4})$", "", text)
    cleaned = re.sub(r"(?<=\d\d:\d\d:\d\d)[ ][A-Z]{3,4}(?=[ ]\d{4}$)", "", cleaned)
    cleaned = " ".join(re.sub(r"(?<=\d)-(?=[A-Z])|(?<=[a-z])-(?=\d)|,", " ", cleaned).split())
    for form in _FORMATS:
        try:
            found = datetime.strptime(cleaned, form)
        except ValueError:
            continue
        if zone and zone[0].strip() in {"GMT", "UTC"}:
            found = found.replace(tzinfo=UTC)
        yield found, DAY if "%H" not in form and "%I" not in form else 1.0 if "%S" in form else 60.0


def is_own_moment(text: str, side: RunTerms) -> bool:
    """Whether a date, with its time or alone, is one at which the run ran."""
    if not re.search(r"\d{4}", text):  # as in a listing of files
        text = f"{text} {datetime.fromtimestamp(side.span[0], UTC).year if side.span else 2000}"
    return any(
        side.is_own_moment(
            (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp(),
            found.tzinfo is not None,
            precision,
        )
        for found, precision in moments(text)
    )


_TEMPORARY = re.compile(
    r"/(?:private/)?(?:var/)?tmp|(?:/private)?/var/folders/\w+/\w+/T|[A-Z]:/Users/[^/]+/AppData/Local/Temp"
)
_MADE = re.compile(r"/(?P<prefix>[\w.+-]*?)(?P<random>[a-z0-9_]{8})(?P<suffix>\.\w+)?(?=/|$)")
"""The name of a temporary file or folder, as Python's ``tempfile`` makes them."""
_PYTHON = re.compile(
    r".*/(?=lib/python3\.\d+/)|.*/(?=(?:Lib/)?site-packages/)|.*/(?=deriva_ml/[\w/]+\.py$)"
    r"|.*/(?:\.?venv|environments/[\w.-]+)(?=/|$)"
)
"""Where Python's packages are, or the runner, or an environment; the repeated run has these elsewhere."""
_HOME = re.compile(r"(?:/(?:home|Users)/[^/]+|/root|[A-Z]:/Users/[^/]+)(?=/|$)")


STAMP = re.compile(
    r"(?<![A-Za-z0-9])(?:\d{8}(?:[T_-]\d{4}(?:\d\d)?)?|\d{4}-\d\d-\d\d(?:[T_/@ -]\d\d[-:.]\d\d(?:[-:.]\d\d)?)?)(?!\d)"
)
"""A date, or a moment, as names of files and folders have it."""


def _parted(path: str) -> tuple[str, str]:
    """Return the part of an absolute path that is each machine's, and the rest."""
    path = re.sub(r"ipykernel_\d+(?:/\d+\.py)?", "ipykernel", re.sub(r"\\+", "/", path))
    path = re.sub(r"(?<=/)tmp[a-z0-9_]{8}(?=[./]|$)", "tmp*", path)
    if python := _PYTHON.match(path):
        return python[0], path[python.end() :]
    if temporary := _TEMPORARY.match(path):
        made = _MADE.match(path, temporary.end())
        if made and re.search(r"[\d_]", made["random"]):
            rest = f"{made['prefix']}*{made['suffix'] or ''}{path[made.end() :]}"
            return path[: made.end()], f"<temporary>/{rest}"
        return temporary[0], f"<temporary>{path[temporary.end() :]}"
    home = _HOME.match(path)
    return (home[0], path[home.end() :]) if home else ("", path)


def timeless(path: str, side: RunTerms) -> str:
    """Return a path, or a name, without what it says of the run's own time."""
    return STAMP.sub(lambda found: "*" if is_own_moment(found[0], side) else found[0], path)


def _same_path(recorded: str, repeated: str) -> bool:
    """Whether two absolute paths name the same file in two places; one beside another in the same place is another."""
    (root, rest), (other_root, other_rest) = _parted(recorded), _parted(repeated)
    if rest == other_rest:
        return True
    if OPEN in recorded or OPEN in repeated or (root == other_root and root):
        return False
    ours, theirs = rest.strip("/").split("/"), other_rest.strip("/").split("/")
    return ours[-1] == theirs[-1] and ours[0] != theirs[0] and min(len(ours), len(theirs)) > 2
