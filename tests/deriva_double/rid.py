"""ERMrest's base-32 form of 64-bit numbers, in which it writes record identifiers and snapshot times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {symbol: value for value, symbol in enumerate(_SYMBOLS)} | {"I": 1, "L": 1, "O": 0}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(number: int) -> str:
    """``361-PYR2-AFMR``: five bits a symbol, four in the last, in groups of four from the right."""
    symbols = _SYMBOLS[(number & 15) << 1]
    number >>= 4
    while number:
        symbols = _SYMBOLS[number & 31] + symbols
        number >>= 5
    head = len(symbols) % 4
    groups = [symbols[:head]] if head else []
    groups += [symbols[start : start + 4] for start in range(head, len(symbols), 4)]
    return "-".join(groups)


def decode(text: str) -> int:
    """The number that ``text`` stands for; dashes do not count.

    Raises:
        ValueError: a character of ``text`` (the exception's argument) is none of the base-32 symbols.
    """
    number = 0
    symbols = [symbol for symbol in text.upper() if symbol != "-"]
    for symbol in symbols:
        if symbol not in _VALUES:
            raise ValueError(symbol)
        number = number << 5 | _VALUES[symbol]
    return number >> 1


def timestamp(micros: int) -> datetime:
    """Microseconds since 1970 as a time in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def micros(moment: datetime) -> int:
    """A time as microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)
