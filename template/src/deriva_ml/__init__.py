"""DerivaML's runner: executes notebooks and models, and records each execution in a catalog.

Names are loaded when they are first used, so that a command imports only what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deriva_ml.lazy import exporter

if TYPE_CHECKING:
    from deriva_ml.asset import AssetFilePath as AssetFilePath
    from deriva_ml.asset import AssetSpec as AssetSpec
    from deriva_ml.asset import AssetSpecConfig as AssetSpecConfig
    from deriva_ml.catalog.catalog_config import DerivaMLConfig as DerivaMLConfig
    from deriva_ml.core import DerivaML as DerivaML
    from deriva_ml.dataset import DatasetSpec as DatasetSpec
    from deriva_ml.dataset import DatasetSpecConfig as DatasetSpecConfig
    from deriva_ml.definitions import RID as RID
    from deriva_ml.definitions import ExecAssetType as ExecAssetType
    from deriva_ml.definitions import ExecMetadataType as ExecMetadataType
    from deriva_ml.definitions import MLAsset as MLAsset
    from deriva_ml.definitions import Status as Status
    from deriva_ml.definitions import Workflow as Workflow
    from deriva_ml.exceptions import DerivaMLException as DerivaMLException
    from deriva_ml.exceptions import DerivaMLRequestError as DerivaMLRequestError
    from deriva_ml.exceptions import DerivaMLRunError as DerivaMLRunError
    from deriva_ml.execution.execution import Execution as Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration as ExecutionConfiguration
    from deriva_ml.project import ProjectSettings as ProjectSettings
    from deriva_ml.project import project_settings as project_settings

__getattr__ = exporter(__name__, __file__)
