"""What a project registers: notebooks' configurations, described lists of inputs, and sweeps."""

# Annotations are not postponed here: hydra-zen reads those of ``BaseConfig`` from modules that derive from it, where
# the text "Any" may mean nothing, and would then take every field for untyped.

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_zen import builds, store

base_defaults: list[Any] = [
    "_self_",
    {"deriva_ml": "default_deriva"},
    {"datasets": "default_dataset"},
    {"assets": "default_asset"},
    {"workflow": "default_workflow"},
    {"model_config": "default_model"},
]
"""Hydra's defaults list of a model run: each group's ``default_*`` entry."""


@dataclass
class BaseConfig:
    """What every notebook's configuration has; derive from it to add fields of your own.

    Attributes:
        deriva_ml: a ``DerivaMLConfig``.
        datasets: ``DatasetSpec`` entries.
        assets: RIDs, ``AssetSpec`` or ``LocalFile`` entries.
        workflow: a ``Workflow``, for its name, type and description.
        model_config: whatever the project keeps in that group.
        dry_run: execute and record nothing.
        description: Markdown, recorded with the execution.
        config_choices: the entry chosen in each group, filled in when the configuration is composed.
        script_config: a script's settings, as upstream's configurations have them.
    """

    deriva_ml: Any = None
    datasets: Any = None
    assets: Any = None
    workflow: Any = None
    model_config: Any = None
    dry_run: bool = False
    description: str = ""
    config_choices: dict[str, str] = field(default_factory=dict)
    script_config: Any = None


DerivaBaseConfig = builds(BaseConfig, populate_full_signature=True, hydra_defaults=base_defaults)
"""``BaseConfig`` with the default entry of every group."""

store(DerivaBaseConfig, name="deriva_base")

notebook_configs: dict[str, Any] = {}
"""Registered notebook configurations by name."""


def notebook_config(
    name: str,
    config_class: type[BaseConfig] | None = None,
    defaults: dict[str, str] | None = None,
    **field_defaults: Any,
) -> Any:
    """Register a notebook's configuration under ``name``.

    Args:
        name: what ``run_notebook`` is called with; the notebook's file name without ``.ipynb``.
        config_class: a dataclass derived from ``BaseConfig``, for fields of the notebook's own.
        defaults: the entry to use in each group that is not to have its ``default_*`` entry.
        field_defaults: values for fields of ``config_class``.

    Returns:
        The hydra-zen configuration class that was stored.
    """
    groups = {"deriva_ml": "default_deriva", "datasets": "default_dataset", "assets": "default_asset"}
    built = builds(
        config_class or BaseConfig,
        populate_full_signature=True,
        hydra_defaults=[
            "_self_",
            *({group: entry} for group, entry in {**groups, **(defaults or {})}.items()),
        ],
        **field_defaults,
    )
    store(built, name=name)
    notebook_configs[name] = built
    return built


class DescribedList(list[Any]):
    """A list that carries a description."""

    def __init__(self, items: Sequence[Any] = (), description: str = "") -> None:
        super().__init__(items)
        self.description = description


def with_description(items: Sequence[Any], description: str) -> Any:
    """Return a configuration entry for a list of inputs; the menu of entries shows its description."""
    return builds(DescribedList, items=list(items), description=description, populate_full_signature=True)


@dataclass(frozen=True)
class Multirun:
    """A named sweep: its overrides, some with several values, and a description in Markdown."""

    name: str
    overrides: tuple[str, ...]
    description: str = ""


multiruns: dict[str, Multirun] = {}
"""Registered sweeps by name."""


def multirun_config(name: str, overrides: Sequence[str], description: str = "") -> Multirun:
    """Register a sweep for ``+multirun=NAME``, of a model or of a notebook."""
    multiruns[name] = Multirun(name, tuple(overrides), description)
    return multiruns[name]


def list_multirun_configs() -> list[str]:
    """Return the names of the registered sweeps."""
    return sorted(multiruns)
