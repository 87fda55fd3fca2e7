"""What the subcommands of ``deriva-ml-dataset`` have in common: which dataset is meant, and what is said of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deriva_ml.dataset_version import state_with
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.terminal import counted, human, print

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.definitions import DatasetState


def meant(catalog: EmbeddedCatalog, text: str) -> tuple[str, str | None]:
    """Return the RID here, and the version if one is named, that ``NAME``, ``RID`` or either with ``@VERSION`` means.

    Raises:
        DerivaMLRequestError: there is no such dataset.
    """
    from deriva_ml.cli.named import rid_of
    from deriva_ml.dataset import DatasetSpec
    from deriva_ml.datasets.names import found

    spec = DatasetSpec.from_shorthand(text.encode(errors="backslashreplace").decode())
    if spec.name:
        here = catalog.dataset_named(spec.name)
        return here or found(spec, catalog, catalog.project)[1].rid, spec.version
    rid = rid_of(catalog, spec.rid)
    if not catalog.dataset_versions(rid):
        raise DerivaMLRequestError(f"there is no dataset {rid} in this project's catalog")
    return rid, spec.version


def only(catalog: EmbeddedCatalog, text: str) -> str:
    """Return the RID here of the dataset that is to be changed.

    Raises:
        DerivaMLRequestError: there is none, or a version is named, which nothing changes.
    """
    from deriva_ml.datasets.names import read

    rid, version = meant(catalog, text)
    if version is not None:
        raise DerivaMLRequestError(f"{text}: a version never changes; name the dataset alone")
    if text in read(catalog.project) and not catalog.name_of_dataset(rid):
        # It came when another one was called so, and what is released of it belongs under this name.
        catalog.lookup_dataset(rid)  # it is not deleted
        catalog.name_dataset(rid, text)
    return rid


def state_of(catalog: EmbeddedCatalog, rid: str, version: str | None = None) -> DatasetState:
    """Return the state of a dataset with a version; by default its newest."""
    return state_with(catalog.dataset_versions(rid), version, name_of(catalog, rid))


def name_of(catalog: EmbeddedCatalog, rid: str) -> str:
    """Return what a dataset is called here: its name, or its RID."""
    return catalog.name_of_dataset(rid) or rid


def say_state(catalog: EmbeddedCatalog, rid: str) -> None:
    """Say what a dataset is now."""

    state = state_of(catalog, rid)
    print(
        f"{name_of(catalog, rid)} {state.version}: {counted(state.files, 'file')}, {human(state.bytes)}; RID {rid}"
    )


@contextmanager
def told_to_commit(catalog: EmbeddedCatalog) -> Iterator[None]:
    """Say that the file of names is to be committed, if it is another one in the end."""
    from deriva_ml.datasets.names import FILE

    path = Path(catalog.project.root / FILE)

    def content() -> bytes:
        return path.read_bytes() if path.is_file() else b""

    before = content()
    yield
    if content() != before:
        print(f"commit {FILE}")
