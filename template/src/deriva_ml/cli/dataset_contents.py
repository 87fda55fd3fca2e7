"""``deriva-ml-dataset diff``, ``export`` and ``verify``: what the files of datasets hold."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import subcommand
from deriva_ml.cli.dataset_named import meant, name_of, state_of
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.signals import raise_on_signals
from deriva_ml.table import aligned
from deriva_ml.terminal import counted, human, print, print_json, print_lines, tell, warn, width

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog

COMPARED = 10
"""Of how many files ``diff`` shows the lines."""


def add_to(commands: Any) -> None:
    """Add the subcommands."""
    parser = subcommand(
        commands,
        diff,
        "diff",
        "NAME VERSION [VERSION]",
        "compare two versions",
        "Show which files were added, removed and"
        " changed between two versions, and of text the first lines that differ.",
        json=True,
    )
    parser.add_argument("version", metavar="VERSION", help="the first version")
    parser.add_argument("other", nargs="?", metavar="VERSION", help="the other one (default: as it is now)")
    parser = subcommand(
        commands,
        export,
        "export",
        "NAME[@VERSION] TARGET",
        "write a dataset's files into a folder or ZIP file",
        "Write the files of a dataset at a version into a new folder, or into a ZIP file, at their paths.",
        json=True,
    )
    parser.add_argument("target", type=Path, metavar="TARGET", help="the folder, or a file that ends in .zip")
    parser = subcommand(
        commands,
        verify,
        "verify",
        "[NAME ...]",
        "check that datasets are as they were recorded",
        "Read every content of datasets in"
        " all their versions, and check it and what each version says. The exit status is 1 if anything is missing or damaged.",
        json=True,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="datasets (default: all)")


def diff(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Show what two versions differ in."""
    rid, _ = meant(catalog, args.name)
    states = [state_of(catalog, rid, args.version), state_of(catalog, rid, args.other)]
    before, after = ({row["Path"]: row for row in catalog.files(state.rid)} for state in states)
    changes = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old is None or new is None or old["MD5"] != new["MD5"]:
            kind = "added" if old is None else "removed" if new is None else "changed"
            changes.append((kind, path, old, new))
    if args.json:
        print_json(
            {
                "dataset": rid,
                "versions": [one.version for one in states],
                "changes": [
                    {"what": kind, "path": path, "before": _content(old), "after": _content(new)}
                    for kind, path, old, new in changes
                ],
            }
        )
        return
    if not changes:
        print(f"{name_of(catalog, rid)} {states[0].version} and {states[1].version} have the same files")
        return
    rows = [
        (
            kind,
            path,
            " -> ".join(human(row["Length"]) for row in (old, new) if row is not None),
        )
        for kind, path, old, new in changes
    ]
    print_lines(aligned([("what", "path", "size"), *rows], width(), ("path",)))
    pairs = [(path, old, new) for kind, path, old, new in changes if old is not None and new is not None]
    for path, old, new in pairs[:COMPARED]:
        _show_lines(catalog, path, old, new)


def _content(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if row is None else {"bytes": row["Length"], "md5": row["MD5"], "rid": row["RID"]}


def _show_lines(catalog: EmbeddedCatalog, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Show the first lines in which two contents differ, if both are text of a size to be compared."""
    from deriva_ml.records.differing_lines import LARGEST_TEXT, first_differences, read_contents

    if max(old["Length"], new["Length"]) > LARGEST_TEXT:
        return
    try:
        first, other = (read_contents(catalog.objects.path(row["MD5"])) for row in (old, new))
    except (OSError, DerivaMLException) as error:
        warn(f"the lines of {path} cannot be compared: {error}")
        return
    if first is None or other is None:
        return
    lines, more = first_differences(first, other)
    print(f"{path}:")
    for line in lines:
        for place, sign, text in ((line.place, "-", line.text), (line.other_place, "+", line.other_text)):
            if text is not None:
                text = text.removesuffix("\r").expandtabs(4)  # with which a line ends elsewhere
                print_lines(aligned([[f"  {f'{place} ' if place else ''}{sign} {text}"]], width()))
    if more:
        print("  ... and more")


def export(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Write a dataset's files."""
    from deriva_ml.datasets.export import write

    rid, version = meant(catalog, args.name)
    state = state_of(catalog, rid, version)
    with raise_on_signals():
        write(catalog, catalog.lookup_dataset(rid, state.version), args.target)
    said = {"dataset": rid, "version": state.version, "files": state.files, "bytes": state.bytes}
    if args.json:
        print_json(said | {"target": str(args.target)})
        return
    print(
        f"{name_of(catalog, rid)} {state.version}: {counted(state.files, 'file')}, {human(state.bytes)} in {args.target}"
    )


def verify(catalog: EmbeddedCatalog, args: argparse.Namespace) -> int:
    """Check datasets; the exit status is 1 if something is wrong."""
    from deriva_ml.progress import progress
    from deriva_ml.storage.verify import manifest_fault, read_all

    rids = [meant(catalog, name)[0] for name in args.names]
    rids = [*dict.fromkeys(rids)] or [one.rid for one in catalog.find_datasets(deleted=True)]
    problems: list[tuple[str, str, str, str]] = []
    contents: dict[str, tuple[int, str, str]] = {}
    count = 0
    for rid in rids:
        for state in catalog.dataset_versions(rid):
            count += 1
            called = f"{name_of(catalog, rid)} {state.version}"
            if wrong := manifest_fault(catalog, state.rid, state.digest):
                problems.append((called, "", "damaged", wrong))
            for row in catalog.files(state.rid):
                contents.setdefault(row["MD5"], (row["Length"], called, row["Path"]))
    size = sum(length for length, _, _ in contents.values())
    with progress("verifying", len(contents), size) as report:
        for md5, (what, how, length) in read_all(catalog, contents, report):
            expected, called, path = contents[md5]
            if what or length != expected:
                how = how or f"it has {length} bytes, and its row says {expected}"
                problems.append((called, path, what or "damaged", how))
    heads = ("dataset", "path", "what", "how")
    if args.json:
        print_json(
            {
                "versions": count,
                "contents": len(contents),
                "bytes": size,
                "problems": [dict(zip(heads, one, strict=True)) for one in problems],
            }
        )
    else:
        print(
            f"{counted(len(contents), 'content')} ({human(size)}) and {counted(count, 'version')} of"
            f" {counted(len(rids), 'dataset')} were checked"
        )
        if problems:
            print_lines(aligned([heads, *problems], width(), ("path", "how")))
    if not problems:
        return 0
    tell(
        "error: not all is as it was recorded: bring it back from a backup or import it, or add the same files again"
    )
    return 1
