"""A replay that is stopped leaves no working tree, no folder and no process, at whatever it was."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from deriva_ml.catalog.connection import open_local
from deriva_ml.project import Project
from deriva_ml.replay.replaying import Options, Records, replay
from deriva_ml.signals import Terminated, raise_on_signals
from replay.conftest import Lab

STEPS = (
    "checking its code out",
    "bringing its inputs",
    "preparing its environment",
    "running it",
    "comparing",
)


@pytest.fixture(scope="module")
def waiting(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A model's execution, which waits as long as a folder has no file `go`; and that folder."""
    folder = tmp_path_factory.mktemp("waiting")
    (folder / "go").touch()
    return lab.run_model(f"model_config.place={folder}"), folder


def started_by_replays(lab: Lab) -> list[psutil.Process]:
    """The processes that run in the working tree of a replay."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(lab.project / ".deriva-ml" / "replaying")):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_for(condition: object, what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)]
)
def test_stopped_before_any_of_its_steps(
    lab: Lab, waiting: tuple[str, Path], number: int, raised: type[BaseException]
) -> None:
    rid, folder = waiting
    (folder / "go").touch()
    project = Project(lab.project.path)
    done = []
    with closing(open_local(project)) as local:
        for step in STEPS[:: 1 if number == signal.SIGINT else 4]:

            def say(text: str, wanted: str = step) -> None:
                if text == wanted:
                    done.append(text)
                    os.kill(os.getpid(), number)

            with pytest.raises(raised), raise_on_signals():
                replay(Records(project, local, local), rid, Options(here=True, say=say))
            lab.is_clean()
            assert done[-1] == step and not started_by_replays(lab)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_while_it_runs(lab: Lab, waiting: tuple[str, Path], number: int) -> None:
    """What is killed itself can clear nothing: its run ends all the same, and the next replay clears the rest."""
    rid, folder = waiting
    for name in ("go", "begun"):
        (folder / name).unlink(missing_ok=True)
    before = lab.contents()
    process = lab.project.popen("deriva-ml-replay", rid, "--here", start_new_session=True)
    wait_for(lambda: (folder / "begun").exists() or process.poll() is not None, "it never ran")
    assert len(started_by_replays(lab)) == 1
    process.send_signal(number)
    process.communicate(timeout=120)
    assert (
        process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 1, signal.SIGKILL: -signal.SIGKILL}[number]
    )
    wait_for(lambda: not started_by_replays(lab), "its run went on")
    if number == signal.SIGKILL:
        assert lab.project.git("worktree", "list").count("\n") == 1
        (folder / "go").touch()
        assert lab.replay(rid)["verdict"] == "identical"
    else:
        lab.is_clean()
    assert lab.contents() == before
