"""Every kind of catalog that a run records in: the project's own, and Deriva's of either generation.

A live server takes part where ``DERIVA_TEST_HOST`` names one; see ``catalog_kinds``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place
from deriva_double import DerivaDouble
from recorder import Recorder


@pytest.fixture(scope="module")
def double() -> Iterator[DerivaDouble]:
    with DerivaDouble() as running:
        yield running


@pytest.fixture(scope="module")
def live() -> Iterator[tuple[str, str]]:
    """The live server and the catalog on it."""
    host, credential = str(kinds.HOST), kinds.live_credential()
    given = os.environ.get("DERIVA_TEST_CATALOG")
    catalog = given or kinds.create_catalog(host, credential)
    yield host, catalog
    if given is None:
        kinds.delete_catalog(host, catalog, credential)


@pytest.fixture(params=kinds.KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A catalog of each kind; what the test brought to a live server is removed."""
    root, kind = tmp_path / "project", request.param
    if kind == "embedded":
        yield kinds.embedded(root)
    elif kind == "live":
        host, number = request.getfixturevalue("live")
        made = kinds.on_server(root, host, number, kinds.live_credential())
        yield made
        made.clear()
    else:
        monkeypatch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
        generation, _, user = kind.partition(" ")
        yield kinds.on_double(root, request.getfixturevalue("double"), generation, user or "admin")


@pytest.fixture
def catalog(place: Place) -> Iterator[Recorder]:
    """The catalog, open."""
    with closing(place.open()) as opened:
        yield opened
