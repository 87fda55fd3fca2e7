"""Files to and from a Deriva server: a large one against a plain PUT, and many small ones at once and one by one."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from common import TEMPLATE

SOURCE = TEMPLATE / "template" / "src"
SMALL = 10_000
DELAY = 0.02
MEBIBYTE = 1 << 20

# The double of the tests, in a process of its own. It takes in one request what a real server wants in chunks, so that
# there is a plain PUT to compare with; of large contents it keeps only the digest; and it can be as slow as far away.
SERVE = """
import sys
from deriva_double import DerivaDouble, Fault, __main__, hatrac

class Distant(DerivaDouble):
    def __init__(self):
        super().__init__()
        self.faults.on(Fault.SLOW, "GET", "/hatrac/", times=10**9, delay=delay)

delay = float(sys.argv.pop(1))
hatrac.LARGEST_PUT = 1 << 40
if delay:
    __main__.DerivaDouble = Distant
__main__.main()
"""


class Double:
    """A running double of a Deriva server: where it is, how to log in, and how many requests it got."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.described: dict[str, Any] = json.loads(process.stdout.readline())  # type: ignore[union-attr]

    def clear(self) -> None:
        """Count requests from here."""
        self._process.stdin.write("clear\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]

    def stop(self) -> dict[str, int]:
        """End it, and return how many requests it got."""
        return json.loads(self._process.communicate()[0])  # type: ignore[no-any-return]


@contextmanager
def double(delay: float = 0) -> Iterator[Double]:
    """A double, for as long as it is needed; ``delay`` seconds go by before it answers a GET of an object."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(delay), "--catalog", "head", "--drop-over", str(SMALL)],
        env={**os.environ, "PYTHONPATH": str(TEMPLATE / "tests")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Double(process)
    finally:
        process.kill()
        process.wait()


# What is measured, each in a fresh process that prints its seconds, without those of importing, and its peak memory.


def open_server(described: dict[str, Any]) -> Any:
    sys.path.insert(0, str(SOURCE))
    from deriva_ml.deriva.server import Server

    server = Server(described["url"], described["catalogs"][0], {"cookie": described["cookie"]})
    server.snaptime()
    return server


def put(described: dict[str, Any], path: Path, name: str) -> float:
    """The runner's way with a file."""
    server = open_server(described)
    from deriva_ml.deriva.hatrac import Upload, put_object

    begun = perf_counter()
    put_object(server, Upload(path, name, described["md5"], path.stat().st_size, path.name))
    return perf_counter() - begun


def plain_put(described: dict[str, Any], path: Path, name: str) -> float:
    """The least that can be done with requests."""
    import requests

    session = requests.Session()
    session.headers["Cookie"] = described["cookie"]
    begun = perf_counter()
    with path.open("rb") as stream:
        session.put(f"{described['url']}{name}?parents=true", data=stream).raise_for_status()
    return perf_counter() - begun


def upload(described: dict[str, Any], folder: Path, workers: str) -> float:
    """All files of a folder, each under its digest."""
    server = open_server(described)
    from deriva_ml.deriva.transfer import Upload, upload

    items = [
        Upload(path, f"/hatrac/Image/{path.name}", path.name, path.stat().st_size, path.name)
        for path in folder.iterdir()
    ]
    begun = perf_counter()
    upload(server, items, lambda *_: None, int(workers))
    return perf_counter() - begun


def download(described: dict[str, Any], folder: Path, workers: str) -> float:
    """The same back, into a store that is empty."""
    server = open_server(described)
    from deriva_ml.catalog.objects import ObjectStore
    from deriva_ml.definitions import Asset
    from deriva_ml.deriva.transfer import download

    items = [
        Asset("", "Image", path.name, path.stat().st_size, path.name, f"/hatrac/Image/{path.name}")
        for path in folder.iterdir()
    ]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as store:
        begun = perf_counter()
        download(server, items, ObjectStore(Path(store)), int(workers))
        return perf_counter() - begun


TASKS = {task.__name__: task for task in (put, plain_put, upload, download)}


def measure(task: str, described: dict[str, Any], path: Path, argument: str) -> tuple[float, float]:
    """Seconds, and mebibytes at most, of a task in a process of its own."""
    command = [sys.executable, __file__, "--task", task, json.dumps(described), str(path), argument]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak = json.loads(result.stdout)
    return seconds, peak


def perform(task: str, described: str, path: str, argument: str) -> None:
    """What ``measure`` starts."""
    seconds = TASKS[task](json.loads(described), Path(path), argument)
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEBIBYTE]))


def large(folder: Path, size: int, rounds: int) -> None:
    """One large file, in turn with a plain PUT of it."""
    path = folder / "large.bin"
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("wb") as stream:
        for _ in range(size // MEBIBYTE):
            piece = os.urandom(MEBIBYTE)
            digest.update(piece)
            stream.write(piece)
    taken: dict[str, list[tuple[float, float]]] = {"put": [], "plain_put": []}
    with double() as running:
        described = {**running.described, "md5": digest.hexdigest()}
        for turn in range(rounds + 1):
            for task, results in taken.items():
                result = measure(task, described, path, f"/hatrac/Large/{task}{turn}")
                results += [result] if turn else []  # the first turn warms up
        counted = running.stop()
    path.unlink()
    rates = {
        task: size / 1e6 / statistics.median(seconds for seconds, _ in results)
        for task, results in taken.items()
    }
    peaks = {task: max(peak for _, peak in results) for task, results in taken.items()}
    print(f"one file of {size / 1e9:.2f} GB, median of {rounds}")
    ratio = f"{rates['put'] / rates['plain_put']:.2f}x, at least 0.8x"
    print(
        f"  put_object        {rates['put']:6.0f} MB/s {ratio:22} {peaks['put']:4.0f} MiB, less than 150 MiB"
    )
    print(f"  plain PUT         {rates['plain_put']:6.0f} MB/s {'':22} {peaks['plain_put']:4.0f} MiB")
    # Of each turn's requests, one is the plain PUT, and one the look at the catalog that opens the connection.
    chunks, others = (counted[kind] / (rounds + 1) - 1 for kind in ("object_puts", "others"))
    print(f"  put_object made {chunks:.0f} requests with chunks and {others:.0f} others")


def small(folder: Path, count: int, rounds: int) -> None:
    """Many small files back from the server, several at a time and one by one."""
    for _ in range(count):
        content = os.urandom(SMALL)
        (folder / hashlib.md5(content, usedforsecurity=False).hexdigest()).write_bytes(content)
    for delay in (0, DELAY):
        taken: dict[str, list[float]] = {"8": [], "1": []}
        with double(delay) as running:
            measure("upload", running.described, folder, "8")
            running.clear()
            for _ in range(rounds):
                for workers, results in taken.items():
                    results.append(measure("download", running.described, folder, workers)[0])
            counted = running.stop()
        several, single = (count / statistics.median(results) for results in taken.values())
        print(
            f"{count} files of {SMALL // 1000} KB, answered after {delay * 1000:.0f} ms, median of {rounds}"
        )
        print(f"  8 at a time       {several:6.0f} files/s {several / single:.2f}x")
        print(f"  one by one        {single:6.0f} files/s")
        requests = (counted["others"] - 2 * rounds) / (2 * rounds * count)
        print(f"  {requests:.2f} requests a file")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", type=int, default=1_000_000_000, help="bytes of the large file (default 1 GB)"
    )
    parser.add_argument("--files", type=int, default=1000, help="small files (default %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="times that each is measured (default %(default)s)"
    )
    parser.add_argument("--task", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        perform(*args.task)
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        large(Path(folder), args.size, args.rounds)
        small(Path(folder), args.files, args.rounds)


if __name__ == "__main__":
    main()
