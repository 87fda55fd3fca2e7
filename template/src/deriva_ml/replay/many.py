"""Replays several records, each in a process of its own, some at once; and which records a project has to replay."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from pathlib import Path

import deriva_ml
from deriva_ml.catalog.criteria import Criteria, parse_since
from deriva_ml.catalog.protocol import Source
from deriva_ml.definitions import RID, Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import git
from deriva_ml.project import Project
from deriva_ml.records.replays import Replays
from deriva_ml.replay.report import Report, from_json
from deriva_ml.replay.verdict import CouldNotRun, Verdict
from deriva_ml.signals import signals_ignored

ENDED = {Status.uploaded, Status.pending_upload, Status.failed}
"""The statuses of executions that came to an end of their own, which a replay can come to again."""

REPLAYED = "deriva-ml-replay"

PATIENCE = 60.0
"""Seconds that a replay that was told to stop gets to clear up."""

_COMMIT = re.compile(r"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{40})(?![0-9a-f])")
_TIME = re.compile(r"\d{1,6}\s*[mhdw]|\d{4}-\d\d-\d\d.*")


def replayable(source: Source, project: Project, since: str | None = None) -> list[RID]:
    """Return the executions that a project's regression test replays, the newest first.

    They are those of notebooks and models that came to their end, failed ones too; of a sweep its runs. Left out are
    those that were interrupted, that made or changed datasets, and that are replays themselves.

    Args:
        since: a time as ``parse_since`` takes it: only what was recorded since then. Or a tag, a branch or a commit:
            only what has a commit that is not older, which is that one and all that are not among its ancestors.

    Raises:
        DerivaMLRequestError: ``since`` is neither, or there is no such execution.
    """
    moment = parse_since(since) if since is not None and _TIME.fullmatch(since) else None
    older = _ancestors(project.root, since) if since is not None and moment is None else set()
    replays = Replays(source, project.state)
    found = [
        record.rid
        for record in source.select_executions(Criteria(since=moment, runs_only=True, no_changes=True))
        if record.status in ENDED
        and not replays.replayed_by(record.rid)
        and not older.intersection(_COMMIT.findall(record.workflow.url))
        and not source.list_execution_children(record.rid)
    ]
    if not found:
        raise DerivaMLRequestError(
            f"nothing is recorded{f' since {since}' if since else ''} that can be replayed"
        )
    return found


def _ancestors(folder: Path, revision: str) -> set[str]:
    """Return the commits that are older than a revision."""
    try:
        commit = git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except DerivaMLRequestError as error:
        raise DerivaMLRequestError(
            f"--since {revision} is no time, such as 2w or 2026-11-28, and no tag or commit of this repository"
        ) from error
    return set(git(folder, "rev-list", commit).split()) - {commit}


def replay_each(
    rids: Sequence[RID], words: Sequence[str], jobs: int, folder: Path, done: Callable[[Report], object]
) -> list[Report]:
    """Replay executions, so many at once, and return the reports in the order of the RIDs.

    An error, Ctrl-C or SIGTERM stops those that are under way, which clear up, and begins no others.

    Args:
        words: the flags for each.
        folder: where the command is to run.
        done: is told of each report as it comes.
    """
    processes = _Processes(words, folder)
    with ThreadPoolExecutor(jobs) as pool, processes.stopped_in_the_end():
        futures = [pool.submit(processes.replay, rid) for rid in rids]
        for future in as_completed(futures):
            done(future.result())
        return [future.result() for future in futures]


class _Processes:
    """The processes that replay, each in a group of its own, so that Ctrl-C reaches this one alone."""

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._words = [*words, "--json"]
        self._folder = folder
        self._lock = threading.Lock()
        self._running = set[subprocess.Popen[bytes]]()
        self._stopped = False

    def replay(self, rid: RID) -> Report:
        """Replay one in a process, and return its report."""
        try:
            return self._replay(rid)
        except CouldNotRun as missing:
            return Report(rid, Verdict.could_not_run, why=str(missing))

    def _replay(self, rid: RID) -> Report:
        reading, writing = os.pipe()
        try:
            process = self._start(rid, reading)
            out, err = process.communicate()
            with self._lock:
                self._running.discard(process)
        finally:
            os.close(reading)
            os.close(writing)
        try:
            return from_json(json.loads(out))
        except (ValueError, LookupError, TypeError) as error:
            lines = err.decode(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
            raise CouldNotRun(f"the replay failed: {lines[-1].removeprefix('error: ')}") from error

    def _start(self, rid: RID, reading: int) -> subprocess.Popen[bytes]:
        """Start the process, which ends when this one does, as ``child.py`` says.

        Raises:
            CouldNotRun: all are to stop.
        """
        path = os.pathsep.join(
            [str(Path(deriva_ml.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        command = [sys.executable, "-P", "-m", "deriva_ml.replay.child", REPLAYED, str(reading)]
        with self._lock:
            if self._stopped:
                raise CouldNotRun("it was not begun")
            process = subprocess.Popen(
                [*command, *self._words, "--", rid],
                cwd=self._folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=[reading],
            )
            self._running.add(process)
            return process

    @contextmanager
    def stopped_in_the_end(self) -> Iterator[None]:
        """See that nothing is begun any more, and that what is under way ends."""
        try:
            yield
        finally:
            with signals_ignored():
                with self._lock:
                    self._stopped = True
                    running = [*self._running]
                for process in running:
                    process.terminate()
                for process in running:
                    try:
                        process.wait(PATIENCE)
                    except subprocess.TimeoutExpired:
                        with suppress(ProcessLookupError, PermissionError):
                            os.killpg(process.pid, signal.SIGKILL)
