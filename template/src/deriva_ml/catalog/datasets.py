"""The embedded catalog's datasets, made and changed: each change makes a new state, and none changes one that there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from sqlite3 import Row

from deriva_ml.catalog.dataset_states import MEMBERS, DatasetStates, entry_of
from deriva_ml.definitions import RID, Member
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.manifest import Entry, digest_of
from deriva_ml.untrusted import check_relative


class Datasets(DatasetStates):
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
            number = self.current_state(rid).number + 1
            out = [*remove]
            for path in out:
                self._take_out(rid, number, path)
            if not self._put(rid, number, add) and not out:
                raise DerivaMLRequestError(f"nothing changes in dataset {rid}: all that is given is in it")
            return self._add_state(rid, self._next_working(rid), number, description, execution)

    def mark_dataset(self, rid: RID, description: str = "", execution: RID | None = None) -> str:
        """Make a working state of a dataset with the members that it has, and return it."""
        with self._db.transaction():
            number = self.current_state(rid).number + 1
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
            last = self.current_state(rid)
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
            doomed = [rid, *(self._below(self.current_state(rid)) if recurse else ())]
            for one in doomed:
                parents = [each for each in self.dataset_parents(one) if each not in doomed]
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
        state = self.current_state(dataset)
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
        rows = self._db.query(MEMBERS, rid, number, number)
        files = size = 0

        def counted() -> Iterator[Entry]:
            nonlocal files, size
            for one in rows:
                files += 1 if one["nested"] is None else one["files"]
                size += (one["Length"] if one["nested"] is None else one["bytes"]) or 0
                yield entry_of(one)

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
