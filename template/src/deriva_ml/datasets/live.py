"""A dataset as Python holds it, and changes it: by an execution that goes on, or one of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.dataset_version import DatasetVersion, VersionPart
from deriva_ml.datasets import changes
from deriva_ml.datasets.files import FileSpec, take_in
from deriva_ml.datasets.reading import NESTED, DatasetReading, Opened
from deriva_ml.definitions import OPEN_STATUSES, RID, Member, MLAsset
from deriva_ml.exceptions import DerivaMLRequestError, NotFound


def changed_by(catalog: EmbeddedCatalog, execution: Any) -> RID | None:
    """Return the RID here of an execution that may be given by the one that it has elsewhere; None without one.

    Raises:
        DerivaMLRequestError: it is a dry run, or not of this project.
    """
    if execution is None:
        return None
    if getattr(execution, "dry_run", False):
        raise DerivaMLRequestError("a dry run records nothing, and so it makes and changes no dataset")
    by = getattr(execution, "local_rid", None) or getattr(execution, "execution_rid", execution)
    for one in (by, *catalog.journal.locals_of(by)):
        with suppress(NotFound):
            return catalog.lookup_execution(one).rid
    raise DerivaMLRequestError(f"execution {by} is not one of this project, which could change its datasets")


class Dataset(DatasetReading):
    """A dataset that can be changed, if it is the project's own; see ``DatasetReading``.

    A change makes a new working state of it. Each is recorded as what an execution did: the one that made this object
    while that goes on, one that is given, or else one of its own.
    """

    @classmethod
    def create_dataset(
        cls,
        ml_instance: Opened,
        execution_rid: RID | Any,
        dataset_types: str | list[str] | None = None,
        description: str = "",
        version: DatasetVersion | str | None = None,
        name: str = "",
        members: Iterable[Member] = (),
    ) -> Dataset:
        """Make a dataset in the project's own catalog; see ``Execution.create_dataset``."""
        local = ml_instance.connection.local
        by = changed_by(local, execution_rid)
        if by is None:
            raise DerivaMLRequestError("a dataset is made by an execution: call execution.create_dataset()")
        rid = changes.create(
            local, by, name, members, _texts(dataset_types), description, str(version or "0.1.0")
        )
        by_object = None if isinstance(execution_rid, str) else execution_rid
        return cls(ml_instance, local.lookup_dataset(rid), execution=by_object, source=local)

    # What is said of it

    @property
    def description(self) -> str:
        """Markdown."""
        return self._record.description

    @description.setter
    def description(self, value: str) -> None:
        self._describe(description=value)

    def add_dataset_type(self, dataset_type: str) -> None:
        """Let it be of one more type."""
        self.add_dataset_types(dataset_type)

    def add_dataset_types(self, dataset_types: str | list[str]) -> None:
        """Let it be of more types."""
        self._describe(types=list(dict.fromkeys([*self.dataset_types, *_texts(dataset_types)])))

    def remove_dataset_type(self, dataset_type: str) -> None:
        """Let it be of a type no more."""
        self._describe(types=[one for one in self.dataset_types if one != str(dataset_type)])

    def _describe(self, description: str | None = None, types: Sequence[str] | None = None) -> None:
        own = self.own()
        own.describe_dataset(self.rid, description, types)
        self._record = own.lookup_dataset(self.rid)

    # Its versions

    def release(
        self, bump: VersionPart | str = VersionPart.minor, description: str = "", execution: Any = None
    ) -> DatasetVersion:
        """Make a version of its working state, which never changes, and return it.

        Args:
            bump: which of the last version's numbers goes up.
            description: what is new.
            execution: the one that makes it.

        Raises:
            DerivaMLRequestError: nothing has changed since the last version.
        """
        part = str(getattr(bump, "value", bump))
        with self._changing(f"Releases {self}", execution) as (own, by):
            return DatasetVersion(changes.release(own, by, self.rid, part, description))

    def mark_dev(self, description: str, execution: Any = None) -> None:
        """Make a working state with the members that there are, to be released."""
        with self._changing(f"Marks {self} as changed", execution) as (own, by):
            own.mark_dataset(self.rid, description, by)

    # Its members

    def add_dataset_members(
        self,
        members: Iterable[RID] | Mapping[str, Iterable[RID]],
        validate: bool = True,
        description: str | None = "",
        execution_rid: Any = None,
    ) -> None:
        """Add files under their names, and other datasets at their current versions, as its parts.

        A file whose name is in use comes into a folder of its RID.

        Args:
            members: RIDs; or RIDs by table, ``File`` and ``Dataset``.
            validate: refuse what is a member already, instead of leaving it as it is.
            description: what changes.
            execution_rid: the execution that changes it.
        """
        rids = _rids(members)
        with self._changing(f"Adds members to {self}", execution_rid) as (own, by):
            there = [*own.members(own.current_state(self.rid).rid)]
            here = {row["RID"] for row in there if not row.get("nested")}
            added, taken = list[Member](), {row["Path"] for row in there}
            for rid in rids:
                if rid in here and validate:
                    raise DerivaMLRequestError(f"{rid} is a member of {self} already")
                if rid in here:
                    continue
                member = self._member(own, rid)
                if member.file and member.path in taken:
                    member = Member(f"{rid}/{member.path}", rid)
                taken.add(member.path)
                added.append(member)
            if added:
                changes.add(own, by, self.rid, added, description or "")

    def _member(self, own: EmbeddedCatalog, rid: RID) -> Member:
        try:
            asset = own.lookup_asset(rid)
        except DerivaMLRequestError:
            return changes.part(own, self.rid, rid)  # or else it is refused as no dataset
        if asset.table != MLAsset.file:
            raise DerivaMLRequestError(
                f"{rid} is of {asset.table}, and a dataset here is of files and datasets: execution.add_files([PATH])"
                " records it as a file"
            )
        return Member(asset.filename.replace("/", "_"), rid)

    def add_files(
        self,
        files: Iterable[FileSpec | Path | str] | Path | str,
        description: str = "",
        execution: Any = None,
    ) -> None:
        """Add files and folders by their paths, in place of what is at these; see ``Execution.add_files``."""
        with self._changing(f"Adds files to {self}", execution) as (own, by):
            members, roots = take_in(own, files, self.rid)
            with own.transaction():
                changes.add(own, by, self.rid, members, description)
                own.add_roots(self.rid, roots)

    def delete_dataset_members(
        self,
        members: Iterable[RID] | Mapping[str, Iterable[RID]],
        description: str = "",
        execution_rid: Any = None,
    ) -> None:
        """Take files and datasets out of it, wherever they are in it; its versions keep them.

        Raises:
            DerivaMLRequestError: one is no member.
        """
        rids = _rids(members)
        with self._changing(f"Removes members of {self}", execution_rid) as (own, by):
            record = own.lookup_dataset(self.rid)
            places = [(row["RID"], row["Path"]) for rows in record.members.values() for row in rows]
            places += [(one.rid, one.folder) for one in record.nested]
            if strange := [rid for rid in rids if rid not in dict(places)]:
                raise DerivaMLRequestError(f"{', '.join(strange)} is no member of {self}")
            paths = [path for rid, path in places if rid in rids]
            own.change_dataset(self.rid, remove=paths, description=description, execution=by)

    @contextmanager
    def _changing(self, what: str, execution: Any = None) -> Iterator[tuple[EmbeddedCatalog, RID]]:
        """Give the catalog to change it in, and the execution that does: one that goes on, or one of its own."""
        own = self.own()
        going_on = self._execution and self._execution.status in OPEN_STATUSES
        by = changed_by(own, execution if execution is not None else self._execution if going_on else None)
        if by:
            yield own, by
        else:
            with changes.recorded(own, "Python", what) as rid:
                yield own, rid


def _texts(terms: str | Iterable[str] | None) -> list[str]:
    """Return terms as a list, however they were given."""
    return [str(terms)] if isinstance(terms, str) else [str(term) for term in terms or ()]


def _rids(members: Iterable[RID] | Mapping[str, Iterable[RID]]) -> list[RID]:
    """Return the RIDs of members, each once.

    Raises:
        DerivaMLRequestError: some are of a table that no dataset here has members of.
    """
    if isinstance(members, Mapping):
        if strange := [table for table in members if table not in {MLAsset.file.value, NESTED}]:
            raise DerivaMLRequestError(
                f"a dataset here is of files and datasets, and has no members of {', '.join(strange)}"
            )
        members = [rid for rids in members.values() for rid in rids]
    return list(dict.fromkeys([members] if isinstance(members, str) else members))
