"""Your configurations load, and every name in them can be used on a command line."""

import pytest
from hydra import compose, initialize
from hydra_zen import instantiate, store
from omegaconf import OmegaConf

from deriva_ml.execution import load_configs

load_configs()
store.add_to_hydra_store(overwrite_ok=True)
ENTRIES = [(entry["group"], entry["name"]) for entry in store]


@pytest.mark.parametrize("name", sorted(name for group, name in ENTRIES if group is None))
def test_configuration_composes(name: str) -> None:
    """Each configuration of a notebook or of a model run composes with the defaults that it names."""
    with initialize(version_base="1.3", config_path=None):
        config = compose(name)
    assert OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize("choice", sorted(f"{group}={name}" for group, name in ENTRIES if group))
def test_choice_composes(choice: str) -> None:
    """Each `group=name` fits the model run's configuration and names things that exist."""
    with initialize(version_base="1.3", config_path=None):
        config = compose("deriva_model", [f"+{choice}" if choice.startswith("experiment=") else choice])
    for group in ("deriva_ml", "datasets", "assets", "workflow", "model_config"):
        assert instantiate(config[group]) is not None
