"""The manifests of datasets' versions in a Deriva catalog: found there, read with distrust, and laid over the members."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from deriva_ml.catalog.objects import ObjectStore, is_digest
from deriva_ml.definitions import RID, Asset, Dataset, MLAsset, Row
from deriva_ml.deriva.answers import ServerRefused, ServerUnreachable, reads
from deriva_ml.deriva.server import Server, any_of, quote
from deriva_ml.deriva.transfer import download
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.grouping import grouped
from deriva_ml.manifest import Entry, manifest_name, parse
from deriva_ml.terminal import warn
from deriva_ml.untrusted import LARGEST

WORTH_COUNTING = 1 << 22
"""Bytes of manifests that are fetched to say how large versions are: some forty thousand paths."""
_TABLE = MLAsset.execution_metadata.value


class Manifests:
    """The manifests that executions left beside the versions that they made.

    Args:
        objects: where contents are kept once they have been fetched.
    """

    def __init__(self, server: Server, objects: ObjectStore) -> None:
        self._server = server
        self._objects = objects
        self._read: dict[str, list[Entry]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    # Which version has which

    def of(self, versions: Iterable[Row]) -> dict[RID, Asset]:
        """The manifests of rows of ``Dataset_Version``, by these rows' RIDs; some have none."""
        rows = [row for row in versions if row.get("Execution") and row.get("Version")]
        found = {}
        made = self._made_by({row["Execution"] for row in rows})
        for row in rows:
            name = manifest_name(row["Version"])
            candidates = {one.md5: one for one in made.get(row["Execution"], ()) if one.filename == name}
            chosen = [*candidates.values()]
            if len(chosen) > 1:  # the execution made versions of several datasets
                chosen = [one for one in chosen if self._fits(one, row)]
            if chosen:
                found[row["RID"]] = chosen[0]
        return found

    def versions_with(self, digests: Collection[str]) -> dict[str, list[Row]]:
        """The rows of ``Dataset_Version`` that have manifests of these digests, oldest first, by digest.

        Without those of deleted datasets, and those that are still being sent, which have no snapshot yet.
        """
        makers: set[RID] = set()
        if link := self._server.model.asset_tables.get(_TABLE):
            join = f"(RID)=({self._server.model.qualified(link.table)}:{quote(link.column)})"
            for chosen in any_of("MD5", sorted(digests)):
                path = f"/entity/{self._server.model.qualified(_TABLE)}/{chosen}/{join}"
                makers |= {row[link.other_column] for row in self._server.get(path)}
        rows = [
            row
            for row in self._server.find_any("Dataset_Version", "Execution", sorted(makers))
            if row["Snapshot"]
        ]
        datasets = self._server.find_any("Dataset", "RID", (row["Dataset"] for row in rows))
        kept = {row["RID"] for row in datasets if not row["Deleted"]}
        manifests = self.of(row for row in rows if row["Dataset"] in kept)
        return grouped(
            (manifests[row["RID"]].md5, row)
            for row in sorted(rows, key=lambda one: str(one["RCT"]))
            if row["RID"] in manifests and manifests[row["RID"]].md5 in digests
        )

    def _made_by(self, executions: Collection[RID]) -> dict[RID, list[Asset]]:
        model, found = self._server.model, dict[RID, list[Asset]]()
        link = model.asset_tables.get(_TABLE)
        if link is None:
            return found
        maker = quote(link.other_column)
        join = f"({quote(link.column)})=({model.qualified(_TABLE)}:RID)"
        for chosen in any_of(link.other_column, sorted(executions)):
            # The association is the context, so that there is a row for each pair of execution and file.
            path = f"/attribute/L:={model.qualified(link.table)}/{chosen}/M:={join}/$L/{maker},M:*"
            for pair in self._server.get(path):
                row = {name[2:]: value for name, value in pair.items() if name.startswith("M:")}
                if asset := Asset.from_row(_TABLE, row):
                    found.setdefault(pair[link.other_column], []).append(asset)
        return found

    def _fits(self, asset: Asset, version: Row) -> bool:
        """Whether a manifest names just the files that a version shows."""
        join = f"/(File)=({self._server.model.qualified('File')}:RID)"
        of_dataset = {"Dataset": version["Dataset"]}
        shown = self._server.find("Dataset_File", of_dataset, join, snapshot=version.get("Snapshot"))
        try:
            return {one.digest for one in self.entries(asset) if not one.version} == {
                row["MD5"] for row in shown
            }
        except ValueError:
            return False

    # What they say

    def entries(self, asset: Asset) -> list[Entry]:
        """What a manifest says.

        Raises:
            ValueError: it is none, or what it names cannot lie together in one folder.
        """
        if asset.md5 not in self._read:
            if asset.length > LARGEST:
                raise ValueError(f"it has more than {LARGEST} bytes")
            try:
                download(self._server, [asset], self._objects)
            except ServerUnreachable:
                raise
            except DerivaMLException as error:
                if isinstance(error, ServerRefused) and error.status == 401:
                    raise
                raise ValueError(str(error)) from error
            entries = parse(self._objects.path(asset.md5).read_bytes().decode())
            paths = {one.path for one in entries}
            if both := paths & {str(above) for path in paths for above in PurePosixPath(path).parents}:
                raise ValueError(f"{min(both)} is in it, and as a folder, too")
            self._read[asset.md5] = entries
        return self._read[asset.md5]

    def sizes(self, assets: Iterable[Asset]) -> dict[str, tuple[int, int]]:
        """How many files versions have by their manifests, and their bytes, by digest; only of what is told soon.

        Those of nested ones are counted as far as their manifests are there.
        """
        wanted = {one.md5: one for one in assets}
        missing = (
            one.length
            for one in wanted.values()
            if is_digest(one.md5) and not self._objects.has(one.md5, one.length)
        )
        if sum(missing) > WORTH_COUNTING:
            return {}
        for digest, asset in wanted.items():
            with contextlib.suppress(ValueError):  # it is no manifest
                self._sizes[digest] = self._size(asset)
        return {digest: self._sizes[digest] for digest in wanted if digest in self._sizes}

    def _size(self, asset: Asset) -> tuple[int, int]:
        files = size = 0
        for one in self.entries(asset):
            inner = (1, one.length)
            if one.version:
                if one.digest not in self._sizes:
                    found = self._server.find(_TABLE, {"MD5": one.digest}, "?limit=1")
                    nested = Asset.from_row(_TABLE, found[0]) if found else None
                    self._sizes[one.digest] = self._size(nested) if nested else (0, 0)
                inner = self._sizes[one.digest]
            files, size = files + inner[0], size + inner[1]
        return files, size

    def laid_out(self, dataset: Dataset, version: Row, look_up: Callable[[RID, Row], Dataset]) -> Dataset:
        """A dataset with its members at the paths that the manifest of its version says, if it has one that is right.

        Args:
            dataset: as the version's snapshot shows it.
            version: its row.
            look_up: gives a nested dataset at a version.
        """
        asset = self.of([version]).get(version.get("RID", ""))
        if asset is None:
            return dataset
        try:
            entries = self.entries(asset)
            files = _at_their_paths(entries, dataset.members.get("File", ()))
            nested = self._nested([one for one in entries if one.version], dataset, look_up)
        except ValueError as error:
            warn(
                f"the manifest of dataset {dataset.rid} {dataset.version} is left out, and with it the paths of"
                f" its files: {error}"
            )
            return dataset
        members = (
            {**dataset.members, "File": files} if files or "File" in dataset.members else dataset.members
        )
        return replace(dataset, members=members, nested=nested, digest=asset.md5)

    def _nested(
        self, entries: Sequence[Entry], dataset: Dataset, look_up: Callable[[RID, Row], Dataset]
    ) -> tuple[Dataset, ...]:
        children = {one.rid for one in dataset.nested}
        rows = self._server.find_any("Dataset_Version", "Dataset", sorted(children)) if entries else []
        known: dict[RID, Dataset] = {}
        found = []
        for entry in entries:
            for row in rows:
                if row["Version"] == entry.version:
                    if row["RID"] not in known:
                        known[row["RID"]] = look_up(row["Dataset"], row)
                    one = known[row["RID"]]
                    if one.digest in {entry.digest, ""}:  # without a manifest of its own it has none
                        found.append(replace(one, folder=entry.path))
                        break
            else:
                raise ValueError(f"it names a dataset at {entry.path} that is not in it")
        return tuple(found)


def _at_their_paths(entries: Iterable[Entry], rows: Iterable[Row]) -> list[Row]:
    """The rows of files with the paths that entries give them; one of several with a content is that of the entry's name."""
    by_content: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_content.setdefault(row["MD5"], {})[row["Filename"] or ""] = row
    found = []
    for entry in entries:
        if not entry.version:
            named = by_content.get(entry.digest)
            if not named:
                raise ValueError(f"it names a file at {entry.path} that is not in it")
            row = named.get(PurePosixPath(entry.path).name) or min(named.values(), key=lambda one: one["RID"])
            found.append({**row, "Path": entry.path})
    return found


@reads
def find_version(server: Server, digest: str, version: str, manifests: Manifests) -> RID | None:
    """The dataset whose version of this name has a manifest of this digest; the first, if there are several."""
    rows = manifests.versions_with({digest}).get(digest, ())
    return next((row["Dataset"] for row in rows if row["Version"] == version), None)
