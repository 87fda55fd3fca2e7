"""The recorded runs, each into every kind of catalog, that the tests of a push repeat."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import recorded_run
from recorded_run import KINDS, LOOK_UPS, Beginning, begun, run_of_a_local_dataset, whole_run


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorded_run.small_chunks(monkeypatch)
        yield


@pytest.fixture(scope="module", params=[*KINDS, LOOK_UPS])
def beginning(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Beginning]:
    """Before the whole run, into each kind of catalog."""
    with begun(request.param, tmp_path_factory.mktemp("projects"), whole_run) as made:
        yield made


@pytest.fixture(scope="module", params=["head", "head writer", "1.17.10"])
def with_dataset(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Beginning]:
    """Before the run that brings a dataset along; who may not lease RIDs cannot do that."""
    with begun(request.param, tmp_path_factory.mktemp("projects"), run_of_a_local_dataset) as made:
        yield made
