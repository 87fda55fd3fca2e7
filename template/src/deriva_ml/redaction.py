"""Keeps credentials out of what is recorded and said: by their names, by their shapes, and inside of any text."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
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
    kept = []
    depth = {"+": 0, "-": 0}  # of brackets around a credential, in the text after the change and before it
    hangs: dict[str, _Hanging | None] = dict.fromkeys(depth)
    for line in _PRIVATE_KEY.sub(_hide_lines, diff).split("\n"):
        if line.startswith(("@@", "diff ")):
            depth, hangs = dict.fromkeys(depth, 0), dict.fromkeys(depth)
        sides = {"+": "+", "-": "-", " ": "+-"}.get(line[:1], "")
        text = line[1:]
        hidden = any(depth[side] for side in sides)
        for side in sides:
            if hanging := hangs[side]:
                goes = hanging.takes(text)
                hidden = hidden or bool(goes and text.strip())
                hangs[side] = hanging if goes else None
        kept.append(line[0] + HIDDEN if hidden else _redact_text(line))
        for side in sides:
            depth[side] = _left_open(line, depth[side])[0] if depth[side] else _opened(line)
            hangs[side] = hangs[side] or _hanging(text)
    return "\n".join(kept)


def redact_override(override: str) -> str:
    """Return a Hydra override (`deriva_ml.credential=abc`) with the value of a credential replaced by `***`."""
    name, equals, value = override.partition("=")
    if equals and is_credential(name, value):
        return f"{name}={HIDDEN}"
    return name + equals + _redact_text(value)


def redact_addresses(text: str) -> str:
    """Return a text in which nothing but web addresses is masked: their users, passwords, tokens and signatures."""
    return _IN_QUERY.sub(_hide_in_query, _USER_OF_URL.sub(r"\1", text))


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
_IN_QUERY = re.compile(r"""([?&;])([\w.-]{1,80})=([^\s&;#"'<>]+)""")
_FLAG = re.compile(r"--?[A-Za-z][\w-]*")
_FLAGGED = re.compile(r"(?<![\w-])(--[A-Za-z][\w-]*+)([ \t]+)([^\s-]\S*)")
_NAMED = re.compile(r"""(?<![\w.@/+~-])([\w.@/+~-]++)\\?["']?[ \t]*+([=:])=?[ \t]*+""")
# A literal, which inside of another one, as in a notebook's file, has its quotes escaped. A bracket may nest: all
# that follows it is hidden.
_BRACKETED = r"""\"{3}.*?\"{3}|'{3}.*?'{3}|(?i:[rbfu]{0,2})\\?(?:\"[^"]*\"|'[^']*')|[\[{(].*"""
_VALUES = {
    "=": re.compile(rf"(?s:{_BRACKETED}|[^,\s&;]*)"),
    ":": re.compile(rf"(?s:{_BRACKETED}|[^,}}\]\n]*)"),
}
_NEXT_LINE = re.compile(r"(?:[|>][+-]?|\\)?[ \t]*(?=\r?\n|$)")
"""What stands behind a name whose value begins on the next line; in YAML and Python that may have a sign."""


def _redact_item(key: Any, item: Any) -> Any:
    tells_nothing = item is None or isinstance(item, bool) or item == ""
    return redact(item) if tells_nothing or not is_credential(str(key), item) else HIDDEN


def _redact_text(text: str) -> str:
    text = _PRIVATE_KEY.sub(HIDDEN, text)
    text = _TOKENS.sub(HIDDEN, redact_addresses(text))
    text = _SCHEME.sub(_hide_scheme, text)
    text = _FLAGGED.sub(_hide_flagged, text)
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
    if not isinstance(value, str):
        return False
    if word == "auth" and re.match(r"""\(\s*["'][^"']*["']\s*,""", value):
        return True
    text = value.strip().strip("\\\"'")
    if HIDDEN in text:  # masked by its form, where it was one
        return False
    if _TOKENS.fullmatch(text) or text.startswith("-----BEGIN "):
        return True
    if not re.fullmatch(r"[\w+/=.~%-]{16,}", text) or _UUID.fullmatch(text):
        return False
    if word.startswith("key") and _DIGEST.fullmatch(text):  # of what is looked up
        return False
    # Letters of both cases and digits follow each other: in words, dates and file names seldom, at random at every other place.
    kinds = re.sub("[a-z]", "a", re.sub("[A-Z]", "A", re.sub("[0-9]", "0", text)))
    changes = len(re.findall("(?=aA|Aa|a0|0a|A0|0A)", kinds))
    return any(one.isdigit() for one in text) and changes * 4 >= len(text)


_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST = re.compile(r"(?i)(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})")


def _hide_in_query(found: re.Match[str]) -> str:
    """Mask a parameter of an address; a signature there is one whatever it looks like."""
    before, name, value = found.groups()
    signs = name.lower() in {"sig", "signature"} or is_credential(name, value)
    return f"{before}{name}={HIDDEN if signs else value}"


def _hide_scheme(found: re.Match[str]) -> str:
    """Mask what stands after ``Bearer`` or ``Basic`` (RFC 6750, RFC 7617), unless it is a word."""
    name, space, value = found.groups()
    if name.lower() == "basic":
        try:
            is_one = b":" in b64decode(value, validate=True)
        except ValueError:
            is_one = False
    else:
        is_one = len(value) >= 24 or any(one.isdigit() for one in value)
    return f"{name}{space}{HIDDEN}" if is_one else found[0]


def _hide_flagged(found: re.Match[str]) -> str:
    flag, space, value = found.groups()
    return f"{flag}{space}{HIDDEN}" if is_credential(flag, value) else found[0]


def _hide_lines(found: re.Match[str]) -> str:
    """Return as many masked lines, each with its sign."""
    _, *lines = found[0].split("\n")
    return "\n".join([HIDDEN, *(line[:1] + HIDDEN for line in lines)])


class _Hanging:
    """A credential's value that begins on the line after its name: which lines are of it."""

    def __init__(self, indent: int) -> None:
        self._indent, self._begun = indent, False

    def takes(self, line: str) -> bool:
        """Whether this line is of the value: it is indented further, an item of a list, or first and a single word."""
        text = line.strip()
        deeper = _indent_of(line) > self._indent
        item = _indent_of(line) == self._indent and text.startswith("- ")
        word = not self._begun and not re.search(r"\s|[=:]$", text)
        if text:
            self._begun = True
        return not text or deeper or item or word


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _hanging(line: str) -> _Hanging | None:
    """Return the value that begins on the line after this one, if its last word is the name of a credential."""
    if line.rstrip()[-1:] not in {":", "=", "|", ">", "+", "-", "\\"}:
        return None
    *_, last = (None, *_NAMED.finditer(line))
    begins = last and _NEXT_LINE.fullmatch(line, last.end()) and is_credential(last[1])
    return _Hanging(_indent_of(line)) if begins else None


def _below(text: str, name: int, end_of_line: int) -> tuple[int, int]:
    """Return where the value lies that begins on the line after its name; without one, both are the line's end."""
    begun = text.rfind("\n", 0, name) + 1
    hanging = _Hanging(_indent_of(text[begun:name]))
    start = end = end_of_line
    at = text.find("\n", end_of_line)
    while at >= 0:
        following = text.find("\n", at + 1)
        line = text[at + 1 : following if following >= 0 else len(text)]
        if not hanging.takes(line):
            break
        if line.strip():
            if end == end_of_line:
                start = at + 1 + _indent_of(line)
            end = at + 1 + len(line.rstrip())
        at = following
    return start, end


def _opened(line: str) -> int:
    """Return how many brackets around a credential's value a line opens and does not close."""
    at = 0
    for name in _NAMED.finditer(line):
        if name.start() >= at and line[name.end() : name.end() + 1] in {"(", "[", "{"}:
            if is_credential(name[1]):
                depth, at = _left_open(line, 0, name.end())
                if depth:
                    return depth
    return 0


def _left_open(text: str, depth: int = 0, at: int = 0) -> tuple[int, int]:
    """Return how deep in brackets a text ends; and where they all were closed, if that is 0."""
    for found in re.compile(r"[()\[\]{}]").finditer(text, at):
        depth += 1 if found[0] in "([{" else -1
        if found[0] in ")]}" and depth <= 0:
            return 0, found.end()
    return depth, len(text)
