"""Says which value of a file's row a Deriva server does not take, and how to give it another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from deriva_ml.catalog.remote.errors import ServerRefused
from deriva_ml.catalog.remote.rows import Rows
from deriva_ml.catalog.remote.server import quote
from deriva_ml.definitions import RID, Row

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
) -> str:
    """What is wrong with a row, in one line: file, column, value, the server's words, and the command that mends it.

    Args:
        asset: the RID here.
        own: of the row, what whoever registered the file has given, and can give anew.
        refusal: None if the row was passed over, as one whose key another row has.
    """
    if refusal:
        columns, why = _columns(refusal.detail, own), refusal.detail or str(refusal)
    else:
        columns, why = _clash(there, table, row), "another row has it, and it is a key"
    shown = ", ".join(f"{name} = {row[name]!r}" for name in columns if name in row)
    head = f"{there.server.host} did not take the row of {row['Filename']} into {table}"
    if not columns and refusal is None:
        return f"{head}: another row there has a key of it, such as its name, or it is there and you may not read it"
    line = f"{head}{f', where {shown}' if shown else ''}: {why.rstrip('. ')}"
    name = next((name for name in columns if name in there.model.columns(table)), None)
    if name is None and own and refusal and refusal.status != 403:
        name = "COLUMN"
    return f"{line}: uv run deriva-ml-upload {asset} --set {name}=VALUE gives it another" if name else line


def _columns(detail: str, own: Mapping[str, Any]) -> list[str]:
    """The columns that a refusal is about."""
    for pattern in _NAMED:
        if found := re.search(pattern, detail):
            return [name.strip(' "') for name in found["column"].split(",")]
    said = re.search(_VALUE, detail)
    return [name for name, value in own.items() if said and str(value) == said["value"]]


def _clash(there: Rows, table: str, row: Row) -> list[str]:
    """The columns of the key that another row there has the values of."""
    for key in there.model.keys(table):
        if all(row.get(name) is not None for name in key):
            condition = "&".join(f"{quote(name)}={quote(str(row[name]))}" for name in key)
            if there.server.get(f"/entity/{there.model.qualified(table)}/{condition}?limit=1"):
                return key
    return []
