"""The command reference and ``--help`` say the same, say all of it, and show examples that work."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
import tomllib
from argparse import SUPPRESS, Action, ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, SOURCE, Render

sys.path.insert(0, str(ROOT / "scripts"))
reference: Any = importlib.import_module("cli_reference")

PAGE = reference.PAGE.read_text(encoding="utf-8")
PARSERS: dict[str, ArgumentParser] = reference.parsers()
EXAMPLES = [line for parser in PARSERS.values() for line in getattr(parser, "examples", ())]
COMMON = {"`-h`, `--help`", "`--debug`"}


@pytest.fixture(scope="module")
def scripts(rendered: Path) -> dict[str, str]:
    """A project's commands, with what each calls."""
    table = tomllib.loads((rendered / "pyproject.toml").read_text(encoding="utf-8"))
    commands: dict[str, str] = table["project"]["scripts"]
    return commands


def section(title: str) -> str:
    """What the page has under a heading, up to the next one."""
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"{reference.PAGE.name} has no section {title}"
    return found[1]


def taken(parser: ArgumentParser) -> list[Action]:
    """A command's arguments, without the choice of a subcommand, whose parsers have their own."""
    return [action for action in parser._actions if action.choices is not reference.subcommands(parser)]


# ------------------------------------------------------------------------------------------------------------ the page
def test_the_page_is_up_to_date() -> None:
    """Whoever changes what a command takes is told how to get that into the page."""
    assert reference.reference() == PAGE, f"{reference.PAGE.name} is out of date: run `make reference`"


def test_the_page_has_a_section_for_each_command_of_a_project(scripts: dict[str, str]) -> None:
    """Every console script of a project, and every subcommand, is explained under its own name, and no other is."""
    assert {name for name in PARSERS if " " not in name} == set(scripts)
    for name in PARSERS:
        assert f"<!-- usage: {name} -->" in section(name)
    assert set(re.findall(r"^##+ (.+)$", PAGE, re.MULTILINE)) == {*PARSERS, "Every command"}


def test_a_command_that_the_page_lacks_is_named() -> None:
    """A new command does not get by without a section."""
    with pytest.raises(ValueError, match="lacks a block: <!-- usage: deriva-ml-new -->"):
        reference.written(PAGE, {**PARSERS, "deriva-ml-new": ArgumentParser("deriva-ml-new")})


def test_a_command_that_is_gone_is_named() -> None:
    """Nor does the page keep a section of one that is gone."""
    rest = {name: parser for name, parser in PARSERS.items() if name != "bump-version"}
    with pytest.raises(ValueError, match="one block too many: <!-- usage: bump-version -->"):
        reference.written(PAGE, rest)


def test_rewriting_replaces_what_is_between_markers_and_nothing_else() -> None:
    """What was written by hand stays; what is between two markers comes from the commands, whatever stood there."""
    stale = re.sub(
        r"(<!-- arguments: bump-version -->\n).*?(<!-- end -->)", r"\1\nOld\n\n\2", PAGE, flags=re.DOTALL
    )
    by_hand = stale.replace("## bump-version\n", "## bump-version\n\nBy hand.\n")
    generated = "`{major,minor,patch}`"
    assert by_hand.count(generated) == PAGE.count(generated) - 1
    assert reference.written(by_hand, PARSERS) == PAGE.replace(
        "## bump-version\n", "## bump-version\n\nBy hand.\n"
    )


def test_a_block_that_was_left_open_costs_no_text() -> None:
    """Where an end marker was lost, the page is refused: the text up to the next one is not all generated."""
    begin, marker, rest = PAGE.partition("<!-- arguments: deriva-ml-run -->")
    with pytest.raises(ValueError, match="lacks a block: <!-- arguments: deriva-ml-run -->"):
        reference.written(begin + marker + rest.replace("<!-- end -->", "", 1), PARSERS)


def test_an_argument_is_shown_as_it_is_typed_and_meant() -> None:
    """Spellings, values, choices and defaults come through, and what is typed as it stands is code."""
    parser = ArgumentParser("new")
    parser.add_argument(
        "-a", "--add", nargs=2, metavar=("NAME", "VALUE"), help="the project's 'x'; see --kind, a=1|2"
    )
    parser.add_argument(
        "--kind", choices=("one", "two"), default="one", help="%(choices)s (default: %(default)s)"
    )
    parser.add_argument("where", metavar="FOLDER", help="in src/configs")
    _, *rows = reference.arguments(parser)
    assert rows == [
        ("`-a`, `--add NAME VALUE`", r"the project's `x`; see `--kind`, `a=1`\|2"),
        ("`--kind {one,two}`", "one, two (default: one)"),
        ("`FOLDER`", "in `src/configs`"),
    ]


# --------------------------------------------------------------------------------------------------------------- --help
@pytest.mark.parametrize("name", PARSERS)
def test_help_tells_a_reader_everything(name: str) -> None:
    """A command says in sentences what it does, and of each argument what it means, its choices and its default."""
    parser = PARSERS[name]
    description = " ".join((parser.description or "").split())
    assert re.fullmatch(r"[A-Z].*\.", description) and "  " not in description
    usage = parser.format_usage()
    assert usage.startswith(f"usage: {name} ") and usage.count("\n") == 1
    for action in taken(parser):
        typed, meaning = reference.typed(action), reference.meaning(action)
        assert len(meaning) > 10 and not meaning.endswith("."), typed
        assert action.nargs == 0 or action.metavar or action.choices, f"{typed}: of what?"
        assert all(str(choice) in typed + meaning for choice in action.choices or ()), typed
        if action.default not in (None, False, SUPPRESS, [], ""):
            assert f"default: {action.default}" in meaning.replace("`", ""), typed
        if not action.option_strings:
            assert str(action.metavar or "{" + ",".join(action.choices or ()) + "}") in usage
            assert "|" not in usage, "pasted into a shell, that is a pipe"
    assert "[options]" in usage


def test_help_shows_what_the_command_goes_by(
    scripts: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The reference's parser is the one that the command itself uses."""
    for name, target in scripts.items():
        module, _, function = target.partition(":")
        with pytest.raises(SystemExit) as ended:
            getattr(importlib.import_module(module), function)(["--help"])
        assert ended.value.code == 0
        assert capsys.readouterr().out == PARSERS[name].format_help()


def test_every_command_takes_the_common_options() -> None:
    """What the page says of every command holds for each, and is said once."""
    block = section("Every command").partition("<!-- end -->")[0]
    assert set(re.findall(r"^\| (`-[^|]+) \|", block, re.MULTILINE)) == COMMON
    for parser in PARSERS.values():
        assert COMMON <= {reference.typed(action) for action in taken(parser)}
    assert PAGE.count("| `--debug` |") == 1


def test_the_page_has_every_exit_status() -> None:
    """The table of exit statuses has those that commands return."""
    from deriva_ml.cli import command

    statuses = {0, command.FAILED, command.WRONG_REQUEST, command.COULD_NOT_RUN, command.INTERRUPTED}
    listed = re.findall(r"^\| (\d+) \|", section("Every command"), re.MULTILINE)
    assert {int(status) for status in listed} == statuses


def test_help_loads_nothing_slow(scripts: dict[str, str]) -> None:
    """Nobody waits for Hydra, Papermill or pandas to be told what a command takes."""
    heavy = {
        "deriva",
        "hydra",
        "ipykernel",
        "jupyter_core",
        "nbformat",
        "numpy",
        "pandas",
        "papermill",
        "pydantic",
    }
    for target in scripts.values():
        module = target.partition(":")[0]
        code = f"import sys, {module} as it\nit.parser().format_help()\nprint(*{heavy}.intersection(sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, timeout=60
        )
        assert (done.stdout, done.stderr) == ("\n", ""), module


# -------------------------------------------------------------------------------------------------------------- examples
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_taken_by_its_command(example: str) -> None:
    """Nothing in an example is unknown to the command that it is for."""
    name, *words = shlex.split(example)
    parser = PARSERS[name]
    assert example in parser.format_help()
    if reference.subcommands(parser):
        parser.parse_args(words)
    else:
        parser.parse_intermixed_args(words)


def test_examples_hold_without_the_worked_example(sketch: Render, tmp_path: Path) -> None:
    """Their notebooks, parameters and choices are in the leanest project, too."""
    project = sketch(tmp_path / "lean", include_example=False)
    words = {word for example in EXAMPLES for word in shlex.split(example)}
    for notebook in [word for word in words if word.endswith(".ipynb")]:
        assert (project / notebook).is_file()

    def told(module: str, *arguments: str) -> str:
        code = f"import sys, deriva_ml.cli.{module} as it\nsys.exit(it.main({list(arguments)}))"
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=project, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    menu = told("run", "--list-configs")
    runs = [shlex.split(example) for example in EXAMPLES if example.startswith("deriva-ml-run")]
    overrides = [
        word
        for line in runs
        for before, word in zip(line, line[1:], strict=False)
        if "=" in word and before != "--sweep" and not word.startswith(("-", "hydra"))
    ]
    assert len(overrides) > 2
    for group, _, entries in [word.partition("=") for word in overrides]:
        assert group == "dry_run" or all(f"{group}={entry}" in menu for entry in entries.split(","))
    parameters = told("run_notebook", "notebooks/my-notebook.ipynb", "--inspect")
    [given] = re.findall(r"-p (\w+)", " ".join(EXAMPLES))
    assert given in parameters
