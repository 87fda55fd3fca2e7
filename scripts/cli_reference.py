"""Write what the commands' parsers say into the command reference, between its markers (`make reference`).

A block of the page begins with a line such as ``<!-- usage: deriva-ml-run -->`` and ends with ``<!-- end -->``. What is
in between is made here, everything else by hand. A command has a block with its usage and description, one with the
arguments that it alone takes, and one with its parser's examples, where there are any. Two are about all commands:
``<!-- commands -->`` lists them in the order of the page, ``<!-- common options -->`` what every one of them takes.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import textwrap
from argparse import Action, ArgumentParser
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli-reference.md"
SCRIPTS = ROOT / "template" / "pyproject.toml.jinja"
SOURCE = ROOT / "template" / "src"

BLOCK = re.compile(r"^<!-- (?P<name>[\w: -]+) -->$(?:(?!<!-- ).)*^<!-- end -->$", re.M | re.S)
# What is typed as it stands: whatever help texts have in quotes; options, key=value, a_name, a path/, a command.
TYPED = re.compile(
    r"(?<!\w)'([^']+)'(?!\w)"
    r"|(?<![\w-])(?:--?[a-z][\w-]*|\+?\w+[=/_](?:[\w.,=/-]*\w)?/?|deriva-ml-[a-z-]*[a-z])(?!\w)"
)


def reference() -> str:
    """The page's text as it is to be.

    Raises:
        ValueError: the page lacks a block, or has one that belongs to nothing; the message says which.
    """
    return written(PAGE.read_text(encoding="utf-8"), parsers())


def parsers() -> dict[str, ArgumentParser]:
    """The parser of each command that a project has, and of each subcommand, by what is typed for it."""
    section = SCRIPTS.read_text(encoding="utf-8").partition("[project.scripts]\n")[2].partition("\n[")[0]
    found: dict[str, ArgumentParser] = {}
    for name, module in re.findall(r'^([\w-]+) = "([\w.]+):\w+"$', section, re.MULTILINE):
        parser = importlib.import_module(module).parser()
        found[name] = parser
        found |= {f"{name} {word}": each for word, each in subcommands(parser).items()}
    return found


def subcommands(parser: ArgumentParser) -> Mapping[str, ArgumentParser]:
    """The parsers that a command's first word chooses from, where it has subcommands."""
    return next((action.choices for action in parser._actions if isinstance(action.choices, Mapping)), {})


def written(text: str, commands: Mapping[str, ArgumentParser]) -> str:
    """The page's text with the blocks that these commands ask for.

    Raises:
        ValueError: as for ``reference``.
    """
    placed = [block["name"] for block in BLOCK.finditer(text)]
    order = [name.removeprefix("usage: ") for name in placed if name.startswith("usage: ")]
    made = blocks(commands, order)
    for name in [*made, *placed]:
        if name not in made or placed.count(name) != 1:
            problem = "has one block too many" if name in placed else "lacks a block"
            raise ValueError(f"{PAGE.name} {problem}: <!-- {name} --> ... <!-- end -->")
    return BLOCK.sub(lambda block: f"<!-- {block['name']} -->\n\n{made[block['name']]}\n\n<!-- end -->", text)


def blocks(commands: Mapping[str, ArgumentParser], order: Iterable[str]) -> dict[str, str]:
    """What each block of the page has in it.

    Args:
        commands: parsers by command.
        order: the commands as the page has them one after the other.
    """
    rows = {name: arguments(parser) for name, parser in commands.items()}
    common = [row for row in next(iter(rows.values())) if all(row in others for others in rows.values())]
    overview = [
        (f"[`{name}`](#{name})", summary(commands[name]))
        for name in order
        if name in commands and " " not in name
    ]
    made = {
        f"usage: {name}": f"```text\n{usage(parser)}\n```\n\n{filled(description(parser))}"
        for name, parser in commands.items()
    }
    made |= {
        "commands": table(("command", "what it does"), *overview),
        "common options": table(("option", "meaning"), *common),
    }
    for name, parser in commands.items():
        if own := [row for row in rows[name] if row not in common]:
            made[f"arguments: {name}"] = table(("argument", "meaning"), *own)
        if examples := getattr(parser, "examples", ()):
            made[f"examples: {name}"] = "\n".join(
                ["```bash", *(f"uv run {line}" for line in examples), "```"]
            )
    return made


def table(*rows: tuple[str, str]) -> str:
    """A table of two columns with its head."""
    lines = [f"| {left} | {right} |" for left, right in rows]
    return "\n".join([lines[0], "|---|---|", *lines[1:]])


def usage(parser: ArgumentParser) -> str:
    """How a command is typed in a project."""
    return "uv run " + " ".join(parser.format_usage().removeprefix("usage: ").split())


def description(parser: ArgumentParser) -> str:
    """What a command does, in one line of Markdown."""
    return marked(" ".join((parser.description or "").split()))


def summary(parser: ArgumentParser) -> str:
    """A description's first sentence, up to where it goes into details."""
    sentence = re.split(r"[.:](?: |$)", description(parser))[0]
    return sentence[:1].lower() + sentence[1:]


def arguments(parser: ArgumentParser) -> list[tuple[str, str]]:
    """How each argument that a command takes is typed, and what it means; in the order of its parser."""
    return [
        (typed(action), meaning(action))
        for action in parser._actions
        if not isinstance(action.choices, Mapping)
    ]


def typed(action: Action) -> str:
    """Every spelling of an option and the value after it, or the name that stands for a positional."""
    choices = f"{{{','.join(action.choices)}}}" if action.choices else action.dest.upper()
    value = "" if action.nargs == 0 else action.metavar or choices
    *others, last = action.option_strings or [""]
    whole = f"{last} {' '.join(value) if isinstance(value, tuple) else value}".strip()
    return ", ".join(f"`{spelling}`" for spelling in [*others, whole])


def meaning(action: Action) -> str:
    """What an argument's help says, with what it refers to put in as argparse does."""
    facts = vars(action) | {"choices": ", ".join(map(str, action.choices or ()))}
    return marked((action.help or "") % facts).replace("|", r"\|")


def marked(text: str) -> str:
    """A help text in Markdown, with what is typed as it stands marked as code."""
    return TYPED.sub(lambda found: f"`{found[1] or found[0]}`", text)


def filled(text: str) -> str:
    """A paragraph in lines."""
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE))
    os.environ["NO_COLOR"] = "1"  # later versions of argparse colour what they format
    try:
        PAGE.write_text(reference(), encoding="utf-8")
    except ValueError as error:
        sys.exit(f"error: {error}")
