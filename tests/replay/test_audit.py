"""What a repeated run reads and starts is noted, in every Python process of it, and nothing else changes for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deriva_ml.replay.audit import Seen, install, seen


class Run:
    """A run's folders: the working tree, and beside it those for the runner and the notes."""

    def __init__(self, folder: Path) -> None:
        self.outside, self.tree, self.notes = folder / "outside", folder / "tree", folder / "notes.jsonl"
        self.runner = folder / "run" / "runner"
        for path in (self.outside, self.tree / "src", self.runner):
            path.mkdir(parents=True)
        for name in ("a.csv", "b.csv", "ü \"'\n.csv"):
            (self.outside / name).write_text("1\n")
        (self.tree / "data.csv").write_text("1\n")
        time.sleep(0.02)  # the run begins later
        self.variables = install(self.runner, self.notes, [self.tree])

    def python(self, code: str, *options: str, **variables: str) -> str:
        """Run Python code as a replay does; what it prints."""
        path = os.pathsep.join([str(self.runner), str(self.tree / "src")])
        environ = {**os.environ, **self.variables, "PYTHONPATH": path, **variables}
        done = subprocess.run(
            [sys.executable, *options, "-c", code, str(self.outside)],
            cwd=self.tree,
            env=environ,
            capture_output=True,
            text=True,
        )
        assert not done.returncode, done.stderr
        return done.stdout

    def seen(self) -> Seen:
        return seen(self.notes)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_files_from_elsewhere_are_noted_once(run: Run) -> None:
    """However they are opened, under whichever spelling; not those of the run and of Python's own."""
    run.python(
        "import json, os, sqlite3, sys, tempfile, numpy, pathlib\n"
        "out = sys.argv[1]\n"
        "for _ in range(3):\n"
        "    open(out + '/a.csv').read(); os.close(os.open(out + '/../outside/b.csv', os.O_RDWR))\n"
        "    pathlib.Path('../outside/a.csv').read_bytes()\n"
        "open('data.csv').read()\n"
        "open(out + '/ü \"\\'\\n.csv', 'rb').close()\n"
        "open('/proc/self/stat').read()\n"
        "open(out + '/own.txt', 'w').write('x'); open(out + '/own.txt').read()\n"
        "with tempfile.TemporaryFile() as f: f.write(b'1'); f.seek(0); f.read()\n"
        "try: open(out + '/none')\n"
        "except OSError: pass\n"
        "try: open('data/raw.csv')\n"
        "except OSError: pass\n"
    )
    found = run.seen()
    assert found.read == [str(run.outside / name) for name in ("a.csv", "b.csv", "ü \"'\n.csv")]
    assert found.missed == [str(run.tree / "data/raw.csv")]
    assert (found.connected, found.started) == ([], [])


def test_what_the_run_wrote_is_its_own(run: Run) -> None:
    """Also what another program of it wrote, or a library that passes the hook by."""
    run.python(
        "import shutil, subprocess, sys\n"
        "out = sys.argv[1]\n"
        "subprocess.run(['cp', '-p', out + '/a.csv', out + '/c.csv'], check=True)\n"
        "open(out + '/c.csv').read()\n"
        "subprocess.run([sys.executable, '-c', 'import sys; open(sys.argv[1])', out + '/c.csv'], check=True)\n"
    )
    assert run.seen().read == []


def test_a_database_is_a_file(run: Run) -> None:
    """SQLite opens it itself."""
    run.python(
        "import sqlite3, sys; sqlite3.connect(sys.argv[1] + '/a.csv'); sqlite3.connect(':memory:')\n"
        "sqlite3.connect('file:' + sys.argv[1] + '/b.csv?mode=ro', uri=True)"
    )
    assert run.seen() == Seen(read=[str(run.outside / name) for name in ("a.csv", "b.csv")])


def test_modules_of_the_working_tree_are_noted_and_others_not(run: Run) -> None:
    """Those that ran; a module from a folder that the code itself adds is a file from elsewhere."""
    for name in ("used", "unused"):
        (run.tree / "src" / f"{name}.py").write_text("")
    (run.outside / "strange.py").write_text("")
    os.utime(run.runner / "sitecustomize.py", (time.time() + 1,) * 2)  # the run begins now
    run.python("import used, sys; sys.path.append(sys.argv[1]); import strange")
    found = run.seen()
    assert found.code == [str(run.tree / "src" / "used.py")]
    assert found.read == [str(run.outside / "strange.py")]


@pytest.fixture
def server() -> Iterator[int]:
    """A server that takes connections; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=lambda: [listening.accept() for _ in range(2)], daemon=True).start()
        yield listening.getsockname()[1]


def test_hosts_are_noted(run: Run, server: int) -> None:
    """By their names where they have been asked for; a Unix socket is none."""
    run.python(
        f"import socket; socket.create_connection(('localhost', {server}))\n"
        f"socket.socket().connect(('127.0.0.1', {server}))\n"
        "a, b = socket.socketpair()\n"
        "try: socket.socket(socket.AF_UNIX).connect('/none')\n"
        "except OSError: pass\n"
    )
    assert run.seen().connected == [f"localhost:{server}"]


def test_programs_are_noted_and_python_processes_looked_at_too(run: Run) -> None:
    """Whichever way they are started; of several words only the first, since a command line may hold a password."""
    run.python(
        "import multiprocessing, os, subprocess, sys, asyncio\n"
        "subprocess.run('true --password=abc', shell=True)\n"
        "os.system('true --password=abc')\n"
        "asyncio.run(asyncio.create_subprocess_exec('cat', stdin=subprocess.DEVNULL))\n"
        "subprocess.run([sys.executable, '-c', 'import sys; open(sys.argv[1])', sys.argv[1] + '/a.csv'])\n"
        "def read(path): open(path)\n"
        "p = multiprocessing.get_context('fork').Process(target=read, args=[sys.argv[1] + '/b.csv']); p.start(); p.join()\n"
        "os.spawnlp(os.P_WAIT, 'echo', 'echo', 'secret')\n"
    )
    found = run.seen()
    assert found.started == ["/bin/sh", "true", "cat", sys.executable, shutil.which("echo")]
    assert found.read == [str(run.outside / name) for name in ("a.csv", "b.csv")]
    assert "abc" not in run.notes.read_text()


def test_what_the_runner_and_python_do_by_themselves_is_not_noted(run: Run) -> None:
    """It is not what is run. Modules count whoever imports them."""
    (run.runner / "deriva_ml").mkdir()
    (run.tree / "src" / "configs.py").write_text("")
    (run.runner / "deriva_ml" / "git.py").write_text(
        "import pathlib, subprocess, sys\nsubprocess.run(['true'])\npathlib.Path(sys.argv[1], 'a.csv').read_text()\n"
        "import configs\ndef call(what): what()\n"
    )
    run.python("import platform; platform.processor(); import deriva_ml.git")
    assert run.seen() == Seen(code=[str(run.tree / "src" / "configs.py")])
    run.python("import sys, deriva_ml.git as g; g.call(lambda: open(sys.argv[1] + '/b.csv'))")
    assert run.seen().read == [str(run.outside / "b.csv")]


def test_another_sitecustomize_still_runs(run: Run) -> None:
    """As Python would have run it; and one that fails, fails as before."""
    (run.tree / "src" / "sitecustomize.py").write_text("import sys\nsys.chained = __file__\n")
    said = run.python("import sys, sitecustomize; print(sys.chained, sitecustomize.__file__)")
    assert said.split() == [str(run.tree / "src" / "sitecustomize.py")] * 2


def test_nothing_fails_by_it(run: Run) -> None:
    """Not when notes cannot be written, nor when a program has changed its variables or closed what is open."""
    assert (
        run.python("import sys; print(open(sys.argv[1] + '/a.csv').read())", DERIVA_ML_AUDIT="/none/x")
        == "1\n\n"
    )
    assert run.python("print(1)", DERIVA_ML_AUDIT_KNOWN="") == "1\n"
    run.python("import os, sys; os.closerange(3, 100); os.chdir('/'); open(sys.argv[1] + '/b.csv')")
    run.python("import sys\ntry: open(sys.argv[1] + '/x\\0y')\nexcept ValueError: pass")
    assert run.seen().read == [str(run.outside / "b.csv")]
    with run.notes.open("a") as stream:
        stream.write('{"read": "/half\n[1]\n{"other": "x"}\n')
    assert run.seen().read == [str(run.outside / "b.csv")]
    assert seen(run.notes / "none") == Seen()


def test_what_nearly_every_program_reads_is_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the system and of tools."""
    monkeypatch.setenv("HOME", "/home/ada")
    files = [
        "/etc/localtime",
        "/home/ada/.ipython/a.py",
        "/home/ada/.cache/torch/w.pt",
        "/usr/share/fonts/a.ttf",
    ]
    run.notes.write_text("".join(json.dumps({"read": path}) + "\n" for path in files))
    assert run.seen().read == files[2:]
