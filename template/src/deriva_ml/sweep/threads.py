"""Jobs that run side by side share a machine's cores: how many threads libraries compute with in each."""

from __future__ import annotations

import os

from deriva_ml.execution.environment import THREADS
from deriva_ml.sweep.engines import Engine


def share(engine: Engine, jobs: int) -> dict[str, str]:
    """Return the variables by which libraries take their share; none where a job has the machine to itself.

    What the person has set stays; what libraries would take from ``OMP_NUM_THREADS`` they still do.

    Args:
        jobs: how many there are.
    """
    count = engine.cpus_of_job(jobs)
    threads = os.environ.get("OMP_NUM_THREADS") or str(count)
    return {name: threads for name in THREADS if not os.environ.get(name)} if count else {}
