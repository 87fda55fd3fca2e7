"""Make the worked example's five files, the same bytes each time, into the template.

They are a real dataset of handwritten digits, and three small models that are trained on it here.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDER = Path(__file__).resolve().parent.parent / "template" / "src" / "deriva_ml" / "demo_files"

Arrays = dict[str, Any]
"""NumPy arrays by name, as an ``.npz`` file holds them."""


def contents() -> dict[str, bytes]:
    """Return the files by name: two of data, then the weights of three models."""
    splits = split(*load_digits())
    made = {f"digits_{name}.npz": npz_bytes(splits[name]) for name in ("train", "heldout")}
    for name, hidden in (("logistic", 0), ("mlp_small", 8), ("mlp_wide", 96)):
        made[f"{name}.npz"] = npz_bytes(train(**splits["train"], hidden=hidden))
    return made


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


if __name__ == "__main__":
    for name, content in contents().items():
        (FOLDER / name).write_bytes(content)
