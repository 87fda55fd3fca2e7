"""The look-ups of a connection that find datasets, and deleting them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deriva_ml.catalog.connection import Connection
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.datasets import changes
from deriva_ml.datasets.live import Dataset
from deriva_ml.datasets.names import found
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


class DatasetFinding:
    """The part of ``DerivaML`` that finds datasets, and deletes the project's own."""

    connection: Connection
    project: Project

    def download_dataset_bag(self, dataset: DatasetSpec | RID) -> DatasetBag:
        """Fetch a dataset into a folder."""
        raise NotImplementedError

    def lookup_dataset(self, dataset: RID | DatasetSpec, deleted: bool = False) -> Dataset:
        """Return a dataset, at the version that is asked for or as it is now.

        Args:
            dataset: its RID or its name, with ``@VERSION`` or without; or a specification.
            deleted: also one that has been deleted, as it was then; one of its versions is found without.
        """
        source = self.connection.source
        spec = DatasetSpec.from_shorthand(dataset) if isinstance(dataset, str) else dataset
        own = source if isinstance(source, EmbeddedCatalog) else None
        if not spec.version and not spec.rid and own and (named := own.dataset_named(spec.name)):
            spec = DatasetSpec(named)  # as it is now, and not as the newest version is
        if deleted and spec.rid and not spec.version and own:
            states = own.dataset_versions(spec.rid)
            spec = DatasetSpec(spec.rid, states[0].version if states else None)
        meant, record = found(spec, source, self.project)
        return Dataset(self, record, meant.version)

    def find_datasets(
        self, deleted: bool = False, sort: Callable[[Dataset], Any] | bool | None = None
    ) -> list[Dataset]:
        """Return the datasets, newest first.

        Args:
            deleted: also those that have been deleted, which the project's own catalog tells.
            sort: a function that gives what to sort by, instead.
        """
        source = self.connection.source
        if isinstance(source, EmbeddedCatalog):
            records = source.find_datasets(deleted=deleted)
        elif deleted:
            raise DerivaMLRequestError("deleted datasets are found in the project's own catalog only")
        else:
            records = source.find_datasets()
        datasets = [Dataset(self, record) for record in records]
        if not callable(sort):
            return datasets
        return sorted(datasets, key=sort)

    def delete_dataset(self, dataset: Dataset | RID, recurse: bool = False) -> None:
        """Delete a dataset of this project, with ``recurse`` those that are part of it, too; its versions stay readable.

        Raises:
            DerivaMLRequestError: another one contains it, or it is on a server.
        """
        live = self.lookup_dataset(dataset) if isinstance(dataset, str) else dataset
        own = live.own()
        with changes.recorded(own, "Python", f"Deletes dataset {live.name or live.rid}"):
            changes.delete(own, live.rid, recurse)

    def bag_info(self, dataset: DatasetSpec | RID) -> dict[str, Any]:
        """Return how many files a dataset has, with those of datasets that are part of it, and their ``bytes``."""
        return self.lookup_dataset(dataset).bag_info()

    estimate_bag_size = bag_info
