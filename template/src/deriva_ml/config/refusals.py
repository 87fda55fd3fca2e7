"""What Hydra and OmegaConf refuse, told in one line that says how to mend it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra_zen import store
from omegaconf.errors import InterpolationKeyError

from deriva_ml.config.quoting import apart, quoted
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.terminal import one_line, suggest

LONGEST_SHOWN = 120
"""Characters of an override that a message repeats."""

# The words of Hydra 1.3 and OmegaConf 2.3:
PLACE = " full_key: "
LEFT_OUT = (" Config search path:", " See https://", " To append to your config use ", PLACE)
UNKNOWN_KEY = re.compile(r"Could not override '(\w+)'")


ENGINE = re.compile(r"[+]*hydra[/.](?:launcher|sweeper)(?:[/.@=]|$)")
"""Overrides of the part of Hydra's own settings that says how the jobs of a sweep are launched, and chosen."""


def refuse_unheeded(overrides: Sequence[str]) -> None:
    """See that no override sets what runs do not go by, but for the path that Hydra finds configurations on.

    Raises:
        DerivaMLRequestError: one is of Hydra's own part of the configuration.
    """
    for word in overrides:
        if ENGINE.match(word):
            raise DerivaMLRequestError(for_sweeps(shorten(word)))
        if re.match(r"[~+]*hydra(?!\.searchpath=)([./@=]|$)", word):
            raise DerivaMLRequestError(
                f"{shorten(word)}: runs do not go by Hydra's own settings, but for a sweep's hydra/launcher and"
                " hydra/sweeper: leave it out"
            )


def for_sweeps(what: str) -> str:
    """Return why an override or a flag of sweeps is refused where there is none."""
    return (
        f"{what} is for the jobs of a sweep: it goes with --multirun, +multirun=NAME or, for parameters of a notebook,"
        " --sweep"
    )


def refuse(name: str, overrides: Sequence[str], error: Exception, fails: Callable[[int], bool]) -> NoReturn:
    """Tell why the configuration ``name`` cannot be composed with these overrides, and what to type instead.

    Args:
        error: what Hydra raised.
        fails: whether it does so for the first so many of the overrides.

    Raises:
        DerivaMLRequestError: always.
    """
    parsed = read(overrides)
    for word, item in zip(overrides, parsed, strict=True):
        if item.is_sweep_override():
            key, value = word.split("=", 1)
            ways = " or ".join(shlex.quote(f"{key}={way}") for way in (f"[{value}]", quoted(value, '"')))
            one = f"; as one value write {ways}" if "(" not in value else ""
            raise DerivaMLRequestError(
                f"{shorten(word)} stands for several runs, which --multirun makes{one}"
            ) from error
    wrong = [item for item in parsed if item.key_or_group in store.groups and not _names_entries(item)]
    if wrong:
        named = " ".join(shorten(item.input_line) for item in wrong)
        raise DerivaMLRequestError(
            f"{named}: a group takes the name of an entry, as --list-configs shows ({_own_words(error)})"
        ) from error
    text = summarize_error(error) if isinstance(error, HydraException) else _own_words(error)
    for word in overrides:
        text = text.replace(word, shorten(word)) if word else text
    if not isinstance(error, HydraException) and not fails(0):
        guilty = next(place for place in range(len(overrides)) if fails(place + 1))
        text = f"{shorten(overrides[guilty])}: {text}"
    raise DerivaMLRequestError(text + _suggest(name, error)) from error


def read(overrides: Sequence[str], config_loader: Any = None, *, several: bool = False) -> list[Any]:
    """Parse overrides as Hydra does.

    Args:
        several: whether commas part several values, in what is to be typed instead.

    Raises:
        DerivaMLRequestError: one cannot be read; the message has what to type instead.
    """
    parser = OverridesParser.create(config_loader)
    parsed = []
    for place, word in enumerate(overrides):
        try:
            [item] = parser.parse_overrides([word])
        except HydraException as error:
            raise DerivaMLRequestError(_unreadable(overrides, place, error, several)) from error
        if not item.key_or_group:
            raise DerivaMLRequestError(_no_override(overrides, place))
        parsed.append(item)
    return parsed


def _unreadable(overrides: Sequence[str], place: int, error: Exception, several: bool) -> str:
    """Return what is wrong with an override that Hydra's grammar does not take."""
    word = overrides[place]
    if "=" not in word and not word.startswith("~"):
        return _no_override(overrides, place)
    why = summarize_error(error).removeprefix(f"Error parsing override '{word}' ").removeprefix(f"{word}: ")
    if at := re.search(r"^LexerNoViableAltException: .*\n( *)\^\n", str(error), re.DOTALL):
        why = f"at {word[len(at[1]) - len('LexerNoViableAltException: ') :][:1]!r}"
    # An argument that a function of Hydra's does not take is wrong as a text, too.
    misused = " while evaluating " in why and "Unknown function" not in why
    mend = None if misused else next(filter(_reads, _mends(overrides, place, several)), None)
    if mend is None:
        return f"{shorten(word)} cannot be read as NAME=VALUE ({why})"
    return f"{shorten(word)} cannot be read: write {shlex.quote(mend)} ({why})"


def _mends(overrides: Sequence[str], place: int, several: bool) -> Iterator[str]:
    """Yield what may have been meant: words that the shell has parted, a bracket left open, a text in quotes."""
    found = re.fullmatch(r"\s*([~+]*[^\s=:]*)\s*:?\s*=(.*)", overrides[place], re.DOTALL)
    if not found:
        return
    key, value = found.groups()
    if value[:1] in {"[", "{"}:
        for end in range(place + 2, len(overrides) + 1):
            yield " ".join(overrides[place:end])
        yield f"{key}={value.rstrip(', ')}{']' if value[0] == '[' else '}'}"
    yield f"{key}={value}"
    if several and len(values := apart(value)) > 1:
        yield f"{key}={','.join(one if _reads(f'{key}={one}') else quoted(one.strip(), chr(34)) for one in values)}"
    after = (then for then in range(place + 1, len(overrides)) if "=" in overrides[then])
    value = " ".join([value, *overrides[place + 1 : next(after, len(overrides))]])
    yield f"{key}={quoted(value, chr(34))}"


def _reads(text: str) -> bool:
    """Whether Hydra's grammar takes the text as an override."""
    with suppress(HydraException):
        return bool(OverridesParser.create().parse_overrides([text])[0].key_or_group)
    return False


def _no_override(overrides: Sequence[str], place: int) -> str:
    """Return what is wrong with a word that has no name or no value."""
    word = overrides[place]
    groups = sorted(entry["group"] for entry in store if entry["group"] and entry["name"] == word)
    if groups:
        return f"{word} is no override: did you mean {' or '.join(f'{group}={word}' for group in groups)}?"
    begin = next((back for back in range(place, -1, -1) if "=" in overrides[back]), place)
    end = next((then for then in range(place, len(overrides)) if "=" in overrides[then]), len(overrides))
    whole = " ".join(overrides[begin:end])
    # A text that the shell has parted, perhaps: it follows one that is no name of an entry, number or truth value.
    text = re.match(r"([\w.]+)=[^\W\d]", whole) and not re.match(
        r"[\w.]+=(true|false|null) ", whole, re.IGNORECASE
    )
    if word.strip() and text and whole.partition("=")[0] not in store.groups and _reads(whole):
        return f"{shorten(word)} is no override: write NAME=VALUE, or one text as {shlex.quote(whole)}"
    shown = shorten(word) if word.strip() else repr(word)
    return f"{shown} is no override: write NAME=VALUE"


def _names_entries(item: Any) -> bool:
    """Whether an override of a group gives names, as it has to, unless it takes the group away."""
    value = item.value()
    names = value if isinstance(value, list) else [value]
    return item.is_delete() or all(isinstance(one, str) for one in names)


def summarize_error(error: BaseException) -> str:
    """Return Hydra's complaint in one line: without its search path, web pages and advice to add a field that nothing
    reads, and with the override and the cause that it left out."""
    text = _words(error)
    for beginning in LEFT_OUT:
        text = text.partition(beginning)[0]
    override = getattr(error, "override", None)
    if override and str(override) not in text:
        text = f"{override}: {text}"
    cause = _words(error.__cause__).partition(PLACE)[0] if error.__cause__ else ""
    return text if cause in text else f"{text.removesuffix('.')}: {cause}"


def _suggest(name: str, error: Exception) -> str:
    """Return, for a message, the group or the field of the configuration ``name`` that an unknown one looks like."""
    unknown = UNKNOWN_KEY.match(str(error))
    if not unknown or (None, name) not in store:
        return ""
    groups = {group for group in store.groups if group and not group.startswith("hydra")}
    fields = getattr(store[None, name], "__dataclass_fields__", {})
    known = groups | {field for field in fields if not field.startswith("_")}
    return suggest(unknown[1], {name: name for name in sorted((known | {"+multirun"}) - {unknown[1]})})


@contextmanager
def usable(part: str = "") -> Iterator[None]:
    """Tell in one line what goes wrong where a composed configuration, or that part of it, is made use of.

    Raises:
        DerivaMLRequestError: anything went wrong.
    """
    try:
        yield
    except DerivaMLRequestError:
        raise
    except Exception as error:  # what an entry names can raise anything
        cause = error.__cause__ or error
        where = part or getattr(error, "full_key", None) or ""
        hint = r" (a text has \${ for ${)" if isinstance(cause, InterpolationKeyError) else ""
        raise DerivaMLRequestError(
            f"the configuration cannot be used{f' ({where})' if where else ''}: {_own_words(cause)}{hint}"
        ) from error


def _own_words(error: BaseException) -> str:
    """Return what an error says, without the place in the configuration; with its name if that says too little."""
    text = _words(error).partition(PLACE)[0]
    return f"{type(error).__name__}: {text}" if isinstance(error, LookupError) else text


def _words(error: BaseException) -> str:
    return one_line(error) or type(error).__name__


def shorten(word: str) -> str:
    """Return an override as a message shows it."""
    return word if len(word) <= LONGEST_SHOWN else f"{word[:LONGEST_SHOWN]}..."
