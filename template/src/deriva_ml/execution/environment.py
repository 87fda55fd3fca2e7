"""Describes the machine and the software of a run."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deriva_ml.definitions import normalized_name
from deriva_ml.redaction import redact

THREADS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS"),
)
"""Variables that say how many threads libraries compute with."""

# They change results, or say which job it was. By full name and never by prefix: people keep tokens in
# variables of any name, and pass them to other machines under `LC_*`, which ssh forwards.
VARIABLES = frozenset(
    """
    LANG LANGUAGE LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LC_MONETARY LC_NUMERIC LC_TIME TZ
    PYTHONHASHSEED PYTHONOPTIMIZE PYTHONUTF8 SOURCE_DATE_EPOCH
    CI GITHUB_ACTIONS GITHUB_RUN_ID GITLAB_CI CI_JOB_ID
    OMP_NUM_THREADS OMP_DYNAMIC OMP_PROC_BIND OMP_PLACES OMP_SCHEDULE OMP_THREAD_LIMIT
    MKL_NUM_THREADS MKL_DYNAMIC MKL_CBWR MKL_THREADING_LAYER OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE
    BLIS_NUM_THREADS VECLIB_MAXIMUM_THREADS NUMEXPR_NUM_THREADS NUMEXPR_MAX_THREADS NUMBA_NUM_THREADS
    CUDA_VISIBLE_DEVICES CUDA_DEVICE_ORDER CUDA_LAUNCH_BLOCKING CUBLAS_WORKSPACE_CONFIG NVIDIA_TF32_OVERRIDE
    HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES JAX_ENABLE_X64 JAX_DEFAULT_MATMUL_PRECISION JAX_PLATFORMS
    TF_DETERMINISTIC_OPS TF_CUDNN_DETERMINISTIC TF_ENABLE_ONEDNN_OPTS TF_FORCE_GPU_ALLOW_GROWTH
    PYTORCH_ENABLE_MPS_FALLBACK SLURM_JOB_ID SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_CPUS_PER_TASK
    SLURM_JOB_PARTITION PBS_JOBID LSB_JOBID
    """.split()
)
_XLA_FLAG = re.compile(r"(?<!\S)--xla_\w*determinis\w*(?:=\w+)?(?!\S)")  # others may hold paths


def snapshot(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Describe the Python, machine (memory in bytes), packages and recorded variables of this process, as JSON types.

    Holds no path and no user or host name. Starts no process.

    Args:
        environment: all variables, where they are another process's.
    """
    import psutil

    variables = {name: redact(environment[name]) for name in sorted(VARIABLES & environment.keys())}
    if flags := _XLA_FLAG.findall(environment.get("XLA_FLAGS", "")):
        variables["XLA_FLAGS"] = " ".join(flags)
    return {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "build": sys.version,
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "description": platform.platform(),
            "machine": platform.machine(),
        },
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "gpus": _gpus(Path("/proc/driver/nvidia")),
        "packages": _packages(),
        "environment": variables,
    }


def _gpus(driver: Path) -> dict[str, Any]:
    """Return what the NVIDIA kernel driver says of itself and its cards; empty where there is none."""
    try:
        version = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", (driver / "version").read_text(errors="replace"))
        cards = [card.read_text(errors="replace") for card in sorted(driver.glob("gpus/*/information"))]
    except OSError:
        return {}
    models = [match[1] for card in cards if (match := re.search(r"^Model:\s*(.+?)\s*$", card, re.MULTILINE))]
    return {"driver": version[0] if version else "unknown", "models": models}


def _packages() -> dict[str, str]:
    """Return version by name of what can be imported; of two with one name, the one that import finds."""
    folders = tuple((path, os.stat(path).st_mtime_ns) for path in sys.path if os.path.isdir(path))
    return dict(_packages_in(folders))


@functools.lru_cache(1)
def _packages_in(folders: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """Return the packages that these folders have, of whose times any that comes or goes changes one."""
    from importlib.metadata import distributions

    found: dict[str, tuple[str, str]] = {}
    for each in distributions():
        # Of the head these two lines only: to parse all of it takes six times as long.
        try:
            text = each.read_text("METADATA") or each.read_text("PKG-INFO") or each.read_text("") or ""
        except ValueError:  # damaged
            continue
        head = text.partition("\n\n")[0]
        said = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", head, re.MULTILINE))
        if {"Name", "Version"} <= said.keys():  # else what an interrupted uninstall left behind
            found.setdefault(normalized_name(said["Name"]), (said["Name"], said["Version"]))
    return dict(pair for _, pair in sorted(found.items()))
