"""All rules: the modules that have them, which register them as they are imported."""

from __future__ import annotations

import deriva_ml.check.committed_rules as committed_rules
import deriva_ml.check.configuration_rules as configuration_rules
import deriva_ml.check.file_rules as file_rules
import deriva_ml.check.order_rules as order_rules
import deriva_ml.check.parameters_rules as parameters_rules
import deriva_ml.check.path_rules as path_rules
import deriva_ml.check.place_rules as place_rules
import deriva_ml.check.repeat_rules as repeat_rules
import deriva_ml.check.run_rules as run_rules
from deriva_ml.check.rule import RULES

__all__ = ["MODULES", "RULES"]

MODULES = (
    committed_rules,
    file_rules,
    order_rules,
    parameters_rules,
    path_rules,
    place_rules,
    repeat_rules,
    run_rules,
    configuration_rules,
)
