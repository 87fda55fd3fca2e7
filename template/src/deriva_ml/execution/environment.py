"""Describes the machine and the software of a run, and keeps credentials out of what is recorded."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

HIDDEN = "***"  # what stands in a record where a credential was


def snapshot(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The Python, machine (memory in bytes), packages and recorded variables of this process, as JSON types.

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
    """What the NVIDIA kernel driver says of itself and its cards; empty where there is none."""
    try:
        version = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", (driver / "version").read_text(errors="replace"))
        cards = [card.read_text(errors="replace") for card in sorted(driver.glob("gpus/*/information"))]
    except OSError:
        return {}
    models = [match[1] for card in cards if (match := re.search(r"^Model:\s*(.+?)\s*$", card, re.MULTILINE))]
    return {"driver": version[0] if version else "unknown", "models": models}


def _packages() -> dict[str, str]:
    """Version by name of what can be imported; of two with one name, the one that import finds."""
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
            key = re.sub(r"[-_.]+", "-", said["Name"]).lower()
            found.setdefault(key, (said["Name"], said["Version"]))
    return dict(pair for _, pair in sorted(found.items()))


def redact(value: Any) -> Any:
    """A copy of a parameter or configuration value that may be recorded.

    At any depth, what stands under the name of a credential (`hf_token`, `apiKey`; not `max_tokens`) becomes
    `***`, unless it is empty or a bool. In strings, the user and password of a URL go, and what follows
    `name=` or `name:`.
    """
    if isinstance(value, Mapping):
        return {key: _redact_item(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [redact(item) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, str):
        return _redact_text(value)
    return value


def redact_diff(diff: str) -> str:
    """A diff whose lines are each what ``redact`` makes of them; between a credential's brackets, all of a line goes."""
    kept = []
    depth = {"+": 0, "-": 0}  # of such brackets, in the text after the change and before it
    for line in diff.split("\n"):
        if line.startswith(("@@", "diff ")):
            depth = dict.fromkeys(depth, 0)
        sides = {"+": "+", "-": "-", " ": "+-"}.get(line[:1], "")
        kept.append(line[0] + HIDDEN if any(depth[side] for side in sides) else _redact_text(line))
        for side in sides:
            depth[side] = _left_open(line, depth[side]) if depth[side] else _opened(line)
    return "\n".join(kept)


def _opened(line: str) -> int:
    """How many brackets around a credential's value a line opens and does not close."""
    values = (line[name.end() :] for name in _NAMED.finditer(line) if is_credential(name[1]))
    return max((_left_open(value) for value in values if value.startswith(tuple("([{"))), default=0)


def _left_open(text: str, depth: int = 0) -> int:
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character in ")]}" and depth <= 0:
            return 0
    return depth


def redact_override(override: str) -> str:
    """A Hydra override (`deriva_ml.credential=abc`) with the value of a credential replaced by `***`."""
    name, equals, value = override.partition("=")
    if equals and is_credential(name):
        return f"{name}={HIDDEN}"
    return name + equals + _redact_text(value)


def is_credential(name: str) -> bool:
    """Whether a word of the name `name`, or some in a row, say that its value is a credential."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    words = _TEXT_TOKENS.sub("", re.sub(r"[^a-z0-9]+", "_", words))
    return _CREDENTIALS.search(words) is not None


_CREDENTIALS = re.compile(
    "(?:^|_)(?:credentials?|passwords?|passwd|token|secrets?|api_?key|access_key|private_key|cookies?"
    "|authorization)(?:_|$)"
)
# A language model's tokens are no secrets: without their names its run could not be repeated.
_TEXT_TOKENS = re.compile(
    "(?:^|(?<=_))(?:(?:pad|eos|bos|unk|mask|sep|cls|start|end|stop|special)_token"
    "|token_(?:count|ids?|types?|length|limit|size|dim|dropout|embeddings?))(?=_|$)"
)
# Each pattern starts only where a run of its characters does, so that a long string takes linear time.
_USER_OF_URL = re.compile(r"(?i)(?<![a-z0-9+.-])([a-z][a-z0-9+.-]*+://)[^\s/?#]*@")
_NAMED = re.compile(r"""(?<![\w.@/+~-])([\w.@/+~-]++)\\?["']?[ \t]*([=:])=?[ \t]*""")
# A literal, which inside of another one, as in a notebook's file, has its quotes escaped. A bracket may nest: all
# that follows it is hidden.
_BRACKETED = r"""\"{3}.*?\"{3}|'{3}.*?'{3}|(?i:[rbfu]{0,2})\\?(?:\"[^"]*\"|'[^']*')|[\[{(].*"""
_VALUES = {
    "=": re.compile(rf"(?s:{_BRACKETED}|[^,\s&;]*)"),
    ":": re.compile(rf"(?s:{_BRACKETED}|[^,}}\]\n]*)"),
}


def _redact_item(key: Any, item: Any) -> Any:
    tells_nothing = item is None or isinstance(item, bool) or item == ""
    return redact(item) if tells_nothing or not is_credential(str(key)) else HIDDEN


def _redact_text(text: str) -> str:
    text = _USER_OF_URL.sub(r"\1", text)
    kept, at = [], 0
    for name in _NAMED.finditer(text):
        if name.start() >= at and is_credential(name[1]):
            value = _VALUES[name[2]].match(text, name.end())
            kept += [text[at : name.end()], HIDDEN]
            at = value.end() if value else len(text)
    return "".join([*kept, text[at:]])
