"""A run's life: executions, configurations, and the functions that notebooks and models are run through.

Names are loaded when they are first used, so that a command imports only what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deriva_ml.asset import AssetSpec, AssetSpecConfig, LocalFile, LocalFileConfig
    from deriva_ml.definitions import Workflow
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.hydra_config import (
        BaseConfig,
        DerivaBaseConfig,
        base_defaults,
        create_model_config,
        get_notebook_configuration,
        load_configs,
        multirun_config,
        notebook_config,
        with_description,
    )
    from deriva_ml.execution.inputs import ExecutionConfiguration
    from deriva_ml.execution.model_run import run_model
    from deriva_ml.execution.notebook_run import run_notebook

_HOMES = {
    "AssetSpec": "asset",
    "AssetSpecConfig": "asset",
    "BaseConfig": "execution.hydra_config",
    "DerivaBaseConfig": "execution.hydra_config",
    "Execution": "execution.execution",
    "ExecutionConfiguration": "execution.inputs",
    "LocalFile": "asset",
    "LocalFileConfig": "asset",
    "Workflow": "definitions",
    "base_defaults": "execution.hydra_config",
    "create_model_config": "execution.hydra_config",
    "get_notebook_configuration": "execution.hydra_config",
    "load_configs": "execution.hydra_config",
    "multirun_config": "execution.hydra_config",
    "notebook_config": "execution.hydra_config",
    "run_model": "execution.model_run",
    "run_notebook": "execution.notebook_run",
    "with_description": "execution.hydra_config",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"deriva_ml.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
