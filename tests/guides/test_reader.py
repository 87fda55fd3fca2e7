"""The reader of the guides notices what is not as a page says; without that, the guides' tests would promise nothing."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from guides.conftest import uvx
from guides.reader import Reader
from pages import Page


def follow(text: str, folder: Path, known: dict[str, str] | None = None) -> Reader:
    """Read a page in a folder."""
    reader = Reader(folder, {"PATH": os.environ["PATH"]}, known=known or {})
    for block in Page("a page", folder, text).steps():
        reader.follow(block)
    return reader


def shows(command: str, answer: str) -> str:
    """A page that shows an answer to a command."""
    return f"```bash\n{command}\n```\n\n```text\n{answer}\n```\n"


def test_a_command_that_fails_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit status 1 of"):
        follow("```bash\nfalse\necho later\n```\n", tmp_path)


def test_a_refusal_that_a_page_shows_has_to_come(tmp_path: Path) -> None:
    follow("```console\n$ echo 'error: no'; exit 2\nerror: no\n```\n", tmp_path)
    with pytest.raises(AssertionError, match="exit status 0 of"):
        follow("```console\n$ echo 'error: no'\nerror: no\n```\n", tmp_path)


@pytest.mark.parametrize(
    "answer", ["done (8.9 s)", "done", "done ...\n...", "first\ndone", "done  (in haste)"]
)
def test_an_answer_may_leave_lines_and_ends_out_and_differ_in_numbers(answer: str, tmp_path: Path) -> None:
    follow(shows("echo first; echo 'done (7 s) today'", answer), tmp_path)


@pytest.mark.parametrize("answer", ["undone", "done tomorrow", "done\nfirst", "done\ndone"])
def test_another_answer_is_noticed(answer: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="but what comes is"):
        follow(shows("echo first; echo 'done today'", answer), tmp_path)


def test_what_a_page_calls_a_record_is_typed_as_what_it_is_called_here(tmp_path: Path) -> None:
    text = shows("echo 'Execution 7K-KKKK-KKKK: Uploaded'", "Execution F9-40SZ-DJC2: Uploaded")
    reader = follow(text + "```bash\necho F9-40SZ-DJC2 > shown\necho 9Z-ZZZZ-ZZZZ > example\n```\n", tmp_path)
    assert reader.known["F9-40SZ-DJC2"] == "7K-KKKK-KKKK"
    assert {(tmp_path / name).read_text() for name in ("shown", "example")} == {"7K-KKKK-KKKK\n"}
    with pytest.raises(AssertionError, match="shows F9-40SZ-DJC2 again"):
        follow(
            text + shows("echo 'Execution 7K-KKKK-KKK''M: Uploaded'", "Execution F9-40SZ-DJC2: Uploaded"),
            tmp_path,
        )


def test_blocks_share_a_terminal_and_a_session_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "elsewhere").mkdir()
    session = "```console\n$ cd ../elsewhere\n$ touch made\n```\n"
    follow(f"```bash\ncd inside\n```\n{session}```bash\ntouch here\n```\n", tmp_path)
    assert (tmp_path / "inside" / "here").exists() and (tmp_path / "elsewhere" / "made").exists()


def test_the_terminal_works_wherever_temporary_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "it's here").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "it's here"))
    (tmp_path / "inside").mkdir()
    assert follow("```bash\ncd inside\n```\n", tmp_path).folder == tmp_path / "inside"


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    reader = Reader(tmp_path, {"PATH": os.environ["PATH"]}, patience=2)
    with pytest.raises(subprocess.TimeoutExpired):
        reader.type("sleep 600 & echo $! > started; wait")
    started = int((tmp_path / "started").read_text())
    until = time.monotonic() + 20
    while lives(started) and time.monotonic() < until:
        time.sleep(0.01)
    assert not lives(started)


def lives(number: int) -> bool:
    """Whether a process has not ended; one that has may still be waited for."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_uvx_works_wherever_python_is(tmp_path: Path) -> None:
    """Its script names the interpreter, whose path may hold blanks."""
    python = tmp_path / "my tools" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    tool = tmp_path / "uvx"
    tool.write_text(uvx(str(python)))
    for program in (python, tool):
        program.chmod(0o755)
    said = subprocess.run([tool, "copier", "--version"], capture_output=True, text=True)
    assert said.stdout.endswith(f" {version('copier')}\n"), said.stderr
