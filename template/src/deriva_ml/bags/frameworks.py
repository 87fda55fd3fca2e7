"""A bag's rows as the datasets of PyTorch and TensorFlow, where those are installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deriva_ml.bags import rows
from deriva_ml.bags.tables import needed
from deriva_ml.bags.targets import Element, Elements, Targets, elements
from deriva_ml.definitions import Row
from deriva_ml.exceptions import DerivaMLRequestError

Loader = Callable[[Path | None, Row], Any]


@dataclass
class Samples:
    """A table's rows, each loaded when it is asked for: with its target, if there are any, and its RID."""

    elements: Elements
    load: Loader | None
    transform: Callable[[Any], Any] | None
    target_transform: Callable[..., Any] | None

    @classmethod
    def of(
        cls,
        bag: rows.Bag,
        table: str,
        load: Loader | None,
        transform: Callable[[Any], Any] | None,
        targets: Targets,
        target_transform: Callable[..., Any] | None,
        missing: str,
        reachable: bool,
    ) -> Samples:
        """Return the samples of a bag's table; see ``DatasetBag.as_torch_dataset``."""
        found = elements(bag, table, targets, missing, members_only=not reachable)
        if load is None and found.are_files:
            raise DerivaMLRequestError(
                f"rows of {table} are files: say how to load one, as in"
                " sample_loader=lambda path, row: PIL.Image.open(path)"
            )
        return cls(found, load, transform, target_transform)

    def __len__(self) -> int:
        return len(self.elements.found)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        one = self.elements.found[index]
        sample = self._load(one)
        if self.transform is not None:
            sample = self.transform(sample)
        rid = one.row.get("RID", index)  # a file's table has no RIDs
        if not self.elements.names:
            return sample, rid
        target = self.elements.label(one)
        return sample, self.target_transform(target) if self.target_transform else target, rid

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self[index] for index in range(len(self)))

    def _load(self, one: Element) -> Any:
        if self.load is None:
            return one.row
        path = rows.content(one.row) if self.elements.are_files else None
        if path is None and self.elements.are_files:
            raise DerivaMLRequestError(f"{one.row['Filename']} ({one.row['RID']}) was not fetched")
        return self.load(path, one.row)


def as_torch(make: Callable[[], Samples]) -> Any:
    """Return samples as ``torch.utils.data.Dataset``.

    Raises:
        DerivaMLRequestError: PyTorch is not installed.
    """
    needed("torch", "as_torch_dataset")
    return _torch_dataset(make())


def _torch_dataset(samples: Samples) -> Any:
    """Return the dataset; a loader's processes that are not forks make it anew with this."""
    kind = needed("torch.utils.data", "as_torch_dataset", "torch").Dataset

    class BagDataset(kind):  # type: ignore[misc,valid-type]
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, index: int) -> tuple[Any, ...]:
            return samples[index]

        def __reduce__(self) -> tuple[Any, ...]:
            return _torch_dataset, (samples,)

    return BagDataset()


def as_tensorflow(make: Callable[[], Samples], signature: Any) -> Any:
    """Return samples as ``tf.data.Dataset``.

    Raises:
        DerivaMLRequestError: TensorFlow is not installed, or no sample tells the signature.
    """
    tensorflow = needed("tensorflow", "as_tf_dataset")
    samples = make()
    if signature is None:
        if not len(samples):
            raise DerivaMLRequestError("there are no rows to tell the signature from: say output_signature=")
        signature = tensorflow.nest.map_structure(tensorflow.type_spec_from_value, samples[0])
    return tensorflow.data.Dataset.from_generator(lambda: iter(samples), output_signature=signature)
