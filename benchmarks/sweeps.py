"""Sweeps against loops of bare Papermill: of the 12-cell notebook on two cores, and of models that do nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from common import Row, Timing, arguments, print_table, project, run, script
from notebook_run import commit, notebooks_in

MODEL = '''"""A model that does nothing."""


def nothing(number: int = 0, ml_instance: object = None, execution: object = None) -> None:
    """Do nothing."""
'''
CONFIG = '''"""A model that does nothing."""

from hydra_zen import builds, store
from models.nothing import nothing

store(builds(nothing, populate_full_signature=True, zen_partial=True), group="model_config", name="nothing")
'''


def parser_of_arguments() -> tuple[Path | None, int, Sequence[int]]:
    """The project to measure in, how many jobs of a notebook, and of models."""
    parser = arguments(__doc__, rounds=1)
    parser.add_argument("--jobs", type=int, default=32, help="jobs of the notebook (default %(default)s)")
    parser.add_argument(
        "--models", type=int, nargs=3, default=(10, 100, 1000), help="jobs of models (default %(default)s)"
    )
    args = parser.parse_args()
    return args.project, args.jobs, args.models


@contextmanager
def memory() -> Iterator[list[int]]:
    """Note the most memory, in KiB, that any process of this one's has had, a few times a second."""
    most, over = [0], threading.Event()

    def look() -> None:
        own = psutil.Process(os.getpid())
        while not over.wait(0.3):
            for child in own.children(recursive=True):
                try:
                    most[0] = max(most[0], child.memory_info().rss >> 10)
                except psutil.Error:
                    continue

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def measure_notebooks(root: Path, jobs: int) -> list[Row]:
    """A sweep of the notebook, one job after the other and on two cores, and loops of Papermill."""
    recorded, bare = notebooks_in(root)
    scratch = bare.parent
    papermill = f"{shlex.quote(script(root, 'papermill'))} {shlex.quote(str(bare))}"
    numbers = f"seq {jobs}"
    one = f"{papermill} {shlex.quote(str(scratch))}/executed-{{}}.ipynb -p seed {{}}"
    sweep = [script(root, "deriva-ml-run-notebook"), str(recorded), "--sweep", f"seed=range(0,{jobs})"]
    commands = {
        "loop": ["bash", "-c", f"set -e; for n in $({numbers}); do {one.replace('{}', '$n')}; done"],
        "xargs": ["bash", "-c", f"{numbers} | xargs -P 2 -I {{}} {one}"],
        "sequential": sweep,
        "joblib": [*sweep, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    }
    for words in ([], ["hydra/launcher=joblib"]):  # what is compiled once is no cost of a sweep
        run([*sweep[:2], "--sweep", "seed=1,2", *words], root)
    timings = {name: [run(command, root)] for name, command in commands.items()}
    return [
        Row(f"papermill, {jobs} in a loop", timings["loop"]),
        Row(f"papermill, {jobs} by xargs -P 2", timings["xargs"]),
        Row(
            "sweep, one after the other, against the loop",
            timings["sequential"],
            timings["loop"],
            "wall at most 0.5x",
        ),
        Row("sweep, joblib on 2, against the loop", timings["joblib"], timings["loop"], "wall at most 0.25x"),
        Row("sweep, joblib on 2, against xargs", timings["joblib"], timings["xargs"], "wall at most 0.5x"),
    ]


def measure_models(root: Path, counts: Sequence[int]) -> list[tuple[int, Timing, int]]:
    """Sweeps of a model that does nothing: how many jobs, the time, and the most memory in KiB."""
    (root / "src" / "models" / "nothing.py").write_text(MODEL)
    (root / "src" / "configs" / "nothing.py").write_text(CONFIG)
    subprocess.run(["git", "add", "--all"], cwd=root, check=True)
    commit(root, Path("src"))
    found = []
    for count in counts:
        with memory() as most:
            timing = run(
                [
                    script(root, "deriva-ml-run"),
                    "--multirun",
                    "model_config=nothing",
                    f"model_config.number=range({count})",
                ],
                root,
            )
        found.append((count, timing, most[0]))
    return found


def main() -> None:
    folder, jobs, counts = parser_of_arguments()
    with project(folder) as root:
        run([os.environ.get("UV", "uv"), "sync", "--quiet", "--extra", "parallel"], root)
        rows = measure_notebooks(root, jobs)
        models = measure_models(root, counts)
    print_table(rows)
    print(
        "models that do nothing: at most 0.1 s of processor time a job, and the same memory whatever their number"
    )
    (few, first, _), *more = models
    for count, timing, most in more:
        each = (timing.cpu - first.cpu) / (count - few)
        print(
            f"{count:5} jobs: {timing.wall:7.1f} s, {each:.3f} s of processor time a job beyond {few}, {most >> 10} MiB"
        )


if __name__ == "__main__":
    main()
