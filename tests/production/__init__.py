"""Runs that are recorded into a Deriva catalog, through a project's own commands."""

import pytest

pytest.register_assert_rewrite("production.site")
