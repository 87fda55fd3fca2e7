"""``deriva-ml-catalog export`` and ``import``: records in a file, from one project to another."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import subcommand
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import listed
from deriva_ml.progress import progress
from deriva_ml.signals import raise_on_signals
from deriva_ml.terminal import counted, print, tell

if TYPE_CHECKING:
    from deriva_ml.archive.exporting import Exported
    from deriva_ml.archive.importing import Imported
    from deriva_ml.catalog.embedded import EmbeddedCatalog

SHOWN = 5
"""RIDs that a line names."""


def add_to(commands: Any) -> None:
    """Add the subcommands."""
    parser = subcommand(
        commands,
        export_records,
        "export",
        "[RID ...] FILE.zip",
        "write records into a file for another project",
        "Write executions, datasets and files, with all that belongs to them, into one file, which another project imports"
        " and other programs read: it is an RO-Crate in a bag.",
    )
    parser.add_argument(
        "rids",
        nargs="*",
        metavar="RID",
        help="executions, datasets and files, by their RIDs here or where they were pushed to, or by name",
    )
    parser.add_argument("file", metavar="FILE.zip", help="the file to write, which is not there yet")
    parser.add_argument("--all", action="store_true", help="write all records of this project")
    parser.add_argument(
        "--with-inputs",
        action="store_true",
        help="with the executions that made the files that others read, and what those read, and so on",
    )
    parser.add_argument(
        "--without-contents",
        action="store_true",
        help="without what is in the files, other than in those that describe executions",
    )
    parser.add_argument(
        "--with-code", action="store_true", help="with the commits that the executions name, as a git bundle"
    )
    parser = subcommand(
        commands,
        import_records,
        "import",
        "FILE.zip",
        "take in records that another project wrote into a file",
        "Take in the records of a file that was exported. What is here stays as it is, and what is here already is not"
        " taken in again. Of a damaged file nothing is taken in.",
    )
    parser.add_argument("file", metavar="FILE.zip", help="the file to take in")
    parser.add_argument("--without-code", action="store_true", help="without the commits that are in it")


def export_records(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Write the records that were asked for."""
    from deriva_ml.archive.exporting import export

    if args.all == bool(args.rids):
        raise DerivaMLRequestError("give the RIDs of what to export, or --all, before the name of the file")
    with raise_on_signals(), ExitStack() as stack:
        done = export(
            catalog,
            None if args.all else args.rids,
            Path(args.file),
            inputs=args.with_inputs,
            contents=not args.without_contents,
            code=args.with_code,
            progress=lambda size: stack.enter_context(progress("exporting", 0, size)),
        )
    for note in done.warnings:
        tell(f"note: {note}")
    print(f"exported {_listed(done.records)} and {_contents(done)} to {args.file}")


def import_records(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Take in a file."""
    from deriva_ml.archive.importing import take_in
    from deriva_ml.datasets import names

    before = names.read(catalog.project)
    with raise_on_signals(), ExitStack() as stack:
        done = take_in(
            catalog,
            Path(args.file),
            code=not args.without_code,
            progress=lambda size: stack.enter_context(progress("importing", 0, size)),
        )
    merged, warnings = done.merged, done.warnings
    if merged.renamed:
        shown = listed([f"{old} is {new} here" for old, new in merged.renamed.items()], SHOWN)
        warnings.append(f"other records have the RIDs of some: {shown}")
    for rid, name in merged.unnamed.items():
        warnings.append(
            f"dataset {rid} comes without its name {name}, which another one has here, or none can have"
        )
    for rid in merged.carried:  # also where an import was stopped before it came to that
        try:
            names.note(catalog, rid)
        except DerivaMLRequestError as error:
            warnings.append(str(error))
    for note in warnings:
        tell(f"note: {note}")
    commits = f", {counted(done.commits, 'commit')}" if done.commits else ""
    print(f"imported {_listed(merged.new)}, {_contents(done)}{commits} that were not here, from {args.file}")
    if names.read(catalog.project) != before:
        print(f"commit {names.FILE}")


def _listed(counts: dict[str, int]) -> str:
    """Return how many records there are of the kinds that a person knows."""
    kinds = {"Execution": "execution", "Dataset": "dataset", "Dataset_Version": "version", "Asset": "file"}
    return ", ".join(counted(counts.get(kind, 0), name) for kind, name in kinds.items())


def _contents(done: Exported | Imported) -> str:
    return f"{counted(done.contents, 'content')} ({done.bytes:,} bytes)"
