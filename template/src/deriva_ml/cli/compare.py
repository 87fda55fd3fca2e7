"""``deriva-ml-catalog compare``: what executions differ in."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import subcommand
from deriva_ml.cli.deriva_catalog import add_reading_flags
from deriva_ml.project import Project
from deriva_ml.table import aligned, cell
from deriva_ml.terminal import print, print_json, print_lines, warn, width

if TYPE_CHECKING:
    from deriva_ml.catalog.protocol import Source
    from deriva_ml.definitions import RID
    from deriva_ml.records.comparison import Comparison, Difference

TITLES = {
    "started": "how it was started",
    "code": "code",
    "source": "source",
    "parameters": "parameters",
    "configuration": "configuration",
    "inputs": "inputs",
    "packages": "packages and machine",
    "end": "how it ended",
    "metrics": "metrics",
    "outputs": "outputs",
}
"""What each section is called, in the order in which they are shown."""

SHORT = 10
"""Digits that are shown of an id of git, which takes it so, and of a digest."""

_DIGEST = re.compile("[0-9a-f]{32,64}")


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = subcommand(
        commands,
        run,
        "compare",
        "RID RID ...",
        "show what executions differ in",
        "Show what two or more executions differ in: how they were started, their code, parameters, configuration, inputs,"
        " packages, metrics and outputs. What is equal is not shown. Files are compared by digest; of outputs that are text,"
        " CSV or JSON the first lines that differ are shown, each execution's against the first one's.",
    )
    parser.add_argument("rids", nargs="+", metavar="RID", help="the executions, two or more")
    parser.add_argument(
        "--diff",
        action="store_true",
        help="show how the notebook's or model's source differs between the commits, by nbdime if it is installed",
    )
    parser.add_argument("--json", action="store_true", help="write JSON, for a program to read")
    add_reading_flags(parser)


def run(source: Source, args: argparse.Namespace) -> int:
    """Show what the executions differ in."""
    from deriva_ml.records.comparison import compare

    comparison = compare(source, args.rids, Project.find().root if args.diff else None)
    for line in comparison.warnings:
        warn(line)
    if args.json:
        print_json(comparison.to_json())
    else:
        _show(comparison)
    return 0


def _show(comparison: Comparison) -> None:
    rids = [record.rid for record in comparison.executions]
    heads = [
        (
            one.rid,
            one.created[:19].replace("T", " "),
            one.execution_duration or "",
            one.status,
            one.workflow.name,
        )
        for one in comparison.executions
    ]
    _show_table(
        [("RID", "when (UTC)", "duration", "status", "workflow"), *heads], ["workflow", "duration"], ""
    )
    for name, title in TITLES.items():
        if name == "source" and comparison.sources:
            print(f"{title}:")
            for found in comparison.sources:
                for line in [*found.notes, *found.lines]:
                    print(f"  {line.expandtabs(4)}")
        elif differences := comparison.sections.get(name):
            print(f"{title}:")
            rows = [(_name(one, rids), *(_value(name, one, rid) for rid in rids)) for one in differences]
            _show_table([("", *rids), *rows], ["", *rids])
            for one in differences:
                _show_lines(one, rids[0])
    if not comparison.sections and not comparison.sources:
        print("nothing differs")


def _show_table(rows: Sequence[Sequence[Any]], elastic: Sequence[str] = (), indent: str = "  ") -> None:
    room = width()
    lines = aligned(rows, room and room - len(indent), elastic).split("\n")
    print_lines("\n".join(f"{indent}{line}" for line in lines))


def _name(difference: Difference, rids: Sequence[RID]) -> str:
    """Return what differs; of a file also whether it came or went, which of three executions the columns show better."""
    told = difference.change in {"added", "removed"} and len(rids) == 2
    return f"{difference.name} ({difference.change})" if told else difference.name


def _value(section: str, difference: Difference, rid: RID) -> str:
    """Return the value that a cell shows; a hyphen for an execution that has none."""
    if rid not in difference.values:
        return "-"
    value = difference.values[rid]
    if difference.change:
        return f"{value['RID']} {value['MD5'][:SHORT]} {value['bytes']:,} B"
    if section == "parameters" or not isinstance(value, str | int | float):
        return json.dumps(value, ensure_ascii=False, default=str)
    if section == "code" and isinstance(value, bool):
        return "yes" if value else "no"
    if _DIGEST.fullmatch(str(value)):
        return str(value)[:SHORT]
    more = difference.differences.get(rid)
    return cell(value) if more is None else f"{cell(value)} ({more:+.6g})"


def _show_lines(difference: Difference, first: RID) -> None:
    for found in difference.lines:
        title = f"  {difference.name}, {first} and {found.execution}:"
        if found.note:
            print(f"{title} {found.note}")
            continue
        print(title)
        for line in found.lines:
            for place, sign, text in ((line.place, "-", line.text), (line.other_place, "+", line.other_text)):
                if text is not None:
                    _show_table(
                        [[f"{f'{place} ' if place else ''}{sign} {text.expandtabs(4)}"]], indent="    "
                    )
        if found.more:
            print("    ... and more")
