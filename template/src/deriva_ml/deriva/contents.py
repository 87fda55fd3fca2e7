"""Brings files of the project's own catalog to a destination: contents, rows, types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Remote, RemoteInput
from deriva_ml.definitions import RID, Asset, AssetRole, Row
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.hatrac import Upload, object_name
from deriva_ml.deriva.idempotent import Rows
from deriva_ml.deriva.transfer import upload
from deriva_ml.grouping import grouped

T = TypeVar("T", Asset, RemoteInput)

NOT_TAKEN = frozenset({400, 403, 409})
"""How a row is refused that will be refused again."""
_NAMED = (
    r'Key \("?(?P<column>[^"=]+?)"?\)=\(',
    r'null value in column "(?P<column>[^"]+)"',
    r"insert access on :[^:]+:[^:]+:(?P<column>\S+)",
)
"""How PostgreSQL and ERMrest name the column."""
_VALUE = r'(?:invalid input (?:syntax|value) for .*?: |value )"(?P<value>.*?)"'
"""How they name the value alone."""


def by_table(records: Iterable[T]) -> dict[str, list[T]]:
    """Records by the table that they are rows of."""
    return grouped((record.table, record) for record in records)


def send_assets(
    local: EmbeddedCatalog, there: Rows, assets: Iterable[Asset]
) -> tuple[bool, ServerRefused | None]:
    """See that assets are there, contents first, then rows, then types.

    One that an execution read or made also gets the type that says which. A row that the server does not take as it is
    keeps back no other.

    Returns:
        whether a content had to be sent, and what is wrong with the rows that were not taken, if any.
    """
    assets = list(assets)
    new = [asset for asset in {one.rid: one for one in assets}.values() if not there.stored(asset.rid)]
    there.lease(asset.rid for asset in new)
    sent = _send_contents(local, there, new)
    refused = [one for table, members in by_table(new).items() for one in _store(there, table, members)]
    for table, members in by_table(one for one in assets if there.stored(one.rid)).items():
        types = [(one, term) for one in members for term in one.types]
        types += [(one, one.role.asset_type) for one in members if one.role]
        add_types(there, table, [(there.rid(one.rid), term) for one, term in types])
    if len(refused) > 1:
        more = f"{refused[0]} (and {len(refused) - 1} more)"
        return sent, ServerRefused(more, refused[0].status)
    return sent, refused[0] if refused else None


def _send_contents(local: EmbeddedCatalog, there: Rows, assets: Sequence[Asset]) -> bool:
    uploads = []
    for one in assets:
        if there.known(one.rid).url is None:
            source, name = local.objects.path(one.md5), object_name(one.table, one.md5, one.filename)
            uploads.append(Upload(source, name, one.md5, one.length, one.filename, one.rid))

    def done(item: Upload, url: str) -> None:
        there.note({item.rid: Remote(there.known(item.rid).rid, url)})

    upload(there.server, uploads, done)
    return bool(uploads)


def _store(there: Rows, table: str, assets: Sequence[Asset]) -> list[ServerRefused]:
    """Insert the rows of contents that are there; a content that has a row keeps that one, whoever made it.

    Returns:
        what is wrong with those that were not taken.
    """
    urls = {asset.rid: there.known(asset.rid).url for asset in assets}
    own = {asset.rid: there.journal.columns(asset.rid) for asset in assets}
    names = {name for values in own.values() for name in values}
    own = {rid: dict.fromkeys(names) | values for rid, values in own.items()}  # rows of one shape
    # By URL: the table has one row for each.
    first = {urls[asset.rid]: asset for asset in reversed(assets)}
    rows: dict[RID, Row] = {
        asset.rid: {
            "URL": url,
            "Filename": asset.filename,
            "Description": asset.description,
            "Length": asset.length,
            "MD5": asset.md5,
            **own[asset.rid],
        }
        for url, asset in first.items()
    }
    new, refusals = _insert(there, table, rows)
    rids = {row["URL"]: row["RID"] for row in new}
    skipped = [str(row["URL"]) for row in rows.values() if row["URL"] not in rids]
    for row in there.server.find_any(table, "URL", skipped):
        rids[row["URL"]] = row["RID"]
    there.note({rid: Remote(rids[url], url, stored=True) for rid, url in urls.items() if url in rids})
    return [
        _describe(there, table, rid, row, own[rid], refusals.get(rid))
        for rid, row in rows.items()
        if row["URL"] not in rids
    ]


def _insert(there: Rows, table: str, rows: Mapping[RID, Row]) -> tuple[list[Row], dict[RID, ServerRefused]]:
    """Insert rows of which some may be refused for what they say: those that were not, and why the others were."""
    try:
        return there.insert_records(table, rows), {}
    except ServerRefused as refusal:
        if refusal.status not in NOT_TAKEN:
            raise
        if len(rows) == 1 or refusal.status == 403:  # which is said of the table or a column, and so of all
            return [], dict.fromkeys(rows, refusal)
    found: list[Row] = []
    refusals: dict[RID, ServerRefused] = {}
    rids = list(rows)
    for half in (rids[: len(rids) // 2], rids[len(rids) // 2 :]):  # a batch is taken as a whole or not at all
        new, refused = _insert(there, table, {rid: rows[rid] for rid in half})
        found += new
        refusals |= refused
    return found, refusals


def add_types(there: Rows, table: str, types: Sequence[tuple[RID, str]]) -> None:
    """Give assets of a table types: pairs of an asset's RID there and a term."""
    if association := there.model.association(table, "Asset_Type"):
        rows = [{association.column: asset, association.other_column: term} for asset, term in types]
        there.associate(association.table, rows, {"Asset_Type": [term for _, term in types]})


def link_assets(there: Rows, execution: RID, table: str, roles: Mapping[RID, AssetRole | None]) -> None:
    """See that assets of a table are joined to an execution; all by their RIDs there."""
    if link := there.model.asset_tables.get(table):
        rows = [
            {link.column: asset, link.other_column: execution, "Asset_Role": str(role)}
            for asset, role in roles.items()
        ]
        there.associate(link.table, rows, {"Asset_Role": map(str, roles.values())})


# What is wrong with a row that was not taken


def _describe(
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
