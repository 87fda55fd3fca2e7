"""What the sweeps share."""

from __future__ import annotations

import pytest

from sweeps.killed import Told


@pytest.fixture
def told(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Told:
    """Prints a figure, whether or not the test succeeds."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(f"\n{request.node.name}: {text}")

    return tell
