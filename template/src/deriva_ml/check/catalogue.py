"""All rules, by the groups that their codes begin with."""

from __future__ import annotations

from types import ModuleType

import deriva_ml.check.committed_rules as committed_rules
import deriva_ml.check.file_rules as file_rules
from deriva_ml.check.rule import RULES, Rule

__all__ = ["GROUPS", "RULES", "group_of"]

GROUPS: dict[str, ModuleType] = {
    "DML3": committed_rules,
    "DML9": file_rules,
}
"""The modules of rules; the first line of each says what its group is about."""


def group_of(rule: Rule) -> ModuleType:
    """Return the module of a rule's group."""
    return GROUPS[rule.code[:4]]
