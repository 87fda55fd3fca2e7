"""A run's life: executions, configurations, and the functions that notebooks and models are run through.

Names are loaded when they are first used, so that a command imports only what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deriva_ml.lazy import exporter

if TYPE_CHECKING:
    from deriva_ml.asset import AssetSpec, AssetSpecConfig, LocalFile, LocalFileConfig
    from deriva_ml.config.compose import get_notebook_configuration
    from deriva_ml.config.entries import (
        BaseConfig,
        DerivaBaseConfig,
        base_defaults,
        multirun_config,
        notebook_config,
        with_description,
    )
    from deriva_ml.config.modules import load_configs
    from deriva_ml.definitions import Workflow
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration
    from deriva_ml.execution.model_run import create_model_config, run_model
    from deriva_ml.execution.notebook_api import run_notebook

__all__ = [
    "AssetSpec",
    "AssetSpecConfig",
    "BaseConfig",
    "DerivaBaseConfig",
    "Execution",
    "ExecutionConfiguration",
    "LocalFile",
    "LocalFileConfig",
    "Workflow",
    "base_defaults",
    "create_model_config",
    "get_notebook_configuration",
    "load_configs",
    "multirun_config",
    "notebook_config",
    "run_model",
    "run_notebook",
    "with_description",
]

__getattr__ = exporter(__name__, __file__)
