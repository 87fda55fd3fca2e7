"""The example model computes what it says."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from deriva_ml import DerivaMLException
from models.digits import fit, load_weights, predict, predict_proba, train_digits


def noisy_images(classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sixty images of each class: a pattern of its own, under noise."""
    patterns = np.random.default_rng(0).integers(0, 17, (classes, 8, 8))
    labels = np.repeat(np.arange(classes), 60)
    noise = np.random.default_rng(seed).normal(0, 4, (len(labels), 8, 8))
    return np.clip(patterns[labels] + noise, 0, 16).astype(np.uint8), labels.astype(np.uint8)


@pytest.mark.parametrize("hidden_layer", [0, 6])
@pytest.mark.parametrize("classes", [2, 10])
def test_learns(hidden_layer: int, classes: int) -> None:
    """Trained on a few images, it reads most of those that it has not seen."""
    weights, _ = fit(*noisy_images(classes, seed=1), hidden_layer, l2=1.0, max_iter=100, seed=0)
    images, labels = noisy_images(classes, seed=2)
    assert (predict(weights, images)[0] == labels).mean() > 0.9


@pytest.mark.parametrize("scale", [1.0, 1e5])
def test_probabilities(scale: float) -> None:
    """Each row of probabilities sums to one, however large the weights are."""
    images, labels = noisy_images(10, seed=1)
    weights, _ = fit(images, labels, hidden_layer=6, l2=1.0, max_iter=5, seed=0)
    chances = predict_proba({**weights, "weights_1": scale * weights["weights_1"]}, images)
    assert chances.shape == (600, 10)
    assert chances.min() >= 0
    np.testing.assert_allclose(chances.sum(axis=1), 1)


def fake_execution(folder: Path, files: list[Path]) -> SimpleNamespace:
    """What the model uses of an execution: a dataset's files, and places for results."""
    return SimpleNamespace(
        datasets=[SimpleNamespace(asset_paths={"File": files})],
        asset_file_path=lambda table, name, *_, **__: folder / name,
        metrics_file=lambda: folder / "metrics.jsonl",
    )


def test_registers_results(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run leaves weights that can be used again, a prediction for each held-out image, and its metrics."""
    files = [tmp_path / "digits_train.npz", tmp_path / "digits_heldout.npz"]
    images, labels = noisy_images(10, seed=1)
    np.savez(files[0], images=images, labels=labels)
    np.savez(files[1], images=images, labels=labels[::-1])
    train_digits(max_iter=50, execution=fake_execution(tmp_path, files))
    read, _ = predict(load_weights(tmp_path / "digits_weights.npz"), images)
    lines = [line.split(",") for line in (tmp_path / "predictions.csv").read_text().splitlines()]
    assert lines[0] == ["image", "label", "predicted", "probability"]
    wanted = zip(labels[::-1], read, strict=True)
    assert [line[1:3] for line in lines[1:]] == [[str(label), str(guess)] for label, guess in wanted]
    assert '"heldout_accuracy": 0.0,' in (tmp_path / "metrics.jsonl").read_text()
    assert "held-out digits right" in capsys.readouterr().out


def test_says_what_is_missing(tmp_path: Path) -> None:
    """Without its dataset it says what to add to the command."""
    with pytest.raises(DerivaMLException, match="datasets=training_data"):
        train_digits(execution=fake_execution(tmp_path, []))
