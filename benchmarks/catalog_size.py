"""Look-ups in an embedded catalog that holds very many executions."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from common import TEMPLATE

sys.path.insert(0, str(TEMPLATE / "template" / "src"))

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.summaries import Summary
from deriva_ml.definitions import Status, Workflow
from deriva_ml.metrics import Metric
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.records.results import criteria, tabulate

WORKFLOWS = 100
FAILED_ONE_IN = 50
METRICS = 10
OPEN = 3
"""Executions that are under way while the others are looked up."""


def fill(catalog: EmbeddedCatalog, count: int) -> list[str]:
    """Record executions as runs do, but a thousand in a transaction; returns their RIDs, oldest first."""
    owner = Owner.of()
    workflows = [
        Workflow(f"Study {number}", url=f"git:{number}", checksum=str(number)) for number in range(WORKFLOWS)
    ]
    rids = []
    for start in range(0, count, 1000):
        with catalog.transaction():
            for number in range(start, min(start + 1000, count)):
                rid = catalog.add_execution(workflows[number % WORKFLOWS], f"Run {number}", owner)
                status = Status.uploaded if number % FAILED_ONE_IN else Status.failed
                catalog.update_execution(rid, status)
                catalog.summaries.add(rid, summary(number))
                rids.append(rid)
    return rids


def summary(number: int) -> Summary:
    """What a run was given and came to: five parameters, three choices, ten metrics."""
    metrics = {f"metric {place}": chance(number, place) for place in range(METRICS - 1)} | {
        "accuracy": chance(number, METRICS)
    }
    return Summary(
        {f"model_config.setting{place}": number % (place + 2) for place in range(5)},
        {"model_config": f"model {number % 10}", "assets": "some", "datasets": "all"},
        {name: Metric(value, 9, value / 2, 0, value, 9) for name, value in metrics.items()},
    )


def chance(number: int, place: int) -> float:
    """A number between 0 and 1 that looks random, and is the same each time."""
    return number * (place + 7) * 2654435761 % 2**32 / 2**32


def milliseconds(call: Callable[[], object], times: int = 200) -> tuple[float, float]:
    """The median of many calls, and what 99 in 100 stay under."""
    taken = []
    for _ in range(times):
        begun = perf_counter()
        call()
        taken.append((perf_counter() - begun) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=100)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000, help="how many (default %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        project = Project(Path(folder))
        catalog = EmbeddedCatalog(project)
        begun = perf_counter()
        rids = fill(catalog, args.executions)
        taken = perf_counter() - begun
        catalog.close()
        size = project.database.stat().st_size / 1e6

        def opened() -> None:
            """What a command does: open the catalog, list, close."""
            fresh = EmbeddedCatalog(project)
            fresh.find_executions(20)
            fresh.close()

        catalog = EmbeddedCatalog(project)

        def results(where: str, sort: str, limit: int | None = None) -> None:
            """What the command does: filter, sort, and lay out."""
            tabulate(catalog.results(criteria(where=where, sort=sort, runs_only=True), limit))

        for rid in rids[:: args.executions // OPEN]:
            catalog.update_execution(rid, Status.running)
        calls: dict[str, tuple[float, Callable[[], object]]] = {
            "look-up by RID": (10, lambda: catalog.lookup_execution(random.choice(rids))),
            "latest 20": (10, lambda: catalog.find_executions(20)),
            "results, 1 in 100, sorted": (
                500,
                lambda: results("accuracy > 0.99", "-accuracy"),
            ),
            "results, 1 in 2, sorted, 20 rows": (
                500,
                lambda: results("accuracy > 0.5 and model_config.setting0 = 1", "-accuracy", 20),
            ),
            "latest 20 that failed": (10, lambda: catalog.find_executions(20, Status.failed)),
            "open the catalog, latest 20": (10, opened),
            "open executions": (0.1, catalog.open_executions),
        }
        each = taken / args.executions * 1000
        print(f"{args.executions} executions recorded ({each:.2f} ms each), {size:.0f} MB")
        print(f"{'':32}{'median':>11}{'99 in 100':>11}  budget")
        for label, (budget, call) in calls.items():
            median, most = milliseconds(call)
            print(f"{label:32}{median:8.3f} ms{most:8.3f} ms  at most {budget:g} ms")
        catalog.close()


if __name__ == "__main__":
    main()
