"""The methods of a bag that need its rows and files alone; what they do is loaded when one is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.definitions import RID, Dataset, Row

if TYPE_CHECKING:
    import pandas

    from deriva_ml.bags.features import Feature, FeatureRecord, Selector
    from deriva_ml.bags.targets import Targets


class BagMethods:
    """What a bag does with its tables: read and join them, tell features' values, and lay files out for training."""

    dataset: Dataset
    path: Path
    children: tuple[Any, ...]

    def list_tables(self) -> list[str]:
        """Names of the tables that there are here: of members, of what belongs to these, and of files that are tables.

        A CSV or Parquet file is a table under its path without the ending, such as ``folder/measurements``.
        """
        from deriva_ml.bags import rows, tables

        return [table for table, held in rows.all_rows(self).items() if held] + list(tables.table_files(self))

    def get_table_as_dict(self, table: str) -> Iterator[Row]:
        """The rows of one table, nested datasets' included.

        Args:
            table: one of ``list_tables()``; of a file also its path, or its last name where no other has that.

        Raises:
            DerivaMLRequestError: the bag has no such table, or what reads it is not installed.
            DerivaMLException: a file is damaged.
        """
        from deriva_ml.bags.tables import as_rows

        yield from as_rows(self, table)

    def get_table_as_dataframe(self, table: str) -> pandas.DataFrame:
        """The rows of one table, as ``get_table_as_dict`` has them, as a data frame; needs pandas."""
        from deriva_ml.bags.tables import as_frame

        return as_frame(self, table)

    def list_workflow_executions(self, workflow: str) -> list[RID]:
        """The executions of a workflow that gave values to rows of this bag.

        Args:
            workflow: its RID, its name, or, where the bag has that, its type.

        Raises:
            NotFound: there are none.
        """
        from deriva_ml.bags.features import workflow_executions

        return workflow_executions(self, workflow)

    def find_features(self, table: str | None = None) -> list[Feature]:
        """The features of a table, or of all tables, that the bag's rows have values of; none without a Deriva catalog."""
        from deriva_ml.bags.features import find_features

        return find_features(self, table)

    def lookup_feature(self, table: str, feature_name: str) -> Feature:
        """The feature of a table.

        Raises:
            NotFound: it has none of that name.
        """
        from deriva_ml.bags.features import lookup_feature

        return lookup_feature(self, table, feature_name)

    def feature_values(
        self,
        table: str,
        feature_name: str,
        selector: Selector | None = None,
        materialize_limit: int | None = None,
        execution_rids: list[RID] | None = None,
    ) -> Iterator[FeatureRecord]:
        """The values of a feature, which have an attribute for each of its columns.

        Args:
            table: whose rows have the values.
            feature_name: the feature's.
            selector: chooses one of a row's values, such as ``FeatureRecord.select_newest``; without it, all are given.
            materialize_limit: refuse a feature of more values.
            execution_rids: only what these made.

        Raises:
            NotFound: the table has no such feature.
            DerivaMLRequestError: it has more values than ``materialize_limit``.
        """
        from deriva_ml.bags.features import feature_values

        yield from feature_values(self, table, feature_name, selector, materialize_limit, execution_rids)

    def get_denormalized_as_dataframe(
        self,
        include_tables: list[str],
        *,
        row_per: str | None = None,
        via: list[str] | None = None,
        ignore_unrelated_anchors: bool = False,
        selector: Selector | None = None,
        system_columns: list[str] | None = None,
    ) -> pandas.DataFrame:
        """One wide table of several tables, joined by foreign keys, or by a column of a file's table that names files.

        It has a row for each row of the table that refers to the others, and columns ``Table.column``. Members of the
        tables that none of its rows refers to have a row of their own. Features, and several files that are tables,
        are joined to what they are about.

        Args:
            include_tables: the tables whose columns are wanted.
            row_per: the one of them that rows are of; by default the one that refers to all others.
            via: tables that the way from one to another is to lead through, without their columns.
            ignore_unrelated_anchors: leave out members that have nothing to do with these tables.
            selector: chooses one of a row's values, where one of the tables is a feature's.
            system_columns: which of ``RCT``, ``RMT``, ``RCB`` and ``RMB`` to have too.

        Raises:
            DerivaMLRequestError: the tables are not there or cannot be joined, or several ways lead from one to another.
        """
        from deriva_ml.bags.denormalize import wide_rows
        from deriva_ml.bags.tables import needed

        frame = needed("pandas", "a table as a data frame").DataFrame
        columns, rows = wide_rows(
            self, include_tables, row_per, via, ignore_unrelated_anchors, selector, system_columns or ()
        )
        return frame(list(rows), columns=columns)

    def get_denormalized_as_dict(
        self,
        include_tables: list[str],
        *,
        row_per: str | None = None,
        via: list[str] | None = None,
        ignore_unrelated_anchors: bool = False,
        selector: Selector | None = None,
    ) -> Iterator[Row]:
        """The rows of the table that ``get_denormalized_as_dataframe`` gives."""
        from deriva_ml.bags.denormalize import wide_rows

        yield from wide_rows(self, include_tables, row_per, via, ignore_unrelated_anchors, selector)[1]

    def list_denormalized_columns(
        self, include_tables: list[str], *, row_per: str | None = None, via: list[str] | None = None
    ) -> list[tuple[str, str]]:
        """The columns of the table that ``get_denormalized_as_dataframe`` gives, each with its type."""
        from deriva_ml.bags.denormalize import plan

        columns = plan(self, include_tables, row_per, via).columns()
        return [(f"{table}.{name}", kind) for table, name, kind in columns]

    def describe_denormalized(
        self, include_tables: list[str], *, row_per: str | None = None, via: list[str] | None = None
    ) -> dict[str, Any]:
        """How ``get_denormalized_as_dataframe`` would join the tables, or what keeps it from that; it raises nothing."""
        from deriva_ml.bags.describing import describe

        return describe(self, include_tables, row_per, via)

    def list_schema_paths(self, tables: list[str] | None = None) -> dict[str, Any]:
        """What tables there are, and the ways by which they refer to each other; only from or to ``tables`` if given."""
        from deriva_ml.bags.describing import schema_paths

        return schema_paths(self, tables)

    def restructure_assets(
        self,
        output_dir: Path | str,
        *,
        asset_table: str | None = None,
        targets: Targets = None,
        target_transform: Callable[..., str] | None = None,
        missing: str = "unknown",
        use_symlinks: bool = True,
        type_selector: Callable[[list[str]], str | None] | None = None,
        type_to_dir_map: dict[str, str] | None = None,
        enforce_vocabulary: bool = True,
        file_transformer: Callable[[Path, Path], Path] | None = None,
    ) -> dict[Path, Path]:
        """Lay the fetched files out as ``<output_dir>/<type>/<target>/.../<filename>``, as many frameworks read them.

        A file whose name another in its folder has gets its RID before it.

        Args:
            output_dir: the folder, which is made; what it has of another name stays.
            asset_table: whose files; by default those of the only table of files.
            targets: what the folders are named by, one below the other: features, columns of the asset table, columns
                of a file that is a table and names files in another column (``labels.species`` where several have
                ``species``), or ``folder`` for the name of the folder that a file lies in. Or a dictionary: by target
                what selects one of several values, such as ``FeatureRecord.select_newest``.
            target_transform: names the folder for a target's value: for a feature's its record.
            missing: what becomes of files without a value: ``unknown`` is a folder ``Unknown``, ``skip`` leaves them
                out, ``error`` refuses.
            use_symlinks: links; copies where there can be none.
            type_selector: chooses one of a dataset's types, of which it else is the first.
            type_to_dir_map: folders by type of the innermost dataset that has the file, by default ``training`` and
                ``testing``; a type that it lacks has none. Files of a dataset without a type are for ``Testing``.
            enforce_vocabulary: refuse features without terms, and files with several values; else the first is taken.
            file_transformer: writes the file instead: called with its path and that to write, returns that written.

        Returns:
            Where each file was put.

        Raises:
            DerivaMLRequestError: a target or the table is not there or cannot name folders.
            DerivaMLException: a file has no value and ``missing`` is ``error``; or the disk does not take it.
        """
        from deriva_ml.bags import restructure

        return restructure.restructure(
            self,
            Path(output_dir),
            asset_table or restructure.asset_table(self),
            targets,
            target_transform,
            missing,
            use_symlinks,
            type_selector,
            restructure.FOLDERS if type_to_dir_map is None else type_to_dir_map,
            enforce_vocabulary,
            file_transformer,
        )

    def as_torch_dataset(
        self,
        element_type: str,
        *,
        sample_loader: Callable[[Path | None, Row], Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
        targets: Targets = None,
        target_transform: Callable[..., Any] | None = None,
        missing: str = "error",
        reachable: bool = True,
    ) -> Any:
        """The rows of a table as PyTorch's ``Dataset`` of ``(sample, RID)``, or ``(sample, target, RID)`` with targets.

        Args:
            element_type: the table.
            sample_loader: makes a sample of the path of a row's file, None for a row without one, and the row; needed
                for a table of files. Without it a sample is the row.
            transform: changes a sample.
            targets: as of ``restructure_assets``; several make a dictionary by name.
            target_transform: changes a target; it gets None for one that is missing.
            missing: what becomes of a row without a value: ``error``, ``skip``, or ``unknown`` for None.
            reachable: also rows that members refer to.

        Raises:
            DerivaMLRequestError: PyTorch is not installed, or a target or the table is not there.
            DerivaMLException: a row has no value, and ``missing`` is ``error``.
        """
        from deriva_ml.bags.frameworks import Samples, as_torch

        how = (sample_loader, transform, targets, target_transform, missing, reachable)
        return as_torch(lambda: Samples.of(self, element_type, *how))

    def as_tf_dataset(
        self,
        element_type: str,
        *,
        sample_loader: Callable[[Path | None, Row], Any] | None = None,
        transform: Callable[[Any], Any] | None = None,
        targets: Targets = None,
        target_transform: Callable[..., Any] | None = None,
        missing: str = "error",
        output_signature: Any = None,
        reachable: bool = True,
    ) -> Any:
        """The same as ``as_torch_dataset`` as a ``tf.data.Dataset``.

        Args:
            output_signature: TensorFlow's specification of the tuples; by default that of the first.

        Raises:
            DerivaMLRequestError: TensorFlow is not installed, a target or the table is not there, or there are no rows
                to tell the signature from.
            DerivaMLException: a row has no value, and ``missing`` is ``error``.
        """
        from deriva_ml.bags.frameworks import Samples, as_tensorflow

        how = (sample_loader, transform, targets, target_transform, missing, reachable)
        return as_tensorflow(lambda: Samples.of(self, element_type, *how), output_signature)
