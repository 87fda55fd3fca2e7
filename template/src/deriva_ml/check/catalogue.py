"""All rules, in groups by what their codes begin with."""

from __future__ import annotations

import deriva_ml.check.committed_rules as committed_rules
import deriva_ml.check.file_rules as file_rules
import deriva_ml.check.order_rules as order_rules
from deriva_ml.check.rule import RULES, Rule

__all__ = ["GROUPS", "RULES", "rules_of"]

MODULES = (
    committed_rules,
    file_rules,
    order_rules,
)
"""Whose rules are registered as they are imported."""

GROUPS = {
    "DML3": "The committed file",
    "DML4": "The order of cells",
    "DML9": "The file itself",
}


def rules_of(prefix: str) -> list[Rule]:
    """Return the rules whose codes begin so, in their order."""
    return [RULES[code] for code in sorted(RULES) if code.startswith(prefix)]
