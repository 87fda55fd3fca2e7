"""DerivaML's runner: executes notebooks and models, and records each execution in a catalog.

Names are loaded when they are first used, so that a command imports only what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deriva_ml.catalog.connect import DerivaMLConfig
    from deriva_ml.core import DerivaML
    from deriva_ml.definitions import RID, ExecAssetType, ExecMetadataType, MLAsset, Status
    from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, DerivaMLRunError

_HOMES = {
    "DerivaML": "core",
    "DerivaMLConfig": "catalog.connect",
    "DerivaMLException": "exceptions",
    "DerivaMLRequestError": "exceptions",
    "DerivaMLRunError": "exceptions",
    "ExecAssetType": "definitions",
    "ExecMetadataType": "definitions",
    "MLAsset": "definitions",
    "RID": "definitions",
    "Status": "definitions",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
