"""Records the execution that repeated another one in the project's own catalog, with the report."""

from __future__ import annotations

import json
from contextlib import closing

from deriva_ml.catalog.carried import KINDS, chosen
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.merging import merging
from deriva_ml.definitions import RID, AssetRole, ExecMetadataType, MLAsset
from deriva_ml.project import Project
from deriva_ml.replay.report import Report
from deriva_ml.replay.run import Repeated


def take_in(local: EmbeddedCatalog, repeated: Repeated, rid: RID) -> RID:
    """Record the execution that repeated another in the project's own catalog, and return its RID there.

    Args:
        rid: of the execution that it repeated.
    """
    with closing(open_local(repeated.project)) as scratch, merging(local) as merge:
        scratch.database.change("Execution", {"Description": f"Replay of {rid}"}, RID=repeated.rid)
        with chosen(scratch, [repeated.rid]) as selection:
            for name in KINDS:
                merge.read(name, (json.dumps(row).encode() for row in selection.rows(name)))
        for asset in repeated.outputs:
            scratch.objects.lend(asset.md5, local.objects)
            local.objects.fresh.append(local.objects.path(asset.md5))
        renamed = merge.finish(f"a replay of {rid}", lambda: None).renamed
    return renamed.get(repeated.rid, repeated.rid)


def attach_report(local: EmbeddedCatalog, project: Project, report: Report) -> None:
    """Make the report on a replay part of the record of each execution that it was recorded as."""
    for one in (report, *report.runs):
        for name in ("report.md", "report.json") if one.recorded_as else ():
            path = project.root / report.folder / name
            asset = local.add_asset(
                path, MLAsset.execution_metadata, f"replay-{name}", [ExecMetadataType.log_file]
            )
            local.link_asset(one.recorded_as, asset, AssetRole.output)
