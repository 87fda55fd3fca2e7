"""How a Deriva server is spoken to."""

import pytest

pytest.register_assert_rewrite("remote_server.calls")
