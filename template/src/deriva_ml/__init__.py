"""DerivaML's runner: executes notebooks and models, and records each execution in a catalog.

Names are loaded when they are first used, so that a command imports only what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deriva_ml.lazy import exporter

if TYPE_CHECKING:
    from deriva_ml.catalog.connect import DerivaMLConfig
    from deriva_ml.core import DerivaML
    from deriva_ml.definitions import RID, ExecAssetType, ExecMetadataType, MLAsset, Status
    from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, DerivaMLRunError

__all__ = [
    "RID",
    "DerivaML",
    "DerivaMLConfig",
    "DerivaMLException",
    "DerivaMLRequestError",
    "DerivaMLRunError",
    "ExecAssetType",
    "ExecMetadataType",
    "MLAsset",
    "Status",
]

__getattr__ = exporter(
    __name__,
    {
        "catalog.connect": "DerivaMLConfig",
        "core": "DerivaML",
        "definitions": "ExecAssetType ExecMetadataType MLAsset RID Status",
        "exceptions": "DerivaMLException DerivaMLRequestError DerivaMLRunError",
    },
)
