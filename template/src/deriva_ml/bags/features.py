"""Features: values that executions gave to rows of a Deriva catalog, as a bag has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

from deriva_ml.bags import rows
from deriva_ml.bags.rows import Name
from deriva_ml.definitions import RID, FeatureDefinition, Row, TableDefinition
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.grouping import grouped

_OF_EVERY_TABLE = {"RID", "RMT", "RCB", "RMB"}
_STRUCTURE = _OF_EVERY_TABLE | {"RCT", "Feature_Name", "Execution"}

Selector = Callable[[list["FeatureRecord"]], "FeatureRecord | None"]
"""Chooses one of several values of a row; None for none of them."""


class FeatureRecord(SimpleNamespace):
    """One value of a feature: an attribute for each of its columns, and ``Execution``, ``Feature_Name`` and ``RCT``.

    What begins with ``select_`` are selectors for ``feature_values``, or makes them, as in upstream's library.
    """

    feature: ClassVar[Feature | None] = None

    def model_dump(self) -> Row:
        """The attributes as a dictionary."""
        return dict(vars(self))

    @staticmethod
    def select_newest(records: Sequence[FeatureRecord]) -> FeatureRecord:
        """The value that was made last."""
        return max(records, key=_made)

    select_latest = select_newest

    @staticmethod
    def select_first(records: Sequence[FeatureRecord]) -> FeatureRecord:
        """The value that was made first."""
        return min(records, key=_made)

    @staticmethod
    def select_by_execution(execution_rid: RID) -> Selector:
        """Return what selects the newest value of one execution."""
        return _of_executions({execution_rid})

    @staticmethod
    def select_by_workflow(workflow: str, *, container: Any) -> Selector:
        """Return what selects the newest value of a workflow's executions.

        Args:
            workflow: an RID or a workflow type.
            container: the bag whose executions it is looked up among.

        Raises:
            NotFound: it has no such workflow.
        """
        return _of_executions(set(container.list_workflow_executions(workflow)))

    @staticmethod
    def select_majority_vote(column: str | None = None) -> Selector:
        """Return what selects the value that most have; of several such the newest.

        Args:
            column: the one that is counted; by default the only one that holds terms.
        """

        def select(records: list[FeatureRecord]) -> FeatureRecord | None:
            if not records:
                return None
            chosen = column or _only_term(type(records[0]).feature)
            counts = Counter(getattr(one, chosen, None) for one in records)
            most = max(counts.values())
            return FeatureRecord.select_newest(
                [one for one in records if counts[getattr(one, chosen, None)] == most]
            )

        return select


def _made(record: FeatureRecord) -> str:
    return getattr(record, "RCT", None) or ""


def _of_executions(executions: set[RID]) -> Selector:
    def select(records: list[FeatureRecord]) -> FeatureRecord | None:
        found = [one for one in records if one.Execution in executions]
        return FeatureRecord.select_newest(found) if found else None

    return select


def _only_term(feature: Feature | None) -> str:
    terms = sorted(feature.term_columns) if feature else []
    if len(terms) != 1:
        raise DerivaMLRequestError(
            f"select_majority_vote needs the name of a column to count; those of terms are: {', '.join(terms) or 'none'}"
        )
    return terms[0]


@dataclass(frozen=True)
class Feature:
    """A feature of a table; its tables and columns are texts that have a ``name`` too, as upstream's have.

    Attributes:
        feature_table: whose rows are the values.
        target_table: whose rows have the values.
    """

    feature_name: str
    target_table: Name
    feature_table: Name
    definition: TableDefinition

    @property
    def _feature(self) -> FeatureDefinition:
        assert self.definition.feature
        return self.definition.feature

    @property
    def target_column(self) -> str:
        """The column of ``feature_table`` that refers to the target."""
        return self._feature.target.columns[0]

    @property
    def feature_columns(self) -> set[Name]:
        """The columns that hold the value."""
        return {Name(one) for one in self.definition.columns if one not in {*_STRUCTURE, self.target_column}}

    @property
    def term_columns(self) -> set[Name]:
        """Those that hold terms of a vocabulary."""
        return set(map(Name, self._feature.terms))

    @property
    def asset_columns(self) -> set[Name]:
        """Those that hold the RIDs of files."""
        return set(map(Name, self._feature.assets))

    @property
    def value_columns(self) -> set[Name]:
        """Those that hold values themselves."""
        return self.feature_columns - self.term_columns - self.asset_columns

    @property
    def qualifier_columns(self) -> list[str]:
        """Those that tell several values of one row apart, beside the row itself."""
        return list(self._feature.qualifiers)

    def feature_record_class(self) -> type[FeatureRecord]:
        """Return the class of this feature's values."""
        return type(f"{self.target_table}Feature{self.feature_name}", (FeatureRecord,), {"feature": self})

    def records(self, table: Iterable[Row]) -> list[FeatureRecord]:
        """Make the values of rows of the feature's table."""
        kind = self.feature_record_class()
        return [
            kind(**{name: value for name, value in row.items() if name not in _OF_EVERY_TABLE})
            for row in table
        ]

    def reduced(self, records: Iterable[FeatureRecord], selector: Selector | None) -> Iterator[FeatureRecord]:
        """Return the value that a selector chooses for each target, and each qualifier; without one, all of them."""
        if selector is None:
            yield from records
            return
        columns = (self.target_column, *self.qualifier_columns)
        groups = grouped((tuple(getattr(one, name, None) for name in columns), one) for one in records)
        for values, group in groups.items():
            if values[0] is not None and (chosen := selector(group)) is not None:
                yield chosen


def definitions(bag: rows.Bag) -> dict[str, TableDefinition]:
    """What the catalog says of the tables, by their names."""
    return {name: one for _, part in rows.with_nested(bag) for name, one in part.dataset.tables.items()}


def find_features(bag: rows.Bag, table: str | None = None) -> list[Feature]:
    """Return the features of a table, or of all tables, by their names."""
    found = [
        Feature(one.feature.name, Name(one.feature.target.table), Name(name), one)
        for name, one in definitions(bag).items()
        if one.feature and table in (None, one.feature.target.table)
    ]
    return sorted(found, key=lambda one: (one.target_table, one.feature_name))


def lookup_feature(bag: rows.Bag, table: str, feature_name: str) -> Feature:
    """Return the feature of a table that has a name.

    Raises:
        NotFound: there is none.
    """
    of_table = {one.feature_name: one for one in find_features(bag, table)}
    if feature_name not in of_table:
        raise NotFound(
            f"{table} has no feature {feature_name} in dataset {bag.dataset.rid}; it has"
            f" {', '.join(of_table) or 'none: features are those of a Deriva catalog'}"
        )
    return of_table[feature_name]


def feature_values(
    bag: rows.Bag,
    table: str,
    feature_name: str,
    selector: Selector | None = None,
    limit: int | None = None,
    executions: Sequence[RID] | None = None,
) -> Iterator[FeatureRecord]:
    """Return the values of a feature of the rows of a table.

    Raises:
        NotFound: the table has no such feature.
        DerivaMLRequestError: there are more than ``limit``.
    """
    feature = lookup_feature(bag, table, feature_name)
    records = feature.records(rows.all_rows(bag).get(feature.feature_table, ()))
    if executions is not None:
        records = [one for one in records if one.Execution in set(executions)]
    if limit is not None and len(records) > limit:
        raise DerivaMLRequestError(
            f"{feature_name} has {len(records)} values, and materialize_limit is {limit}: raise it"
        )
    return feature.reduced(records, selector)


def workflow_executions(bag: rows.Bag, workflow: str) -> list[RID]:
    """Return the executions of a workflow, by its RID or its type, that gave values to rows of a bag.

    Raises:
        NotFound: none of them is of such a workflow.
    """
    held = rows.all_rows(bag)
    typed = [
        row["Workflow"] for row in held.get("Workflow_Workflow_Type", ()) if row["Workflow_Type"] == workflow
    ]
    workflows = {
        row["RID"]
        for row in held.get("Workflow", ())
        if workflow in (row["RID"], row.get("Workflow_Type"), row.get("Name")) or row["RID"] in typed
    }
    if not workflows:
        raise NotFound(f"no execution of workflow {workflow} made a value in dataset {bag.dataset.rid}")
    return [row["RID"] for row in held.get("Execution", ()) if row["Workflow"] in workflows]
