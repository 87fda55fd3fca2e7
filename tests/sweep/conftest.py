"""What the tests of sweeps share with those of records: a project, and runs in its catalog."""

from __future__ import annotations

from records.conftest import ml, recorded

__all__ = ["ml", "recorded"]
