"""The smallest model, to start your own from: reads its inputs, and registers a result and a metric."""

from __future__ import annotations

import json

from deriva_ml import DerivaML, DerivaMLException, ExecAssetType, MLAsset
from deriva_ml.execution import Execution


def my_model(
    largest: int = 10,
    ml_instance: DerivaML | None = None,
    execution: Execution | None = None,
) -> None:
    """List the run's largest input files.

    Args:
        largest: how many to list.
        ml_instance: the catalog connection, put in by `deriva-ml-run`.
        execution: where inputs come from and results go, put in by `deriva-ml-run`.
    """
    if execution is None:
        raise DerivaMLException("my_model needs an execution: start it with `uv run deriva-ml-run`")
    sources = [execution.asset_paths, *(bag.asset_paths for bag in execution.datasets)]
    files = [path for source in sources for paths in source.values() for path in paths]
    files.sort(key=lambda path: -path.stat().st_size)

    # Register every result first: the returned path is where to write it.
    result = execution.asset_file_path(MLAsset.execution_asset, "largest.txt", ExecAssetType.output_file)
    result.write_text("".join(f"{path.stat().st_size} {path.name}\n" for path in files[:largest]))
    execution.metrics_file().write_text(json.dumps({"input_files": len(files)}) + "\n")
    print(f"{len(files)} input files")
