"""Keeps credentials out of what is recorded and said: by their names, by their shapes, and inside of any text."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

HIDDEN = "***"
"""What stands in a record where a credential was."""


def redact(value: Any) -> Any:
    """Return a copy of a parameter or configuration value that may be recorded.

    At any depth, what stands under the name of a credential (`hf_token`, `apiKey`; not `max_tokens`) becomes
    `***`, unless it is empty or a bool; under a name that may mean something else (`session`, `key`), only what looks
    like a credential. In strings, the user and password of a URL go, what follows such a name, and what is a
    credential by its form, such as `ghp_...` or a private key.
    """
    if isinstance(value, Mapping):
        return {key: _redact_item(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [redact(item) for item in value]
        for place, word in enumerate(value[:-1]):  # of a command line: --password abc
            if isinstance(word, str) and _FLAG.fullmatch(word) and is_credential(word, value[place + 1]):
                items[place + 1] = HIDDEN
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, str):
        return _redact_text(value)
    return value


def redact_diff(diff: str) -> str:
    """Return a diff with each line as ``redact`` makes it; of a value over several lines, each line goes."""
    lines = _PRIVATE_KEY.sub(_hide_lines, diff).split("\n")
    hunks = [number for number, line in enumerate(lines) if line.startswith(("@@", "diff "))]
    hidden: set[int] = set()
    for first, last in pairwise([0, *hunks, len(lines)]):
        for side in ("+", "-"):  # the text after the change, and before it
            numbers = [number for number in range(first, last) if lines[number][:1] in {side, " "}]
            text = "\n".join(lines[number][1:] for number in numbers)
            row = at = 0
            for start, end in _continued(text):
                row, at = row + text.count("\n", at, start), start
                below = numbers[row + 1 : row + 1 + text.count("\n", start, end)]
                hidden.update(number for number in below if lines[number][1:].strip())
    masked = (
        line[0] + HIDDEN if number in hidden else _redact_text(line) for number, line in enumerate(lines)
    )
    return "\n".join(masked)


def redact_override(override: str) -> str:
    """Return a Hydra override (`deriva_ml.credential=abc`) with the value of a credential replaced by `***`."""
    name, equals, value = override.partition("=")
    if equals and is_credential(name, value):
        return f"{name}={HIDDEN}"
    return name + equals + _redact_text(value)


def redact_command(argv: Sequence[str]) -> list[str]:
    """Return a command line as it may be recorded: without the value of a credential, also after ``-p NAME``."""
    shown = [redact_override(word) for word in argv]
    for place, word in enumerate(argv[:-2]):
        if word in {"-p", "--parameter"} and is_credential(argv[place + 1], argv[place + 2]):
            shown[place + 2] = HIDDEN
    return shown


def redact_addresses(text: str) -> str:
    """Return a text in which nothing but web addresses is masked: their users, passwords, tokens and signatures."""
    return _IN_QUERY.sub(_hide_value, _USER_OF_URL.sub(r"\1", text))


def is_credential(name: str, value: Any = "") -> bool:
    """Whether a word of the name `name`, or some in a row, say that its value is a credential.

    Args:
        value: decides where the name's last word may mean something else, as `key` and `session` do.
    """
    said = _said_by(name)
    return said == CREDENTIAL or (said != "" and _looks_like_one(value, said))


CREDENTIAL = "credential"


def _said_by(name: str) -> str:
    """Return ``CREDENTIAL`` for the name of one, the word in a name that may be one, or nothing."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    words = _TEXT_TOKENS.sub("", re.sub(r"[^a-z0-9]+", "_", words).strip("_"))
    if _CREDENTIALS.search(words):
        return CREDENTIAL
    ambiguous = _AMBIGUOUS.search(words)
    return ambiguous[1] if ambiguous else ""


_CREDENTIALS = re.compile(
    "(?:^|_)(?:credentials?|passwords?|passwd|pwd|passphrases?|passcode|secrets?|secret_?key|client_?secret|bearer"
    "|token|(?:access|api|auth|bearer|refresh)_?tokens?|session_?(?:id|key|token)|webauthn"
    "|(?:api|access|private|signing|encryption|account)_?keys?|cookies?|authorization"
    "|(?:amz|goog)_signature)(?:_|$)"
)
_AMBIGUOUS = re.compile("(?:^|_)(session|pat|auth|keys?|pass|pw|sid|sig|signature|jwt)$")
"""Last words of names that are as often something else: what is masked without need cannot be run again."""
# A language model's tokens are no secrets: without their names its run could not be repeated.
_TEXT_TOKENS = re.compile(
    "(?:^|(?<=_))(?:(?:pad|eos|bos|unk|mask|sep|cls|start|end|stop|special)_token"
    "|token_(?:count|ids?|types?|length|limit|size|dim|dropout|embeddings?))(?=_|$)"
)

# Forms of credentials, wherever they stand. Their makers chose the beginnings so that they can be found: GitHub, GitLab,
# Hugging Face, PyPI, npm, Slack, Stripe, AWS, Google, SendGrid; JSON Web Tokens (RFC 7519). The one of OpenAI and
# others, sk-, begins names as well: what follows it has to be long.
_TOKENS = re.compile(
    r"""(?<![A-Za-z0-9])(?:
      gh[opsur]_\w{20,} | github_pat_\w{20,} | gl(?:pat|dt|rt|ptt|soat|cbt|ft|agent)-[\w-]{16,}
    | hf_[A-Za-z0-9]{20,} | (?:pypi|sk(?:-(?:proj|svcacct|ant-\w{1,12}|or-v\d))?)-\w{16}[\w-]* | npm_[A-Za-z0-9]{30,}
    | xox[a-z]-[\w-]{8,} | xapp-[\w-]{16,} | [sr]k_(?:live|test)_\w{16,} | (?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])
    | AIza[\w-]{30,} | ya29\.[\w-]{16,} | SG\.[\w-]{16,}\.[\w-]{16,} | glsa_\w{20,} | dckr_pat_[\w-]{16,}
    | eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?
    )""",
    re.VERBOSE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:[^-]++|-(?!----))*+(?:-{5,6}END [A-Z0-9 ]{0,50}-----)?"
)
_SCHEME = re.compile(r"\b([Bb]earer|BEARER|[Bb]asic)([ \t]+)([\w.~+/=-]{5,})")

# Each pattern starts only where a run of its characters does, so that a long string takes linear time.
_USER_OF_URL = re.compile(r"(?i)(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*+://)[^\s/?#]*@")
_IN_QUERY = re.compile(r"""([?&;])(?P<name>[\w.-]{1,80})=(?P<value>[^\s&;#"'<>]+)""")
_FLAG = re.compile(r"--?[A-Za-z][\w-]*")
_FLAGGED = re.compile(r"(?<![\w-])(?P<name>--[A-Za-z][\w-]*+)[ \t]+(?P<value>[^\s-]\S*)")
_NAMED = re.compile(r"""(?<![\w.@/+~-])([\w.@/+~-]++)\\?["']?[ \t]*+([=:])=?[ \t]*+""")
# A literal, which inside of another one, as in a notebook's file, has its quotes escaped. A bracket may nest: all
# that follows it is hidden.
_BRACKETED = r"""\"{3}.*?\"{3}|'{3}.*?'{3}|(?i:[rbfu]{0,2})\\?(?:\"[^"]*\"|'[^']*')|[\[{(].*"""
_VALUES = {
    "=": re.compile(rf"(?s:{_BRACKETED}|[^,\s&;]*)"),
    ":": re.compile(rf"(?s:{_BRACKETED}|[^,}}\]\n]*)"),
}
_TRIPLE = re.compile(r"""(?i:[rbfu]{0,2})(\"{3}|'{3})""")
_LINE = re.compile(r"\n([ \t]*)(.*)")
_NEXT_LINE = re.compile(r"(?:[|>][+-]?|\\)?[ \t]*(?=\r?\n|$)")
"""What stands behind a name whose value begins on the next line; in YAML and Python that may have a sign."""


def _redact_item(key: Any, item: Any) -> Any:
    tells_nothing = item is None or isinstance(item, bool) or item == ""
    return redact(item) if tells_nothing or not is_credential(str(key), item) else HIDDEN


def _redact_text(text: str) -> str:
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _TOKENS.sub(HIDDEN, redact_addresses(text))
    text = _SCHEME.sub(_hide_scheme, text)
    text = _FLAGGED.sub(_hide_value, text)
    kept, at = [], 0
    for name in _NAMED.finditer(text):
        said = _said_by(name[1]) if name.start() >= at else ""
        if not said:
            continue
        start = name.end()
        value = _VALUES[name[2]].match(text, start, len(text) if said == CREDENTIAL else start + LONGEST)
        end = value.end() if value else len(text)
        if said != CREDENTIAL and not _looks_like_one(text[start:end], said):
            continue
        if after := _NEXT_LINE.match(text, start):
            start, end = _below(text, name.start(), after.end())
        kept += [text[at:start], HIDDEN if end > start else ""]
        at = end
    return "".join([*kept, text[at:]])


LONGEST = 512
"""Characters that are looked at, to tell whether a value is a credential."""


def _looks_like_one(value: Any, word: str) -> bool:
    """Whether a value has a credential's shape: long, of one piece, and as mixed as chance makes it."""
    if isinstance(value, list | tuple):  # user and password, as requests takes them
        return word == "auth" and len(value) == 2 and all(isinstance(one, str) for one in value)
    text = value.strip().strip("\\\"'") if isinstance(value, str) else ""
    if word == "auth" and re.match(r"""\(\s*["'][^"']*["']\s*,""", text):
        return True
    if _TOKENS.fullmatch(text) or text.startswith("-----BEGIN "):
        return True
    looked_up = word.startswith("key") and _DIGEST.fullmatch(text)
    if looked_up or _UUID.fullmatch(text) or not re.fullmatch(r"[\w+/=.~%-]{16,}", text):
        return False
    # Letters of both cases and digits follow each other: in words, dates and file names seldom, at random at every other place.
    kinds = re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub("[0-9]", "0", text)))
    changes = len(re.findall("(?=aA|Aa|a0|0a|A0|0A)", kinds))
    return any(one.isdigit() for one in text) and changes * 4 >= len(text)


_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"(?i)(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})")


def _hide_value(found: re.Match[str]) -> str:
    """Mask the value at the end of a flag, or of a parameter of an address; a signature there is one whatever it looks like."""
    signs = found[1] in {"?", "&", ";"} and found["name"].lower() in {"sig", "signature"}
    if signs or is_credential(found["name"], found["value"]):
        return found[0].removesuffix(found["value"]) + HIDDEN
    return found[0]


def _hide_scheme(found: re.Match[str]) -> str:
    """Mask what stands after ``Bearer`` or ``Basic`` (RFC 6750, RFC 7617), unless it is a word."""
    name, space, value = found.groups()
    is_one = name.lower() != "basic" and (len(value) >= 24 or any(one.isdigit() for one in value))
    if name.lower() == "basic":
        with suppress(ValueError):
            is_one = b":" in b64decode(value, validate=True)
    return f"{name}{space}{HIDDEN}" if is_one else found[0]


def _hide_lines(found: re.Match[str]) -> str:
    """Return as many masked lines, each with its sign."""
    _, *lines = found[0].split("\n")
    return "\n".join([HIDDEN, *(line[:1] + HIDDEN for line in lines)])


def _continued(text: str) -> Iterator[tuple[int, int]]:
    """Return where credentials' values begin and end that may take several lines."""
    end = 0
    for name in _NAMED.finditer(text):
        start = name.end()
        if name.start() < end or not is_credential(name[1]):
            continue
        if after := _NEXT_LINE.match(text, start):
            end = _below(text, name.start(), after.end())[1]
        elif quotes := _TRIPLE.match(text, start):
            end = text.find(quotes[1], quotes.end()) + 3
            end = end if end > start else len(text)
        elif text[start : start + 1] in {"(", "[", "{"}:
            end = _closed(text, start)
        else:
            continue
        yield start, end


def _below(text: str, name: int, end_of_line: int) -> tuple[int, int]:
    """Return where the value lies that begins on the line after its name; without one, both are the line's end.

    Of the value are lines that are indented further, items of a list, and first of all a single word.
    """
    before = text[text.rfind("\n", 0, name) + 1 : name]
    indent = len(before) - len(before.lstrip(" \t"))
    start = end = end_of_line
    for line in _LINE.finditer(text, end_of_line):
        words, depth = line[2].strip(), len(line[1])
        if not words:
            continue
        word = end == end_of_line and not re.search(r"\s|[=:]$", words)
        if not word and depth < indent + (not words.startswith("- ")):
            break
        if end == end_of_line:
            start = line.start(2)
        end = line.start(2) + len(line[2].rstrip())
    return start, end


def _closed(text: str, at: int) -> int:
    """Return where the bracket is closed that opens here; the text's end if it is not."""
    depth = 0
    for found in re.compile(r"[()\[\]{}]").finditer(text, at):
        depth += 1 if found[0] in "([{" else -1
        if depth <= 0:
            return found.end()
    return len(text)
