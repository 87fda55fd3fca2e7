"""Keeps what came of a replay: the report among the project's outputs, and a note that ``list``, ``show`` and ``results`` tell."""

from __future__ import annotations

from dataclasses import replace

from deriva_ml.catalog.protocol import Source
from deriva_ml.project import Project
from deriva_ml.records.replays import Note, note, place_of
from deriva_ml.replay.report import Report, write
from deriva_ml.untrusted import plain_name


def keep(report: Report, source: Source, project: Project) -> Report:
    """Write a report into a new folder beside the execution's own outputs, and note it and each of its runs.

    Args:
        source: the catalog that the execution was read from.

    Returns:
        The report, which names its folder.
    """
    folder = project.new_folder(project.make_outputs() / plain_name(report.rid), "replay")
    root = project.root.resolve()
    place = folder.relative_to(root) if folder.is_relative_to(root) else folder
    report = replace(report, folder=str(place))
    write(report, folder)
    for one in (report, *report.runs):
        said = Note(
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
        note(project.state, said)
    return report
