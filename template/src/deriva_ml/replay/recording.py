"""What stays of a replay: its report, a note of it, and the execution that repeated another, if that is to be recorded."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from deriva_ml.catalog.carried import KINDS, chosen
from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.merging import merging
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID, AssetRole, ExecMetadataType, MLAsset
from deriva_ml.project import Project
from deriva_ml.records.replays import Note, note, place_of
from deriva_ml.replay.report import Report, write
from deriva_ml.replay.run import Repeated
from deriva_ml.untrusted import plain_name


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


def keep_report(project: Project, local: EmbeddedCatalog, source: Source, report: Report) -> Report:
    """Write a report where the outputs of its execution are shown, note it, and return it with the place where it is.

    Args:
        source: the catalog that the execution is in.
    """
    folder = project.new_folder(project.make_outputs() / plain_name(report.rid), "replay")
    root = project.root.resolve()
    where = folder.relative_to(root) if folder.is_relative_to(root) else folder
    report = replace(report, folder=str(where))
    page = write(report, folder)
    for one in (report, *report.runs):
        noted = Note(
            rid=one.rid,
            when=one.begun,
            verdict=str(one.verdict),
            similarity=one.similarity,
            runner=one.repeated.runner,
            commit=one.commit,
            report=report.folder,
            recorded_as=one.recorded_as,
            catalog=place_of(source),
        )
        note(project.state, noted)
        if one.recorded_as:
            _attach(
                local, one.recorded_as, page if one is report else write(one, folder / plain_name(one.rid))
            )
    return report


def _attach(local: EmbeddedCatalog, execution: RID, page: Path) -> None:
    """Make a report part of the record of the execution that it is about."""
    for path in (page, page.with_suffix(".json")):
        asset = local.add_asset(
            path, MLAsset.execution_metadata, f"replay-{path.name}", [ExecMetadataType.log_file]
        )
        local.link_asset(execution, asset, AssetRole.output)
