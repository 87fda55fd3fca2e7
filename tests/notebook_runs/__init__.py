"""Notebook runs that fail, are stopped, or are refused."""

import pytest

pytest.register_assert_rewrite("notebook_runs.runs")
