"""Commands as one types them, one after the other in one process, so that each costs what it does and no start."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from conftest import ProjectFolder

SCRIPT = """
import contextlib, importlib, io, json, sys, traceback
from deriva_ml.notebook import kernel

def started(*arguments, **options):
    raise SystemExit("a kernel was started")

kernel.start = started
answers = []
for command, *words in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = [command]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = importlib.import_module(f"deriva_ml.cli.{command}").main(words)
        except SystemExit as ended:
            status = ended.code
        except BaseException:
            status = traceback.format_exc()
    answers.append([status, out.getvalue(), err.getvalue()])
json.dump(answers, sys.__stdout__)
"""
"""Runs commands one after the other in one process, where none of them gets as far as a kernel."""


@dataclass(frozen=True)
class Answer:
    """How a command ended: its status, or the traceback that it showed."""

    status: int | str
    out: str
    err: str


def answers(project: ProjectFolder, commands: Sequence[str]) -> dict[str, Answer]:
    """What the commands answer, each a line as one types it, without its `deriva-ml-`."""
    split = [shlex.split(command) for command in commands]
    stdin = json.dumps([[words[0].replace("-", "_"), *words[1:]] for words in split])
    said = project.run("python", "-c", SCRIPT, stdin=stdin, check=True).out
    return {command: Answer(*found) for command, found in zip(commands, json.loads(said), strict=True)}
