"""The pages of very many records: built, built again, and opened in a browser."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

from catalog_size import chance
from common import TEMPLATE

sys.path.insert(0, str(TEMPLATE / "template" / "src"))

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.summaries import RecordedFile, summarize
from deriva_ml.definitions import (
    RID,
    Asset,
    AssetRole,
    ExecAssetType,
    ExecMetadataType,
    MLAsset,
    Status,
    Workflow,
)
from deriva_ml.execution.environment import snapshot
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.site.building import build

TOGETHER = 500
"""Runs that are recorded in one transaction."""
STEPS = 20
OPENED = 5
METADATA = MLAsset.execution_metadata.value


class Recording:
    """Runs of models, each with the rows and files that one leaves."""

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        self.catalog = catalog
        self.source = catalog.project.root / "content"
        self.owner = Owner.of()
        environment = json.dumps(snapshot(), indent=2)
        self.shared = [self.file("environment.json", environment, ExecMetadataType.runtime_env.value)]
        self.shared.append(self.file("uv.lock", "version = 1\n", ExecMetadataType.execution_config.value))
        self.read = [
            self.file(f"weights-{place}.csv", f"name,value\na,{place}\n", "Model_File", "Execution_Asset")
            for place in range(20)
        ]

    def file(self, name: str, text: str, kind: str, table: str = METADATA) -> Asset:
        """A file with a content of its own."""
        self.source.write_text(text, encoding="utf-8")
        return self.catalog.add_asset(self.source, table, name, [kind])

    def runs(self, first: int, count: int) -> None:
        """So many runs."""
        for start in range(first, first + count, TOGETHER):
            with self.catalog.transaction():
                for number in range(start, min(start + TOGETHER, first + count)):
                    self.run(number)

    def run(self, number: int) -> RID:
        """A run with five settings, three choices and three metrics over twenty steps; it reads a file and makes one."""
        workflow = Workflow(
            f"Study {number % 10}", "Training", "", f"git:c0ffee0:src/models/{number % 10}.py"
        )
        rid = self.catalog.add_execution(workflow, f"Run {number}", self.owner, started_by="deriva-ml-run")
        settings = {f"setting{place}": number % (place + 2) for place in range(5)}
        overrides = [f"model_config.{name}={value}" for name, value in settings.items()]
        configuration = {
            "argv": ["deriva-ml-run", *overrides],
            "overrides": overrides,
            "config_choices": {"model_config": f"model{number % 10}", "assets": "some", "datasets": "all"},
            "parameters": settings,
            "parameters_given": settings,
            "started_by": "deriva-ml-run",
            "description": f"Run {number}",
            "provenance": {"commit": "c0ffee0", "version": "0.1.0", "dirty": False, "differences": []},
        }
        lines = [
            {"step": step, **{f"metric{place}": chance(number, step + place) for place in range(3)}}
            for step in range(STEPS)
        ]
        metrics = "".join(json.dumps(line) + "\n" for line in lines)
        made = [
            self.file("configuration.json", json.dumps(configuration), ExecMetadataType.deriva_config.value),
            self.file("metrics.jsonl", metrics, ExecMetadataType.metrics_file.value),
            self.file("hydra-config.yaml", "\n".join(overrides), ExecMetadataType.hydra_config.value),
            self.file(
                f"predictions-{number}.csv",
                f"label,score\n0,{number}\n",
                ExecAssetType.output_file.value,
                "Execution_Asset",
            ),
        ]
        for one in [*made, *self.shared]:
            self.catalog.link_asset(rid, one, AssetRole.output)
        self.catalog.link_asset(rid, self.read[number % len(self.read)], AssetRole.input)
        files = [RecordedFile(one.filename, one.types, self.catalog.objects.path(one.md5)) for one in made]
        self.catalog.summaries.add(rid, summarize(rid, files))
        self.catalog.update_execution(
            rid,
            Status.uploaded if number % 50 else Status.failed,
            "" if number % 50 else "ValueError: it does not converge",
            Execution_Duration="0H 1min 2.5sec",
        )
        return rid


@contextmanager
def timed(label: str, budget: str) -> Iterator[None]:
    """Print how long it takes, by the clock and of processor time."""
    begun, used = perf_counter(), process_time()
    yield
    print(
        f"{label:44}{perf_counter() - begun:8.2f}s{process_time() - used:8.2f}s  {budget}".rstrip(),
        flush=True,
    )


def rows_shown(page: Path) -> list[float]:
    """Seconds from the request of the index until the browser has drawn rows of its table."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    taken = []
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(OPENED):
            shown = browser.new_page()
            begun = perf_counter()
            shown.goto(page.as_uri(), wait_until="commit")
            shown.wait_for_selector("tbody tr:nth-child(6)")
            taken.append(perf_counter() - begun)
            shown.close()
        browser.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="how many (default %(default)s)")
    parser.add_argument(
        "--keep", type=Path, help="a folder for the project, which stays; reused when it is there"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        root = args.keep.resolve() if args.keep else Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        (root / "pyproject.toml").write_text('[project]\nname = "many"\n', encoding="utf-8")
        site = Path(temporary) / "site"
        print(f"{'':44}{'wall':>9}{'CPU':>9}  budget")
        with closing(EmbeddedCatalog(Project(root))) as catalog:
            recording = Recording(catalog)
            there = catalog.database.value('SELECT count(*) FROM "Execution"')
            if there < args.runs:
                with timed(f"{args.runs - there:,} runs recorded", ""):
                    recording.runs(there, args.runs - there)
            with timed(f"the site of {max(there, args.runs):,} runs", "30 s"):
                build(catalog, site)
            with timed("the same again, unchanged", "2 s"):
                built = build(catalog, site)
            assert not built.written, built
            recording.runs(max(there, args.runs), 1)
            with timed("with one more run", ""):
                built = build(catalog, site)
            assert built.read == 1, built
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        print(
            f"it holds {size / 1e6:.0f} MB, {(site / 'data' / 'runs.js').stat().st_size / 1e6:.1f} MB of them the table"
        )
        try:
            taken = rows_shown(built.page)
        except ImportError:
            sys.exit("the browser is left out: playwright is not installed")
        print(f"{'the index in Chromium, until rows are shown':44}{median(taken):8.2f}s{'':9}  1 s")


if __name__ == "__main__":
    main()
