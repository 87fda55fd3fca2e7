"""The demo: a real dataset of handwritten digits and three small models trained on it, and recording them.

The training below is the demo's own: the runner may not import ``src/models``, which is the user's to change
or delete.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.cli.common import CommandParser, command, relative
from deriva_ml.definitions import RID, AssetRole, ExecAssetType, MLAsset, Status, Workflow, format_duration
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.terminal import print_lines

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORKFLOW: RID = "DEMO-WORK"
EXECUTION: RID = "DEMO-EXEC"
DATASET: RID = "DEMO-DATA"
DATASET_VERSION = "1.0.0"
DATASET_DESCRIPTION = (
    "Handwritten digits: 1,797 images of 8x8 pixels (Alpaydin and Kaynak 1998, UCI, doi:10.24432/C50P49)"
)

Arrays = dict[str, Any]
"""NumPy arrays by name, as an ``.npz`` file holds them."""


@dataclass(frozen=True)
class DemoFile:
    """One file of the demo: where it is recorded, under which reserved RID, and its bytes."""

    rid: RID
    table: MLAsset
    asset_type: ExecAssetType
    file_name: str
    description: str
    content: bytes


def demo_files() -> list[DemoFile]:
    """Make the demo's files, the same bytes each time: two of data, then the weights of three models."""
    splits = split(*load_digits())
    files = []
    for rid, name, text in (
        ("DEMO-TRNF", "train", "Digits to train on: arrays images (n, 8, 8) and labels (n,)"),
        ("DEMO-HLDF", "heldout", "Digits to judge a model by: arrays images (n, 8, 8) and labels (n,)"),
    ):
        content = npz_bytes(splits[name])
        files.append(
            DemoFile(rid, MLAsset.file, ExecAssetType.input_file, f"digits_{name}.npz", text, content)
        )
    for rid, name, hidden, text in (
        ("DEMO-W001", "logistic", 0, "Logistic regression"),
        ("DEMO-W002", "mlp_small", 8, "Network with one hidden layer of 8 units"),
        ("DEMO-W003", "mlp_wide", 96, "Network with one hidden layer of 96 units"),
    ):
        content = npz_bytes(train(**splits["train"], hidden=hidden))
        files.append(
            DemoFile(rid, MLAsset.execution_asset, ExecAssetType.model_file, f"{name}.npz", text, content)
        )
    return files


def load_digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """The digits that scikit-learn bundles: images (1797, 8, 8) of grey values 0 to 16, labels; both uint8.

    Read from its data file where that lies as expected: importing ``sklearn`` takes longer than all the rest.
    """
    import numpy as np

    spec = importlib.util.find_spec("sklearn")
    bundled = Path(spec.origin).parent / "datasets/data/digits.csv.gz" if spec and spec.origin else None
    if bundled and bundled.is_file():
        with gzip.open(bundled, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",").astype(np.uint8)
        return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    from sklearn.datasets import load_digits as load

    bunch = load()
    return bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)


def split(images: NDArray[Any], labels: NDArray[Any]) -> dict[str, Arrays]:
    """Hold out the last fifth of each digit's images, in the order of the file; the rest is to train on.

    Neighbours in the file are often one writer's, so a shuffled split would put the same hand on both sides
    and flatter every model.
    """
    import numpy as np

    heldout = np.zeros(len(labels), dtype=bool)
    for digit in np.unique(labels):
        places = np.flatnonzero(labels == digit)
        heldout[places[len(places) - len(places) // 5 :]] = True
    return {
        name: {"images": images[chosen], "labels": labels[chosen]}
        for name, chosen in (("train", ~heldout), ("heldout", heldout))
    }


def train(images: NDArray[Any], labels: NDArray[Any], hidden: int, steps: int = 300) -> Arrays:
    """Fit a network with ``hidden`` units (0: logistic regression) by gradient descent with momentum.

    Returns:
        For layer ``i`` the arrays ``weights_i`` (inputs, outputs) and ``bias_i``, and ``classes``, the label
        that each output stands for. Inputs are grey values divided by 16; the hidden layer ends in ReLU, the
        last in softmax.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    rate, momentum, l2 = 0.3, 0.9, 1e-3
    classes, target = np.unique(labels, return_inverse=True)
    truth = np.eye(len(classes))[target]
    grey = images.reshape(len(images), -1) / 16
    random = np.random.default_rng(0)
    sizes = [grey.shape[1], *([hidden] if hidden else []), len(classes)]
    layers = [(random.normal(0, np.sqrt(2 / n), (n, m)), np.zeros(m)) for n, m in pairwise(sizes)]
    speeds = [(np.zeros_like(weights), np.zeros_like(bias)) for weights, bias in layers]
    # One thread: matrices this small gain nothing from more, and wait for them on a busy machine.
    with threadpool_limits(1):
        for _ in range(steps):
            signals = [grey]
            for weights, bias in layers[:-1]:
                signals.append(np.maximum(signals[-1] @ weights + bias, 0))
            weights, bias = layers[-1]
            error = (softmax(signals[-1] @ weights + bias) - truth) / len(truth)
            for signal, layer, speed in zip(signals[::-1], layers[::-1], speeds[::-1], strict=True):
                slopes = signal.T @ error + l2 * layer[0], error.sum(axis=0)
                error = (error @ layer[0].T) * (signal > 0)
                for parameter, velocity, slope in zip(layer, speed, slopes, strict=True):
                    velocity *= momentum
                    velocity -= rate * slope
                    parameter += velocity
    # Rounded, so that machines whose arithmetic differs in the last digits still make the same files.
    arrays: Arrays = {"classes": classes}
    for i, (weights, bias) in enumerate(layers):
        arrays[f"weights_{i}"] = weights.round(4).astype(np.float32)
        arrays[f"bias_{i}"] = bias.round(4).astype(np.float32)
    return arrays


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    """Each row of ``scores`` as probabilities that sum to one."""
    import numpy as np

    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return chances


def npz_bytes(arrays: Arrays) -> bytes:
    """An ``.npz`` file of plain arrays: no pickle and no time stamp, so equal arrays make equal bytes."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    return CommandParser(
        "create-demo-catalog",
        usage="[options]",
        description="Put the worked example's data into the project's catalog, and list them: a dataset of handwritten"
        " digits, and three models that were trained on it. What is there already stays as it is.",
        examples=["create-demo-catalog"],
    )


@command
def main(argv: Sequence[str]) -> int:
    """Make the demo content, or say that it is there."""
    parser().parse_args(argv)
    project = Project.find()
    with closing(open_local(project)) as catalog:
        verb = "made the demo content" if add_demo(catalog) else "the demo content is already there,"
        print_lines(f"{verb} in {relative(project.database)}:\n{summary(catalog)}")
    return 0


def add_demo(catalog: EmbeddedCatalog) -> bool:
    """Record what the catalog does not have of the demo yet; False when it had everything.

    Each step can be repeated, so that one that was interrupted is finished by the next.

    Raises:
        DerivaMLRequestError: scikit-learn, which brings the images, is not installed.
    """
    begun = _is_found(catalog.lookup_execution, EXECUTION)
    if begun and catalog.lookup_execution(EXECUTION).status is Status.uploaded:
        return False
    started = time.monotonic()
    try:
        files = demo_files()
    except ImportError as error:
        raise DerivaMLRequestError(
            f"the demo's images are scikit-learn's ({error}): uv add scikit-learn"
        ) from error
    if not begun:
        workflow = Workflow("Demo content", "Training", url="src/deriva_ml/demo.py", rid=WORKFLOW)
        description = "Makes the demo's dataset and trains its models"
        catalog.add_execution(workflow, description, Owner.here(catalog.project.state), rid=EXECUTION)
    with tempfile.TemporaryDirectory() as folder, catalog.transaction():
        for file in files:
            path = Path(folder, file.file_name)
            path.write_bytes(file.content)
            types = [file.asset_type.value]
            asset = catalog.add_asset(path, file.table.value, path.name, types, file.description, file.rid)
            catalog.link_asset(EXECUTION, asset, AssetRole.output)
    if not _is_found(catalog.lookup_dataset, DATASET):
        catalog.add_dataset(
            DATASET_DESCRIPTION,
            [file.rid for file in files if file.table is MLAsset.file],
            types=["Complete"],
            version=DATASET_VERSION,
            execution=EXECUTION,
            rid=DATASET,
        )
    duration = format_duration(time.monotonic() - started)
    catalog.update_execution(EXECUTION, Status.uploaded, "", Execution_Duration=duration)
    return True


def summary(catalog: EmbeddedCatalog) -> str:
    """The demo's records, a line each: RID, table, name or version, description."""
    dataset = catalog.lookup_dataset(DATASET)
    execution = catalog.lookup_execution(EXECUTION)
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
