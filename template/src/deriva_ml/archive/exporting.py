"""Writes records into a file that another project, and other programs, can read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deriva_ml.archive.bundle as git_bundle
import deriva_ml.disk as disk
from deriva_ml.archive.container import BUNDLE, CRATE, FORMAT, Writer, from_file, object_name
from deriva_ml.archive.crate import Crate
from deriva_ml.catalog.carried import KINDS, Selection, chosen
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.configuration_file import is_configuration, read_configuration
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.git import listed
from deriva_ml.progress import Report
from deriva_ml.untrusted import DAMAGED, plain_name

VERSION = 1
"""Of the form of these files; a newer one is refused by older runners."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        records: how many of each kind.
        contents: how many, and of how many bytes.
        warnings: what is not in it, a line each.
    """

    records: dict[str, int]
    contents: int
    bytes: int
    warnings: list[str]


@dataclass(frozen=True)
class _Wanted:
    """Which contents come: as ``export`` is told."""

    catalog: EmbeddedCatalog
    all: bool
    elsewhere: Callable[[str, int], bool]

    def has(self, row: dict[str, Any]) -> bool:
        content = (row["MD5"], row["Length"])
        return not self.elsewhere(*content) and (
            self.all or bool(row["describes"] and self.catalog.objects.has(*content))
        )


def export(
    catalog: EmbeddedCatalog,
    rids: Collection[RID] | None,
    target: Path,
    *,
    inputs: bool = False,
    contents: bool = True,
    code: bool = False,
    elsewhere: Callable[[str, int], bool] = lambda md5, length: False,
    progress: Callable[[int], Report] = lambda total: lambda count: None,
) -> Exported:
    """Write records, with all that belongs to them, into a new file.

    Args:
        rids: of executions, datasets and files; None for all.
        inputs: with the executions that made what others read, and so on.
        contents: with the files' contents; without them only those come that describe executions, as far as they are here.
        code: with the commits that the executions name.
        elsewhere: tells, by MD5 and length, which contents are not to come, since whoever takes the file in has them.
        progress: is told how many bytes of contents there are, and returns what is told of those that went.

    Raises:
        DerivaMLRequestError: the file is there, or a record is not, or an execution has not ended.
        DerivaMLException: a content is missing, or is not what its record says.
    """
    if os.path.lexists(target):
        raise DerivaMLRequestError(f"{target} is there already: remove it, or give another name")
    if not target.parent.is_dir():
        raise DerivaMLRequestError(f"there is no folder {target.parent}")
    catalog.read_summaries()
    for rid in rids or ():
        catalog.links_from(rid)
    with chosen(catalog, rids, inputs) as selection, ExitStack() as stack:
        if open_ones := [rid for rid in rids or () if rid in selection.left_out]:
            raise DerivaMLRequestError(f"execution {open_ones[0]} has not ended: export it once it has")
        part = stack.enter_context(disk.temporary(target.parent))
        stack.enter_context(disk.written_for(target, part))
        wanted = _Wanted(catalog, contents, elsewhere)
        written = _write(catalog, selection, part, plain_name(target.stem), wanted, code, progress)
        disk.flush([part])
        if os.path.lexists(target):
            raise DerivaMLRequestError(f"{target} is there already: remove it, or give another name")
        os.replace(part, target)
        disk.flush_names(target.parent)
    return written


def _write(
    catalog: EmbeddedCatalog,
    selection: Selection,
    part: Path,
    top: str,
    wanted: _Wanted,
    code: bool,
    progress: Callable[[int], Report],
) -> Exported:
    warnings = []
    if selection.left_out:
        warnings.append(f"executions that have not ended are left out: {listed(selection.left_out, 5)}")
    records: dict[str, int] = {}
    others = {FORMAT: "The form of the rows"}
    with closing(Writer(part, top)) as bag:
        form = {"format": VERSION, "catalog": catalog.catalog_id}
        bag.add(FORMAT, [json.dumps(form).encode() + b"\n"])
        for name in KINDS:
            records[name] = 0
            others[f"records/{name}.jsonl"] = f"Rows of {name}, for an exact import"
            bag.add(f"records/{name}.jsonl", _counted(selection.rows(name), name, records))
        if code and (commits := _commits(catalog, selection)):
            with disk.temporary(catalog.project.state) as path:
                if note := git_bundle.bundle(commits, catalog.project.root, path):
                    warnings.append(note)
                if path.exists():
                    others[BUNDLE] = "The commits that the executions name, as a git bundle"
                    with path.open("rb") as stream:
                        bag.add(BUNDLE, from_file(stream))
        carried = {row["MD5"]: row["Length"] for row in selection.contents() if wanted.has(row)}
        report = progress(sum(carried.values()))
        for md5, length in carried.items():
            bag.add(object_name(md5), _content(catalog, md5, length, report), length)
        metadata = catalog.project.metadata()
        name = str(metadata.get("name") or catalog.project.root.name)
        crate = Crate(catalog, selection, {*carried}, others, name, _license(metadata))
        bag.add(CRATE, crate.text())
        bag.finish()
    return Exported(records, len(carried), sum(carried.values()), warnings)


def _counted(rows: Iterable[dict[str, Any]], name: str, records: dict[str, int]) -> Iterator[bytes]:
    for row in rows:
        records[name] += 1
        yield json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _content(catalog: EmbeddedCatalog, md5: str, length: int, report: Report) -> Iterator[bytes]:
    """Return a content in pieces, and see that it is what its name says."""
    path, digest, went = catalog.objects.path(md5), hashlib.md5(usedforsecurity=False), 0
    if not path.is_file():
        raise DerivaMLException(
            f"the content with MD5 {md5} is missing from {catalog.objects.folder}: bring .deriva-ml back from a backup,"
            " or export without contents"
        )
    with path.open("rb") as stream:
        for piece in from_file(stream):
            digest.update(piece)
            went += len(piece)
            report(len(piece))
            yield piece
    if digest.hexdigest() != md5 or went != length:
        raise DerivaMLException(f"{path} has changed since it was recorded: bring it back from a backup")


def _commits(catalog: EmbeddedCatalog, selection: Selection) -> set[str]:
    """Return the commits that the configurations of executions name."""
    found = set()
    for row in selection.rows("Execution"):
        for asset in catalog.assets_of(row["RID"]):
            if is_configuration(asset.filename, asset.types):
                try:
                    said = read_configuration(catalog.objects.path(asset.md5)).get("provenance", {})
                except (OSError, *DAMAGED):
                    continue
                found.add(str(said.get("commit") or ""))
    return found - {""}


def _license(metadata: dict[str, Any]) -> str:
    said = metadata.get("license")
    text = said.get("text") if isinstance(said, dict) else said
    return text if isinstance(text, str) else "no license is stated"
