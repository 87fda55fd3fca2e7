"""The embedded catalog's datasets: their versions, what is in each, and which executions read them."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from sqlite3 import Row
from typing import Any

from deriva_ml.catalog.base import CatalogBase, file_of
from deriva_ml.definitions import RID, Dataset, DatasetState, Member, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.manifest import Entry, digest_of, lines
from deriva_ml.untrusted import check_relative, well_formed

_MEMBERS = (
    'SELECT m."path" AS "Path", m."nested", f.*, v."Version", v."Dataset", n."digest", n."files", n."bytes"'
    ' FROM "local_member" m LEFT JOIN "File" f ON f."RID" = m."file"'
    ' LEFT JOIN "Dataset_Version" v ON v."RID" = m."nested" LEFT JOIN "local_version" n ON n."version" = m."nested"'
    ' WHERE m."dataset" = ? AND m."since" <= ? AND (m."until" IS NULL OR m."until" > ?) ORDER BY m."path"'
)
"""What is in a dataset's state of a number, which is given twice: files with their rows, datasets with their versions."""


class Datasets(CatalogBase):
    """The part of ``EmbeddedCatalog`` that keeps datasets; ``Source`` says what its look-ups do.

    Each change of a dataset makes a new state of it: a version, or a working state such as ``1.1.0.dev2``. Nothing
    changes what is in a state that there is.
    """

    # Making and changing them

    def add_dataset(
        self,
        description: str,
        files: Iterable[RID | Member],
        types: Sequence[str] = (),
        version: str = "0.1.0",
        execution: RID | None = None,
        nested: Iterable[RID] = (),
        rid: RID | None = None,
        name: str = "",
    ) -> RID:
        """Record a dataset with its first version.

        Args:
            files: what is in it; an RID stands for that file under its own name.
            execution: the one that makes it.
            nested: RIDs of datasets that are part of it, at their current versions.
            rid: a reserved RID, for content that configurations name.
            name: what this project calls it.

        Raises:
            DerivaMLRequestError: the name is taken, or two members cannot lie where they are to.
        """
        with self._db.transaction():
            if name and (taken := self.dataset_named(name)):
                raise DerivaMLRequestError(
                    f"there is a dataset {name} already ({taken}): add to it, or choose another name"
                )
            given = [*files]
            members = [self._under_its_name(one) for one in given if not isinstance(one, Member)]
            members += (self._as_part(one) for one in nested)
            [rid] = self._db.insert("Dataset", {"RID": rid, "Description": description, "Deleted": 0})
            self._insert_types("Dataset", rid, "Dataset_Type", types)
            if name:
                self._db.add("local_dataset", {"dataset": rid, "name": name})
            self._put(rid, 1, [*(one for one in given if isinstance(one, Member)), *_apart(members)])
            self._add_state(rid, version, 1, description, execution)
        return rid

    def change_dataset(
        self,
        rid: RID,
        add: Iterable[Member] = (),
        remove: Iterable[str] = (),
        description: str = "",
        execution: RID | None = None,
    ) -> str:
        """Add members to a dataset, in place of those that are at their paths, take others out, and return its new state.

        Raises:
            DerivaMLRequestError: a path to remove is not there, a member cannot lie where it is to, the dataset would
                contain itself, or nothing changes.
        """
        with self._db.transaction():
            number = self._last(rid).number + 1
            out = [*remove]
            for path in out:
                self._take_out(rid, number, path)
            if not self._put(rid, number, add) and not out:
                raise DerivaMLRequestError(f"nothing changes in dataset {rid}: all that is given is in it")
            return self._add_state(rid, self._next_working(rid), number, description, execution)

    def mark_dataset(self, rid: RID, description: str = "", execution: RID | None = None) -> str:
        """Make a working state of a dataset with the members that it has, and return it."""
        with self._db.transaction():
            number = self._last(rid).number + 1
            return self._add_state(rid, self._next_working(rid), number, description, execution)

    def release_dataset(
        self, rid: RID, bump: str = "minor", description: str = "", execution: RID | None = None
    ) -> str:
        """Make a version of a dataset's working state, and return it.

        Args:
            bump: which of the last version's numbers goes up: ``major``, ``minor`` or ``patch``.

        Raises:
            DerivaMLRequestError: nothing has changed since the last version.
        """
        if bump not in _PARTS:
            raise DerivaMLRequestError(f"{bump!r} is no part of a version: give major, minor or patch")
        with self._db.transaction():
            last = self._last(rid)
            if last.released:
                raise DerivaMLRequestError(
                    f"nothing has changed in dataset {rid} since {last.version}: there is nothing to release"
                )
            version = _bumped(self._last_release(rid), bump)
            return self._add_state(rid, version, last.number + 1, description, execution)

    def delete_dataset(self, rid: RID, recurse: bool = False) -> None:
        """Mark a dataset as deleted, with ``recurse`` those nested in its current state, too; its versions stay readable.

        Raises:
            DerivaMLRequestError: another one that is not deleted contains it.
        """
        with self._db.transaction():
            doomed = [rid, *(self._below(self._last(rid)) if recurse else ())]
            for one in doomed:
                parents = [each.rid for each in self.dataset_parents(one) if each.rid not in doomed]
                if parents:
                    raise DerivaMLRequestError(
                        f"dataset {one} is part of {', '.join(parents)}: take it out of there first"
                    )
            for one in doomed:
                self._db.update("Dataset", one, {"Deleted": 1})
                self._db.delete("local_dataset", dataset=one)

    def name_dataset(self, rid: RID, name: str) -> None:
        """Call a dataset by a name in this project, instead of the one that it has."""
        with self._db.transaction():
            self._db.delete("local_dataset", dataset=rid)
            self._db.add("local_dataset", {"dataset": rid, "name": name})

    def describe_dataset(
        self, rid: RID, description: str | None = None, types: Sequence[str] | None = None
    ) -> None:
        """Change what is said of a dataset; None leaves it as it is."""
        with self._db.transaction():
            if description is not None:
                self._db.update("Dataset", rid, {"Description": description})
            if types is not None:
                self._db.delete("Dataset_Dataset_Type", Dataset=rid)
                self._insert_types("Dataset", rid, "Dataset_Type", types)

    def _under_its_name(self, file: RID) -> Member:
        return Member(str(self._db.get("File", "Filename", RID=file) or file).replace("/", "_"), file)

    def _as_part(self, dataset: RID) -> Member:
        """Return a dataset at its current version as a part of another, in a folder of its name."""
        state = self._last(dataset)
        return Member(self.name_of_dataset(dataset) or f"{dataset}-{state.version}", nested=state.rid)

    def _put(self, rid: RID, number: int, members: Iterable[Member]) -> int:
        """Let members be in a dataset from a state on, and return how many were not."""
        given: dict[str, Member] = {}
        for member in members:
            if given.setdefault(member.path, member) != member:
                raise DerivaMLRequestError(
                    f"two members are to be at {member.path}: name one of them, or put them into folders of their own"
                )
            self._check_member(rid, member)
        new = []
        for member in given.values():
            here = self._at(rid, member.path)
            if here is None or (here["file"], here["nested"]) != (member.file, member.nested):
                if here is not None:
                    self._take_out(rid, number, member.path)
                new.append((rid, member.path, member.file, member.nested, number))
        self._db.add_all("local_member", ("dataset", "path", "file", "nested", "since"), new)
        both = self._db.value(
            'SELECT o."path" FROM "local_member" o WHERE o."dataset" = ? AND o."until" IS NULL AND EXISTS (SELECT 1 FROM'
            ' "local_member" i WHERE i."dataset" = o."dataset" AND i."until" IS NULL AND i."path" > o."path" || \'/\''
            ' AND i."path" < o."path" || \'0\')',  # 0 comes after the slash
            rid,
        )
        if both:
            raise DerivaMLRequestError(
                f"{both} would be a member of dataset {rid}, and a folder with other members in it"
            )
        return len(new)

    def _at(self, rid: RID, path: str) -> Row | None:
        return next(
            iter(self._db.select("local_member", 'AND "until" IS NULL', dataset=rid, path=path)), None
        )

    def _check_member(self, rid: RID, member: Member) -> None:
        try:
            check_relative(member.path).encode()
        except ValueError as error:
            raise DerivaMLRequestError(f"{member.path!r} cannot be a path in a dataset") from error
        if member.file is not None and self._db.find("File", RID=member.file) is None:
            raise self._not_found(member.file, "file of a dataset")
        if member.nested is not None:
            inner = self.dataset_state(member.nested)
            if inner.dataset == rid or rid in self._below(inner):
                raise DerivaMLRequestError(f"dataset {rid} would contain itself, by way of {inner.dataset}")

    def _take_out(self, rid: RID, number: int, path: str) -> None:
        here = self._at(rid, path)
        if here is None:
            raise DerivaMLRequestError(f"there is no {path} in dataset {rid}")
        self._db.change("local_member", {"until": number}, dataset=rid, path=path, since=here["since"])

    def _add_state(self, rid: RID, version: str, number: int, description: str, execution: RID | None) -> str:
        row = {"Version": version, "Description": description, "Dataset": rid, "Execution": execution}
        [state] = self._db.insert("Dataset_Version", row)
        rows = self._db.query(_MEMBERS, rid, number, number)
        files = size = 0

        def counted() -> Iterator[Entry]:
            nonlocal files, size
            for one in rows:
                files += 1 if one["nested"] is None else one["files"]
                size += (one["Length"] if one["nested"] is None else one["bytes"]) or 0
                yield _entry(one)

        digest = digest_of(counted())
        self._db.add(
            "local_version",
            {
                "version": state,
                "dataset": rid,
                "number": number,
                "digest": digest,
                "files": files,
                "bytes": size,
            },
        )
        self._db.update("Dataset", rid, {"Version": state})
        return version

    def _next_working(self, rid: RID) -> str:
        base = _bumped(self._last_release(rid), "minor") + ".dev"
        versions = self._db.get_all("Dataset_Version", "Version", Dataset=rid)
        return f"{base}{sum(one.startswith(base) for one in versions) + 1}"

    # Their states

    def dataset_versions(self, rid: RID) -> list[DatasetState]:
        with self._damage("dataset", rid):
            return self._states('s."Dataset" = ? ORDER BY l."number" DESC', rid)

    def _states(self, condition: str, *values: Any) -> list[DatasetState]:
        rows = self._db.query(
            f'SELECT s.*, l."number", l."digest", l."files", l."bytes" FROM "Dataset_Version" s JOIN "local_version" l'
            f' ON l."version" = s."RID" WHERE {condition}',
            *values,
        )
        return [
            well_formed(
                DatasetState(
                    row["RID"],
                    row["Dataset"],
                    row["Version"],
                    row["number"],
                    row["Description"] or "",
                    row["Execution"],
                    row["RCT"],
                    row["digest"],
                    row["files"],
                    row["bytes"],
                )
            )
            for row in rows
        ]

    def dataset_state(self, state: RID) -> DatasetState:
        """Return the state of a dataset that a row of ``Dataset_Version`` stands for.

        Raises:
            NotFound: there is none.
        """
        found = self._states('s."RID" = ?', state)
        if not found:
            raise NotFound(f"there is no version {state} of a dataset in this project's catalog")
        return found[0]

    def states_read(self, execution: RID) -> list[DatasetState]:
        """Return the states of datasets that an execution read."""
        read = 's."RID" IN (SELECT "Dataset_Version" FROM "Dataset_Execution" WHERE "Execution" = ?)'
        return self._states(read, execution)

    def states_made(self, execution: RID) -> list[DatasetState]:
        """Return the states of datasets that an execution made, oldest first."""
        return self._states('s."Execution" = ? ORDER BY l."dataset", l."number"', execution)

    def current_state(self, rid: RID) -> DatasetState:
        """Return the state that a dataset is in.

        Raises:
            DerivaMLRequestError: it is not there, or deleted.
        """
        return self._last(rid)

    def _last(self, rid: RID) -> DatasetState:
        row = self._db.find("Dataset", RID=rid)
        if row is None:
            raise self._not_found(rid, "dataset")
        if row["Deleted"]:
            raise DerivaMLRequestError(f"dataset {rid} has been deleted")
        return self.dataset_state(row["Version"])

    def _last_release(self, rid: RID) -> str:
        released = (one.version for one in self.dataset_versions(rid) if one.released)
        return next(released, "0.0.0")

    def members(self, state: RID) -> Iterator[dict[str, Any]]:
        """Return the rows of what is in a state of a dataset, in the order of their paths.

        Args:
            state: the RID of a row of ``Dataset_Version``.

        Returns:
            Of each its ``Path`` and either the row of ``File``, or ``nested`` with the RID of the version of the dataset
            that lies there.
        """
        found = self.dataset_state(state)
        for row in self._db.query(_MEMBERS, found.dataset, found.number, found.number):
            yield dict(row) if row["nested"] is None else {"Path": row["Path"], "nested": row["nested"]}

    def manifest(self, state: RID) -> Iterator[str]:
        """Return the lines of the manifest of a state of a dataset."""
        found = self.dataset_state(state)
        return lines(map(_entry, self._db.query(_MEMBERS, found.dataset, found.number, found.number)))

    def versions_with_digest(self, digest: str) -> list[tuple[RID, str]]:
        """Return the datasets and their states that have a manifest of this digest, newest first."""
        found = self._states('l."digest" = ? ORDER BY s."RCT" DESC', digest)
        return [(one.dataset, one.version) for one in found]

    def find_dataset_by_digest(self, digest: str, version: str) -> tuple[RID, str] | None:
        found = [one for one in self.versions_with_digest(digest) if one[1] == version]
        return found[0] if found else None

    def dataset_named(self, name: str) -> RID | None:
        """Return the dataset that this project calls by a name, if there is one."""
        found: RID | None = self._db.get("local_dataset", "dataset", name=name)
        return found

    def name_of_dataset(self, rid: RID) -> str:
        """Return what this project calls a dataset; empty without a name."""
        return self._db.get("local_dataset", "name", dataset=rid) or ""

    # Looking them up

    def lookup_dataset(self, rid: RID, version: str | None = None) -> Dataset:
        with self._damage("dataset", rid):
            return well_formed(self._dataset(rid, version, ()))

    def _dataset(self, rid: RID, version: str | None, above: tuple[RID, ...], folder: str = "") -> Dataset:
        """Return a dataset that is nested, directly or not, in those ``above``."""
        if rid in above:
            raise DerivaMLRequestError(
                f"dataset {above[0]} cannot be read, since {rid} in it contains itself"
            )
        row = self._db.find("Dataset", RID=rid)
        if row is None:
            raise self._not_found(rid, "dataset")
        if version is None and row["Deleted"]:
            raise DerivaMLRequestError(f"dataset {rid} has been deleted")
        states = {one.version: one for one in self.dataset_versions(rid)}
        if version is None:
            version = self._db.get("Dataset_Version", "Version", RID=row["Version"])
        if version not in states:
            raise DerivaMLRequestError(
                f"dataset {rid} has no version {version}; it has {', '.join(reversed(states))}"
            )
        state = states[version]
        types = self._db.get_all("Dataset_Dataset_Type", "Dataset_Type", Dataset=rid)
        read, files, nested = functools.partial(file_of, MLAsset.file.value), [], []
        for member in self._db.query(_MEMBERS, rid, state.number, state.number):
            path = check_relative(member["Path"])
            if member["nested"] is not None:
                nested.append(self._dataset(member["Dataset"], member["Version"], (*above, rid), path))
            elif self._build(member, read, "file"):
                files.append(_file_row(member))
        return Dataset(
            rid=rid,
            version=version,
            description=row["Description"] or "",
            types=tuple(types),
            members={"File": files},
            nested=tuple(nested),
            version_rid=state.rid,
            name=self.name_of_dataset(rid),
            digest=state.digest,
            folder=folder,
            history=tuple(one for one in states.values() if one.number <= state.number),
            executions=tuple(dict.fromkeys(self._db.get_all("Dataset_Execution", "Execution", Dataset=rid))),
        )

    def describe(self, rid: RID) -> Dataset:
        """Return what is said of a dataset, also of a deleted one, without a version."""
        if (row := self._db.find("Dataset", RID=rid)) is None:
            raise self._not_found(rid, "dataset")
        types = self._db.get_all("Dataset_Dataset_Type", "Dataset_Type", Dataset=rid)
        return Dataset(rid, "", row["Description"] or "", tuple(types), name=self.name_of_dataset(rid))

    def find_datasets(self, limit: int | None = None, deleted: bool = False) -> list[Dataset]:
        rows = self._db.query(
            'SELECT d."RID", d."Description", v."Version", v."RID" AS version_rid, n."name", l."digest", (SELECT'
            ' json_group_array("Dataset_Type") FROM "Dataset_Dataset_Type" WHERE "Dataset" = d."RID") AS types'
            ' FROM "Dataset" d JOIN "Dataset_Version" v ON v."RID" = d."Version" JOIN "local_version" l ON'
            ' l."version" = v."RID" LEFT JOIN "local_dataset" n ON n."dataset" = d."RID"'
            ' WHERE ? OR NOT coalesce(d."Deleted", 0) ORDER BY d."RCT" DESC, d."RID" DESC LIMIT ?',
            deleted,
            -1 if limit is None else limit,
        )

        def dataset(row: Row) -> Dataset:
            return Dataset(
                row["RID"],
                row["Version"],
                row["Description"] or "",
                tuple(json.loads(row["types"])),
                version_rid=row["version_rid"],
                name=row["name"] or "",
                digest=row["digest"],
            )

        return self._build_all(rows, dataset, "dataset")

    def dataset_children(self, rid: RID, version: str | None = None) -> list[Dataset]:
        """Return the datasets that are nested directly in one."""
        return list(self.lookup_dataset(rid, version).nested)

    def dataset_parents(self, rid: RID) -> list[Dataset]:
        """Return the datasets that contain one now, at whichever version, and are not deleted."""
        parents = self._db.query(
            'SELECT DISTINCT p."RID" FROM "local_member" m JOIN "Dataset_Version" v ON v."RID" = m."nested" JOIN "Dataset"'
            ' p ON p."RID" = m."dataset" WHERE v."Dataset" = ? AND m."until" IS NULL AND NOT coalesce(p."Deleted", 0)',
            rid,
        )
        return [self.lookup_dataset(row["RID"]) for row in parents.fetchall()]

    def nested_states(self, state: DatasetState) -> list[DatasetState]:
        """Return the states of datasets that are nested directly in a state of one."""
        rows = self._db.query(
            'SELECT "nested" FROM "local_member" WHERE "dataset" = ? AND "nested" IS NOT NULL AND "since" <= ?'
            ' AND ("until" IS NULL OR "until" > ?) ORDER BY "path"',
            state.dataset,
            state.number,
            state.number,
        )
        return [self.dataset_state(row["nested"]) for row in rows.fetchall()]

    def _below(self, state: DatasetState) -> set[RID]:
        """Return the datasets that are nested in a state of one, directly or not."""
        found, waiting = set[RID](), [state]
        while waiting:
            inner = self.nested_states(waiting.pop())
            waiting += [each for each in inner if each.dataset not in found]
            found |= {each.dataset for each in inner}
        return found

    # Who read them

    def link_dataset(self, execution: RID, dataset: Dataset) -> None:
        """Record that an execution read a dataset at a version."""
        version = self._db.get("Dataset_Version", "RID", Dataset=dataset.rid, Version=dataset.version)
        row = {"Dataset": dataset.rid, "Execution": execution, "Dataset_Version": version}
        self._link(execution, "Dataset_Execution", row)

    def datasets_of(self, execution: RID) -> list[Dataset]:
        rows = self._db.query(
            'SELECT d."RID", v."Version", coalesce(d."Description", \'\') AS description, n."name", s."digest"'
            ' FROM "Dataset_Execution" l JOIN "Dataset" d ON d."RID" = l."Dataset"'
            ' JOIN "Dataset_Version" v ON v."RID" = l."Dataset_Version" LEFT JOIN "local_version" s ON s."version" = v."RID"'
            ' LEFT JOIN "local_dataset" n ON n."dataset" = d."RID" WHERE l."Execution" = ?',
            execution,
        )

        def dataset(row: Row) -> Dataset:
            named, digest = row["name"] or "", row["digest"] or ""
            return Dataset(row["RID"], row["Version"], row["description"], name=named, digest=digest)

        return self._build_all(rows, dataset, "dataset")


def _entry(row: Row) -> Entry:
    digest = row["MD5"] if row["nested"] is None else row["digest"]
    return Entry(row["Path"], digest, row["Length"] or 0, row["Version"] or "")


def _file_row(member: Row) -> dict[str, Any]:
    return {name: member[name] for name in member.keys() if name not in _BESIDE}


_BESIDE = frozenset({"nested", "Version", "Dataset", "digest", "files", "bytes"})


def _apart(members: Iterable[Member]) -> list[Member]:
    """Return members of which each is at a path of its own: in a folder of its RID, where two have one name."""
    members = [*members]
    count = Counter(one.path for one in members)
    return [
        one if count[one.path] == 1 else replace(one, path=f"{one.file or one.nested}/{one.path}")
        for one in dict.fromkeys(members)
    ]


def _bumped(version: str, bump: str) -> str:
    """Return the version that comes after one when a number of it goes up."""
    numbers, place = [int(number) for number in version.split(".")], _PARTS.index(bump)
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1, *[0] * (2 - place)]))


_PARTS = ("major", "minor", "patch")
