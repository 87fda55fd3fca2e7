"""Says which value of a file's row a Deriva server does not take, and how to give it another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deriva_ml.definitions import RID, Row
from deriva_ml.deriva.errors import ServerRefused
from deriva_ml.deriva.idempotent import Rows

_NAMED = (
    r'Key \("?(?P<column>[^"=]+?)"?\)=\(',
    r'null value in column "(?P<column>[^"]+)"',
    r"insert access on :[^:]+:[^:]+:(?P<column>\S+)",
)
"""How PostgreSQL and ERMrest name the column."""
_VALUE = r'(?:invalid input (?:syntax|value) for .*?: |value )"(?P<value>.*?)"'
"""How they name the value alone."""


def describe(
    there: Rows, table: str, asset: RID, row: Row, own: Mapping[str, Any], refusal: ServerRefused | None
) -> ServerRefused:
    """What is wrong with a row, in one line: file, column, value, the server's words, and the command that mends it.

    Args:
        asset: the RID here.
        own: of the row, what whoever registered the file has given, and can give anew.
        refusal: None if the row was passed over, as one whose key another row has.
    """
    not_taken = f"{there.server.host} did not take the row of {row['Filename']} into {table}"
    if refusal is None:
        columns = _clash(there, table, row)
        if not columns:
            unknown = (
                "another row there has a key of it, such as its name, or it is there and you may not read it"
            )
            return ServerRefused(f"{not_taken}: {unknown}", 409)
        refusal = ServerRefused("another row there has a key of it", 409)
    else:
        columns = _blamed(refusal.detail, own)
    values = {name: row[name] for name in columns if name in row}
    told = [
        f"{name} has no value" if value is None else f"{name} is {value!r}" for name, value in values.items()
    ]
    why = _words(refusal.detail or str(refusal))
    mended = [name for name in columns if name in there.model.columns(table)]
    message = f"{not_taken}: {why} ({' and '.join(told)})"
    if mended and refusal.status != 403:
        message += f": uv run deriva-ml-upload {asset} --set {mended[0]}=VALUE gives it another"
    return ServerRefused(message, refusal.status)


def _words(said: str) -> str:
    """The server's words, without the whole row."""
    return re.sub(r"\s*DETAIL: +Failing row contains .*", "", said).rstrip(". ")


def _blamed(detail: str, own: Mapping[str, Any]) -> list[str]:
    """The columns that a refusal is about; all that were given, if it does not tell."""
    for pattern in _NAMED:
        if found := re.search(pattern, detail):
            return [name.strip(' "') for name in found["column"].split(",")]
    said = re.search(_VALUE, detail)
    return [name for name, value in own.items() if said and str(value) == said["value"]] or list(own)


def _clash(there: Rows, table: str, row: Row) -> list[str]:
    """The columns of the key that another row there has the values of."""
    for key in there.model.keys(table):
        if all(row.get(name) is not None for name in key):
            if there.server.find(table, {name: str(row[name]) for name in key}, "?limit=1"):
                return key
    return []
