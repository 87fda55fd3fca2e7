"""``deriva-ml-catalog verify``, ``size`` and ``gc``: whether all is there that was recorded, what it takes, and what can go."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import subcommand, whole_number
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.progress import bar
from deriva_ml.table import aligned
from deriva_ml.terminal import agreed, counted, human, one_line, print, print_json, print_lines, tell, width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.storage.collect import Prospect
    from deriva_ml.storage.plan import Limits

SHOWN = 20
"""Rows of a list that a person is shown; ``--json`` has all."""


def add_to(commands: Any) -> None:
    """Add the subcommands."""
    subcommand(
        commands,
        verify,
        "verify",
        "",
        "check that every content is there, as it was recorded",
        "Read every content that a record names, and check its digest; check what is in each version of a dataset, and the"
        " database itself. The exit status is 1 if anything is missing or damaged.",
        json=True,
    )
    subcommand(
        commands,
        size,
        "size",
        "",
        "show what the catalog takes on the disk",
        "Show what the catalog takes on the disk, and the executions and files that take most of it.",
        json=True,
    )
    parser = subcommand(
        commands,
        gc,
        "gc",
        "",
        "remove contents that no record names, and old executions",
        "Remove contents that no record names and that are older than a day; with --older-than or --keep-last also"
        " executions, with what only they need. It lists what goes and asks first. What a dataset or another execution"
        " needs stays, and so does what waits to be pushed or has not ended.",
    )
    parser.add_argument(
        "--older-than",
        metavar="TIME",
        help="remove executions that are older than 30d, 12w or 48h, or from before a date such as 2026-11-28",
    )
    parser.add_argument(
        "--keep-last",
        type=whole_number(0, "executions"),
        metavar="NUMBER",
        help="remove executions but the newest so many, of which a sweep is one; with --older-than only those that are old,"
        " too",
    )
    parser.add_argument(
        "--cache",
        action="store_true",
        help="remove also contents that were fetched from a Deriva catalog, which --offline misses then, and environments"
        " that were made for replays",
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would go, and remove nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="remove it without asking")
    parser.add_argument("--json", action="store_true", help="write JSON, for a program to read")


# ------------------------------------------------------------------------------------------------------------- verify
def verify(catalog: EmbeddedCatalog, args: argparse.Namespace) -> int:
    """Check everything; the exit status is 1 if something is wrong."""
    from deriva_ml.storage.verify import verify as verified

    with ExitStack() as stack:
        verdict = verified(catalog, lambda size: stack.enter_context(bar("verifying", size)))
    if args.json:
        print_json(asdict(verdict))
    else:
        looked = f"{counted(verdict.contents, 'content')} ({human(verdict.bytes)})"
        print(f"{looked} and {counted(verdict.versions, 'version')} of datasets were checked")
        if verdict.unnamed:
            print(f"{counted(verdict.unnamed, 'content')} more that no record names, which gc removes")
        rows = [
            (
                one.rid or "-",
                one.what,
                one.filename,
                _users(one.executions, one.datasets),
                one.how,
                one.path,
            )
            for one in verdict.problems
        ]
        if rows:
            _show([("RID", "what", "file", "of", "how", "path"), *rows], ("of", "how", "file"))
    if not verdict.problems:
        return 0
    tell(
        "error: not all is as it was recorded: bring the files at these paths back from a backup, or record the same"
        " files again, and verify once more; catalog.db comes back as a whole"
    )
    return 1


def _users(executions: Sequence[str], datasets: Sequence[str]) -> str:
    return ", ".join([*(f"dataset {one}" for one in datasets), *executions])


def _show(rows: Sequence[Sequence[Any]], elastic: Sequence[str]) -> None:
    """Print a table's first rows, and how many more there are."""
    print_lines(aligned(rows[: SHOWN + 1], width(), elastic))
    if len(rows) > SHOWN + 1:
        print(f"... and {len(rows) - SHOWN - 1:,} more; --json shows all")


# --------------------------------------------------------------------------------------------------------------- size
def size(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Show what takes how much."""
    from deriva_ml.storage.size import measure

    found = measure(catalog)
    if args.json:
        print_json(asdict(found))
        return
    rows: list[tuple[str, str, str]] = [("database", "", human(found.database))]
    rows.append(("contents", f"{found.contents_count:,}", human(found.contents)))
    rows += [(f"  {name}", f"{count:,}", human(taken)) for name, (count, taken) in found.tables.items()]
    for name, (count, taken) in (("fetched, no record", found.fetched), ("no record", found.unnamed)):
        if count:
            rows.append((f"  {name}", f"{count:,}", human(taken)))
    rows += [(f"  of these, {name}", "", human(taken)) for name, taken in found.kinds.items() if taken]
    rows.append(("runs under way", "", human(found.running)))
    rows.append(("known of Deriva catalogs", "", human(found.known)))
    rows.append(("environments of replays", "", human(found.environments)))
    rows.append(("outputs/ (copies)", "", human(found.outputs)))
    rows.append(("all", "", human(found.total)))
    print_lines(aligned([("what", "contents", "bytes"), *rows], width()))
    for title, large in (("executions by their outputs", found.executions), ("files", found.files)):
        if large:
            print("", f"largest {title}:", sep="\n")
            listed = [(one.rid, human(one.bytes), one_line(one.name)) for one in large]
            print_lines(aligned([("RID", "bytes", "name"), *listed], width(), ("name",)))


# ----------------------------------------------------------------------------------------------------------------- gc
def gc(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Remove what can go, once a person has agreed to it."""
    from deriva_ml.catalog.criteria import parse_since
    from deriva_ml.storage.collect import prospect, remove_contents, remove_executions
    from deriva_ml.storage.contents import folder_size
    from deriva_ml.storage.plan import Limits

    if not (args.yes or args.dry_run or sys.stdin.isatty()):
        raise DerivaMLRequestError(
            "gc asks before it removes anything, and there is no terminal: give --yes, or --dry-run to see what would go"
        )
    before = "" if args.older_than is None else parse_since(args.older_than)
    limits = Limits(before, args.keep_last)
    found = prospect(catalog, limits, args.cache)
    environments = folder_size(catalog.project.environments) if args.cache else 0
    result: dict[str, Any] = {
        "executions": [{"RID": rid, "bytes": found.sizes.get(rid, 0)} for rid in found.plan.remove],
        "kept": found.plan.kept,
        **{
            name: dict(zip(("count", "bytes"), getattr(found, name), strict=True))
            for name in ("contents", "young", "fetched", "lent")
        },
        "environments": {"bytes": environments},
        "removed": None,
    }
    if not args.json:
        _show_prospect(catalog, found, limits)
        if environments:
            print(f"environments of replays to remove: {human(environments)}")
    nothing = not (found.plan.remove or found.contents[0] or environments)
    if not args.dry_run and not nothing and (args.yes or agreed("remove it?")):
        given = {"--older-than": args.older_than, "--keep-last": args.keep_last}
        why = " ".join(f"{name} {value}" for name, value in given.items() if value is not None)
        gone = remove_executions(catalog, found.plan.remove, limits, why) if found.plan.remove else []
        count, freed = remove_contents(catalog, args.cache)
        if environments:
            from deriva_ml.replay.environment import clear

            clear(catalog.project)
            freed += environments - folder_size(catalog.project.environments)
        result["removed"] = {"executions": gone, "contents": count, "bytes": freed}
        if not args.json:
            print(
                f"removed {counted(len(gone), 'execution')} and {counted(count, 'content')}: {human(freed)} are free"
            )
    if args.json:
        print_json(result)


def _show_prospect(catalog: EmbeddedCatalog, found: Prospect, limits: Limits) -> None:
    """Say what would go, and what stays and why."""
    if found.plan.remove:
        taken = human(sum(found.sizes.values()))
        print(f"{counted(len(found.plan.remove), 'execution')} to remove, with {taken} of outputs:")
        records = [catalog.lookup_execution(rid) for rid in found.plan.remove[:SHOWN]]
        rows = [
            (
                one.rid,
                one.status.value,
                one.created[:16].replace("T", " "),
                human(found.sizes.get(one.rid, 0)),
                one.workflow.name,
                one_line(one.description),
            )
            for one in records
        ]
        more = [("",) * 6] * (len(found.plan.remove) - len(records))
        heads = ("RID", "status", "when (UTC)", "bytes", "workflow", "description")
        _show([heads, *rows, *more], ("workflow", "description"))
    elif limits:
        print("no execution to remove")
    if found.plan.kept:
        print(f"{counted(len(found.plan.kept), 'old execution')} to keep:")
        _show([("RID", "because it"), *found.plan.kept.items()], ("because it",))
    count, taken_bytes = found.contents
    print(
        f"{counted(count, 'content')} to remove, that no record names{' then' if found.plan.remove else ''}:",
        human(taken_bytes),
    )
    for (count, taken_bytes), what in (
        (found.young, "younger than a day: another gc removes what is not needed"),
        (found.lent, "stay as long as jobs of a sweep on other machines may read them"),
        (found.fetched, "fetched from a Deriva catalog: --cache removes these, too"),
    ):
        if count:
            print(f"{counted(count, 'content')} ({human(taken_bytes)}) {what}")
