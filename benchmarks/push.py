"""Executions pushed to a Deriva catalog: how many requests that takes, and how long, against a plain loop of PUTs."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from common import TEMPLATE
from transfer import Double, double

sys.path.insert(0, str(TEMPLATE / "template" / "src"))

import requests

from deriva_ml import DerivaML
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination
from deriva_ml.definitions import ExecAssetType, MLAsset, Status, Workflow
from deriva_ml.deriva.push import Push
from deriva_ml.deriva.server import Server
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.process import Owner
from deriva_ml.project import Project

SIZE = 10_000
RELEASED = 31.0
"""Milliseconds that an asset of this size takes the released client of deriva-ml 1.x; measured apart from this."""
TYPE = "Training"
"""A workflow's type that a catalog has from the start."""


@dataclass(frozen=True)
class Cost:
    """What something took."""

    seconds: float
    object_puts: int
    others: int


def workflow(number: int, kind: str = TYPE) -> Workflow:
    """One that no other number has."""
    checksum = hashlib.sha1(str(number).encode()).hexdigest()
    return Workflow("Benchmark", kind, url=f"https://example.org/{number}", checksum=checksum)


@contextmanager
def project() -> Iterator[Project]:
    """An empty one."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        Path(folder, "pyproject.toml").touch()
        yield Project(Path(folder))


def destination(running: Double) -> Destination:
    return Destination(running.described["url"], running.described["catalogs"][0])


def credential(running: Double) -> dict[str, str]:
    return {"cookie": running.described["cookie"]}


def record(catalog: EmbeddedCatalog, contents: Sequence[bytes], to: Destination, number: int) -> str:
    """Record an execution with one asset for each content in the project's own catalog, and note where it is to go."""
    rid = catalog.add_execution(workflow(number), "Benchmark", Owner.of())
    folder = catalog.folder_of(rid) / "assets"
    for place, content in enumerate(contents):
        types = [ExecAssetType.output_file.value]
        staged = catalog.stage(rid, MLAsset.execution_asset, f"{place}.bin", folder, types)
        staged.path.write_bytes(content)
    catalog.commit(rid)
    catalog.update_execution(rid, Status.uploaded, "", Execution_Duration="0H 0min 1.0sec")
    catalog.journal.send_to(rid, to)
    return rid


def push(catalog: EmbeddedCatalog, running: Double, rid: str) -> float:
    """Push an execution, as `deriva-ml-upload` does; seconds."""
    begun = perf_counter()
    with closing(Push.open(catalog, destination(running), credential(running))) as pushing:
        pushing.finish(rid)
    return perf_counter() - begun


def random_contents(count: int) -> list[bytes]:
    return [os.urandom(SIZE) for _ in range(count)]


def pushed(count: int, rows: int = 0) -> Cost:
    """An execution with so many assets, recorded before, into a catalog that holds so many rows of other assets."""
    with double() as running, project() as place, closing(EmbeddedCatalog(place)) as catalog:
        fill(running, rows)
        push(catalog, running, record(catalog, random_contents(1), destination(running), 1))  # warms up
        rid = record(catalog, random_contents(count), destination(running), 2)
        running.clear()
        return Cost(push(catalog, running, rid), **running.stop())


def pushed_again(count: int) -> Cost:
    """The same once more: nothing has changed but that the project thinks so."""
    with double() as running, project() as place, closing(EmbeddedCatalog(place)) as catalog:
        rid = record(catalog, random_contents(count), destination(running), 1)
        push(catalog, running, rid)
        catalog.update_execution(rid, detail="once more")
        running.clear()
        return Cost(push(catalog, running, rid), **running.stop())


def pushed_from_elsewhere(count: int) -> Cost:
    """The same contents from a project that does not know that they are there."""
    contents = random_contents(count)
    with double() as running:
        for clear in (running.clear, None):
            with project() as place, closing(EmbeddedCatalog(place)) as catalog:
                seconds = push(catalog, running, record(catalog, contents, destination(running), 1))
            if clear:
                clear()
        return Cost(seconds, **running.stop())


def plain_loop(count: int) -> Cost:
    """The least that can be done with requests for as many contents, and no row of any catalog."""
    with double() as running, tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        paths = [Path(folder, str(number)) for number in range(count)]
        for path, content in zip(paths, random_contents(count), strict=True):
            path.write_bytes(content)
        session = requests.Session()
        session.headers["Cookie"] = running.described["cookie"]
        url = f"{running.described['url']}/hatrac/Plain"
        session.put(f"{url}/first?parents=true", data=b"").raise_for_status()
        running.clear()
        begun = perf_counter()
        for path in paths:
            session.put(f"{url}/{path.name}?parents=true", data=path.read_bytes()).raise_for_status()
        return Cost(perf_counter() - begun, **running.stop())


def fill(running: Double, rows: int) -> None:
    """Give a catalog so many rows of assets, whose contents are nowhere."""
    to = destination(running)
    with closing(Server(to.host, to.catalog, credential(running))) as server:
        new = [
            {
                "URL": f"/hatrac/Filler/{number}",
                "Filename": f"{number}.bin",
                "Length": SIZE,
                "MD5": f"{number:032x}",
            }
            for number in range(rows)
        ]
        server.insert(f"deriva-ml:{MLAsset.execution_asset.value}", new, given=())


def first_cell(kind: str = TYPE, known: bool = False, assets: int = 0) -> Cost:
    """A run from its connection to where the first cell after it would be executed.

    Args:
        kind: its workflow's type.
        known: the catalog knows the workflow from an earlier run.
        assets: so many that it reads are the catalog's.
    """
    with double() as running, project() as place:
        with closing(EmbeddedCatalog(place)) as catalog:
            rid = record(catalog, random_contents(assets), destination(running), 1)
            if assets or known:
                push(catalog, running, rid)
            rids = [catalog.journal.remote(one.rid, destination(running)) for one in catalog.assets_of(rid)]
        with project() as other:  # one that has fetched nothing before
            running.clear()
            begun = perf_counter()
            to = destination(running)
            ml = DerivaML(to.host, to.catalog, credential(running), other)
            inputs = ExecutionConfiguration(assets=[one.rid for one in rids if one])
            ml.create_execution(inputs, workflow(1 if known else 2, kind)).execution_start()
            return Cost(perf_counter() - begun, **running.stop())


def median(measure: Callable[[], Cost], rounds: int) -> Cost:
    """The cost with the median time; numbers of requests are the same each time."""
    costs = sorted((measure() for _ in range(rounds)), key=lambda cost: cost.seconds)
    return costs[len(costs) // 2]


def line(label: str, cost: Cost, count: int, budget: str = "") -> None:
    """One row of the table of pushes."""
    each = cost.seconds / count * 1000
    print(
        f"{label:44}{cost.seconds:7.2f} s{each:8.2f} ms{cost.object_puts / count:7.2f}{cost.others:8}  {budget}".rstrip()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--assets", type=int, default=1000, help="of an execution (default %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="in a full catalog (default %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="times that each is measured (default %(default)s)"
    )
    args = parser.parse_args()
    most, rounds = args.assets, args.rounds
    budget = f"{RELEASED / 5:.1f} ms an asset, 1 PUT each, 20 others"
    print(f"executions with assets of {SIZE // 1000} KB, median of {rounds}")
    print(f"{'':44}{'wall':>9}{'an asset':>11}{'PUTs':>7}{'others':>8}  budget")
    for count in dict.fromkeys((min(10, most), min(100, most), most)):
        line(
            f"{count} assets",
            median(partial(pushed, count), rounds),
            count,
            budget if count == most else "",
        )
        if count == most:
            full = median(lambda: pushed(most, args.rows), rounds)
            line(f"{most} assets among {args.rows:,}", full, most, budget)
    line(f"{most} plain PUTs, one by one", median(lambda: plain_loop(most), rounds), most)
    line(f"{most} assets again, all there", median(lambda: pushed_again(most), rounds), most, "0 PUTs")
    line(f"{most} assets from another project", median(lambda: pushed_from_elsewhere(most), rounds), most)
    print("\na run until its first cell, median time and requests of any kind (an object is one)")
    for label, measure in {
        "a workflow of a type that is new there": lambda: first_cell("Benchmarking"),
        "a new workflow": first_cell,
        "a known workflow": lambda: first_cell(known=True),
        "a known workflow, one asset to fetch": lambda: first_cell(known=True, assets=1),
        "a known workflow, 100 assets to fetch": lambda: first_cell(known=True, assets=100),
    }.items():
        cost = median(measure, rounds)
        print(f"{label:44}{cost.seconds * 1000:7.0f} ms{cost.object_puts + cost.others:8}  at most 8")


if __name__ == "__main__":
    main()
