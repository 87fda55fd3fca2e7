"""A folder made a dataset, against cp -r and dvc add: many small files, and few large ones."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

from common import TEMPLATE

SOURCE = TEMPLATE / "template" / "src"
IN_A_FOLDER = 1000
PIECE = 1 << 24
MEBIBYTE = 1 << 20

# As the command does it, in a process of its own: the files below a folder become version 1.0.0 of a dataset.
CREATE = """
import sys
from pathlib import Path
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.datasets import export, ingest, walk
from deriva_ml.project import Project

what, project, folder = sys.argv[1], Project(Path(sys.argv[2])), sys.argv[3]
catalog = EmbeddedCatalog(project)
if what == "export":
    export.write(catalog, catalog.find_datasets()[0], Path(folder))
else:
    members = ingest.take_in(catalog, walk.found([folder], project=project))
    if what == "create":
        catalog.add_dataset("", members, version="1.0.0")
catalog.close()
"""


@dataclass(frozen=True)
class Measured:
    """What a command took: seconds by the clock and of processor time, and at most so many bytes of memory."""

    wall: float
    cpu: float
    peak: float


def measure(command: Sequence[str], cwd: Path) -> Measured:
    """Run a command to its end, with all that it wrote on the disk; ends the benchmark when it fails."""
    os.sync()  # what was written before is nobody's here
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "DVC_NO_ANALYTICS": "1"}
    begun = perf_counter()
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as child:
        said = child.stderr.read() if child.stderr else b""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    os.sync()
    wall = perf_counter() - begun
    if child.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{said.decode(errors='replace')}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def small_files(folder: Path, count: int) -> None:
    """Write files of 2 to 9 kB, each with a content of its own."""
    data = random.Random(0)
    for number in range(count):
        path = folder / f"class{number // IN_A_FOLDER:03}" / f"{number:06}.bin"
        if number % IN_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(data.randbytes(2000 + number % 7000))


def large_files(folder: Path, size: int) -> None:
    """Write files of up to 1 GB that are so large together."""
    folder.mkdir()
    data = random.Random(0)
    for number in range(0, size, 10**9):
        with (folder / f"{number // 10**9:04}.bin").open("wb") as stream:
            left = min(size - number, 10**9)
            while left:
                left -= stream.write(data.randbytes(min(left, PIECE)))


def made(write: Callable[[Path, int], None], folder: Path, size: int) -> None:
    """Write files in a process of its own: a child's peak is never less than what its parent holds."""
    process = get_context("spawn").Process(target=write, args=(folder, size))
    process.start()
    process.join()


def compare(label: str, folder: Path, place: Path, dvc: str | None) -> None:
    """Print what each way of keeping a folder takes, one after the other."""
    ours = [sys.executable, "-c", CREATE]
    project, tracked = place / "project", place / "tracked"
    project.mkdir()
    ways = {
        "cp -r": ["cp", "-r", str(folder), str(place / "copy")],
        "a dataset of it": [*ours, "create", str(project), str(folder)],
        "the same once more, nothing changed": [*ours, "again", str(project), str(folder)],
        "export to a folder": [*ours, "export", str(project), str(place / "out")],
        "export to a .zip": [*ours, "export", str(project), str(place / "out.zip")],
    }
    print(f"{label:38}{'wall':>9}{'CPU':>9}{'peak':>10}{'wall':>9}{'CPU':>9}")
    first = None
    for way, command in ways.items():
        measured = measure(command, place)
        first = first or measured
        show(way, measured, first)
        for left in ("copy", "out"):
            shutil.rmtree(place / left, ignore_errors=True)
        (place / "out.zip").unlink(missing_ok=True)
    shutil.rmtree(project)
    if dvc and first:
        tracked.mkdir()
        subprocess.run([dvc, "init", "--quiet", "--no-scm"], cwd=tracked, check=True)
        shutil.copytree(folder, tracked / "data")
        show("dvc add", measure([dvc, "add", "--quiet", "data"], tracked), first)
        show("dvc add once more, nothing changed", measure([dvc, "add", "--quiet", "data"], tracked), first)
        shutil.rmtree(tracked)


def show(way: str, measured: Measured, first: Measured) -> None:
    """Print a line: what it took, and how many times what the first way took."""
    print(
        f"  {way:36}{measured.wall:8.1f}s{measured.cpu:8.1f}s{measured.peak / MEBIBYTE:6.0f} MiB"
        f"{measured.wall / first.wall:8.2f}x{measured.cpu / first.cpu:8.2f}x",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000, help="small files (default %(default)s)")
    parser.add_argument("--gigabytes", type=float, default=1, help="of large files (default %(default)s)")
    parser.add_argument(
        "--dvc", default=shutil.which("dvc"), help="the command to compare with, if there is one"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        place = Path(temporary)
        if args.files:
            made(small_files, place / "small", args.files)
            compare(f"{args.files:,} files of 2 to 9 kB", place / "small", place, args.dvc)
            shutil.rmtree(place / "small")
        if args.gigabytes:
            made(large_files, place / "large", int(args.gigabytes * 10**9))
            compare(f"{args.gigabytes:g} GB in files of up to 1 GB", place / "large", place, args.dvc)


if __name__ == "__main__":
    main()
