"""Builds the pages that show what was recorded: the whole of it anew, or what has changed since they were built."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import RID
from deriva_ml.progress import Report
from deriva_ml.records.replays import Replays
from deriva_ml.records.results import criteria
from deriva_ml.site import clean, lineage, rows, runs, vega
from deriva_ml.site.details import Details
from deriva_ml.site.folder import SiteFolder, opened
from deriva_ml.site.scripts import script

PAGES = Path(__file__).parent / "pages"
LIBRARY = "assets/vega.js"

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
    progress: Callable[[int], AbstractContextManager[Report]] | None = None,
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
    chosen = criteria(rows.with_nested(catalog, rids) if rids else None, since=since or None)
    with opened(out) as folder:
        build = _Build(catalog, folder, {*rids}, chosen)
        try:
            build.pages()
            build.runs(progress)
            build.tables(since)
            folder.remove_stale()
        finally:
            folder.save_list()
    return Built(
        out / "index.html", len(build.rids), build.read, folder.written, folder.removed, bool(build.charts)
    )


class _Build:
    """One build: what there is, and what of it is written."""

    def __init__(
        self, catalog: EmbeddedCatalog, folder: SiteFolder, rendered: set[RID], chosen: Criteria
    ) -> None:
        project = catalog.project
        self._catalog, self._folder, self._rendered = catalog, folder, rendered
        self._clean = clean.of_project(project.root, project.state, project.outputs)
        self._replays = Replays(catalog, project.state)
        self._narrowed = chosen.rids is not None or chosen.since is not None
        self.charts = vega.version()
        self.read = 0
        self._results: list[Result] = []
        with catalog.database.moment():
            found = catalog.summaries.select(Criteria(rids=chosen.rids, since=chosen.since, order=[("when", True)]))
            self.rids = [rid for rid in found if folder.can_name(rid)]
            self.rows = rows.read(catalog, self.rids)
            self._keys = self._made_of()
            state = rows.digest_of(self._keys, rows.state_of_datasets(catalog), self._narrowed)
            self._changed = state != folder.marks.get("records") or not folder.has("data/graph.js")
            if self._changed:
                self._results = catalog.results(Criteria(rids=self.rids))
                self._mark = state
                linked = {rid for its in self.rows.values() for rid, *_ in its.datasets}
                self._graph = lineage.graph(catalog, self.rids, self._clean)
                linked |= {node[0] for node in self._graph["nodes"] if node[1] == 2}
                self._datasets = lineage.datasets(catalog, linked if self._narrowed else None, self._clean)

    def _made_of(self) -> dict[RID, str]:
        """Return of each run what differs once it has to be read again."""
        runner = hashlib.md5(usedforsecurity=False)
        for path in sorted(Path(__file__).parent.glob("*.py")):
            runner.update(path.read_bytes())
        version = runner.hexdigest()
        return {
            rid: rows.digest_of(
                its.key, self._replays.of(rid), self._replays.replayed_by(rid), rid in self._rendered, version
            )
            for rid, its in self.rows.items()
        }

    def pages(self) -> None:
        """Write what is the same in every site, and what draws charts."""
        for path in sorted(PAGES.iterdir()):
            if not path.name.startswith("."):
                folder = "" if path.suffix == ".html" else "assets/"
                self._folder.write(f"{folder}{path.name}", path.read_bytes())
        if self.charts and self._folder.has(LIBRARY) and self._folder.marks.get("charts") == self.charts:
            self._folder.keep(LIBRARY)
        elif self.charts:
            self._folder.write(LIBRARY, vega.script().encode())
        self._folder.marks["charts"] = self.charts

    def runs(self, progress: Callable[[int], AbstractContextManager[Report]] | None) -> None:
        """Write what is told of each run that is not as it was."""
        before = self._folder.runs
        self._folder.runs = {
            rid: before[rid]
            for rid in self.rids
            if rid in before
            and before[rid][0] == self._keys[rid]
            and all(map(self._folder.has, [_page(rid), *before[rid][1]]))
        }
        for rid, (_, names) in self._folder.runs.items():
            self._folder.keep(_page(rid), *names)
        results = {one.record.rid: one for one in self._results or self._catalog.results(Criteria(rids=[]))}
        waiting = [rid for rid in self.rids if rid not in self._folder.runs]
        if waiting and not results:
            results = {one.record.rid: one for one in self._catalog.results(Criteria(rids=waiting))}
        details = Details(self._catalog, self._clean, self._rendered)
        if progress is None:
            self._each(waiting, results, details, lambda count: None)
            return
        with progress(len(waiting)) as report:
            self._each(waiting, results, details, report)

    def _each(
        self, waiting: Sequence[RID], results: dict[RID, Result], details: Details, report: Report
    ) -> None:
        saved = monotonic()
        for rid in waiting:
            if rid in results:  # else its row is damaged, which was said
                self._one(rid, results[rid], details)
            report(1)
            if monotonic() - saved > SAVED_EVERY:
                self._folder.save_list()
                saved = monotonic()

    def _one(self, rid: RID, result: Result, details: Details) -> None:
        names: dict[str, None] = {}

        def write(name: str, content: bytes) -> None:
            names[name] = None
            self._folder.write(name, content)

        replays, replay_of = self._replays.of(rid), self._replays.replayed_by(rid)
        told = details.of(result, self.rows[rid], replays, replay_of, write)
        self._folder.write(_page(rid), script(f"runs/{rid}", told.page))
        # What was not all there is read again next time.
        self._folder.runs[rid] = self._keys[rid] if told.whole else "", [*names]
        self.read += 1

    def tables(self, since: str) -> None:
        """Write what there is of all records together, and what the site is."""
        names = [f"data/{name}.js" for name in ("runs", "graph", "datasets", "files")]
        if self._changed:
            tables: dict[str, Any] = {
                "runs": runs.table(self._results, self.rows, self._replays, self._clean),
                "graph": self._graph,
                "datasets": self._datasets,
                "files": lineage.files(self.rows, self._clean),
            }
            for name, value in tables.items():
                self._folder.write(f"data/{name}.js", script(name, value))
            self._folder.marks["records"] = self._mark
        else:
            self._folder.keep(*names)
        info = {
            "project": self._clean.text(str(self._catalog.project.metadata().get("name") or self._catalog.project.root.name)),
            "runner": "",
            "charts": bool(self.charts),
            "count": len(self.rids),
            "of": self._catalog.database.value('SELECT count(*) FROM "Execution"'),
            "since": self._clean.text(since),
        }
        mark = rows.digest_of(info)
        if self._folder.written or self._folder.marks.get("info") != mark or not self._folder.has("data/info.js"):
            made = datetime.now(UTC).isoformat(timespec="seconds")
            self._folder.write("data/info.js", script("info", {**info, "made": made}))
            self._folder.marks["info"] = mark
        self._folder.keep("data/info.js")


def _page(rid: RID) -> str:
    return f"data/runs/{rid}.js"
