"""A stand-in for Slurm on one machine: what `sbatch`, `srun`, `sacct`, `squeue` and `scancel` do for submitit.

A process of its own runs an array's tasks, so many at a time, apart from whoever submitted them. A time limit comes as
Slurm's does: the signal that was asked for before it, to the processes of the step; SIGTERM; half a minute later SIGKILL.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOME = "SLURM_DOUBLE"
"""The variable with the folder in which the double keeps its queue."""
MINUTE = "SLURM_DOUBLE_MINUTE"
"""The variable with the seconds that a minute of its clock takes."""
COMMANDS = ("sbatch", "srun", "sacct", "squeue", "scancel", "scontrol")
KILL_WAIT = 30


def install(folder: Path, minute: float = 60) -> dict[str, str]:
    """Put the commands into a folder; returns the variables by which they are found."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in COMMANDS:
        path = programs / name
        path.write_text(
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(__file__)} {name} "$@"\n'
        )
        path.chmod(0o755)
    (folder / "queue").mkdir()
    found = os.pathsep.join([str(programs), os.environ["PATH"]])
    return {"PATH": found, HOME: str(folder / "queue"), MINUTE: str(minute)}


def states(folder: Path) -> dict[str, str]:
    """What became of each job."""
    return {
        path.stem: json.loads(path.read_text())["state"] for path in sorted((folder / "queue").glob("*.json"))
    }


@dataclass
class Running:
    """A task that runs."""

    process: subprocess.Popen[bytes]
    begun: float
    told: int = 0


def home() -> Path:
    return Path(os.environ[HOME])


def seconds(count: float) -> float:
    """So many seconds of the double's clock, in real ones."""
    return count * float(os.environ.get(MINUTE, "60")) / 60


def note(job: str, **said: Any) -> None:
    path = home() / f"{job}.json"
    held = json.loads(path.read_text()) if path.exists() else {}
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(held | said))
    new.replace(path)


def noted(job: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home() / f"{job}.json").read_text())
    return found


def sbatch(words: Sequence[str]) -> None:
    script = Path(words[-1])
    found = re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script.read_text(), re.MULTILINE)
    options = {name: " ".join(shlex.split(value)) for name, value in found}
    number = str(time.time_ns() // 1_000_000)
    names, most = [number], 1
    if "array" in options:
        first, last, most = map(int, re.fullmatch(r"(\d+)-(\d+)%(\d+)", options["array"]).groups())  # type: ignore[union-attr]
        names = [f"{number}_{task}" for task in range(first, last + 1)]
    for name in names:
        note(name, state="PENDING", options=options, script=str(script.resolve()))
    with (home() / "slurmd.log").open("a") as log:
        command = [sys.executable, __file__, "slurmd", str(most), *names]
        subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    print(f"Submitted batch job {number}")


def slurmd(most: int, names: Iterable[str]) -> None:
    """Run tasks until none is left."""
    waiting, running = list(names), dict[str, Running]()
    while waiting or running:
        while waiting and len(running) < most:
            name = waiting.pop(0)
            if noted(name)["state"] == "PENDING":
                running[name] = Running(begin(name), time.monotonic())
        for name, one in list(running.items()):
            keep_time(name, one)
            one.process.poll()
            if not group_lives(one.process.pid):
                end(name, one.process.returncode)
                del running[name]
        time.sleep(0.05)


def begin(name: str) -> subprocess.Popen[bytes]:
    held = noted(name)
    array, _, task = name.partition("_")
    own = {"SLURM_JOB_ID": array if not task else str(int(array) + 1 + int(task)), "SLURM_JOB_NUM_NODES": "1"}
    own |= {"SLURM_NTASKS": "1", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    own |= {
        "SLURM_JOB_NODELIST": "node1",
        "SLURM_ARRAY_TASK_ID": task,
        "SLURM_ARRAY_JOB_ID": array if task else "",
    }
    if cpus := held["options"].get("cpus-per-task"):
        own["SLURM_CPUS_PER_TASK"] = cpus
    out = Path(filled(held["options"]["output"], array, task))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("ab") as stream:
        process = subprocess.Popen(
            ["bash", held["script"]],
            env={**os.environ, **{name: value for name, value in own.items() if value}},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    note(name, state="RUNNING", pid=process.pid)
    return process


def keep_time(name: str, one: Running) -> None:
    options = noted(name)["options"]
    kind, _, before = options.get("signal", "@0").partition("@")
    limit, spent = seconds(60 * int(options["time"])), time.monotonic() - one.begun
    due = [limit - seconds(int(before)), limit, limit + seconds(KILL_WAIT)]
    while one.told < len(due) and spent >= due[one.told]:
        one.told += 1
        if one.told == 1 and kind:
            send(below(one.process.pid), getattr(signal, f"SIG{kind}"))
        elif one.told == 2:
            note(name, state="TIMEOUT")
            send([one.process.pid, *below(one.process.pid)], signal.SIGTERM)
        elif one.told == 3:
            os.killpg(one.process.pid, signal.SIGKILL)


def end(name: str, code: int) -> None:
    if noted(name)["state"] == "RUNNING":
        note(name, state="FAILED" if code else "COMPLETED")


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def below(pid: int) -> list[int]:
    """The processes that one has started, and those that they have."""
    lines = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True).stdout.splitlines()[1:]
    parents = {int(child): int(parent) for child, parent in map(str.split, lines)}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def send(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def filled(name: str, array: str, task: str) -> str:
    return name.replace("%A", array).replace("%a", task).replace("%j", array).replace("%t", "0")


def srun(words: Sequence[str]) -> None:
    held, files = list(words), dict[str, str]()
    while held[0].startswith("--"):
        if (flag := held.pop(0)) in {"--output", "--error"}:
            files[flag] = held.pop(0)
    array = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ["SLURM_JOB_ID"]
    for number, flag in ((1, "--output"), (2, "--error")):
        path = Path(filled(files[flag], array, os.environ.get("SLURM_ARRAY_TASK_ID", "")))
        path.parent.mkdir(parents=True, exist_ok=True)
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.execvp(held[0], held)


def matching(words: Sequence[str]) -> list[str]:
    wanted = {word for word in words if word[0].isdigit()}
    names = [path.stem for path in sorted(home().glob("*.json"))]
    return [name for name in names if name in wanted or name.partition("_")[0] in wanted]


def sacct(words: Sequence[str]) -> None:
    sys.exit("Slurm accounting storage is disabled")  # as Slurm 22.05 says where no slurmdbd is


def squeue(words: Sequence[str]) -> None:
    """As Slurm 22.05 prints jobs, ended ones too, for `--noheader --array --states=all --format=%i|%T|%N`."""
    for path in sorted(home().glob("*.json")):
        print(f"{path.stem}|{noted(path.stem)['state'].split()[0]}|node1")


def scancel(words: Sequence[str]) -> None:
    for name in matching(words):
        held = noted(name)
        if held["state"] in {"PENDING", "RUNNING"}:
            note(name, state=f"CANCELLED by {os.getuid()}")
            if held["state"] == "RUNNING":
                send([held["pid"], *below(held["pid"])], signal.SIGTERM)


def scontrol(words: Sequence[str]) -> None:
    sys.exit("the double requeues nothing")


def main(name: str, *words: str) -> None:
    commands: dict[str, Callable[[Sequence[str]], None]] = {
        "sbatch": sbatch,
        "srun": srun,
        "sacct": sacct,
        "squeue": squeue,
        "scancel": scancel,
        "scontrol": scontrol,
        "slurmd": lambda words: slurmd(int(words[0]), words[1:]),
    }
    commands[name](words)


if __name__ == "__main__":
    main(*sys.argv[1:])
