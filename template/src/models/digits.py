"""The example model: learns to read handwritten digits, and records its weights, predictions and metrics.

NumPy and scikit-learn are imported inside the functions: every run loads all configurations, and this file
with them, whether it trains this model or not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml import DerivaML, DerivaMLException, ExecAssetType, MLAsset
from deriva_ml.execution import Execution

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = dict[str, Any]
"""NumPy arrays by name, as an `.npz` file holds them."""


def train_digits(
    hidden_layer: int = 0,
    l2: float = 1.0,
    max_iter: int = 200,
    seed: int = 0,
    ml_instance: DerivaML | None = None,
    execution: Execution | None = None,
) -> None:
    """Train on the images of the run's dataset, judge the model by the held-out ones, register the results.

    Args:
        hidden_layer: units in the hidden layer; 0 for none, which is logistic regression.
        l2: strength of the penalty on large weights; 0 for none.
        max_iter: the most iterations that the optimizer (L-BFGS) may take.
        seed: of the initial weights.
        ml_instance: the catalog's connection, put in by `deriva-ml-run`.
        execution: where inputs come from and results go, put in by `deriva-ml-run`.

    Raises:
        DerivaMLException: the run has no dataset with the images.
    """
    if execution is None:
        raise DerivaMLException("train_digits needs an execution: start it with `uv run deriva-ml-run`")
    images, labels = load_split(execution, "train")
    heldout_images, heldout_labels = load_split(execution, "heldout")

    import numpy as np

    weights, iterations = fit(images, labels, hidden_layer, l2, max_iter, seed)
    trained, _ = predict(weights, images)
    predicted, probability = predict(weights, heldout_images)
    accuracy = float((predicted == heldout_labels).mean())

    # Register every result first: the path that comes back is where to write it.
    file = execution.asset_file_path(MLAsset.execution_asset, "digits_weights.npz", ExecAssetType.model_file)
    np.savez(file, **weights)

    file = execution.asset_file_path(MLAsset.execution_asset, "predictions.csv", ExecAssetType.output_file)
    rows = zip(heldout_labels, predicted, probability, strict=True)
    lines = [f"{i},{label},{guess},{sure:.4f}\n" for i, (label, guess, sure) in enumerate(rows)]
    file.write_text("".join(["image,label,predicted,probability\n", *lines]))

    metrics = {
        "heldout_accuracy": round(accuracy, 4),
        "train_accuracy": round(float((trained == labels).mean()), 4),
        "iterations": iterations,
        "converged": iterations < max_iter,
    }
    execution.metrics_file().write_text(json.dumps(metrics) + "\n")

    kind = f"network with {hidden_layer} hidden units" if hidden_layer else "logistic regression"
    print(f"{kind}: {accuracy:.1%} of {len(predicted)} held-out digits right after {iterations} iterations")


def load_split(execution: Execution, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """The images (n, 8, 8), grey values 0 to 16, and labels (n,) in the dataset's `digits_<name>.npz`.

    Raises:
        DerivaMLException: no dataset of the run holds that file.
    """
    import numpy as np

    wanted = f"digits_{name}.npz"
    for bag in execution.datasets:
        for path in bag.asset_paths.get("File", []):
            if path.name == wanted:
                with np.load(path, allow_pickle=False) as arrays:
                    return arrays["images"], arrays["labels"]
    raise DerivaMLException(f"no dataset of this run holds {wanted}: add datasets=training_data")


def fit(
    images: NDArray[Any], labels: NDArray[Any], hidden_layer: int, l2: float, max_iter: int, seed: int
) -> tuple[Arrays, int]:
    """Fit a classifier; return its weights, in the form `predict_proba` takes, and the iterations it took."""
    import warnings

    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    model: Any = LogisticRegression(C=1 / l2 if l2 else np.inf, max_iter=max_iter)
    if hidden_layer:
        layer = (hidden_layer,)
        model = MLPClassifier(layer, solver="lbfgs", alpha=l2, max_iter=max_iter, random_state=seed)
    # One thread: small matrices gain nothing from more, and sums add up in the same order on any machine.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the metrics say whether it converged
        model.fit(as_rows(images), labels)
    if hidden_layer:
        layers = list(zip(model.coefs_, model.intercepts_, strict=True))
    else:
        layers = [(model.coef_.T, model.intercept_)]
    if len(model.classes_) == 2:  # scikit-learn then scores the second class only; softmax takes both
        weights, bias = layers[-1]
        layers[-1] = np.hstack([0 * weights, weights]), np.hstack([0 * bias, bias])
    arrays: Arrays = {"classes": model.classes_}
    for i, (weights, bias) in enumerate(layers):
        arrays |= {f"weights_{i}": weights, f"bias_{i}": bias}
    return arrays, int(np.max(model.n_iter_))


def predict_proba(weights: Arrays, images: NDArray[Any]) -> NDArray[Any]:
    """Probabilities (n, classes) that each image shows each of `weights["classes"]`; every row sums to one.

    Args:
        weights: `weights_i` (inputs, outputs) and `bias_i` of each layer. ReLU follows every layer but the
            last, softmax the last.
        images: grey values 0 to 16, (n, 8, 8).
    """
    import numpy as np

    last = sum(name.startswith("bias_") for name in weights) - 1
    signal = as_rows(images)
    for i in range(last):
        signal = np.maximum(signal @ weights[f"weights_{i}"] + weights[f"bias_{i}"], 0)
    scores = signal @ weights[f"weights_{last}"] + weights[f"bias_{last}"]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances: NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
    return chances


def predict(weights: Arrays, images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The most probable digit for each image, and its probability."""
    chances = predict_proba(weights, images)
    return weights["classes"][chances.argmax(axis=1)], chances.max(axis=1)


def load_weights(path: Path) -> Arrays:
    """Read a weights file: plain arrays only, so that no file can make the reader run code."""
    import numpy as np

    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def as_rows(images: NDArray[Any]) -> NDArray[Any]:
    """Images as rows of numbers from 0 to 1, a row an image."""
    return images.reshape(len(images), -1) / 16
