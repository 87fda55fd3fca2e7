"""``deriva-ml-dataset create``, ``add``, ``remove``, ``nest``, ``release``, ``split`` and ``delete``: each an execution."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import CommandParser, subcommand
from deriva_ml.cli.dataset_named import meant, name_of, only, say_state, told_to_commit
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.terminal import agreed, print

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog

BUMPS = ("major", "minor", "patch")


def add_to(commands: Any) -> None:
    """Add the subcommands."""
    parser = subcommand(
        commands,
        create,
        "create",
        "NAME [PATH ...]",
        "make a dataset of files",
        "Make a dataset of files, with the version 1.0.0; without files an empty one, 0.1.0. A folder gives what is in it, at"
        " the paths below it; of several paths each keeps its own name. Contents are copied into the project's catalog, or cloned where the disk"
        " can. What is done is recorded as an execution.",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="files and folders")
    parser.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="TYPE",
        help="what the dataset is for, such as Training or Testing; may be given several times",
    )
    parser.add_argument("--description", metavar="TEXT", help="what it is, as Markdown")
    _add_ingest_flags(parser)
    parser = subcommand(
        commands,
        add,
        "add",
        "NAME PATH ...",
        "add files to a dataset",
        "Add files to a dataset, in place of those at the same paths. What lies below a folder that the dataset was made from"
        " before gets the path that it has there. The versions that there are stay as they are; release makes another one.",
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="files and folders")
    _add_message(parser)
    _add_ingest_flags(parser)
    parser = subcommand(
        commands,
        remove,
        "remove",
        "NAME PATH ...",
        "take files out of a dataset",
        "Take files out of a dataset's working state. The versions that there are keep them.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="paths in the dataset, of a folder all in it; '*' stands for any name or part of one, '**' for any folders",
    )
    _add_message(parser)
    parser = subcommand(
        commands,
        nest,
        "nest",
        "NAME OTHER[@VERSION] ...",
        "make datasets parts of another",
        "Make datasets parts of another one, each at a version and in a folder of its name; one that is part of it already"
        " becomes so at the version that is given.",
    )
    parser.add_argument(
        "others", nargs="+", metavar="OTHER[@VERSION]", help="datasets, by default as they are now"
    )
    parser.add_argument("--into", metavar="FOLDER", help="the folder in the dataset, for one OTHER")
    _add_message(parser)
    parser = subcommand(
        commands,
        release,
        "release",
        "NAME [PART] -m TEXT",
        "make a version of a dataset",
        "Make a version of what a dataset is now, which never changes. Its name, version and digest go into datasets.toml, so"
        " that configurations name it alike in every clone of the project.",
    )
    parser.add_argument(
        "bump",
        nargs="?",
        default="minor",
        choices=BUMPS,
        metavar="PART",
        help="which number of the last version goes up: major, minor or patch (default: %(default)s)",
    )
    _add_message(parser, required=True)
    parser = subcommand(
        commands,
        split,
        "split",
        "NAME[@VERSION] --fractions F,F[,F]",
        "divide a dataset into parts",
        "Divide a dataset by chance into datasets NAME-train and NAME-test, or NAME-train, NAME-validation and NAME-test, each"
        " with the version 1.0.0. The same seed gives the same parts. A table that names the files has in each part the rows"
        " of its files; if the dataset is one table, its rows are divided.",
    )
    parser.add_argument(
        "--fractions", required=True, metavar="F,F[,F]", help="how much each part has, such as 0.8,0.2"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="NUMBER", help="of chance (default: %(default)s)"
    )
    alike = parser.add_mutually_exclusive_group()
    alike.add_argument(
        "--by", metavar="COLUMN", help="let each part have its fraction of each value of a column"
    )
    alike.add_argument(
        "--by-folder", action="store_true", help="let each part have its fraction of each folder"
    )
    parser.add_argument(
        "--group",
        metavar="COLUMN",
        help="keep in one part what has one value of a column, such as a patient",
    )
    parser.add_argument("--names", metavar="NAMES", help="what the parts are called, parted by commas")
    parser = subcommand(
        commands,
        delete,
        "delete",
        "NAME",
        "delete a dataset",
        "Delete a dataset, once you have agreed to it. Its versions stay readable, since records name them.",
    )
    parser.add_argument("--recurse", action="store_true", help="delete those nested in it, too")
    parser.add_argument("-y", "--yes", action="store_true", help="delete it without asking")


def _add_ingest_flags(parser: CommandParser) -> None:
    parser.add_argument("--into", metavar="FOLDER", help="put all of it into this folder of the dataset")
    parser.add_argument(
        "--link",
        action="store_true",
        help="link files instead of copying them, which makes your own files read-only",
    )


def _add_message(parser: CommandParser, required: bool = False) -> None:
    parser.add_argument(
        "-m",
        "--message",
        required=required,
        metavar="TEXT",
        help="what changed, for the dataset's history",
    )


def create(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Make a dataset."""
    from deriva_ml.datasets import changes, ingest, names, walk

    # Before anything is read: a person may have given many files.
    names.check_name(args.name)
    names.check_new(catalog.project, args.name)
    if there := catalog.dataset_named(args.name):
        raise DerivaMLRequestError(
            f"there is a dataset {args.name} already ({there}): add to it, or choose another name"
        )
    found = walk.found(args.paths, into=args.into or "", project=catalog.project)

    made: list[str] = []
    with _changed(catalog, f"Make the dataset {args.name}", made) as execution:
        members = ingest.take_in(catalog, found, args.link)
        if args.paths and not members:
            raise DerivaMLRequestError(f"there is no file in {', '.join(args.paths)}")
        version = "1.0.0" if members else "0.1.0"
        with catalog.transaction():
            rid = changes.create(
                catalog, execution, args.name, members, args.type, args.description or "", version
            )
            catalog.add_roots(rid, found.roots)
        made.append(rid)


def add(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Add files."""
    from deriva_ml.datasets import changes, ingest, walk

    rid = only(catalog, args.name)
    catalog.current_state(rid)  # it is not deleted
    found = walk.found(args.paths, catalog.roots(rid), args.into or "", catalog.project)

    with _changed(catalog, args.message or f"Add to {name_of(catalog, rid)}", [rid]) as execution:
        members = ingest.take_in(catalog, found, args.link)
        with catalog.transaction():
            changes.add(catalog, execution, rid, members, args.message or "")
            catalog.add_roots(rid, found.roots)


def remove(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Take files out."""
    from deriva_ml.datasets import changes

    rid = only(catalog, args.name)
    there = [row["Path"] for row in catalog.members(catalog.current_state(rid).rid)]
    paths = [*_matching(args.paths, there)]

    with _changed(catalog, args.message or f"Remove from {name_of(catalog, rid)}", [rid]) as execution:
        changes.remove(catalog, execution, rid, paths, args.message or "")


def nest(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Make datasets parts of another."""
    from deriva_ml.datasets import changes

    rid = only(catalog, args.name)
    if args.into and len(args.others) > 1:
        raise DerivaMLRequestError("--into is the folder of one dataset: nest each by a command of its own")
    others = [meant(catalog, other) for other in args.others]

    with _changed(catalog, args.message or f"Nest in {name_of(catalog, rid)}", [rid]) as execution:
        members = [changes.part(catalog, rid, other, version, args.into or "") for other, version in others]
        changes.add(catalog, execution, rid, members, args.message or "")


def release(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Make a version."""
    from deriva_ml.datasets import changes

    rid = only(catalog, args.name)

    with _changed(catalog, f"Release {name_of(catalog, rid)}: {args.message}", [rid]) as execution:
        changes.release(catalog, execution, rid, args.bump, args.message)


def split(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Make datasets of a dataset's parts."""
    from deriva_ml.datasets import parting
    from deriva_ml.datasets.split import parse_fractions

    rid, version = meant(catalog, args.name)
    names = [word.strip() for word in args.names.split(",")] if args.names else []
    wanted = parting.Split(
        parse_fractions(args.fractions), args.seed, args.by or "", args.by_folder, args.group or "", names
    )
    dataset = catalog.lookup_dataset(rid, version)

    made: list[str] = []
    with _changed(catalog, f"Split {name_of(catalog, rid)} {dataset.version}: {wanted}", made) as execution:
        made += parting.make_parts(catalog, execution, dataset, wanted)


def delete(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Delete a dataset."""
    from deriva_ml.datasets import changes

    rid = only(catalog, args.name)
    state = catalog.current_state(rid)
    name = name_of(catalog, rid)
    if not args.yes:
        if not sys.stdin.isatty():
            raise DerivaMLRequestError(
                f"delete asks before it deletes {name}, and there is no terminal: give --yes"
            )
        if not agreed(f"delete {name} {state.version}, {rid}?"):
            return
    with changes.recorded(catalog, changes.COMMAND, f"Delete the dataset {name}"):
        changes.delete(catalog, rid, args.recurse)
    print(f"{name} is deleted; its versions stay readable as {rid}@VERSION")


@contextmanager
def _changed(catalog: EmbeddedCatalog, description: str, rids: Sequence[str]) -> Iterator[str]:
    """Give the execution that changes datasets, and say what these are then; ``rids`` may be added to inside."""
    from deriva_ml.datasets import changes

    with told_to_commit(catalog):
        with changes.recorded(catalog, changes.COMMAND, description) as execution:
            yield execution
        for rid in rids:
            say_state(catalog, rid)


def _matching(patterns: Iterable[str], paths: Sequence[str]) -> Iterable[str]:
    """Yield what is meant of a dataset's paths: a path or folder as it is, or all that a pattern fits.

    Raises:
        DerivaMLRequestError: a pattern fits none.
    """
    known = {*paths}
    for pattern in patterns:
        plain = pattern.strip("/")
        if plain in known or not any(sign in plain for sign in "*?["):
            yield plain
            continue
        found = [path for path in paths if _fits(path.split("/"), plain.split("/"))]
        if not found:
            raise DerivaMLRequestError(f"no path in the dataset fits {pattern}")
        yield from found


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path, or a folder that it lies in, has this pattern; ``**`` stands for any folders."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_fits(parts[n:], pattern[1:]) for n in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])
