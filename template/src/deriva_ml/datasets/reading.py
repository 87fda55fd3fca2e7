"""Reading a dataset from Python: what it is, its versions, and what is in each."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol, Self

from deriva_ml.catalog.connection import Connection
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.dataset_version import DatasetHistory, DatasetVersion, state_with
from deriva_ml.definitions import RID, DatasetState, Row
from deriva_ml.definitions import Dataset as Record
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.records.recorded import RecordedExecution
from deriva_ml.upstream import Upstream

NESTED = "Dataset"
"""What the datasets among members are called."""


class Opened(Protocol):
    """What a dataset needs of the ``DerivaML`` that it was found through."""

    connection: Connection

    def download_dataset_bag(self, dataset: DatasetSpec) -> DatasetBag:
        """Fetch a dataset into a folder."""


class DatasetReading(Upstream):
    """A dataset of a catalog, at the version that was asked for or else as it is now.

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

    def __repr__(self) -> str:
        return f"<Dataset {self.name or self.rid} {self.version}>"

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, DatasetReading) and (self.rid, self._asked) == (other.rid, other._asked)
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

    @property
    def dataset_types(self) -> list[str]:
        """Terms of the ``Dataset_Type`` vocabulary."""
        return list(self._record.types)

    types = dataset_types

    # Its versions

    @property
    def _states(self) -> list[DatasetState]:
        return self._source.dataset_versions(self.rid)

    def _state(self, version: str | None = None) -> DatasetState:
        return state_with(self._states, version or self._asked, f"dataset {self.rid}")

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
        keys = sorted(before.keys() | after.keys())
        return dict(Counter(key[0] for key in keys if before.get(key) != after.get(key)))

    def _contents(self, version: str) -> dict[tuple[str, str], str]:
        """Return what is in a version: by table and place there, what it is."""
        record = self._lookup(version)
        found = {
            (table, row.get("Path") or row["RID"]): row.get("MD5") or row["RID"]
            for table, rows in record.members.items()
            for row in rows
        }
        return found | {(NESTED, one.folder or one.rid): f"{one.rid} {one.version}" for one in record.nested}

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
    ) -> list[Self]:
        """Return the datasets that are part of it, at their versions; with ``recurse`` those that are part of them, too."""
        found, waiting = dict[tuple[RID, str], Record](), [*self._lookup(version).nested]
        while waiting:
            one = waiting.pop(0)
            found[one.rid, one.version] = one
            waiting += one.nested if recurse else ()
        return [type(self)(self._ml, one, one.version, source=self._source) for one in found.values()]

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
    ) -> list[Self]:
        """Return the datasets of the project's own catalog that it is part of now.

        Args:
            recurse: with those that these are part of.
            version: only where it is part at this version.
        """
        own = self._source
        if not isinstance(own, EmbeddedCatalog):
            raise DerivaMLRequestError(
                f"dataset {self.rid} is on {own.host_name}, and what it is part of is known of this project's own only"
            )
        found, waiting = dict[RID, Record](), [(self.rid, version)]
        while waiting:
            inner, at = waiting.pop(0)
            for one in map(own.lookup_dataset, own.dataset_parents(inner)):
                is_part = any(part.rid == inner and at in (None, part.version) for part in one.nested)
                if is_part and one.rid not in found:
                    found[one.rid] = one
                    waiting += [(one.rid, None)] if recurse else []
        return [type(self)(self._ml, one, source=own) for one in found.values()]

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

    def own(self) -> EmbeddedCatalog:
        """Return the project's own catalog, if this is one of its datasets.

        Raises:
            DerivaMLRequestError: it is one of a server.
        """
        if isinstance(self._source, EmbeddedCatalog):
            return self._source
        raise DerivaMLRequestError(
            f"dataset {self.rid} is on {self._source.host_name}, where nothing of it is changed from here: make a"
            " dataset in this project, which is sent there with the next run that reads it"
        )
