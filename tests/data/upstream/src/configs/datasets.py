"""Datasets."""

from hydra_zen import store

from deriva_ml.dataset import DatasetSpecConfig
from deriva_ml.execution import with_description

datasets_store = store(group="datasets")
datasets_store([], name="default_dataset")
datasets_store([], name="no_datasets")
datasets_store(
    with_description([DatasetSpecConfig(rid="3SY", version="1.0.0")], "Measured in spring"), name="spring"
)
