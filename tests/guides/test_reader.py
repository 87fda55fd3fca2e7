"""The reader of the guides notices what is not as a page says; without that, the guides' tests would promise nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
    text = shows("echo 'Execution 7-KKKK: Uploaded'", "Execution 1-001M: Uploaded")
    reader = follow(text + "```bash\necho 1-001M > shown\necho 9-ZZZZ > example\n```\n", tmp_path)
    assert reader.known["1-001M"] == "7-KKKK"
    assert {(tmp_path / name).read_text() for name in ("shown", "example")} == {"7-KKKK\n"}
    with pytest.raises(AssertionError, match="shows 1-001M again"):
        follow(text + shows("echo 'Execution 7-KKK''M: Uploaded'", "Execution 1-001M: Uploaded"), tmp_path)


def test_blocks_share_a_terminal_and_a_session_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "elsewhere").mkdir()
    session = "```console\n$ cd ../elsewhere\n$ touch made\n```\n"
    follow(f"```bash\ncd inside\n```\n{session}```bash\ntouch here\n```\n", tmp_path)
    assert (tmp_path / "inside" / "here").exists() and (tmp_path / "elsewhere" / "made").exists()
