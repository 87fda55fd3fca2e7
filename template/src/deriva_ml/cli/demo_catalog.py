"""``create-demo-catalog``: puts the demo's dataset and weights into the project's own catalog."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from deriva_ml import demo
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.cli.common import command
from deriva_ml.definitions import RID, AssetRole, MLAsset, Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.owner import Owner
from deriva_ml.project import Project
from deriva_ml.records import Workflow, format_duration


@command
def main(argv: Sequence[str]) -> int:
    """Make the demo content, or say that it is there."""
    parser = argparse.ArgumentParser(
        prog="create-demo-catalog",
        description="Put the demo (a dataset of handwritten digits, and three models trained on it) into this"
        " project's catalog. What is there already stays as it is.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser.parse_args(argv)
    project = Project.find()
    with closing(EmbeddedCatalog(project)) as catalog:
        verb = "made the demo content" if add_demo(catalog) else "the demo content is already there,"
        print(f"{verb} in {project.database.relative_to(project.root)}:\n{summary(catalog)}")
    return 0


def add_demo(catalog: EmbeddedCatalog) -> bool:
    """Record what the catalog does not have of the demo yet; False when it had everything.

    Each step can be repeated, so that one that was interrupted is finished by the next.

    Raises:
        DerivaMLRequestError: scikit-learn, which brings the images, is not installed.
    """
    begun = _is_found(catalog.lookup_execution, demo.EXECUTION)
    if begun and catalog.lookup_execution(demo.EXECUTION).status is Status.uploaded:
        return False
    started = time.monotonic()
    try:
        files = demo.demo_files()
    except ImportError as error:
        raise DerivaMLRequestError(
            f"the demo's images are scikit-learn's ({error}): uv add scikit-learn"
        ) from error
    if not begun:
        workflow = Workflow("Demo content", "Training", url="src/deriva_ml/demo.py", rid=demo.WORKFLOW)
        description = "Makes the demo's dataset and trains its models"
        catalog.add_execution(catalog.add_workflow(workflow), description, Owner.of(), rid=demo.EXECUTION)
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            path = Path(folder, file.file_name)
            path.write_bytes(file.content)
            types = [file.asset_type.value]
            asset = catalog.add_asset(path, file.table.value, path.name, types, file.description, file.rid)
            catalog.link_asset(demo.EXECUTION, asset, AssetRole.output)
    if not _is_found(catalog.lookup_dataset, demo.DATASET):
        catalog.add_dataset(
            demo.DATASET_DESCRIPTION,
            [file.rid for file in files if file.table is MLAsset.file],
            types=["Complete"],
            version=demo.DATASET_VERSION,
            execution=demo.EXECUTION,
            rid=demo.DATASET,
        )
    duration = format_duration(time.monotonic() - started)
    catalog.update_execution(demo.EXECUTION, Status.uploaded, "", Execution_Duration=duration)
    return True


def summary(catalog: EmbeddedCatalog) -> str:
    """The demo's records, a line each: RID, table, name or version, description."""
    dataset = catalog.lookup_dataset(demo.DATASET)
    execution = catalog.lookup_execution(demo.EXECUTION)
    rows = [
        (dataset.rid, "Dataset", dataset.version, dataset.description.partition(" (")[0]),
        *(
            (asset.rid, asset.table, asset.filename, asset.description)
            for asset in catalog.assets_of(execution.rid)
        ),
        (execution.rid, "Execution", execution.status.value, execution.description),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(f"  {line}" for line in lines)


def _is_found(look_up: Callable[[RID], object], rid: RID) -> bool:
    """Whether ``look_up`` finds a record."""
    try:
        look_up(rid)
    except DerivaMLRequestError:
        return False
    return True
