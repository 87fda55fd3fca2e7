"""A run's life: executions, configurations, and the functions that notebooks and models are run through.

Names are loaded when they are first used, so that a command imports only what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deriva_ml.lazy import exporter

if TYPE_CHECKING:
    from deriva_ml.asset import AssetSpec as AssetSpec
    from deriva_ml.asset import AssetSpecConfig as AssetSpecConfig
    from deriva_ml.asset import LocalFile as LocalFile
    from deriva_ml.asset import LocalFileConfig as LocalFileConfig
    from deriva_ml.config.compose import get_notebook_configuration as get_notebook_configuration
    from deriva_ml.config.entries import BaseConfig as BaseConfig
    from deriva_ml.config.entries import DerivaBaseConfig as DerivaBaseConfig
    from deriva_ml.config.entries import base_defaults as base_defaults
    from deriva_ml.config.entries import multirun_config as multirun_config
    from deriva_ml.config.entries import notebook_config as notebook_config
    from deriva_ml.config.entries import with_description as with_description
    from deriva_ml.config.modules import load_configs as load_configs
    from deriva_ml.definitions import Workflow as Workflow
    from deriva_ml.execution.execution import Execution as Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration as ExecutionConfiguration
    from deriva_ml.execution.model_run import create_model_config as create_model_config
    from deriva_ml.execution.model_run import run_model as run_model
    from deriva_ml.execution.notebook_api import run_notebook as run_notebook

__getattr__ = exporter(__name__, __file__)
