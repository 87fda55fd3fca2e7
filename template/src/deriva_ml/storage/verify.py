"""Whether all is there that the catalog's rows say, and as they say it: contents, the manifests of datasets, the database."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.objects import CHUNK, is_digest
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.parallel import in_order
from deriva_ml.progress import Report
from deriva_ml.storage.contents import Named, stored
from deriva_ml.untrusted import DAMAGED, READING

AHEAD = 256
"""Contents that are given to the threads before the first one's answer is waited for."""


@dataclass(frozen=True)
class Problem:
    """Something that is not as a row says.

    Attributes:
        table: of the row; empty for the database itself.
        what: ``missing``, ``damaged`` or ``unreadable``.
        how: how that shows.
        executions: those that read or made it.
        datasets: those that have it as a member, in any state.
    """

    table: str
    rid: RID
    filename: str
    path: str
    what: str
    how: str
    executions: list[RID] = field(default_factory=list)
    datasets: list[RID] = field(default_factory=list)


@dataclass
class Verdict:
    """What was looked at, and what was found.

    Attributes:
        contents: that rows name, and their bytes as they say.
        versions: states of datasets whose manifest was looked at.
        unnamed: contents that no row names, which is no fault.
    """

    contents: int = 0
    bytes: int = 0
    versions: int = 0
    unnamed: int = 0
    problems: list[Problem] = field(default_factory=list)


def verify(
    catalog: EmbeddedCatalog, begin: Callable[[int], Report] = lambda total: lambda count: None
) -> Verdict:
    """Look at everything; what a run records meanwhile is not waited for.

    Args:
        begin: told how many bytes are to be read, and gives what is told of each that were.
    """
    named = Named(catalog)
    verdict = Verdict()
    verdict.contents, verdict.bytes = named.total()
    verdict.problems += _database(catalog)
    for md5, (what, how, length) in read_all(catalog, named, begin(verdict.bytes)):
        verdict.problems += _problems(catalog, named, md5, what, how, length)
    verdict.versions, wrong = _manifests(catalog)
    verdict.problems += wrong
    verdict.unnamed = sum(one.md5 not in named for one in stored(catalog.objects.folder))
    return verdict


def _database(catalog: EmbeddedCatalog) -> list[Problem]:
    """Return what SQLite itself finds: a torn copy, or rows that refer to none."""
    path = str(catalog.database.path)
    try:
        said = [row[0] for row in catalog.database.query("PRAGMA integrity_check(20)")]
        said = [] if said == ["ok"] else said
        for row in catalog.database.query("PRAGMA foreign_key_check"):
            said.append(f"a row of {row['table']} refers to one of {row['parent']} that is not there")
    except sqlite3.DatabaseError as error:
        said = [str(error)]
    return [
        Problem("", "", catalog.database.path.name, path, "damaged", text) for text in dict.fromkeys(said)
    ]


Found = tuple[str, str, int]
"""What is wrong with a content, how that shows, and its length; the first two are empty where nothing is."""


def read_all(catalog: EmbeddedCatalog, named: Iterable[str], progress: Report) -> Iterator[tuple[str, Found]]:
    """Read all contents of these digests in some threads, and return in this one what was found of each."""

    def look(md5: str, progress: Report) -> tuple[str, Found]:
        try:
            return md5, read(catalog.objects.path(md5), md5, progress)
        except DerivaMLException as error:
            return md5, ("damaged", str(error), -1)

    return in_order(look, named, progress, ahead=AHEAD)


def read(path: Path, md5: str, progress: Report) -> Found:
    """Read a content, and say what is wrong with it."""
    digest, length = hashlib.md5(usedforsecurity=False), 0
    try:
        with open(os.open(path, READING), "rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return "damaged", "it is no file", -1
            most = min(CHUNK, status.st_size + 1)  # memory for a whole one would be got for each small file
            while piece := stream.read(most):
                digest.update(piece)
                length += len(piece)
                progress(len(piece))
    except FileNotFoundError:
        return "missing", "it is not there", -1
    except OSError as error:
        return "unreadable", error.strerror or str(error), -1
    if digest.hexdigest() != md5.lower():
        return "damaged", f"its MD5 is {digest.hexdigest()}", length
    return "", "", length


def _problems(
    catalog: EmbeddedCatalog, named: Named, md5: str, what: str, how: str, length: int
) -> Iterator[Problem]:
    """Return what is wrong about the rows that name a content."""
    for table, rid, expected in named.rows(md5, -1 if what else length):
        row = catalog.database.find(table, RID=rid)
        if row is None:  # removed meanwhile, with its content
            continue
        path = str(catalog.objects.folder / md5[:2] / md5) if is_digest(md5) else ""
        linked = catalog.database.get_all(f"{table}_Execution", "Execution", 'ORDER BY "RCT"', **{table: rid})
        members = catalog.database.get_all("Dataset_File", "Dataset", File=rid) if table == "File" else []
        yield Problem(
            table,
            rid,
            str(row["Filename"]),
            path,
            what or "damaged",
            how or f"it has {length} bytes, and its row says {expected}",
            list(dict.fromkeys(linked)),
            list(dict.fromkeys(members)),
        )


def manifest_fault(catalog: EmbeddedCatalog, state: RID, digest: str) -> str:
    """Return how what is in a state of a dataset is not what its digest says; empty if it is."""
    try:
        said = catalog.manifest_digest(state)
    except (DerivaMLException, sqlite3.DatabaseError, *DAMAGED) as error:
        return str(error)
    return "" if said == digest else f"the digest of what is in it is {said}, not {digest}"


def _manifests(catalog: EmbeddedCatalog) -> tuple[int, list[Problem]]:
    """Return how many states of datasets there are, and those that are not what their digests say."""
    states, wrong = catalog.database.select("local_version", 'ORDER BY "dataset", "number"'), []
    for row in states:
        if how := manifest_fault(catalog, row["version"], row["digest"]):
            version = catalog.database.get("Dataset_Version", "Version", RID=row["version"])
            name = f"dataset {row['dataset']} {version}"
            path = str(catalog.database.path)
            wrong.append(
                Problem("Dataset_Version", row["version"], name, path, "damaged", how, [], [row["dataset"]])
            )
    return len(states), wrong
