"""JSON as the services write it."""

from __future__ import annotations

import json
from typing import Any


def to_json(value: Any) -> str:
    """One line, with a blank after colons and commas, non-ASCII characters as they are."""
    return json.dumps(value, ensure_ascii=False)
