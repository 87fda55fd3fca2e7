"""Builds the pages that show what was recorded: the whole of it anew, or what has changed since they were built."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import is_digest
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import RID
from deriva_ml.progress import Report
from deriva_ml.records.replays import Replays
from deriva_ml.records.results import criteria
from deriva_ml.site import clean, lineage, rows, runs
from deriva_ml.site.details import Details, Shown
from deriva_ml.site.folder import Beside, Made, SiteFolder, opened
from deriva_ml.site.scripts import script
from deriva_ml.site.vega import write_vega
from deriva_ml.untrusted import check_inside

PAGES = Path(__file__).parent / "pages"
LIBRARY = "assets/vega.js"

TABLES = ("runs", "graph", "datasets", "files", "info")
"""What there is of all records together."""

NOTEBOOKS = 1_000
"""Runs of notebooks, the newest, which are shown though nobody named them: each may take 100 kB, with its pictures."""

SAVED_EVERY = 5.0
"""Seconds after which the list of what was written is saved, should the build be stopped."""


@dataclass(frozen=True)
class Built:
    """What was built.

    Attributes:
        page: the file to open.
        runs: how many there are in it; read: of how many the records were read.
        written, removed: how many files.
        charts: whether there is what draws charts.
    """

    page: Path
    runs: int
    read: int
    written: int
    removed: int
    charts: bool


def build(
    catalog: EmbeddedCatalog,
    out: Path,
    rids: Sequence[RID] = (),
    since: str = "",
    progress: Callable[[int], AbstractContextManager[Report]] = lambda count: nullcontext(lambda _: None),
) -> Built:
    """Build a site, or bring one up to date, and return what was done.

    Args:
        out: its folder.
        rids: only these runs, with those that are nested in them, and with their notebooks in full; none for all.
        since: only those since then, as ``deriva-ml-catalog results`` takes it.
        progress: is told of how many runs the records are read, and gives what is told of those that went.

    Raises:
        DerivaMLRequestError: one of the RIDs is that of no execution, or the folder is none for a site.
    """
    for rid in rids:
        catalog.lookup_execution(rid)
    catalog.read_summaries()
    with catalog.database.lenient():
        chosen = criteria(rows.with_nested(catalog, rids) if rids else None, since=since or None)
        with opened(out) as folder:
            try:
                charts = _write_pages(folder)
                build = _Build(catalog, folder, {*rids}, chosen, _info(catalog, charts, since))
                build.write_runs(progress)
                build.write_tables()
                folder.remove_stale()
            finally:
                folder.save_list()
    return Built(out / "index.html", len(folder.runs), build.read, folder.written, folder.removed, charts)


def _write_pages(folder: SiteFolder) -> bool:
    """Write what is the same in every site, and return whether it has what draws charts."""
    for path in sorted(PAGES.iterdir()):
        if not path.name.startswith("."):
            part = "" if path.suffix == ".html" else "assets/"
            folder.write(f"{part}{path.name}", path.read_bytes())
    charts = write_vega(check_inside(folder.root / "assets", folder.root))
    if charts:
        folder.keep(LIBRARY)
    return charts


def _info(catalog: EmbeddedCatalog, charts: bool, since: str) -> dict[str, Any]:
    """Return what a site says of itself, as far as its runs do not tell."""
    project = catalog.project
    return {
        "project": str(project.metadata().get("name") or project.root.name),
        "runner": project.runner_version,
        "charts": charts,
        "of": catalog.database.value('SELECT count(*) FROM "Execution"'),
        "since": since,
    }


class _Build:
    """What there is in a site, and what of it is written."""

    def __init__(
        self,
        catalog: EmbeddedCatalog,
        folder: SiteFolder,
        rendered: set[RID],
        chosen: Criteria,
        info: dict[str, Any],
    ) -> None:
        project = catalog.project
        self._catalog, self._folder = catalog, folder
        self._clean = clean.of_project(project.root, project.state, project.outputs)
        self._replays = Replays(catalog, project.state)
        self.read = 0
        with catalog.database.moment():
            found = catalog.summaries.select(
                Criteria(rids=chosen.rids, since=chosen.since, order=[("when", True)])
            )
            self.rids = [rid for rid in found if folder.can_name(rid)]
            self._rows = rows.read(catalog, self.rids)
            of_notebooks = [rid for rid in self.rids if self._rows[rid].notebooks()]
            soon = dict.fromkeys(of_notebooks[:NOTEBOOKS], Shown.soon)
            self._shown = soon | {rid: Shown.full for rid in of_notebooks if rid in rendered}
            self._notes = {rid: self._replays.of(rid) for rid in self.rids}
            self._keys = self._made_of()
            narrowed = chosen.rids is not None or chosen.since is not None
            self._mark = rows.digest_of(self._keys, rows.state_of_datasets(catalog), narrowed, info)
            self._tables: dict[str, Any] = {}
            self._results: dict[RID, Result] = {}
            if self._mark != folder.marks.get("tables") or not all(map(folder.has, map(_table, TABLES))):
                results = self._read(self.rids)
                graph = lineage.graph(catalog, self.rids, self._clean)
                linked = {rid for rid, kind, _ in graph["nodes"] if kind == 2} if narrowed else None
                datasets = lineage.datasets(catalog, linked, self._clean)
                self._tables = {
                    "runs": runs.table(results, self._rows, self._notes, self._clean),
                    "graph": graph,
                    "datasets": datasets,
                    "files": lineage.files(self._rows, self._clean),
                    "info": {
                        **{name: self._clean.named(name, value) for name, value in info.items()},
                        "made": datetime.now(UTC).isoformat(timespec="seconds"),
                        "count": len(results),
                        "runs": [*self._results],
                        "datasets": [one["rid"] for one in datasets],
                    },
                }

    def _read(self, rids: Sequence[RID]) -> list[Result]:
        """Read what the catalog keeps of runs, without those whose rows are damaged, which is said."""
        records = self._catalog.select_executions(Criteria(rids=rids))
        summaries = self._catalog.summaries.of(rids)
        self._results = {one.rid: Result(one, summaries[one.rid]) for one in records}
        return [*self._results.values()]

    def _made_of(self) -> dict[RID, str]:
        """Return of each run what differs once it has to be read again."""
        runner = hashlib.md5(usedforsecurity=False)
        for path in sorted(Path(__file__).parent.glob("*.py")):
            runner.update(path.read_bytes())
        version = runner.hexdigest()
        return {
            rid: rows.digest_of(
                its.key, self._notes[rid], self._replays.replayed_by(rid), self._shown.get(rid), version
            )
            for rid, its in self._rows.items()
        }

    def write_runs(self, progress: Callable[[int], AbstractContextManager[Report]]) -> None:
        """Write what is told of each run that is not as it was."""
        folder, before = self._folder, self._folder.runs
        folder.runs = {
            rid: before[rid] for rid in self.rids if rid in before and self._stands(rid, before[rid])
        }
        for rid, made in folder.runs.items():
            folder.keep(_page(rid), *made.files)
        waiting = [rid for rid in self.rids if rid not in folder.runs]
        if self._tables:
            folder.marks.pop("tables", None)
        if waiting or self._tables:
            folder.save_list()  # what is about to be written is not what an earlier build made, should this one be killed
        if waiting and not self._results:
            self._read(waiting)
        details = Details(self._catalog, self._clean)
        saved = monotonic()
        with progress(len(waiting)) as report:
            for rid in waiting:
                if rid in self._results:  # else its row is damaged, which was said
                    self._write_run(self._results[rid], details)
                report(1)
                if monotonic() - saved > SAVED_EVERY:
                    folder.save_list()
                    saved = monotonic()

    def _stands(self, rid: RID, made: Made) -> bool:
        """Whether the page of a run is as it would be made now."""
        there = [_page(rid), *made.files]
        objects = self._catalog.objects
        return (
            made.key == self._keys[rid]
            and all(map(self._folder.has, there))
            and not any(is_digest(md5) and objects.path(md5).is_file() for md5 in made.missing)
        )

    def _write_run(self, result: Result, details: Details) -> None:
        rid, beside = result.record.rid, Beside(self._folder)
        replays, replay_of = self._notes[rid], self._replays.replayed_by(rid)
        shown = self._shown.get(rid, Shown.no)
        told = details.of(result, self._rows[rid], replays, replay_of, shown, beside)
        self._folder.write(_page(rid), script(f"runs/{rid}", told.page))
        # What could not be read is tried again next time.
        self._folder.runs[rid] = Made(self._keys[rid] if told.whole else "", [*beside.names], told.missing)
        self.read += 1

    def write_tables(self) -> None:
        """Write what there is of all records together."""
        for name, value in self._tables.items():
            self._folder.write(_table(name), script(name, value))
        self._folder.keep(*map(_table, TABLES))
        self._folder.marks["tables"] = self._mark


def _table(name: str) -> str:
    return f"data/{name}.js"


def _page(rid: RID) -> str:
    return f"data/runs/{rid}.js"
