"""Whoever has a message of the runner in front of them finds it on the troubleshooting page, and there what to do."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import ROOT, SOURCE
from messages import Explained, Message, explained, stale, unexplained
from runner_source import Source

PAGE = ROOT / "docs" / "troubleshooting.md"
TEXT = PAGE.read_text(encoding="utf-8")
RUNNER = SOURCE / "deriva_ml"

WITHOUT_WORDS = {
    ("catalog/summaries.py", "summarize"): "caught there: what is wrong with a file of metrics",
    ("catalog/arriving.py", "_refuse"): "what is wrong with rows, after `PATH is not taken in`",
    ("cli/check.py", "_fix"): "why `fix` left a file as it is; and what it did",
    ("cli/command.py", "status"): "the operating system's or SQLite's words",
    ("cli/command.py", "tell"): "a library's words",
    ("cli/replay.py", "_sayer"): "what a replay is doing now",
    ("replay/child.py", ""): "no words: the exit status of what a replay starts",
    ("disk.py", "_flush_file_system"): "the operating system's words",
    ("execution/model_run.py", "_commit"): "what the commit raised",
    ("execution/recovery.py", "_close_orphan"): "what its process noted, see `disk.fault`",
    ("cli/sweep.py", "_tell"): "which job of a sweep begins",
    ("cli/sweep.py", "_print_end"): "the launcher's words",
    ("sweep/running.py", "finish"): "the launcher's words, too, and why the sweep was stopped",
    ("sweep/job.py", "_here"): "what let a job fail",
    ("sweep/job.py", "look"): "why the sweep was stopped",
    ("sweep/running.py", "stop"): "what `signals.terminated_by` says",
    ("sweep/job.py", "_run"): "what let a job fail",
    ("sweep/job.py", "_recorded"): "what let a job fail",
    ("sweep/job.py", "_run_model"): "what let a job fail",
    ("execution/own_start.py", "record_environment"): "what `locked.warnings_of` says",
    ("execution/model_run.py", "_call"): "what the model raised, with its traceback",
    ("git.py", "git"): "git's words",
    ("notebook/coercion.py", "_resolve"): "caught there: an annotation that is not known counts as none",
    ("notebook/coercion.py", "_named"): "caught there, too",
    (
        "notebook/parameter_file.py",
        "_from_yaml",
    ): "PyYAML's words, after `parameter file PATH is not valid YAML`",
}
"""Functions whose message has no word of its own, so that it cannot be found on the page; and whose words they are."""


@pytest.fixture(scope="module")
def everywhere() -> list[Message]:
    """The runner's messages wherever they are made."""
    return Source(RUNNER).messages()


@pytest.fixture(scope="module")
def found(everywhere: list[Message]) -> list[Message]:
    """Those that have words of their own."""
    return with_words(everywhere)


def with_words(messages: list[Message]) -> list[Message]:
    """Messages whose words the source has, each of a file once."""
    own = [message for message in messages if not message.is_told and not message.is_dynamic]
    return list({(message.file, message.text): message for message in own}.values())


@pytest.fixture(scope="module")
def page() -> list[Explained]:
    return explained(PAGE)


# ----------------------------------------------------------------------------------------------------- page and runner
def test_every_message_is_explained(found: list[Message], page: list[Explained]) -> None:
    """The page has each message that the runner can print, in all its forms."""
    lacking = unexplained(found, page)
    assert not lacking, "not in docs/troubleshooting.md:\n" + "\n".join(lacking)


def test_no_message_is_stale(found: list[Message], page: list[Explained]) -> None:
    """The runner has each message that the page explains, word for word."""
    gone = stale(found, page)
    assert not gone, "explained in docs/troubleshooting.md, and not in the runner:\n" + "\n".join(gone)


def test_each_message_is_explained_once(page: list[Explained]) -> None:
    """Below it stands what it means and how to mend it, and no other place says something else."""
    assert [str(one) for one in page if len(one.explanation.split()) < 4] == []
    texts = [one.message for one in page]
    assert sorted({text for text in texts if texts.count(text) > 1}) == []


def test_messages_without_words_are_known(everywhere: list[Message]) -> None:
    """A message that is wholly made at run time is listed above, with the reason; none of these has gone."""
    dynamic = {(message.file, message.function) for message in everywhere if message.is_dynamic}
    assert dynamic == set(WITHOUT_WORDS)


def test_every_status_is_explained() -> None:
    """The page says what each status means that an execution can have, and has no other."""
    from deriva_ml.definitions import Status

    section = TEXT.partition("## What a status means\n")[2]
    assert sorted(re.findall(r"^- `(\w+)`: ", section, re.MULTILINE)) == sorted(Status)


def test_the_index_leads_to_every_part() -> None:
    """The table at the top has a link to each group of messages, so that nobody has to scroll through them all."""
    index = TEXT.partition("\n## ")[0]
    for title in re.findall(
        r"^### (.+)$", TEXT.partition("\n## Messages\n")[2].partition("\n## ")[0], re.MULTILINE
    ):
        assert f"(#{re.sub(r'[^a-z -]', '', title.lower()).replace(' ', '-')})" in index, title


# ------------------------------------------------------------------------------------------------- what is really said
PARAMETERS = {
    "cells": [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "top_k: int = 2", "outputs": []}
    ]
}
NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, **PARAMETERS}


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("run_notebook", "nothing.ipynb"),
        ("run_notebook", "small.ipyn"),
        ("run_notebook", "values.json"),
        ("run_notebook", "damaged.ipynb --inspect"),
        ("run_notebook", "small.ipynb -p topk 3"),
        ("run_notebook", "small.ipynb -p top_k many"),
        ("run_notebook", "small.ipynb -p top_k=3"),
        ("run_notebook", "small.ipynb -p top_k"),
        ("run_notebook", "small.ipynb --file misread.yaml"),
        ("run", "small.ipynb"),
        ("run_notebook", "small.ipynb --file values.txt"),
        ("run_notebook", "small.ipynb --file values.json"),
        ("run_notebook", "small.ipynb --timeout soon"),
        ("catalog", "show 1-ABCD"),
        ("catalog", "list --status Done"),
        ("upload", "--forget"),
        ("upload", "--catalog 1"),
        ("upload", "1-ABCD --host https://www.example.org/chaise --catalog 1"),
        ("bump_version", ""),
        ("install_kernel", "--name a/b"),
    ],
)
def test_what_a_command_says_is_on_the_page(
    command: str,
    arguments: str,
    page: list[Explained],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A mistake's line, as a terminal shows it, is one of those that the page explains."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "small.ipynb").write_text(json.dumps(NOTEBOOK))
    (tmp_path / "damaged.ipynb").write_text('{"nbformat": 4, "metadata": {}, "cells": [{}]}')
    (tmp_path / "values.json").write_text("[3]")
    (tmp_path / "misread.yaml").write_text("top_k: 010")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    main = importlib.import_module(f"deriva_ml.cli.{command}").main
    try:
        assert main(arguments.split()) == 2
    except SystemExit as refused:  # argparse's way
        assert refused.code == 2
    said = re.findall(r"^(?:error|.*: error: argument \S+): (.+)$", capsys.readouterr().err, re.MULTILINE)
    assert len(said) == 1
    assert [one for one in page if one.pattern.fullmatch(said[0])], said


OVERRIDES = [
    "assets=nothing",
    "assets=[DEMO-W001]",
    "asets=my_assets",
    "experiment=digits_wide",
    "+model_config=quick",
    "model_config.seed=many",
    "description={",
    "description=a=b",
    "description=a,b",
    "~nothing",
    "quick",
]


def test_hydras_words_are_hydras(rendered: Path) -> None:
    """What the page quotes of Hydra is what Hydra says to such overrides."""
    script = f"""
        from deriva_ml.config.compose import compose
        from deriva_ml.config.modules import find_configs
        from deriva_ml.project import Project

        find_configs(Project.find())
        for override in {OVERRIDES!r}:
            try:
                compose("deriva_model", [override])
            except Exception as error:
                print(type(error).__name__, error)
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    environment = {**os.environ, "PYTHONPATH": str(rendered / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    said = subprocess.run(
        command, cwd=rendered, env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert said.count("DerivaMLRequestError ") == len(said.splitlines()) == len(OVERRIDES), said
    quoted = [
        words
        for quotes in re.findall(r"^- ([^\n]+) \(Hydra\):", TEXT, re.MULTILINE)
        for words in re.findall(r"`([^`]+)`", quotes)
    ]
    assert len(quoted) >= 8
    for words in quoted:
        pattern = ".+".join(map(re.escape, re.split(r"\b[A-Z]{2,}\b", words.removesuffix(" ..."))))
        assert re.search(pattern, said), words


# ---------------------------------------------------------------------------------------------------- the comparison
FORMS = '''
"""error: not a message, since it is a docstring."""

import argparse
import logging
import sys
from enum import Enum

from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError

log = logging.getLogger(__name__)
HINT = "mend it thus"
TABLE = {"a": "first entry of a table", "b": "second entry of a table"}


class Refused(DerivaMLRequestError):
    def __init__(self, host, message):
        super().__init__(message)


class ExecutionResult:
    code: int
    reason: str


def raises(name, error):
    raise DerivaMLRequestError(f"raised with {name!r} and {error}: {HINT}")


def raises_another(host):
    raise Refused(host, "raised with " + "two literals")


def raises_later(path):
    wrong = DerivaMLException(f"{path} is made before it is raised")
    raise wrong


def raises_what_was_put_together(names, more):
    said = f"put together from {len(names)}"
    said += " and always this"
    if more:
        said += " and sometimes that"
    raise DerivaMLException(said)


def raises_either(which):
    raise DerivaMLException("this is one" if which else f"that is the other {which}")


def raises_what_another_returns(rid):
    raise not_found(rid)


def not_found(rid):
    return DerivaMLRequestError(f"returned about {rid}{hint(rid)}")


def hint(rid) -> str:
    return f" (look for {rid} elsewhere)" if rid else ""


def raises_pythons():
    raise ValueError("in words that end in one of ours")


def hands_on(report):
    try:
        raises("", "")
    except DerivaMLException as error:
        raise DerivaMLRequestError(str(error)) from error
    refused = None if report.wrong else report.get("refused")
    raise DerivaMLRequestError(refused)


def knows_no_word(foreign):
    raise DerivaMLException(foreign.text)


def ends(execution):
    execution.close("Failed", detail="given as a detail")
    return ExecutionResult(1, "given as a reason")


def seconds(text):
    raise argparse.ArgumentTypeError(f"{text} is no argument")


def tells(parser, names, warnings):
    parser.error("refused by the parser")
    print("printed of", names, "in pieces", file=sys.stderr)
    print(f"warning: printed as a warning of {names}", file=sys.stderr)
    print("note: printed as a note")
    print("printed as a result")
    log.warning("logged about %s", names)
    warnings.append("kept in a list")
    sys.exit("said at the exit")
    return "skipped because of something"


def joins(one, two):
    lines = [f"first of several {one}"] if one else []
    close(reason="; ".join([*lines, *([second(two)] if two else ())]))


def second(two) -> str:
    return f"second of several {two}"
'''

FOUND = """
raised with VALUE and REASON: mend it thus
raised with two literals
PATH is made before it is raised
put together from N and always this
this is one
that is the other NAME
returned about RID
in words that end in one of ours
given as a detail
given as a reason
TEXT is no argument
refused by the parser
printed of NAMES in pieces
printed as a warning of NAMES
printed as a note
logged about NAMES
kept in a list
said at the exit
skipped because of something
first of several NAME
second of several NAME
first entry of a table
second entry of a table
"""


@pytest.fixture
def forms(tmp_path: Path) -> list[Message]:
    """The messages in a module with that source."""
    (tmp_path / "exceptions.py").write_text((RUNNER / "exceptions.py").read_text())
    (tmp_path / "forms.py").write_text(FORMS)
    return [message for message in Source(tmp_path).messages() if message.file == "forms.py"]


def on_a_page(text: str, folder: Path) -> list[Explained]:
    path = folder / "page.md"
    path.write_text(
        "\n\n".join(f"#### `{line}`\n\nMend it in this way." for line in text.strip().splitlines())
    )
    return explained(path)


def test_messages_are_found_in_whatever_form(forms: list[Message], tmp_path: Path) -> None:
    """However a message is put together and handed over, it is found, and nothing else is taken for one."""
    page = on_a_page(FOUND, tmp_path)
    assert stale(with_words(forms), page) == []
    assert [line for line in unexplained(with_words(forms), page) if "nowhere with" not in line] == []
    assert {message.function for message in forms if message.is_dynamic} == {"knows_no_word"}


def test_every_part_of_a_message_has_to_be_shown(forms: list[Message], tmp_path: Path) -> None:
    """What a message says only sometimes is missed on a page that never shows it."""
    lacking = unexplained(with_words(forms), on_a_page(FOUND, tmp_path))
    assert [line.partition(" (nowhere with ")[2] for line in lacking] == [
        "' and sometimes that')",
        "' (look for {rid} elsewhere)')",
    ]
    shown = (
        "put together from N and always this and sometimes that\nreturned about RID (look for RID elsewhere)"
    )
    assert unexplained(with_words(forms), on_a_page(FOUND + shown, tmp_path)) == []


def test_every_raise_of_the_runner_is_looked_at(everywhere: list[Message]) -> None:
    """No error that the runner raises is passed over: each is found by its file and line."""
    looked_at = {(message.file, message.line) for message in everywhere}
    raised = [
        (path.relative_to(RUNNER).as_posix(), node.exc.lineno)
        for path in sorted(RUNNER.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and re.match(r"(DerivaML|Server)\w+\(|argparse\.", ast.unparse(node.exc))
    ]
    assert len(raised) > 100
    assert [place for place in raised if place not in looked_at] == []


def test_another_wording_is_noticed_on_either_side(found: list[Message], page: list[Explained]) -> None:
    """A message that is reworded in the runner is missing from the page, and the page's own has become stale."""
    old = next(message for message in found if "no sweep is named" in str(message))
    new = replace(old, text=(*old.text, " now"))
    assert unexplained([new if one is old else one for one in found], page) == [str(new)]
    [line] = stale([new if one is old else one for one in found], page)
    assert line.startswith("no sweep is named NAME; there are: NAMES (line ")


def test_nothing_is_explained_on_an_empty_page(found: list[Message]) -> None:
    assert len(unexplained(found, [])) == len(found) > 150
