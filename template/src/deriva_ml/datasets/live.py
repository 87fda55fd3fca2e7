"""A dataset as Python holds it: what is in it now and was in its versions, and changing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from deriva_ml.catalog.connection import Connection
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.dataset_version import DatasetHistory, DatasetVersion, VersionPart
from deriva_ml.datasets import changes
from deriva_ml.definitions import OPEN_STATUSES, RID, DatasetState, Member, MLAsset, Row
from deriva_ml.definitions import Dataset as Record
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.records.recorded import RecordedExecution
from deriva_ml.upstream import Upstream

NESTED = "Dataset"
"""What the datasets among members are called."""


class Opened(Protocol):
    """What a dataset needs of the ``DerivaML`` that it was found through."""

    connection: Connection

    def download_dataset_bag(self, dataset: DatasetSpec) -> DatasetBag:
        """Fetch a dataset into a folder."""


def changed_by(catalog: EmbeddedCatalog, execution: Any) -> RID | None:
    """Return the RID here of an execution that may be given by the one that it has elsewhere; None without one.

    Raises:
        DerivaMLRequestError: it is a dry run, or not of this project.
    """
    if execution is None:
        return None
    if getattr(execution, "dry_run", False):
        raise DerivaMLRequestError("a dry run records nothing, and so it makes and changes no dataset")
    rid = getattr(execution, "local_rid", None) or getattr(execution, "execution_rid", execution)
    known = [rid, *catalog.journal.locals_of(rid)]
    for one in known:
        try:
            return catalog.lookup_execution(one).rid
        except NotFound:
            continue
    raise DerivaMLRequestError(f"execution {rid} is not one of this project, which could change its datasets")


class Dataset(Upstream):
    """A dataset of a catalog, at the version that was asked for or else as it is now.

    A change makes a new working state of it. Each is recorded as what an execution did: the one that made this object
    while that goes on, one that is given, or else one of its own.

    Args:
        ml: the connection that it was found through.
        record: what was found of it.
        version: the one that was asked for.
        execution: the one that makes or changes it.
        source: the catalog that it is in; by default where the connection looks things up.
    """

    def __init__(
        self,
        ml: Opened,
        record: Record,
        version: str | None = None,
        execution: Any = None,
        source: Source | None = None,
    ) -> None:
        self.dataset_rid: RID = record.rid
        self._ml, self._record, self._asked, self._execution = ml, record, version, execution
        self._source = source or ml.connection.source

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

    def __repr__(self) -> str:
        return f"<Dataset {self.name or self.rid} {self.version}>"

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Dataset) and (self.rid, self._asked) == (other.rid, other._asked)
        return same and self._source is getattr(other, "_source", None)

    def __hash__(self) -> int:
        return hash(self.rid)

    # What it is

    @property
    def rid(self) -> RID:
        """The same as ``dataset_rid``."""
        return self.dataset_rid

    @property
    def name(self) -> str:
        """What this project calls it; empty where it has no name here."""
        return self._record.name

    @property
    def description(self) -> str:
        """Markdown."""
        return self._record.description

    @description.setter
    def description(self, value: str) -> None:
        self._describe(description=value)

    @property
    def dataset_types(self) -> list[str]:
        """Terms of the ``Dataset_Type`` vocabulary."""
        return list(self._record.types)

    types = dataset_types

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

    @property
    def _states(self) -> list[DatasetState]:
        return self._source.dataset_versions(self.rid)

    def _state(self, version: str | None = None) -> DatasetState:
        version = version or self._asked
        states = self._states
        for state in states:
            if version in (None, state.version):
                return state
        raise DerivaMLRequestError(
            f"dataset {self.rid} has no version {version}; it has {', '.join(one.version for one in states)}"
        )

    @property
    def current_version(self) -> DatasetVersion:
        """The version or working state that it is in now."""
        return DatasetVersion(self._states[0].version)

    @property
    def version(self) -> str:
        """The version that was asked for, or else the current one."""
        return self._asked or self.current_version

    @property
    def digest(self) -> str:
        """The digest of the manifest of ``version``; empty where the catalog knows none."""
        return self._state().digest

    def dataset_history(self) -> list[DatasetHistory]:
        """Return its versions and working states, the oldest first."""
        return [DatasetHistory.of(state) for state in reversed(self._states)]

    def is_dirty(self) -> bool:
        """Whether it has changed since its last version."""
        return not self._states[0].released

    def release_diff(self) -> dict[str, int]:
        """Return what has changed since the last version, as ``compare_versions`` does; nothing right after it."""
        released = next((state.version for state in self._states if state.released), None)
        if released is None:
            return {table: len(rows) for table, rows in self.list_dataset_members().items() if rows}
        return self.compare_versions(released, self.current_version)

    def compare_versions(self, v_a: DatasetVersion | str, v_b: DatasetVersion | str) -> dict[str, int]:
        """Return how many members, by table, are in one version and not, or not as such, in the other.

        A file with another content at its path counts once, and so does a nested dataset at another version. Tables
        without a difference are left out.
        """
        before, after = (self._contents(str(version)) for version in (v_a, v_b))
        found: dict[str, int] = {}
        for key in sorted(before.keys() | after.keys()):
            if before.get(key) != after.get(key):
                found[key[0]] = found.get(key[0], 0) + 1
        return found

    def _contents(self, version: str) -> dict[tuple[str, str], str]:
        """Return what is in a version: by table and place there, what it is."""
        record = self._lookup(version)
        found = {
            (table, row.get("Path") or row["RID"]): row.get("MD5") or row["RID"]
            for table, rows in record.members.items()
            for row in rows
        }
        return found | {(NESTED, one.folder or one.rid): f"{one.rid} {one.version}" for one in record.nested}

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

    # What is in it

    def _lookup(self, version: DatasetVersion | str | None = None) -> Record:
        chosen = version or self._asked
        return self._source.lookup_dataset(self.rid, str(chosen) if chosen else None)

    @property
    def members(self) -> dict[str, list[Row]]:
        """The rows of its members by table, without datasets."""
        return self._lookup().members

    @property
    def nested(self) -> tuple[Record, ...]:
        """The records of the datasets that are part of it."""
        return self._lookup().nested

    def list_dataset_members(
        self,
        recurse: bool = False,
        limit: int | None = None,
        _visited: Any = None,
        *,
        version: DatasetVersion | str | None = None,
        **_: Any,
    ) -> dict[str, list[Row]]:
        """Return the rows of its members by table, those of ``Dataset`` for datasets that are part of it.

        Args:
            recurse: with the members of these, and of those that are part of them.
            limit: how many rows a table at most.
            version: another than the one that this object is of.
        """
        found: dict[str, list[Row]] = {}
        waiting = [self._lookup(version)]
        while waiting:
            record = waiting.pop(0)
            nested = [
                {"RID": one.rid, "Version": one.version, "Description": one.description}
                for one in record.nested
            ]
            for table, rows in {**record.members, **({NESTED: nested} if nested else {})}.items():
                found.setdefault(table, []).extend(rows)
            waiting += record.nested if recurse else ()
        return {table: rows[:limit] for table, rows in found.items()}

    def list_members(self, table: str) -> list[RID]:
        """Return the RIDs of its members of a table."""
        return [row["RID"] for row in self.list_dataset_members().get(table, ())]

    def list_dataset_children(
        self,
        recurse: bool = False,
        _visited: Any = None,
        *,
        version: DatasetVersion | str | None = None,
        **_: Any,
    ) -> list[Dataset]:
        """Return the datasets that are part of it, at their versions; with ``recurse`` those that are part of them, too."""
        found, waiting = dict[tuple[RID, str], Record](), [*self._lookup(version).nested]
        while waiting:
            one = waiting.pop(0)
            found[one.rid, one.version] = one
            waiting += one.nested if recurse else ()
        return [Dataset(self._ml, one, one.version, source=self._source) for one in found.values()]

    def list_dataset_children_rids(
        self, recurse: bool = False, *, version: DatasetVersion | str | None = None
    ) -> list[RID]:
        """Return the RIDs of ``list_dataset_children``."""
        return list(dict.fromkeys(one.rid for one in self.list_dataset_children(recurse, version=version)))

    def list_dataset_parents(
        self,
        recurse: bool = False,
        _visited: Any = None,
        *,
        version: DatasetVersion | str | None = None,
        **_: Any,
    ) -> list[Dataset]:
        """Return the datasets of the project's own catalog that it is part of now.

        Args:
            recurse: with those that these are part of.
            version: only where it is part at this version.
        """
        own = self.own("is part of which is known of this project's own datasets only")
        found, waiting = dict[RID, Record](), [(self.rid, version)]
        while waiting:
            inner, at = waiting.pop(0)
            for one in own.dataset_parents(inner):
                is_part = any(part.rid == inner and at in (None, part.version) for part in one.nested)
                if is_part and one.rid not in found:
                    found[one.rid] = one
                    waiting += [(one.rid, None)] if recurse else []
        return [Dataset(self._ml, one, source=own) for one in found.values()]

    def list_executions(self) -> list[RecordedExecution]:
        """Return the executions that made, changed or read it, the newest first."""
        found = self._source.select_executions(Criteria(dataset=self.rid))
        return [RecordedExecution.of(one, self._source) for one in found]

    def download_dataset_bag(
        self, version: DatasetVersion | str | None = None, materialize: bool = True, **_: Any
    ) -> DatasetBag:
        """Fetch a version into ``outputs/datasets``, which no execution is recorded for; see ``DerivaML.download_dataset_bag``."""
        chosen = version or self._asked
        return self._ml.download_dataset_bag(DatasetSpec(self.rid, chosen and str(chosen), materialize))

    def bag_info(self, version: DatasetVersion | str | None = None, **_: Any) -> dict[str, Any]:
        """Return how many files a version has, with those of datasets that are part of it, and their ``bytes``."""
        state = self._state(version and str(version))
        files, size = state.files, state.bytes
        if not state.digest:  # a catalog that keeps no counts
            rows = self.list_dataset_members(recurse=True, version=state.version)
            lengths = [row["Length"] or 0 for table in rows.values() for row in table if "Length" in row]
            files, size = len(lengths), sum(lengths)
        return {"rid": self.rid, "version": state.version, "files": files, "bytes": size}

    estimate_bag_size = bag_info

    def to_markdown(self, show_children: bool = False, indent: int = 0) -> str:
        """Return it as an item of a list in Markdown, with ``show_children`` and those that are part of it."""
        said = " ".join(self.description.split())
        types = f" ({', '.join(self.dataset_types)})" if self.dataset_types else ""
        called = f"{self.name} {self.rid}" if self.name else self.rid
        lines = [f"{'  ' * indent}- **Dataset {called}** {self.version}{types}{': ' + said if said else ''}"]
        if show_children:
            lines += [one.to_markdown(True, indent + 1) for one in self.list_dataset_children()]
        return "\n".join(lines)

    def display_markdown(self, show_children: bool = False, indent: int = 0) -> None:
        """Show ``to_markdown`` in a notebook."""
        from IPython.display import Markdown, display

        display(Markdown(self.to_markdown(show_children, indent)))  # type: ignore[no-untyped-call]

    # Changing it

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
            here = {row.get("RID"): row["Path"] for row in own.members(changes.current(own, self.rid).rid)}
            added, taken = list[Member](), set(here.values())
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

    def add_files(self, files: Iterable[Any], description: str = "", execution: Any = None) -> None:
        """Add files and folders by their paths, in place of what is at these; see ``Execution.add_files``."""
        from deriva_ml.datasets.files import take_in

        with self._changing(f"Adds files to {self}", execution) as (own, by):
            changes.add(own, by, self.rid, take_in(own, files), description)

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

    def own(self, why: str = "") -> EmbeddedCatalog:
        """Return the project's own catalog, if this is one of its datasets."""
        if isinstance(self._source, EmbeddedCatalog):
            return self._source
        raise DerivaMLRequestError(
            f"dataset {self.rid} is on {self._source.host_name}, and what it {why}"
            if why
            else f"dataset {self.rid} is on {self._source.host_name}, where nothing of it is changed from here: make a"
            " dataset in this project, which is sent there with the next run that reads it"
        )

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
