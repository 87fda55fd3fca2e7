"""The steps of lineage in a Deriva catalog, of whichever generation and with whichever tables of files."""

from __future__ import annotations

from collections.abc import Collection

from deriva_ml.catalog.links import DATASET, EXECUTION, Joined, Link, Links, Node, Records, Start
from deriva_ml.definitions import RID, MLAsset, Row
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.executions import status_of
from deriva_ml.deriva.lookup import find_table
from deriva_ml.deriva.model import UNKNOWN_SOURCE, Model
from deriva_ml.deriva.server import Server


@reads
def start_at(server: Server, model: Model, rid: RID) -> Start:
    """The way on from a record; see ``Source.links_from``.

    Raises:
        NotFound: it is not there, or is none that has a lineage.
    """
    tables = (EXECUTION, DATASET, *model.asset_tables)
    table, written = find_table(server, model, rid, tables, "execution, dataset or file")
    return Start(written, table, _ServerLinks(server, model))


class _ServerLinks(Links):
    """The steps of lineage in a catalog as it is now."""

    def __init__(self, server: Server, model: Model) -> None:
        def fetch(table: str, column: str, values: Collection[RID]) -> list[Row]:
            return server.get_any(f"/entity/{model.qualified(table)}", column, values)

        joined = ((table, model.association(table, EXECUTION)) for table in model.asset_tables)
        uses = {table: Joined(one.table, one.column, one.other_column) for table, one in joined if one}
        members = {
            one.other: Joined(one.table, one.column, one.other_column)
            for one in model.member_tables
            if one.other in uses and one.other_key == "RID"
        }
        files = MLAsset.file.value
        unknown = fetch(files, "URL", [UNKNOWN_SOURCE]) if files in uses else []
        hidden = {row["RID"] for row in unknown}
        super().__init__(fetch, uses, members, lambda name: status_of(name).value, hidden)
        self.host = server.host

    @reads
    def follow(self, records: Records, up: bool) -> list[Link]:
        return super().follow(records, up)

    @reads
    def nodes(self, records: Records) -> dict[RID, Node]:
        return super().nodes(records)
