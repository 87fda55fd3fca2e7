"""The lineage of a record among many, in the embedded catalog: a graph of so many records, wide or in one line."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

from common import TEMPLATE

sys.path.insert(0, str(TEMPLATE / "template" / "src"))

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, Asset, AssetRole, Status, Workflow
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.records.lineage import described, tree, walk
from deriva_ml.records.lineage_result import lineage_result

ROUNDS = 5


class Recording:
    """Executions and files, each a row as a run leaves it."""

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        self.catalog = catalog
        self.count = 0

    def file(self) -> Asset:
        """A file, of one content."""
        self.count += 1
        source = self.catalog.project.root / "content"
        if not source.exists():
            source.write_bytes(b"content")
        return self.catalog.add_asset(source, "Execution_Asset", f"file-{self.count}.npz")

    def run(self, reads: list[Asset], makes: list[Asset]) -> RID:
        """An execution that read and made files."""
        self.count += 1
        rid = self.catalog.add_execution(Workflow("Study", checksum="c"), f"Run {self.count}", Owner.of())
        for asset in reads:
            self.catalog.link_asset(rid, asset, AssetRole.input)
        for asset in makes:
            self.catalog.link_asset(rid, asset, AssetRole.output)
        self.catalog.update_execution(rid, Status.uploaded)
        return rid

    def line(self, records: int) -> RID:
        """Executions each of which read what the one before it made; returns the last file."""
        last = self.file()
        for _ in range(records // 2):
            made = self.file()
            self.run([last], [made])
            last = made
        return last.rid

    def wide(self, records: int, width: int = 10) -> RID:
        """Layers of executions each of which read all files of the layer before; returns the last file."""
        files = [self.file() for _ in range(width)]
        for _ in range(records // (2 * width)):
            made = [self.file() for _ in range(width)]
            for one in made:
                self.run(files, [one])
            files = made
        return files[0].rid


def milliseconds(call: Callable[[], object]) -> str:
    """The medians of some calls, by the clock and of processor time."""
    wall, cpu = [], []
    for _ in range(ROUNDS):
        begun, used = perf_counter(), process_time()
        call()
        wall.append((perf_counter() - begun) * 1000)
        cpu.append((process_time() - used) * 1000)
    return f"{statistics.median(wall):8.1f} ms{statistics.median(cpu):8.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000, help="of the graph (default %(default)s)")
    parser.add_argument("--beside", type=int, default=20_000, help="other executions (default %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        catalog = EmbeddedCatalog(Project(Path(folder)))
        recording = Recording(catalog)
        with catalog.transaction():
            for _ in range(args.beside):
                recording.run([], [recording.file()])
            roots = {
                "a graph ten wide": recording.wide(args.records),
                "a line": recording.line(args.records),
                "a line five times as long": recording.line(5 * args.records),
            }
        print(f"{args.records} records of a graph, {args.beside} other executions")
        print(f"{'':52}{'wall':>11}{'CPU':>11}  budget")
        for label, root in roots.items():
            start = catalog.links_from(root)

            def shown(root: RID = root) -> list[str]:
                """What the command does, both ways."""
                begun = catalog.links_from(root)
                walks = [walk(begun, up) for up in (True, False)]
                nodes = described(begun, walks)
                return [line for one in walks for line in tree(one, nodes)]

            budget = "at most 200 ms" if "five" not in label else ""
            print(f"{f'{label}: {len(shown())} lines':52}{milliseconds(shown)}  {budget}".rstrip())
            taken = milliseconds(lambda start=start: lineage_result(start))  # type: ignore[misc]
            print(f"{'  as lookup_lineage returns it':52}{taken}")
        catalog.close()


if __name__ == "__main__":
    main()
