"""A kernel that is forked from a server is to its cells as one that is started afresh, and ends as surely."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient

from conftest import SOURCE
from deriva_ml.notebook import forking
from deriva_ml.notebook import kernel as kernels
from deriva_ml.notebook.forking import ForkedProcess, ForkServer

AROUND = {"PYTHONPATH": str(SOURCE), "PYTEST_CURRENT_TEST": ""}
"""What is set for server and kernels alike."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux alone")


class Running:
    """A kernel, and a client that asks it."""

    def __init__(self, folder: Path, server: ForkServer | None, **variables: str) -> None:
        self.folder = folder
        log = folder / f"{time.monotonic_ns()}.log"
        self.kernel = kernels.start(None, folder, log, {**AROUND, **variables}, server)
        self.client = BlockingKernelClient(connection_file=str(self.kernel.connection_file))
        self.client.load_connection_file()
        self.client.start_channels(hb=False)

    @property
    def forked(self) -> bool:
        return isinstance(self.kernel.process, ForkedProcess)

    def asked(self, code: str) -> Any:
        """What ``told`` is in the kernel after a cell."""
        asking = {"told": "__import__('json').dumps(told)"}
        reply = self.client.execute(code, user_expressions=asking, reply=True, timeout=60)["content"]
        assert reply["status"] == "ok", reply
        return json.loads(ast.literal_eval(reply["user_expressions"]["told"]["data"]["text/plain"]))

    def shown(self, code: str) -> list[dict[str, Any]]:
        """What a cell shows."""
        self.client.wait_for_ready(timeout=60)
        messages: list[dict[str, Any]] = []
        self.client.execute_interactive(code, output_hook=messages.append, timeout=60)
        return [one["content"] for one in messages if one["msg_type"] not in {"status", "execute_input"}]

    def end(self) -> int:
        """How it ended, if it was asked to."""
        self.client.stop_channels()
        self.kernel.shutdown()
        self.kernel.kill(10)
        return self.kernel.process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ForkServer]:
    server = ForkServer.start(folder, AROUND)
    assert server
    yield server
    server.close()


@pytest.fixture
def start(folder: Path, server: ForkServer) -> Iterator[Callable[..., Running]]:
    """Starts kernels, forked ones unless ``server`` is None, and ends them."""
    started: list[Running] = []

    def start(server: ForkServer | None = server, **variables: str) -> Running:
        started.append(Running(folder, server, **variables))
        return started[-1]

    yield start
    for one in started:
        one.client.stop_channels()
        one.kernel.kill()


@pytest.fixture(scope="module")
def both(folder: Path, server: ForkServer) -> Iterator[tuple[Running, Running]]:
    """A forked kernel, and one that was started afresh."""
    two = Running(folder, server, DERIVA_ML_RUN="here"), Running(folder, None, DERIVA_ML_RUN="here")
    try:
        assert (two[0].forked, two[1].forked) == (True, False)
        loaded = "import threading; told = [t.join() for t in threading.enumerate() if '_preload' in t.name]"
        two[1].asked(loaded)
        yield two
        assert [one.end() for one in two] == [0, 0]
    finally:
        for one in two:
            one.client.stop_channels()
            one.kernel.kill()


def gone(*pids: int) -> bool:
    """Whether processes end within five seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        alive = [pid for pid in pids if psutil.pid_exists(pid)]
        if all(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE for pid in alive):
            return True
        time.sleep(0.02)
    return False


SAME = {
    "variables": "{n: v for n, v in os.environ.items() if n != 'JPY_PARENT_PID'}",
    "the variable that names its parent": "os.environ['JPY_PARENT_PID'] == str(os.getppid())",
    "arguments": "sys.argv[:1] + sys.argv[3:], sys.orig_argv[:4]",
    "where modules are looked for": "sys.path",
    "flags": "tuple(sys.flags)",
    "folder": "os.getcwd()",
    "signals": "sorted((int(n), repr(signal.getsignal(n))) for n in signal.valid_signals())",
    "signals of the process": "[line for line in status if line.startswith(('SigBlk', 'SigIgn', 'SigCgt', 'Umask'))]",
    "threads": "sorted(one.name.partition(' (')[2] or type(one).__name__ for one in threading.enumerate())",
    "session": "os.getsid(0) == os.getpgrp() == os.getpid()",
    "open files": "sorted({one.partition(':[')[0] for one in opened if not one.endswith('.log')})",
    "inherited by programs": "[one for one in numbers if os.get_inheritable(one)]",
    "main": "sorted(name for name in vars(sys.modules['__main__']) if name.startswith('__')), __name__",
    "streams": "[(type(s).__name__, s.encoding, s.errors) for s in (sys.stdin, sys.stdout, sys.stderr)]",
    "streams at first": "[(s.name, s.mode, s.encoding, s.line_buffering) for s in (sys.__stdin__, sys.__stdout__)]",
    "collector": "gc.isenabled(), gc.get_threshold(), gc.get_freeze_count() > 10_000",
    "warnings": "[(one[0], one[2].__name__) for one in warnings.filters]",
    "a logger's clock": "logging.LogRecord('', 0, '', 0, '', (), None).relativeCreated < 60_000",
    "loop": "type(asyncio.get_running_loop()).__name__",
    "limits": "[resource.getrlimit(n) for n in range(16)]",
    "processor time": "time.process_time() < 30",
}
"""What a cell finds, and how it asks."""

ASKED = """
import asyncio, gc, logging, os, resource, signal, sys, threading, time, warnings
status = open("/proc/self/status").read().splitlines()
numbers = [int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
opened = [os.readlink(f"/proc/self/fd/{number}") for number in numbers]
told = """


@pytest.mark.parametrize("what", SAME)
def test_a_cell_finds_what_it_finds_in_a_kernel_that_was_started_afresh(
    both: tuple[Running, Running], what: str
) -> None:
    forked, afresh = (one.asked(ASKED + SAME[what]) for one in both)
    assert forked == afresh


def test_the_server_has_loaded_nothing_of_the_project_and_nothing_that_others_do_not(
    both: tuple[Running, Running],
) -> None:
    """What is loaded besides is the runner's own, that with which Hydra composes, and Python's."""
    forked, afresh = (set(one.asked("import sys; told = sorted(sys.modules)")) for one in both)
    assert {name.partition(".")[0] for name in forked - afresh} <= {
        *("deriva_ml", "hydra", "omegaconf", "antlr4", "yaml"),
        *sys.stdlib_module_names,
    }
    assert not {"numpy", "pandas", "matplotlib", "torch", "configs", "multiprocessing"} & forked
    assert forked >= afresh - {"runpy"}


def test_kernels_of_one_server_draw_different_numbers(start: Callable[..., Running]) -> None:
    code = """
import multiprocessing, os, random, secrets, ssl, tempfile, uuid
import numpy
told = {
    "random": random.random(), "again": random.Random().random(), "secrets": secrets.token_hex(),
    "uuid": uuid.uuid4().hex, "time": uuid.uuid1().hex, "ssl": ssl.RAND_bytes(8).hex(),
    "file": tempfile.mktemp(), "numpy": float(numpy.random.random()),
    "generator": float(numpy.random.default_rng().random()),
    "session": get_ipython().kernel.session.session, "key": bytes(multiprocessing.current_process().authkey).hex(),
    "number": os.getpid(),
}
"""
    one, other = (start().asked(code) for _ in range(2))
    assert [name for name in one if one[name] == other[name]] == []


def test_variables_are_those_of_the_kernel_and_no_others(start: Callable[..., Running], folder: Path) -> None:
    kernel = start(DERIVA_ML_RUN="mine", OMP_NUM_THREADS="1")
    assert kernel.forked
    assert kernel.asked("import os; told = os.environ['DERIVA_ML_RUN'], os.environ['OMP_NUM_THREADS']") == [
        "mine",
        "1",
    ]
    printed = kernel.asked(
        "import subprocess; told = subprocess.run(['env'], capture_output=True, text=True).stdout"
    )
    assert "DERIVA_ML_RUN=mine" in printed
    server = ForkServer.start(folder, {**AROUND, "DERIVA_ML_RUN": "another's"})
    assert server
    other = start(server)
    assert other.forked
    assert not other.asked("import os; told = 'DERIVA_ML_RUN' in os.environ")
    server.close()


def test_a_variable_that_python_reads_as_it_starts_is_never_too_late(
    start: Callable[..., Running], folder: Path
) -> None:
    """A kernel is started afresh if the server has other ones; a server's own hash seed is that of its kernels."""
    hashes = "import sys; told = hash('a'), sys.flags.hash_randomization"
    seeded = start(PYTHONHASHSEED="7")
    assert not seeded.forked
    server = ForkServer.start(folder, {**AROUND, "PYTHONHASHSEED": "7"})
    assert server
    try:
        forked = start(server, PYTHONHASHSEED="7")
        assert forked.forked
        assert forked.asked(hashes) == seeded.asked(hashes)
    finally:
        server.close()


def test_a_server_of_another_folder_or_none_does_not_hinder(folder: Path, tmp_path: Path) -> None:
    server = ForkServer.start(folder, AROUND)
    assert server
    kernel = Running(tmp_path, server)
    assert not kernel.forked and kernel.asked("import os; told = os.getcwd()") == str(tmp_path)
    assert kernel.end() == 0
    server.close()
    kernel = Running(folder, server)
    assert not kernel.forked and kernel.asked("told = 1") == 1
    assert kernel.end() == 0


def test_after_a_server_that_was_killed_there_is_another_one(
    folder: Path, start: Callable[..., Running]
) -> None:
    server = ForkServer.start(folder, AROUND)
    assert server
    assert start(server).forked
    server._process.kill()
    server._process.wait()
    kernel = start(server)
    assert kernel.forked and kernel.asked("told = 1") == 1
    server.close()


CELLS = {
    "programs": ("import subprocess; told = subprocess.run(['sh', '-c', 'exit 3']).returncode", 3),
    "processes that are forked": (
        "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    told = pool.map(abs, [-1, 2])",
        [1, 2],
    ),
    "a loop": (
        "import asyncio\nawait asyncio.sleep(0)\ntold = asyncio.get_running_loop().is_running()",
        True,
    ),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as pool:\n"
        "    told = list(pool.map(abs, [-1, 2]))",
        [1, 2],
    ),
}


@pytest.mark.parametrize("what", CELLS)
def test_cells_do_what_they_do_elsewhere(both: tuple[Running, Running], what: str) -> None:
    code, expected = CELLS[what]
    assert [one.asked(code) for one in both] == [expected, expected]


def test_cells_start_processes_that_import_anew(start: Callable[..., Running]) -> None:
    code = (
        "import multiprocessing\nwith multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "    told = pool.map(abs, [-1, 2])"
    )
    assert start().asked(code) == [1, 2]


def test_a_module_that_changes_is_loaded_again(both: tuple[Running, Running], folder: Path) -> None:
    """With the same extension as elsewhere, and though the server looked at the folder before the module was there."""
    for number, one in enumerate(both):
        module = folder / f"changing{number}.py"
        module.write_text("value = 1")
        one.asked(f"%load_ext autoreload\n%autoreload 2\nimport {module.stem}\ntold = {module.stem}.value")
        module.write_text("value = 1 + 1")
        os.utime(module, (time.time() + 10, time.time() + 10))
        assert one.asked(f"told = {module.stem}.value") == 2


LEFT = """
import atexit, sys, threading, time, types

class Last:
    def __init__(self, path):
        self.path = path
    def __del__(self, open=open):  # other names of the cells may go before
        with open(self.path, "w") as stream:
            stream.write("gone")

last = Last(here + "object")
text = open(here + "text", "w")
text.write("of a cell")
module = sys.modules["own"] = types.ModuleType("own")
module.name = here + "module"
exec("stream = open(name, 'w'); stream.write('of a module')\\ndef held(): pass", vars(module))
module.last = Last(here + "held")
again = open(here + "bytes", "wb")
print(again.write(b"bytes"), file=open(here + "printed", "w"))

def late(here=here):
    time.sleep(0.2)
    with open(here + "thread", "w") as stream:
        stream.write("ended")

threading.Thread(target=late).start()
atexit.register(lambda here=here: open(here + "handler", "w").write("called"))
told = 1
"""


@pytest.mark.parametrize("afresh", [False, True])
def test_nothing_is_lost_of_what_is_open_as_a_kernel_ends(
    start: Callable[..., Running], tmp_path: Path, afresh: bool
) -> None:
    """Files, threads, exit handlers, objects: all come to their end; in a fresh kernel some of a module's come too late."""
    kernel = start(None) if afresh else start()
    assert kernel.asked(f"here = {str(tmp_path)!r} + '/'" + LEFT) == 1
    assert kernel.end() == 0
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    found |= {"held": "gone", "module": "of a module"} if afresh else {}
    assert found == {
        "object": "gone",
        "held": "gone",
        "text": "of a cell",
        "module": "of a module",
        "bytes": "bytes",
        "printed": "5\n",
        "thread": "ended",
        "handler": "called",
    }


def test_figures_are_shown(start: Callable[..., Running]) -> None:
    shown = start().shown("import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nplt.show()")
    assert [sorted(one["data"]) for one in shown if "data" in one] == [["image/png", "text/plain"]]


def test_a_cell_is_interrupted_and_the_kernel_goes_on(start: Callable[..., Running], folder: Path) -> None:
    kernel, marker = start(), folder / "sleeping"
    code = f"import pathlib, time; pathlib.Path({str(marker)!r}).touch(); time.sleep(60)"
    kernel.client.execute(code, stop_on_error=False)
    while not marker.exists():
        time.sleep(0.01)
    os.killpg(kernel.kernel.process.pid, signal.SIGINT)
    reply = kernel.client.get_shell_msg(timeout=10)["content"]
    assert reply["ename"] == "KeyboardInterrupt"
    assert kernel.asked("told = 1") == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(7)", "it exited with status 7; its last words: none"),
        ("import ctypes; ctypes.string_at(0)", "it was ended by SIGSEGV"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "it was ended by SIGKILL (out of memory, perhaps)",
        ),
        ("import os; os.abort()", "it was ended by SIGABRT"),
        (
            "import os; os.write(2, b'said\\nlast\\n'); os.execv('/bin/sh', ['sh', '-c', 'exit 5'])",
            "status 5",
        ),
    ],
)
def test_it_is_told_how_a_kernel_ended(start: Callable[..., Running], code: str, reason: str) -> None:
    kernel = start()
    assert kernel.kernel.process.poll() is None
    kernel.client.execute(code)
    process = kernel.kernel.process
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reason in kernel.kernel.exit_reason()
    assert process.wait() == process.wait(0) == process.poll() == process.returncode


def test_a_process_is_waited_for_as_long_as_is_said_and_keeps_its_number_until_then(
    start: Callable[..., Running],
) -> None:
    process = start().kernel.process
    for timeout in (0, 0.1):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout)
    process.send_signal(signal.SIGTERM)
    assert gone(process.pid) and psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    assert process.wait(5) == -signal.SIGTERM
    process.kill()  # does nothing
    deadline = time.monotonic() + 5
    while psutil.pid_exists(process.pid):
        assert time.monotonic() < deadline


def test_a_kernel_that_nobody_holds_any_more_ends(start: Callable[..., Running], folder: Path) -> None:
    """As after Ctrl-C while a runner waits for it."""
    server = ForkServer.start(folder, AROUND)
    assert server
    kernel = start(server)
    child = kernel.asked("import subprocess; told = subprocess.Popen(['sleep', '100']).pid")
    pid, other = kernel.kernel.process.pid, start(server)
    assert isinstance(kernel.kernel.process, ForkedProcess)
    kernel.kernel.process._answers.close()
    assert gone(pid, child)
    assert other.kernel.process.poll() is None and other.asked("told = 1") == 1
    server.close()


def test_a_server_that_does_not_answer_is_not_waited_for_for_ever(
    folder: Path, start: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it forks later is ended, and does not disturb the kernel that was started instead."""
    server = ForkServer.start(folder, AROUND)
    assert server and start(server).forked
    monkeypatch.setattr(forking, "START_SECONDS", 0.1)
    os.kill(server._process.pid, signal.SIGSTOP)
    kernel = start(server)
    assert not kernel.forked and kernel.asked("told = 1") == 1
    os.kill(server._process.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert start(server).forked
    assert kernel.asked("told = 1") == 1
    server.close()


def test_several_kernels_live_side_by_side_and_share_nothing_open(start: Callable[..., Running]) -> None:
    one, other = start(), start()
    sockets = (
        "import psutil; told = sorted(c.laddr for c in psutil.Process().net_connections('unix') if c.laddr)"
    )
    assert not set(one.asked(sockets)) & set(other.asked(sockets))
    count = "import os; told = len(os.listdir('/proc/self/fd'))"
    # What one inherited of the other would stay; a connection that is just made or given up does not.
    counts = ((one.asked(count), other.asked(count)) for _ in range(50))
    assert any(ones == others for ones, others in counts)
    assert one.asked("import os; told = os.getppid()") == other.asked("import os; told = os.getppid()")
    one.kernel.process.kill()
    assert one.kernel.process.wait(5) == -signal.SIGKILL
    assert other.kernel.process.poll() is None and other.asked("told = 2") == 2


def test_a_server_with_a_second_thread_forks_nothing(folder: Path, tmp_path: Path) -> None:
    """Such as one that a `.pth` file starts."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    variables = {**AROUND, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(SOURCE)])}
    server = ForkServer.start(folder, variables)
    assert server
    kernel = Running(folder, server, **variables)
    assert not kernel.forked and kernel.asked("told = 1") == 1
    kernel.end()
    server.close()


RUNNER = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from notebook_runs.test_forked_kernels import AROUND, ForkServer, Running
folder = Path(sys.argv[1])
server = ForkServer.start(folder, AROUND)
kernel = Running(folder, server)
assert kernel.forked
child = kernel.asked("import subprocess; told = subprocess.Popen(['sleep', '100']).pid")
kernel.client.execute(sys.argv[2])
time.sleep(0.2)
print(json.dumps([server._process.pid, kernel.kernel.process.pid, child]), flush=True)
if sys.argv[3]:
    import ctypes, os
    fork = os.fork if sys.argv[3] == "by Python" else ctypes.CDLL(None).fork
    fork() or time.sleep(100)
print(kernel.kernel.process.wait(), flush=True)
time.sleep(100)
"""
SLEEPS = "import time; time.sleep(100)"
HOLDS = "import ctypes; ctypes.PyDLL(None).sleep(100)"
"""A cell that lets no other Python code of its process run."""


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[int]]]]:
    """Starts a process that has a server and a kernel, which has started a program; ends what is left of them."""
    started: list[subprocess.Popen[str]] = []
    pids: list[int] = []

    def start(cell: str, how: str = "") -> tuple[subprocess.Popen[str], list[int]]:
        tests = str(Path(__file__).parents[1])
        command = [sys.executable, "-c", RUNNER.format(tests=tests), str(tmp_path), cell, how]
        environment = {**os.environ, **AROUND}
        one = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        started.append(one)
        assert one.stdout
        pids.extend(json.loads(one.stdout.readline()))
        return one, pids

    yield start
    for one in started:
        os.killpg(one.pid, signal.SIGKILL)
        one.communicate()
    assert gone(*pids)


@pytest.mark.parametrize(("cell", "how"), [(HOLDS, ""), (SLEEPS, "by Python"), (SLEEPS, "by C")])
def test_everything_ends_when_the_runner_is_killed(
    killed: Callable[..., tuple[subprocess.Popen[str], list[int]]], cell: str, how: str
) -> None:
    """Also if a process that it forked is still there."""
    runner, pids = killed(cell, how)
    assert all(map(psutil.pid_exists, pids))
    runner.kill()
    assert gone(*pids)


def test_kernels_end_with_a_server_that_is_killed_and_the_runner_knows(
    killed: Callable[..., tuple[subprocess.Popen[str], list[int]]],
) -> None:
    runner, [server, kernel, child] = killed(HOLDS)
    os.kill(server, signal.SIGKILL)
    assert runner.stdout and int(runner.stdout.readline()) == -signal.SIGKILL
    assert gone(kernel)
    os.kill(child, signal.SIGKILL)  # the runner's to do: see the next


def test_what_a_kernel_started_ends_as_the_runner_ends_it_though_the_server_is_gone(
    start: Callable[..., Running], folder: Path
) -> None:
    server = ForkServer.start(folder, AROUND)
    assert server
    kernel = start(server)
    child = kernel.asked("import subprocess; told = subprocess.Popen(['sleep', '100']).pid")
    server._process.kill()
    kernel.kernel.kill()
    assert gone(kernel.kernel.process.pid, child)
    server.close()


def test_a_kernel_that_stops_answering_is_killed(start: Callable[..., Running]) -> None:
    kernel = start()
    kernel.client.execute(HOLDS)
    time.sleep(0.1)
    kernel.kernel.kill()
    assert kernel.kernel.process.returncode == -signal.SIGKILL
    assert not kernel.kernel.connection_file.parent.exists()
