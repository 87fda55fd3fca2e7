"""Which jobs of Slurm have ended, as its queue has it: ``sacct`` knows nothing where no accounting is kept."""

from __future__ import annotations

import os

from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob, read_job_id

GONE = "GONE"
"""The state of a job that the queue no longer has: it ends there some minutes after it has ended."""


class QueueWatcher(SlurmInfoWatcher):
    """Asks ``squeue`` once for all jobs; where that fails, they are as they were."""

    def _make_command(self) -> list[str] | None:
        if not self._registered - self._finished:
            return None
        return [
            "squeue",
            "--noheader",
            "--array",
            "--states=all",
            f"--user={os.getuid()}",
            "--format=%i|%T|%N",
        ]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        """Return the state of each job that is watched, by its id."""
        text = string.decode() if isinstance(string, bytes) else string
        found = {job: {"JobID": job, "State": GONE, "NodeList": ""} for job in self._registered}
        for line in text.splitlines():
            shown, state, nodes = line.split("|")
            job = "_".join(read_job_id(shown)[0])
            found[job] = {"JobID": job, "State": state, "NodeList": nodes}
        return found


def watch_queue() -> None:
    """Have jobs of Slurm that are submitted from now on looked for in its queue, once a minute at the least."""
    SlurmJob.watcher = QueueWatcher(delay_s=60)
