"""The catalog, of both generations, that the tests of its datasets fill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deriva_double import DerivaDouble
from remote_datasets.study import Study


@pytest.fixture(params=["head", "1.17.10"])
def study(request: pytest.FixtureRequest) -> Iterator[Study]:
    with DerivaDouble() as double:
        made = Study(double, request.param)
        yield made
        made.server.close()
