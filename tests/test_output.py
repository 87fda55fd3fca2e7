"""What cells print is all there, in order, however fast it is printed and however slow the runner is to read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import SOURCE

RUN = """
import json, re, sys
from pathlib import Path
import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from deriva_ml.notebook import kernel as kernels
from deriva_ml.notebook.execute import execute

folder, name, *cells = sys.argv[1:]
folder = Path(folder)
nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), folder / "in.ipynb")
kernel = kernels.start(name or None, folder, folder / "kernel.log", {})
peaks = []
def note_peak(process):
    if (status := Path("/proc", str(process), "status")).is_file():
        peaks.append(int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]) << 10)
try:
    ended = execute(folder / "in.ipynb", folder / "out.ipynb", kernel, {})
    note_peak(kernel.process.pid)
finally:
    kernel.kill()
note_peak("self")
print(ended.reason)
(folder / "peaks.json").write_text(json.dumps(peaks))
"""
"""A runner in a process of its own, which its kernel may stop."""

STOP = """import os, signal, subprocess, sys
from IPython.display import display
def stop():  # the runner reads nothing for a second
    go_on()
    os.kill(os.getppid(), signal.SIGSTOP)
def go_on():
    subprocess.Popen(["sh", "-c", f"sleep 1; kill -CONT {os.getppid()}"])
"""
LINES = "stop()\nfor i in range(4000):\n    print('step', i, flush=True)"
DISPLAYS = "stop()\nfor i in range(2500):\n    display(i)"
AFTER = "print('the end')"


class Ran:
    """A notebook that was run, and what was said of it."""

    def __init__(self, folder: Path, *cells: str, kernel: str = "") -> None:
        path = {"PYTHONPATH": str(SOURCE), "JUPYTER_PATH": str(Path(sys.prefix, "share", "jupyter"))}
        done = subprocess.run(
            [sys.executable, "-c", RUN, str(folder), kernel, *cells],
            env={**_environment(), **path},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        self.reason, self.said = done.stdout.strip(), done.stderr
        self.peaks: list[int] = json.loads((folder / "peaks.json").read_text())
        self.cells: list[Any] = json.loads((folder / "out.ipynb").read_text(encoding="utf-8"))["cells"]

    def text(self, cell: int, *streams: str) -> str:
        """What a cell printed, to any of these streams."""
        outputs = self.cells[cell]["outputs"]
        return "".join(
            "".join(one["text"])
            for one in outputs
            if one["output_type"] == "stream" and one["name"] in (streams or ("stdout", "stderr"))
        )


def _environment() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


def steps(number: int) -> str:
    return "".join(f"step {i}\n" for i in range(number))


def test_what_is_printed_while_the_runner_reads_nothing_is_there(tmp_path: Path) -> None:
    """And takes few outputs of the notebook, which is what each save writes."""
    ran = Ran(tmp_path, STOP, LINES, DISPLAYS, AFTER)
    assert (ran.reason, ran.said) == ("", "")
    assert ran.text(1) == steps(4000)
    assert len(ran.cells[1]["outputs"]) < 200
    shown = ["".join(one["data"]["text/plain"]) for one in ran.cells[2]["outputs"]]
    assert shown == [str(i) for i in range(2500)]
    assert ran.text(3) == "the end\n"


def test_another_kernel_s_cell_ends_with_its_reply(tmp_path: Path) -> None:
    """It throws away what is not read in time, the word that it is done too; the cells after it run all the same."""
    cell = f"os.kill(os.getppid(), signal.SIGSTOP)\n{LINES.removeprefix('stop()')}\ngo_on()"
    ran = Ran(tmp_path, STOP, "print('step', 0)", cell, AFTER, kernel="python3")
    assert ran.reason == ""
    assert (ran.text(1), ran.text(3)) == ("step 0\n", "the end\n")
    said = "the kernel lost some of what this cell printed, because it was faster than could be read\n"
    assert ran.text(2, "stderr") == said
    assert ran.said == f"warning: cell [3]: {said}"


@pytest.mark.parametrize("own", [True, False])
def test_what_is_set_of_a_connection_holds_for_its_sockets(tmp_path: Path, own: bool) -> None:
    """A client of its own context would try ten times a second to reach the kernel, and lose what another one sends."""
    import zmq
    from jupyter_client.connect import write_connection_file

    from deriva_ml.notebook.engine import RECONNECT_MILLISECONDS, Manager
    from deriva_ml.notebook.kernel import Kernel

    written, _ = write_connection_file(str(tmp_path / "kernel.json"), transport="ipc", ip=str(tmp_path / "s"))
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    manager = Manager(Kernel(process, Path(written), tmp_path / "log", {}, own))
    try:
        client = manager.client()
        client.start_channels(stdin=False, hb=False)
        for channel in client.shell_channel, client.iopub_channel, client.control_channel:
            assert channel.socket.getsockopt(zmq.RECONNECT_IVL) == RECONNECT_MILLISECONDS
            assert (channel.socket.getsockopt(zmq.RCVHWM) == 0) is not own
        client.stop_channels()
    finally:
        manager.context.destroy(linger=0)


WAYS = {
    "for i in range(100):\n    for s in sys.stdout, sys.stderr:\n        print(i, s.name, file=s, flush=True)": (
        "".join(f"{i} std{name}\n" for i in range(100) for name in ("out", "err"))
    ),
    "subprocess.run('echo é; echo no >&2', shell=True); display(1)": "é\nno\n",
    "os.write(1, 'ü'.encode() * 70_000)": "ü" * 70_000,
    "print('x' * 3_000_000)": "x" * 3_000_000 + "\n",
    "print('a\\rb', end='\\r')": "a\rb\r",
    "print('one', flush=True)\nif not os.fork():\n    print('two'); os._exit(0)\nos.wait()": "one\ntwo\n",
    "import logging\nfor i in range(1000): logging.warning('step %d', i)": (
        steps(1000).replace("step", "WARNING:root:step")
    ),
}
THREAD = """import threading, time
def f():
    for i in range(300):
        print('step', i); time.sleep(.001)
t = threading.Thread(target=f); t.start()"""


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("ways"), STOP, *WAYS, THREAD, *["1"] * 9, "t.join()")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_print_is_heard_before_the_cell_ends(ways: Ran, way: str) -> None:
    cell = 1 + list(WAYS).index(way)
    assert (ways.reason, ways.text(cell)) == ("", WAYS[way])
    if "display" in way:
        assert ways.cells[cell]["outputs"][-1]["output_type"] == "display_data"


def test_what_a_thread_prints_between_cells_is_there(ways: Ran) -> None:
    assert "".join(map(ways.text, range(1 + len(WAYS), len(ways.cells)))) == steps(300)


def test_a_kernel_that_dies_leaves_what_it_printed(tmp_path: Path) -> None:
    """All but that of the last moment, which it had not sent."""
    cell = "import time\nfor i in range(5):\n    print('step', i)\ntime.sleep(.2); os.kill(os.getpid(), 9)"
    ran = Ran(tmp_path, STOP, cell)
    assert "the kernel died in cell [2]: it was ended by SIGKILL" in ran.reason
    assert ran.text(1) == steps(5)


MIB = 1 << 20
MUCH = {
    "one line": "print('x' * {size})",
    "lines of wide characters": "for i in range({size} // 500):\n    print('\U0001f600' + 'x' * 495)",
    "lines on stderr, each flushed": (
        "import sys\nfor i in range({size} // 500):\n    print('x' * 499, file=sys.stderr, flush=True)"
    ),
    "a dictionary": (
        "from IPython.display import JSON\nJSON({{f'{{i}}': 'x' * 90 for i in range({size} // 100)}})"
    ),
}


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """The most memory that kernel and runner take where nothing is printed."""
    return Ran(tmp_path_factory.mktemp("idle"), "from IPython.display import JSON").peaks


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the most memory that a process took")
@pytest.mark.parametrize("kind", MUCH)
def test_much_output_takes_six_times_its_size_of_memory(idle: list[int], tmp_path: Path, kind: str) -> None:
    size = 16 * MIB
    ran = Ran(tmp_path, MUCH[kind].format(size=size))
    assert ran.reason == ""
    assert (tmp_path / "out.ipynb").stat().st_size > size
    kernel, runner = (peak - before for peak, before in zip(ran.peaks, idle, strict=True))
    assert kernel < 6 * size and runner < 6 * size, (kernel / size, runner / size)
