"""Makes datasets of the parts of another one: of its files, of the rows that name them, or of the rows of its one table."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import deriva_ml.disk as disk
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.datasets import changes
from deriva_ml.datasets.names import check_name, check_new
from deriva_ml.datasets.rows import Files, Table, is_table
from deriva_ml.datasets.split import check_filled, divide, grouped, part_names, part_types
from deriva_ml.definitions import RID, Dataset, Member
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.git import listed

SHOWN = 3
"""How many files or columns a message names."""


@dataclass(frozen=True)
class Split:
    """How a dataset is to be divided.

    Attributes:
        fractions: of each part; they sum to 1.
        seed: of chance.
        by: the column of a table of which each part has its fraction of each value.
        by_folder: so of each folder.
        group: the column whose values are each in one part as a whole.
        names: of the parts.
    """

    fractions: Sequence[Fraction]
    seed: int = 0
    by: str = ""
    by_folder: bool = False
    group: str = ""
    names: Sequence[str] = ()

    def __str__(self) -> str:
        """Say in a few words how."""
        said = [f"fractions {', '.join(f'{float(one):.6g}' for one in self.fractions)}", f"seed {self.seed}"]
        said += [f"by the column {self.by}"] if self.by else []
        said += ["by folder"] if self.by_folder else []
        said += [f"with each {self.group} in one part"] if self.group else []
        return "; ".join(said)


@dataclass
class _Part:
    """What a part is made of: paths of files, and rows of tables by these' paths."""

    files: set[str] = field(default_factory=set)
    rows: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))


def names_of(catalog: EmbeddedCatalog, dataset: Dataset, split: Split) -> list[str]:
    """Return what the parts are called.

    Raises:
        DerivaMLRequestError: there is a dataset of such a name, or the name cannot be one.
    """
    found = part_names(dataset.name or dataset.rid, len(split.fractions), split.names)
    for name in found:
        check_name(name)
        check_new(catalog.project, name)
        if there := catalog.dataset_named(name):
            raise DerivaMLRequestError(
                f"there is a dataset {name} already ({there}): give the parts other names, with --names"
            )
    return found


def make_parts(catalog: EmbeddedCatalog, execution: RID, dataset: Dataset, split: Split) -> list[RID]:
    """Make a dataset of each part of a version, released as 1.0.0, all in one step; the execution has read the version.

    Raises:
        DerivaMLRequestError: it cannot be divided so.
    """
    names = names_of(catalog, dataset, split)
    called = f"{dataset.name or dataset.rid} {dataset.version}"
    rows = {row["Path"]: row for row in catalog.files(str(dataset.version_rid))}
    with disk.temporary_folder(catalog.project.state) as folder:
        tables = _Tables(catalog, rows, called, folder)
        parts = tables.parts(split)
        made = []
        with catalog.transaction():
            catalog.link_dataset(execution, dataset)
            kinds = part_types(len(parts))
            for place, (name, kind, part) in enumerate(zip(names, kinds, parts, strict=True)):
                fraction = f"{float(split.fractions[place]):.6g}"
                said = f"{fraction} of {called}: {split}"
                members = [*tables.members(part, place)]
                made.append(changes.create(catalog, execution, name, members, [kind], said, "1.0.0"))
    return made


class _Tables:
    """A dataset's files, and those of them that are tables of the others."""

    def __init__(
        self, catalog: EmbeddedCatalog, rows: Mapping[str, Mapping[str, object]], called: str, folder: Path
    ) -> None:
        self._catalog, self._rows, self._called, self._folder = catalog, rows, called, folder
        self._files = Files(rows)
        self._tables = {
            path: Table(path, catalog.objects.path(str(row["MD5"])))
            for path, row in rows.items()
            if is_table(path)
        }

    def parts(self, split: Split) -> list[_Part]:
        """Return what is in each part.

        Raises:
            DerivaMLRequestError: there is no such column, or a part would be empty.
        """
        wanted = [one for one in (split.by, split.group) if one]
        naming = {path: self._files.column_in(table) for path, table in self._tables.items()}
        chosen = self._table_with(wanted, naming) if wanted else None
        only = len(self._rows) == 1 and next(iter(self._tables.values()), None)
        if only and not split.by_folder:
            return self._parts_of_rows(only, split)
        if chosen and not naming[chosen.path]:
            raise DerivaMLRequestError(
                f"no column of {chosen.path} names files of {self._called}: its rows say nothing of them"
            )
        naming = {path: column for path, column in naming.items() if column}
        keys = [path for path in self._rows if path not in naming]
        values = {
            one: self._values(chosen, str(naming[chosen.path]), one, keys, one == split.group)
            for one in wanted
            if chosen
        }
        strata = [
            path.rpartition("/")[0] if split.by_folder else values[split.by][path] if split.by else ""
            for path in keys
        ]
        groups = [values[split.group][path] for path in keys] if split.group else None
        units, unit_of = grouped(keys, strata, groups)
        part_of = divide(units, split.fractions, split.seed)
        check_filled({*part_of.values()}, split.fractions, split.group or "files")
        parts = [_Part() for _ in split.fractions]
        for path in keys:
            parts[part_of[unit_of[path]]].files.add(path)
        for path, column in naming.items():
            for part in parts:
                part.rows[path] = set()
            for number, row in enumerate(self._tables[path]):
                file = self._files.named(row.cells.get(str(column), ""), path)
                if file in unit_of:
                    parts[part_of[unit_of[file]]].rows[path].add(number)
        return parts

    def _parts_of_rows(self, table: Table, split: Split) -> list[_Part]:
        """Divide the rows of a table; those that are alike are in one part."""
        rows = [*table]
        texts = [row.text for row in rows]
        strata = [row.cells.get(split.by, "") for row in rows]
        # Alike rows have one group, too.
        groups = [row.cells.get(split.group, "") for row in rows] if split.group else texts
        units, _ = grouped(texts, strata, groups)
        part_of = divide(units, split.fractions, split.seed)
        check_filled({*part_of.values()}, split.fractions, split.group or "rows")
        parts = [_Part() for _ in split.fractions]
        for number, group in enumerate(groups):
            parts[part_of[group]].rows[table.path].add(number)
        return parts

    def _table_with(self, columns: Sequence[str], naming: Mapping[str, str | None]) -> Table:
        """Return the one table that has these columns."""
        having = [one for one in self._tables.values() if {*columns} <= {*one.columns}]
        having = [one for one in having if naming[one.path]] or having
        if len(having) == 1:
            return having[0]
        if having:
            which = listed([one.path for one in having], SHOWN)
            raise DerivaMLRequestError(f"several tables of {self._called} have that column: {which}")
        there = [f"{one.path} has {listed(one.columns, SHOWN)}" for one in self._tables.values()]
        raise DerivaMLRequestError(
            f"no table of {self._called} has a column {' and '.join(columns)}; {listed(there, SHOWN) or 'it has no table'}"
        )

    def _values(
        self, table: Table, naming: str, column: str, keys: Sequence[str], alone: bool
    ) -> dict[str, str]:
        """Return the value of a column for each file, which is that of most of the rows that name it.

        Raises:
            DerivaMLRequestError: no row names one, or one that is to have it ``alone`` has several.
        """
        votes = defaultdict[str, Counter[str]](Counter)
        for row in table:
            if file := self._files.named(row.cells.get(naming, ""), table.path):
                votes[file][row.cells.get(column, "")] += 1
        if lost := [path for path in keys if path not in votes]:
            raise DerivaMLRequestError(
                f"no row of {table.path} names {listed(lost, SHOWN)}: what {column} of it is cannot be known"
            )
        if alone and (torn := [file for file, count in votes.items() if len(count) > 1]):
            raise DerivaMLRequestError(
                f"{torn[0]} is in several groups in {table.path}, by its column {column}: it cannot be kept with each"
            )
        return {file: min(count, key=lambda one: (-count[one], one)) for file, count in votes.items()}

    def members(self, part: _Part, place: int) -> Iterator[Member]:
        """Return the members of a part, with the tables of its rows, which are recorded."""
        for path in sorted(part.files):
            yield Member(path, str(self._rows[path]["RID"]))
        for path, chosen in sorted(part.rows.items()):
            target = self._folder / str(place) / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._tables[path].write(target, chosen)
            yield Member(path, self._catalog.add_file(target).rid)
