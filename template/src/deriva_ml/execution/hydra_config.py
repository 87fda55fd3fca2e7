"""Configurations with hydra-zen: registering them, and composing one for a run."""

# Annotations are not postponed here: hydra-zen reads those of ``BaseConfig`` from modules that derive from it, where
# the text "Any" may mean nothing, and would then take every field for untyped.

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra_zen import builds, instantiate, store

from deriva_ml.exceptions import DerivaMLRequestError

MODEL_CONFIG = "deriva_model"
"""The configuration that ``deriva-ml-run`` composes; a project's ``configs.base`` stores it."""

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
    """

    deriva_ml: Any = None
    datasets: Any = None
    assets: Any = None
    workflow: Any = None
    model_config: Any = None
    dry_run: bool = False
    description: str = ""
    config_choices: dict[str, str] = field(default_factory=dict)


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


def create_model_config(
    ml_class: type | None = None, description: str = "Model run", hydra_defaults: Sequence[Any] | None = None
) -> Any:
    """The configuration of ``deriva-ml-run``: ``run_model`` with the default entry of every group.

    Args:
        ml_class: a subclass of ``DerivaML`` to hand to the model instead.
        description: Markdown, recorded with the execution.
        hydra_defaults: a defaults list to use instead of ``base_defaults``.
    """
    from deriva_ml.execution.model_run import run_model

    return builds(
        run_model,
        populate_full_signature=True,
        description=description,
        ml_class=ml_class,
        hydra_defaults=list(hydra_defaults or base_defaults),
    )


class DescribedList(list[Any]):
    """A list that carries a description."""

    def __init__(self, items: Sequence[Any] = (), description: str = "") -> None:
        super().__init__(items)
        self.description = description


def with_description(items: Sequence[Any], description: str) -> Any:
    """A configuration entry for a list of inputs with a description, which the menu of entries shows."""
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
    """Register a sweep for ``deriva-ml-run +multirun=NAME``."""
    multiruns[name] = Multirun(name, tuple(overrides), description)
    return multiruns[name]


@dataclass(frozen=True)
class Composition:
    """A composed configuration.

    Attributes:
        node: OmegaConf's, without Hydra's own part.
        choices: the entry chosen in each group.
        overrides: as they were given.
    """

    node: Any
    choices: dict[str, str]
    overrides: tuple[str, ...]

    @property
    def yaml(self) -> str:
        """The configuration as YAML with every reference resolved and every credential masked."""
        from omegaconf import OmegaConf

        from deriva_ml.execution.environment import redact

        return OmegaConf.to_yaml(OmegaConf.create(redact(OmegaConf.to_container(self.node, resolve=True))))

    def part(self, key: str) -> Any:
        """What the configuration holds under ``key``, in plain types with every reference resolved."""
        from omegaconf import OmegaConf

        whole: Any = OmegaConf.to_container(self.node, resolve=True)
        return whole[key]

    def instantiate(self) -> Any:
        """The object that the configuration describes.

        Raises:
            DerivaMLRequestError: it, or a part of it, cannot be made.
        """
        return _instantiate(self.node)

    def arguments(self) -> dict[str, Any]:
        """The arguments of the call that the configuration describes, without calling it; raises likewise."""
        return {str(key): _instantiate(self.node, key) for key in self.node if not str(key).startswith("_")}


def _instantiate(node: Any, key: Any = None) -> Any:
    from omegaconf import OmegaConf

    if key is not None and OmegaConf.is_missing(node, key):
        raise DerivaMLRequestError(f"the configuration has no {key}: choose one, as --list-configs shows")
    part = node if key is None else node[key]
    if not OmegaConf.is_config(part):
        return part
    try:
        return instantiate(part)
    except DerivaMLRequestError:
        raise
    except Exception as error:
        cause = error.__cause__ or error
        where = f" ({key})" if key else ""
        raise DerivaMLRequestError(f"the configuration cannot be used{where}: {_one_line(cause)}") from error


def _offer() -> None:
    """Let Hydra find every entry that is stored; hydra-zen builds those of ``store(...)(Class, ...)`` only now.

    Raises:
        DerivaMLRequestError: an entry gives its class an argument that it does not take.
    """
    try:
        store.add_to_hydra_store(overwrite_ok=True)
    except Exception as error:
        raise DerivaMLRequestError(f"an entry in src/configs cannot be made: {_one_line(error)}") from error


def compose(name: str, overrides: Sequence[str] = ()) -> Composition:
    """Compose the configuration ``name`` with Hydra.

    Raises:
        DerivaMLRequestError: Hydra refuses the name, an override, or a group's entry; in its own words.
    """
    import hydra
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException
    from omegaconf import open_dict
    from omegaconf.errors import OmegaConfBaseException

    _offer()
    try:
        with hydra.initialize(version_base="1.3", config_path=None):
            node = hydra.compose(name, overrides=list(overrides), return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise DerivaMLRequestError(in_words(error) + _meant(name, error)) from error
    except ValueError as error:  # what Hydra raises for `group=null` and `group=3`
        groups = {entry["group"] for entry in store}
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        wrong = [
            item
            for item in parsed
            if item.key_or_group in groups and not isinstance(item.value(), str | list)
        ]
        named = " ".join(str(item.input_line) for item in wrong)
        raise DerivaMLRequestError(
            f"{named}: a group takes the name of an entry, as --list-configs shows ({_one_line(error)})"
        ) from error
    choices = {
        group: entry for group, entry in node.hydra.runtime.choices.items() if not group.startswith("hydra/")
    }
    with open_dict(node):
        del node["hydra"]
    return Composition(node, choices, tuple(overrides))


def sweep_jobs(overrides: Sequence[str]) -> list[list[str]]:
    """Every combination of the values in ``a=1,2 b=3,4``, as lists of overrides; in Hydra's own syntax and order.

    Raises:
        DerivaMLRequestError: an override cannot be parsed.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        choices = [
            [f"{item.get_key_element()}={value}" for value in item.sweep_string_iterator()]
            if item.is_sweep_override()
            else [str(item.input_line)]
            for item in parsed
        ]
    except HydraException as error:
        raise DerivaMLRequestError(in_words(error)) from error
    return [list(job) for job in itertools.product(*choices)]


def in_words(error: Exception) -> str:
    """Hydra's complaint without its search path, its web pages and its advice to add a field that nothing reads, with
    the override or the cause it left out."""
    text = _one_line(error).partition(" Config search path:")[0].partition(" See https://")[0]
    text = text.partition(" To append to your config use ")[0]
    override = getattr(error, "override", None)
    if override and str(override) not in text:
        text = f"{override}: {text}"
    if error.__cause__:
        text = f"{text.removesuffix('.')}: {_one_line(error.__cause__).partition(' full_key: ')[0]}"
    return text


def _meant(name: str, error: Exception) -> str:
    """The group, or the field of the configuration ``name``, that an unknown one looks like, for a message."""
    import difflib

    unknown = re.match(r"Could not override '(\w+)'", str(error))
    if not unknown or (None, name) not in store:
        return ""
    groups = {entry["group"] for entry in store if entry["group"] and not entry["group"].startswith("hydra")}
    fields = getattr(store[None, name], "__dataclass_fields__", {})
    known = groups | {field for field in fields if not field.startswith("_")}
    close = difflib.get_close_matches(unknown[1], sorted(known - {unknown[1]}), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def menu() -> str:
    """Every ``group=value`` that can be chosen, with its description where it has one, and the sweeps."""
    _offer()
    groups: dict[str, list[tuple[str, str]]] = {}
    for entry in store:
        if (group := entry["group"]) and not group.startswith("hydra"):
            described = getattr(entry["node"], "description", "")
            line = described.strip().split("\n")[0] if isinstance(described, str) else ""
            groups.setdefault(group, []).append((f"{group}={entry['name']}", line))
    lines = []
    for group, entries in sorted(groups.items()):
        width = max(len(choice) for choice, _ in entries) + 2
        lines += [f"{group}:", *(f"  {choice:{width}}{line}".rstrip() for choice, line in sorted(entries))]
    for what, names in (("notebooks", notebook_configs), ("multirun", multiruns)):
        lines.append(f"{what}: {', '.join(sorted(names)) or 'none'}")
    return "\n".join(lines)


def get_notebook_configuration(
    config_class: Any, config_name: str, overrides: Sequence[str] | None = None
) -> Any:
    """Compose and return a notebook's configuration without connecting or recording anything.

    Args:
        config_class: what ``notebook_config`` returned; stored under ``config_name`` if nothing is yet.
        config_name: the name it is stored under.
        overrides: Hydra's.
    """
    if config_class is not None and config_name not in notebook_configs:
        store(config_class, name=config_name)
        notebook_configs[config_name] = config_class
    composed = compose(config_name, overrides or ())
    config = composed.instantiate()
    if hasattr(config, "config_choices"):
        config.config_choices = composed.choices
    return config
