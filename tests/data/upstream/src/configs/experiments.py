"""Experiments."""

from hydra_zen import make_config, store

from configs.base import DerivaModelConfig

experiment_store = store(group="experiment", package="_global_")
experiment_store(
    make_config(
        hydra_defaults=["_self_", {"override /model_config": "flat"}, {"override /datasets": "spring"}],
        description="A mean through the measurements of spring",
        bases=(DerivaModelConfig,),
    ),
    name="spring_mean",
)
