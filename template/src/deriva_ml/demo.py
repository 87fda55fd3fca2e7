"""The demo: a real dataset of handwritten digits and three small models trained on it, and recording them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.cli.arguments import CommandParser
from deriva_ml.cli.command import command
from deriva_ml.cli.summary import relative
from deriva_ml.definitions import RID, AssetRole, ExecAssetType, MLAsset, Status, Workflow, format_duration
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.table import aligned
from deriva_ml.terminal import print_lines

WORKFLOW: RID = "DEMO-WORK"
EXECUTION: RID = "DEMO-EXEC"
DATASET: RID = "DEMO-DATA"
DATASET_VERSION = "1.0.0"
DATASET_DESCRIPTION = (
    "Handwritten digits: 1,797 images of 8x8 pixels (Alpaydin and Kaynak 1998, UCI, doi:10.24432/C50P49)"
)


@dataclass(frozen=True)
class DemoFile:
    """One file of the demo: where it is recorded, under which reserved RID, and where its content lies."""

    rid: RID
    table: MLAsset
    asset_type: ExecAssetType
    file_name: str
    description: str

    @property
    def path(self) -> Path:
        """The file that came with the runner."""
        return Path(__file__).parent / "demo_files" / self.file_name


_DATA, _MODEL = (MLAsset.file, ExecAssetType.input_file), (MLAsset.execution_asset, ExecAssetType.model_file)
_ARRAYS = "arrays images (n, 8, 8) and labels (n,)"

FILES = (
    DemoFile("DEMO-TRNF", *_DATA, "digits_train.npz", f"Digits to train on: {_ARRAYS}"),
    DemoFile("DEMO-HLDF", *_DATA, "digits_heldout.npz", f"Digits to judge a model by: {_ARRAYS}"),
    DemoFile("DEMO-W001", *_MODEL, "logistic.npz", "Logistic regression"),
    DemoFile("DEMO-W002", *_MODEL, "mlp_small.npz", "Network with one hidden layer of 8 units"),
    DemoFile("DEMO-W003", *_MODEL, "mlp_wide.npz", "Network with one hidden layer of 96 units"),
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    return CommandParser(
        "create-demo-catalog",
        usage="[options]",
        description="Put the worked example's data into the project's catalog, and list them: a dataset of handwritten"
        " digits, and three models that were trained on it. What is there already stays as it is.",
        examples=["create-demo-catalog"],
    )


@command
def main(argv: Sequence[str]) -> None:
    """Put the demo content into the catalog, or say that it is there."""
    parser().parse_args(argv)
    project = Project.find()
    with closing(open_local(project)) as catalog:
        verb = "made the demo content" if add_demo(catalog) else "the demo content is already there,"
        print_lines(f"{verb} in {relative(project.database)}:\n{summary(catalog)}")


def add_demo(catalog: EmbeddedCatalog) -> bool:
    """Record what the catalog does not have of the demo yet; False when it had everything.

    Each step can be repeated, so that one that was interrupted is finished by the next.

    Raises:
        DerivaMLRequestError: a file of the demo is not there.
    """
    begun = _is_found(catalog.lookup_execution, EXECUTION)
    if begun and catalog.lookup_execution(EXECUTION).status is Status.uploaded:
        return False
    started = time.monotonic()
    if missing := [file.path for file in FILES if not file.path.is_file()]:
        raise DerivaMLRequestError(f"{missing[0]} is not there: take it back from git if you have deleted it")
    if not begun:
        workflow = Workflow("Demo content", "Training", url="src/deriva_ml/demo.py", rid=WORKFLOW)
        description = "Brings the demo's dataset, and models that were trained on it"
        catalog.add_execution(workflow, description, Owner.here(catalog.project.state), rid=EXECUTION)
    with catalog.transaction():
        for file in FILES:
            table, types = file.table.value, [file.asset_type.value]
            asset = catalog.add_asset(file.path, table, file.file_name, types, file.description, file.rid)
            catalog.link_asset(EXECUTION, asset, AssetRole.output)
    if not _is_found(catalog.lookup_dataset, DATASET):
        files = [file.rid for file in FILES if file.table is MLAsset.file]
        catalog.add_dataset(DATASET_DESCRIPTION, files, ["Complete"], DATASET_VERSION, EXECUTION, rid=DATASET)
    duration = format_duration(time.monotonic() - started)
    catalog.update_execution(EXECUTION, Status.uploaded, "", Execution_Duration=duration)
    return True


def summary(catalog: EmbeddedCatalog) -> str:
    """Return the demo's records, a line each: RID, table, name or version, description."""
    dataset = catalog.lookup_dataset(DATASET)
    execution = catalog.lookup_execution(EXECUTION)
    assets = catalog.assets_of(EXECUTION)
    rows = [
        (dataset.rid, "Dataset", dataset.version, dataset.description.partition(" (")[0]),
        *((asset.rid, asset.table, asset.filename, asset.description) for asset in assets),
        (execution.rid, "Execution", execution.status.value, execution.description),
    ]
    return indent(aligned(rows), "  ")


def _is_found(look_up: Callable[[RID], object], rid: RID) -> bool:
    """Whether ``look_up`` finds a record."""
    try:
        look_up(rid)
    except DerivaMLRequestError:
        return False
    return True
