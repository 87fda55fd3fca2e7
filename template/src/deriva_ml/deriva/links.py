"""The steps of lineage in a Deriva catalog, of whichever generation and with whichever tables of files."""

from __future__ import annotations

from deriva_ml.catalog.links import DATASET, EXECUTION, Joined, Link, Links, Node, Records, Start
from deriva_ml.definitions import RID, MLAsset
from deriva_ml.deriva.answers import reads
from deriva_ml.deriva.lookup import find_table, status_of
from deriva_ml.deriva.model import UNKNOWN_SOURCE
from deriva_ml.deriva.server import Server


@reads
def start_at(server: Server, rid: RID) -> Start:
    """The way on from a record; see ``Source.links_from``.

    Raises:
        NotFound: it is not there, or is none that has a lineage.
    """
    tables = (EXECUTION, DATASET, *server.model.asset_tables)
    table, written = find_table(server, rid, tables, "execution, dataset or file")
    return Start(written, table, _ServerLinks(server))


class _ServerLinks(Links):
    """The steps of lineage in a catalog as it is now."""

    def __init__(self, server: Server) -> None:
        model = server.model

        joined = ((table, model.association(table, EXECUTION)) for table in model.asset_tables)
        uses = {table: Joined(one.table, one.column, one.other_column) for table, one in joined if one}
        members = {
            one.other: Joined(one.table, one.column, one.other_column)
            for one in model.member_tables
            if one.other in uses and one.other_key == "RID"
        }
        files = MLAsset.file.value
        unknown = server.find_any(files, "URL", [UNKNOWN_SOURCE]) if files in uses else []
        hidden = {row["RID"] for row in unknown}
        super().__init__(server.find_any, uses, members, lambda name: status_of(name).value, hidden)
        self.host = server.host

    @reads
    def follow(self, records: Records, up: bool) -> list[Link]:
        return super().follow(records, up)

    @reads
    def nodes(self, records: Records) -> dict[RID, Node]:
        return super().nodes(records)
