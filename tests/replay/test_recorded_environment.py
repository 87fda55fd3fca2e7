"""A record's packages are installed again, exactly, once for all replays; or it is said what cannot be had."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT, SOURCE
from deriva_ml.liveness import FOLDER as ALIVE
from deriva_ml.project import Project
from deriva_ml.replay import environment, installing
from deriva_ml.replay.environment import compared, described, differences, prepared
from deriva_ml.replay.extras import installed_parts
from deriva_ml.replay.installing import READY, RUNNER, find_uv
from deriva_ml.replay.verdict import CouldNotRun
from git_repository import Repository, isolate_git

ONLY = ["--no-default-groups", "--group"]

NEEDED = ("tiny>=1",)
"""What the runner needs, in these tests."""


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """Make a package that can be installed."""
    info = f"{name}-{version}.dist-info"
    said = "".join(f"{one}\n" for one in needs)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"version = {version!r}\n")
        archive.writestr(
            f"{info}/METADATA",
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{said}",
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


class Recorded:
    """A project with a lock file, and packages that lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.repository = Repository.create(folder / "project")
        self.root, self.state, self.index = self.repository.path, folder / "state", folder / "index"
        self.state.mkdir()
        self.index.mkdir()
        for version in ("1.0", "2.0"):
            wheel(self.index, "tiny", version)
        wheel(self.index, "extra", "1.0")
        self.require("tiny==1.0")

    def require(self, *packages: str, more: str = "") -> bytes:
        """Lock these, and commit; return the lock."""
        self.repository.write(
            "pyproject.toml",
            f'[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = {[*packages]}\n'
            f'[dependency-groups]\ndev = ["extra"]\nother = ["tiny"]\n[tool.uv]\nno-index = true\nfind-links = ["{self.index}"]\n{more}',
        )
        subprocess.run([str(find_uv()), "lock", "--quiet"], cwd=self.root, check=True)
        self.repository.commit()
        return self.lock

    @property
    def lock(self) -> bytes:
        return (self.root / "uv.lock").read_bytes()

    def prepared(self, lock: bytes | None = None, python: str = "", parts: list[str] | None = None) -> Path:
        return prepared(self.state, lock or self.lock, self.root, python, parts or [])

    def made(self) -> list[Path]:
        """The environments that are there, whole or not."""
        return [path for path in (self.state / "environments").iterdir() if path.is_dir()]


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    isolate_git(monkeypatch, tmp_path)
    monkeypatch.setattr(installing, "RUNNER", NEEDED)
    return Recorded(tmp_path)


def packages(python: Path) -> dict[str, str]:
    """The packages of an environment."""
    code = "from importlib.metadata import distributions as d; print(*(f'{x.name}={x.version}' for x in d()))"
    out = subprocess.run([python, "-I", "-c", code], check=True, capture_output=True, text=True).stdout
    return dict(one.split("=") for one in out.split())


def test_it_has_what_the_record_has_and_stays_for_the_next(recorded: Recorded) -> None:
    """The recorded lock's packages, whatever the commit's says; without the project; its folder is left as it was."""
    old = recorded.lock
    recorded.require("tiny==2.0")
    begun = time.time()
    python = recorded.prepared(old)
    assert packages(python) == {"tiny": "1.0", "extra": "1.0"}
    assert recorded.repository.git("status", "--short") == ""
    shutil.rmtree(recorded.index)  # it is not made again
    assert recorded.prepared(old) == python
    assert (python.parent.parent / READY).stat().st_mtime >= begun


def test_another_lock_python_or_group_is_another_environment(recorded: Recorded) -> None:
    """Each has its own."""
    version = ".".join(map(str, sys.version_info[:3]))
    first, other = recorded.prepared(), recorded.prepared(python=version)
    assert packages(recorded.prepared(parts=[*ONLY, "other"])) == {"tiny": "1.0"}
    recorded.require("tiny==2.0")
    assert packages(recorded.prepared()) == {"tiny": "2.0", "extra": "1.0"}
    assert len(recorded.made()) == 4 and first != other
    asked = subprocess.run([other, "-V"], check=True, capture_output=True, text=True).stdout
    assert asked == f"Python {version}\n"


def test_it_has_the_extras_and_groups_that_the_record_had(recorded: Recorded) -> None:
    """Of each all is there; one of which something lacks was not installed, though the rest may be there anyhow."""
    wheel(
        recorded.index, "engine", "1.0", "Requires-Dist: tool", "Requires-Dist: wing; sys_platform == 'never'"
    )
    wheel(recorded.index, "tool", "1.0")
    wheel(recorded.index, "big", "1.0", "Requires-Dist: tool; extra == 'cuda'", "Provides-Extra: cuda")
    wheel(recorded.index, "wing", "1.0")
    extras = 'fast = ["engine"]\ncuda = ["big[cuda]"]\n[dependency-groups]\ndocs = ["tool"]\n'
    recorded.repository.write(
        "pyproject.toml",
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["tiny==1.0", "big"]\n'
        f'[project.optional-dependencies]\n{extras}[tool.uv]\nno-index = true\nfind-links = ["{recorded.index}"]\n',
    )
    subprocess.run([str(find_uv()), "lock", "--quiet"], cwd=recorded.root, check=True)
    recorded.repository.commit()
    base = {"tiny": "1.0", "big": "1.0"}
    fast = base | {"engine": "1.0", "tool": "1.0"}
    assert installed_parts(recorded.lock, base, "") == []
    assert installed_parts(recorded.lock, base | {"engine": "1.0"}, "") == []
    parts = installed_parts(recorded.lock, fast, "3.12.1")
    assert parts == ["--extra", "cuda", "--extra", "fast", "--group", "docs"]  # of which all is there
    assert packages(recorded.prepared(parts=parts)) == fast
    assert installed_parts(b"damaged", fast, "") == [] == installed_parts(recorded.lock, {}, "")


def test_a_package_of_the_repository_is_the_commits(recorded: Recorded) -> None:
    """What is made from files of the commit is made anew for another one, and does not lead into the working tree."""
    lib = '[project]\nname = "lib"\nversion = "1"\n[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
    recorded.repository.write("lib/pyproject.toml", lib)
    backend = """
import os
def build_wheel(folder, *rest):
    import zipfile
    with zipfile.ZipFile(os.path.join(folder, "lib-1-py3-none-any.whl"), "w") as archive:
        archive.write("lib.py")
        archive.writestr("lib-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: lib\\nVersion: 1\\n")
        archive.writestr("lib-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("lib-1.dist-info/RECORD", "")
    return "lib-1-py3-none-any.whl"
"""
    recorded.repository.write("lib/b.py", backend)
    for number in (1, 2):
        recorded.repository.write("lib/lib.py", f"number = {number}\n")
        recorded.require(
            "tiny==1.0", "lib", more='[tool.uv.sources]\nlib = { path = "lib", editable = true }\n'
        )
        tree = recorded.root.with_name(f"tree{number}")
        recorded.repository.git("worktree", "add", "--quiet", "--detach", str(tree))
        python = prepared(recorded.state, recorded.lock, tree, "")
        assert prepared(recorded.state, recorded.lock, tree, "") == python
        code = "import lib; print(lib.number, lib.__file__)"
        out = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True).stdout.split()
        assert out[0] == str(number) and out[1].startswith(str(recorded.state))


def test_what_cannot_be_had_is_named(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package, a Python, a group, a lock, uv: with uv's own words; nothing half stays."""
    lock = recorded.lock
    with pytest.raises(
        CouldNotRun, match=r"Python 3.99.1\) cannot be made: No interpreter found for Python 3.99.1"
    ):
        recorded.prepared(python="3.99.1")
    with pytest.raises(CouldNotRun, match="cannot be made: .*none"):
        recorded.prepared(parts=[*ONLY, "none"])
    recorded.require("tiny==2.0")
    for one in recorded.index.glob("tiny-1.0*"):
        one.unlink()
    with pytest.raises(CouldNotRun, match=r"cannot be made: .*tiny-1\.0"):
        recorded.prepared(lock.replace(b"1.0-", b"1.0-"))
    with pytest.raises(CouldNotRun, match="cannot be made: .*uv.lock"):
        recorded.prepared(b"no lock")
    with pytest.raises(CouldNotRun, match="has no uv.lock: --here"):
        prepared(recorded.state, b"", recorded.root, "")
    assert recorded.made() == []
    monkeypatch.setenv("UV", "")
    monkeypatch.setenv("PATH", str(recorded.index))
    monkeypatch.setattr(sys, "executable", str(recorded.index / "python"))
    with pytest.raises(CouldNotRun, match="made by uv, which is not installed"):
        recorded.prepared()


def test_what_todays_runner_needs_is_added(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the record has nothing of it; an older one than it needs is said, since results may depend on it."""
    wheel(recorded.index, "later", "3.0")
    wheel(recorded.index, "psutil", "99.0")  # another one than is installed here
    monkeypatch.setattr(installing, "RUNNER", ("tiny>=1", "later>=2", "psutil>=5"))
    found = packages(recorded.prepared())
    assert found == {"tiny": "1.0", "extra": "1.0", "later": "3.0", "psutil": "99.0"}
    monkeypatch.setattr(installing, "RUNNER", ("tiny>=1.5", "later>=2"))
    recorded.require("tiny==1.0", "extra")
    with pytest.raises(CouldNotRun, match=r"the runner needs tiny>=1.5 \(1.0\)"):
        recorded.prepared()


def test_the_runner_needs_what_a_new_project_has() -> None:
    """But what makes versions. A project's own dependencies are not the runner's."""
    text = (ROOT / "template" / "pyproject.toml.jinja").read_text()
    listed = re.search(r"# The runner in src/deriva_ml\n(.*?)\{%", text, re.DOTALL)
    assert listed
    asked = tomllib.loads(f"a = [{listed[1]}]")["a"]
    assert [one for one in asked if not one.startswith("bump-my-version")] == [*RUNNER]


def test_logins_that_the_record_masks_are_the_commits(recorded: Recorded) -> None:
    """The recorded lock has none of them, and could not be installed; the commit's has."""
    lock = recorded.lock
    with_login = lock.replace(b"[[package]]", b"# https://user:secret@example.org/simple\n[[package]]", 1)
    (recorded.root / "uv.lock").write_bytes(with_login)
    assert (
        environment._with_logins(
            lock.replace(b"[[package]]", b"# https://example.org/simple\n[[package]]", 1), recorded.root
        )
        == with_login
    )
    assert environment._with_logins(lock, recorded.root) == lock


MAKING = f"""
import sys
sys.path.insert(0, {str(SOURCE)!r})
from pathlib import Path
from deriva_ml.replay import environment, installing
installing.RUNNER = ("tiny>=1",)
state, root = map(Path, sys.argv[1:])
print(environment.prepared(state, (root / "uv.lock").read_bytes(), root, ""))
"""


def making(recorded: Recorded, **variables: str) -> subprocess.Popen[str]:
    """Make the environment in another process."""
    command = [sys.executable, "-c", MAKING, str(recorded.state), str(recorded.root)]
    environ = {**os.environ, **variables}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)


def test_two_replays_at_once_make_one(recorded: Recorded) -> None:
    """And both use it."""
    said = [one.communicate(timeout=60) for one in [making(recorded), making(recorded)]]
    assert said[0][0] == said[1][0] != "", said
    assert len(recorded.made()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_half_made_one_goes(recorded: Recorded, tmp_path: Path, number: signal.Signals) -> None:
    """At once when the replay is told to stop, with what it started; by the next replay if it was killed."""
    slow = tmp_path / "slow"
    slow.write_text(
        f'#!/bin/sh\nmkdir -p "$UV_PROJECT_ENVIRONMENT/bin"\necho $$ > {tmp_path}/pid\nexec sleep 50\n'
    )
    slow.chmod(0o755)
    process = making(recorded, UV=str(slow))
    until = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    uv = int((tmp_path / "pid").read_text())
    process.send_signal(number)
    process.communicate(timeout=20)
    if number == signal.SIGKILL:
        assert len(recorded.made()) == 1
        os.kill(uv, signal.SIGKILL)
    else:
        assert recorded.made() == []
        with pytest.raises(ProcessLookupError):
            os.kill(uv, 0)
    assert recorded.repository.git("status", "--short") == ""
    assert packages(recorded.prepared()) == {"tiny": "1.0", "extra": "1.0"}
    assert len(recorded.made()) == 1


def test_those_not_used_for_long_go(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those in use. All others go when a person makes room."""
    monkeypatch.setattr(environment, "KEPT", 2)
    first = recorded.prepared(parts=["--no-default-groups"])
    monkeypatch.setattr(environment.liveness, "_shown", {})  # this process now is another one
    held = [*environment.liveness._descriptors]
    made = [recorded.prepared(parts=["--group", group]) for group in ("other", "dev")]
    assert first.exists()  # in use
    for descriptor in held:
        os.close(descriptor)
        environment.liveness._descriptors.remove(descriptor)
    made.append(recorded.prepared(parts=["--group", "other", "--group", "dev"]))
    assert not first.exists()
    assert [one.exists() for one in made] == [True] * 3
    assert environment.clear(Project(recorded.root)) == 0  # another state folder
    shutil.rmtree(recorded.state / ALIVE)


def test_one_whose_python_has_gone_is_made_anew(recorded: Recorded) -> None:
    """Such as after an update of the system."""
    first = recorded.prepared()
    first.unlink()
    second = recorded.prepared()
    assert packages(second) == {"tiny": "1.0", "extra": "1.0"}
    assert recorded.made() == [second.parent.parent]


def test_what_differs_is_said_in_lines(recorded: Recorded) -> None:
    """Of packages, Python and the machine."""
    python = recorded.prepared()
    here = described(Path(sys.executable))
    assert compared(here, here) == []
    record = {
        **here,
        "python": {"version": "3.8.1", "implementation": "CPython"},
        "platform": {**here["platform"], "machine": "vax"},
        "usable_cpus": 1000,
        "packages": {"Tiny": "0.9", "mine": "1.0", "gone_away": "2.0"},
    }
    record["packages"]["psutil"] = here["packages"]["psutil"]
    lines = compared(record, {**here, "packages": {"tiny": "1.0", "psutil": "0"}}, "Mine")
    assert lines[:3] == [
        f"Python is {here['python']['version']} here, and was 3.8.1",
        f"the kind of processor is {here['platform']['machine']} here, and was vax",
        f"the number of processors that may be used is {here['usable_cpus']} here, and was 1000",
    ]
    assert lines[3:] == [
        f"packages in other versions: psutil 0 (was {here['packages']['psutil']}), tiny 1.0 (was 0.9)",
        "packages that are not here: gone-away 2.0",
    ]
    assert compared({}, here) == []
    with pytest.raises(CouldNotRun, match="does not start: .*psutil"):
        differences(record, python)
