"""DerivaML's runner: executes notebooks and models, and records each execution in a catalog.

Names are loaded when they are first used, so that a command imports only what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deriva_ml.lazy import exporter

if TYPE_CHECKING:
    from deriva_ml.asset import AssetFilePath, AssetSpec, AssetSpecConfig
    from deriva_ml.catalog.catalog_config import DerivaMLConfig
    from deriva_ml.core import DerivaML
    from deriva_ml.dataset import DatasetSpec, DatasetSpecConfig
    from deriva_ml.definitions import RID, ExecAssetType, ExecMetadataType, MLAsset, Status, Workflow
    from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, DerivaMLRunError
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration
    from deriva_ml.project import ProjectSettings, project_settings

__all__ = [
    "RID",
    "AssetFilePath",
    "AssetSpec",
    "AssetSpecConfig",
    "DatasetSpec",
    "DatasetSpecConfig",
    "DerivaML",
    "DerivaMLConfig",
    "DerivaMLException",
    "DerivaMLRequestError",
    "DerivaMLRunError",
    "ExecAssetType",
    "ExecMetadataType",
    "Execution",
    "ExecutionConfiguration",
    "MLAsset",
    "ProjectSettings",
    "Status",
    "Workflow",
    "project_settings",
]

__getattr__ = exporter(__name__, __file__)
