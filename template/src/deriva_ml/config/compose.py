"""Composes configurations with Hydra: one for a run, or those of a sweep's jobs; lists what can be chosen."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import hydra
import hydra.version
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import OverrideType, Transformer, ValueType
from hydra.initialize import get_gh_backup, restore_gh_from_backup
from hydra_zen import instantiate, store
from omegaconf import OmegaConf, open_dict

from deriva_ml.config.entries import multiruns, notebook_configs
from deriva_ml.config.quoting import apart, as_text, unquoted
from deriva_ml.config.refusals import read, refuse, refuse_unheeded, shorten, summarize_error, usable
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.table import aligned

MOST_VALUES = 100_000
"""So many may one key of a sweep have: a range with a slip of the keyboard must not fill the memory."""


@dataclass(frozen=True)
class Composition:
    """A composed configuration.

    Attributes:
        node: OmegaConf's, without Hydra's own part.
        choices: the entry chosen in each group.
    """

    node: Any
    choices: dict[str, str]

    @property
    def yaml(self) -> str:
        """The configuration as YAML with every reference resolved and every credential masked."""
        from deriva_ml.redaction import redact

        with usable():
            resolved = OmegaConf.to_container(self.node, resolve=True)
        return OmegaConf.to_yaml(OmegaConf.create(_literal(redact(resolved))))

    def part(self, key: str) -> Any:
        """Return what the configuration holds under ``key``, if anything, in plain types with every reference resolved."""
        whole: Any = OmegaConf.to_container(self.node, resolve=True)
        return whole.get(key)

    def instantiate(self) -> Any:
        """Make the object that the configuration describes.

        Raises:
            DerivaMLRequestError: it, or a part of it, cannot be made.
        """
        with usable():
            return instantiate(self.node)

    def arguments(self) -> dict[str, Any]:
        """Make the arguments of the call that the configuration describes, without calling it; raises likewise."""
        return {str(key): self.argument(str(key)) for key in self.node if not str(key).startswith("_")}

    def argument(self, key: str) -> Any:
        """Make one of them; raises likewise."""
        if OmegaConf.is_missing(self.node, key):
            how = "choose one, as --list-configs shows" if key in store.groups else f"give one, {key}=VALUE"
            raise DerivaMLRequestError(f"the configuration has no {key}: {how}")
        with usable(key):
            part = self.node[key]
            return instantiate(part) if OmegaConf.is_config(part) else part


def _literal(value: Any) -> Any:
    """Return the value with its texts escaped, so that OmegaConf reads them as they are."""
    if isinstance(value, dict):
        return {key: _literal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_literal(one) for one in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def _publish_to_hydra() -> None:
    """Let Hydra find every entry that is stored; hydra-zen builds those of ``store(...)(Class, ...)`` only now.

    Raises:
        DerivaMLRequestError: an entry gives its class an argument that it does not take.
    """
    try:
        store.add_to_hydra_store(overwrite_ok=True)
    except Exception as error:
        raise DerivaMLRequestError(
            f"an entry in src/configs cannot be made: {summarize_error(error)}"
        ) from error


def compose(name: str, overrides: Sequence[str] = ()) -> Composition:
    """Compose the configuration ``name`` with Hydra.

    Raises:
        DerivaMLRequestError: Hydra refuses the name, an override, or a group's entry; in its own words.
    """
    refuse_unheeded(overrides)
    _publish_to_hydra()
    try:
        node = _composed(name, overrides)
    except Exception as error:  # beside its own errors, Hydra lets some of Python's through

        def fails(first: int) -> bool:
            try:
                _composed(name, overrides[:first])
            except Exception:
                return True
            return False

        refuse(name, overrides, error, fails)
    choices = {
        group: entry for group, entry in node.hydra.runtime.choices.items() if not group.startswith("hydra/")
    }
    with open_dict(node):
        del node["hydra"]
    return Composition(node, choices)


@contextmanager
def _hydra_here() -> Iterator[None]:
    """Have a Hydra, as ``hydra.initialize`` makes one; that reads the sources of all callers to find this file: 40 ms.

    It copies all that is stored for each composition, though it only reads there, and copies what it reads: 10 ms more.
    """
    before = get_gh_backup()
    hydra.version.setbase("1.3")
    Hydra.create_main_hydra_file_or_module(__file__, None, config_path=None, job_name="compose")
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del ConfigStore.__deepcopy__  # type: ignore[attr-defined]
        restore_gh_from_backup(before)


def _composed(name: str, overrides: Sequence[str]) -> Any:
    with warnings.catch_warnings(), _hydra_here():
        warnings.filterwarnings("error", "provider=hydra.searchpath .* is not available", UserWarning)
        return hydra.compose(name, overrides=list(overrides), return_hydra_config=True)


def warm_up() -> None:
    """Compose an empty configuration, for what Hydra and OmegaConf keep of it."""
    with _hydra_here():
        hydra.compose(return_hydra_config=True)


class Composer:
    """Composes one configuration with many overrides that differ in values: what they have in common is composed once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bases: dict[tuple[str, ...], Composition] = {}

    def compose(self, overrides: Sequence[str] = ()) -> Composition:
        """Compose the configuration; the result and the refusals are those of ``compose``."""
        try:
            composed = self._changed(overrides)
        except Exception:  # ``compose`` says what is wrong, and in which words
            composed = None
        return composed or compose(self._name, overrides)

    def _changed(self, overrides: Sequence[str]) -> Composition | None:
        """Return what was composed before with other values, changed; None where something else than values is given."""
        refuse_unheeded(overrides)
        values, entries = [], []
        for word, item in zip(overrides, read(overrides), strict=True):
            if item.key_or_group in store.groups:
                entries.append(word)
            elif item.type is OverrideType.CHANGE and item.package is None and not item.is_sweep_override():
                values.append(item)
            else:
                return None
        key = tuple(entries)
        if key not in self._bases:
            self._bases[key] = compose(self._name, entries)
        node = copy.deepcopy(self._bases[key].node)
        for item in values:  # as Hydra does it, in the end
            OmegaConf.update(node, item.key_or_group, item.value(), merge=True)
        return Composition(node, self._bases[key].choices)


def compose_hydra(overrides: Sequence[str]) -> dict[str, Any]:
    """Return Hydra's own part of a configuration, in plain types, with these overrides of its launcher and sweeper.

    Raises:
        DerivaMLRequestError: Hydra refuses one; in its own words.
    """
    _publish_to_hydra()

    def composed(first: int = len(overrides)) -> Any:
        with _hydra_here():
            return hydra.compose(overrides=list(overrides[:first]), return_hydra_config=True).hydra

    def fails(first: int) -> bool:
        try:
            composed(first)
        except Exception:
            return True
        return False

    try:
        node = composed()
    except Exception as error:
        refuse("", overrides, error, fails)
    whole: Any = {
        name: OmegaConf.to_container(node[name], enum_to_str=True, throw_on_missing=False)
        for name in ("launcher", "sweeper")
    }
    return dict(whole)


@dataclass(frozen=True)
class Choice:
    """What the overrides of a sweep say of one key.

    Attributes:
        key: as Hydra has it, such as ``model_config.l2`` or ``+experiment``.
        text: the values as they were typed; of a pattern, those that it stands for.
        words: an override for each value; of what has no single values, for its ends and a point between them.
        swept: whether it was given as several values, or as one of those functions of Hydra's that make some.
        is_group: whether the values are entries of a group.
    """

    key: str
    text: str
    words: list[str]
    swept: bool = False
    is_group: bool = False


def choices_of(overrides: Sequence[str], continuous: bool = False) -> list[Choice]:
    """Return what the overrides of a sweep say, key by key, in Hydra's own order.

    Of several overrides of one name the last holds, as in Hydra's own sweeps. (Its ``BasicSweeper.split_arguments``
    would spell numbers anew, and take ``~name`` for ``~name=null``.)

    Args:
        continuous: whether an ``interval()`` is taken, which has no single values.

    Raises:
        DerivaMLRequestError: an override cannot be parsed, or has no single values.
    """
    refuse_unheeded(overrides)
    _publish_to_hydra()
    choices: dict[str, Choice] = {}
    with _hydra_here():
        loader = GlobalHydra.instance().config_loader()  # which knows a group's entries
        for item in read(overrides, loader, several=True):
            key, line = item.get_key_element(), str(item.input_line)
            if item.is_delete():
                choices[key] = Choice(key, "", [line])
                continue
            bare = key.lstrip("+")
            if item.type is OverrideType.CHANGE and f"+{bare}" in choices:
                key = f"+{bare}"  # what was added before has another value now
            elif item.type is OverrideType.FORCE_ADD:
                key = next((known for known in (bare, f"+{bare}") if known in choices), key)
            text, swept = line.partition("=")[2], item.is_sweep_override()
            values = values_of(item, continuous) if swept else [text]
            if item.value_type is ValueType.GLOB_CHOICE_SWEEP:
                text = f"choice({','.join(values)})"
            words = [f"{key}={value}" for value in values]
            choices[key] = Choice(key, text, words, swept, item.key_or_group in store.groups)
    return list(choices.values())


def values_of(
    item: Any, continuous: bool = False, as_text: Callable[[Any], str] = Transformer.str
) -> list[str]:
    """Return the values that a sweep's override stands for; see ``choices_of``.

    Args:
        as_text: makes a text of a value that Hydra has parsed.

    Raises:
        DerivaMLRequestError: it has no single values, or too many.
    """
    word = shorten(item.input_line)
    if item.is_interval_sweep() and continuous:
        first, last = item.value().start, item.value().end
        # Of numbers with a point no whole one, so that what takes only those says so.
        between = first + (last - first) // 3 if isinstance(first, int) else first + (last - first) / math.e
        return [as_text(value) for value in (first, between, last)]
    if not item.is_discrete_sweep():
        raise DerivaMLRequestError(f"{word} has no single values to run with: list them, or use range()")
    with usable(word):
        values = list(itertools.islice(item.sweep_iterator(transformer=as_text), MOST_VALUES + 1))
    if len(values) > MOST_VALUES:
        raise DerivaMLRequestError(f"{word} stands for more than {MOST_VALUES:,} values: sweep fewer")
    if not values:
        known = sorted(entry["name"] for entry in store if entry["group"] == item.key_or_group)
        there = f"; {item.key_or_group} has {', '.join(known)}" if known else ""
        raise DerivaMLRequestError(f"{word} stands for no value{there}")
    return values


def typed_values(item: Any, continuous: bool = False) -> list[str]:
    """Return the values that an override gives a parameter, each as it would be typed after ``-p NAME``.

    Args:
        item: the override, parsed.
        continuous: see ``values_of``, which raises likewise.
    """
    if item.value_type is ValueType.GLOB_CHOICE_SWEEP:
        raise DerivaMLRequestError(
            f"{shorten(item.input_line)}: glob() stands for entries of a group, and a parameter has none: list its values"
        )
    text = str(item.input_line).partition("=")[2]
    if item.is_choice_sweep() and len(listed := apart(text)) > 1:  # as they are spelled: 1.10 may be a text
        return [unquoted(one) for one in listed]
    return values_of(item, continuous, as_text) if item.is_sweep_override() else [unquoted(text)]


def list_choices() -> str:
    """Return every ``group=value`` that can be chosen, with its description where it has one, and the sweeps.

    Of Hydra's own groups those that run the jobs of a sweep: what is installed, and the project's own entries.
    """
    _publish_to_hydra()
    groups: dict[str, list[tuple[str, str]]] = {}
    for entry in store:
        if (group := entry["group"]) and not group.startswith("hydra"):
            described = getattr(entry["node"], "description", "")
            line = described.strip().split("\n")[0] if isinstance(described, str) else ""
            groups.setdefault(group, []).append((f"{group}={entry['name']}", line))
    lines = []
    for group, entries in sorted(groups.items()):
        lines += [f"{group}:", aligned([(f"  {choice}", line) for choice, line in sorted(entries)])]
    with _hydra_here():
        loader = GlobalHydra.instance().config_loader()
        for group in ("hydra/launcher", "hydra/sweeper"):
            options = sorted(loader.get_group_options(group))
            lines += [f"{group}, of a sweep:", *(f"  {group}={name}" for name in options)]
    for what, names in (("notebooks", notebook_configs), ("multirun", multiruns)):
        lines.append(f"{what}: {', '.join(sorted(names)) or 'none'}")
    return "\n".join(lines)


def get_notebook_configuration(
    config_class: Any,
    config_name: str,
    overrides: Sequence[str] | None = None,
    job_name: str = "notebook",
    version_base: str = "1.3",
) -> Any:
    """Compose and return a notebook's configuration without connecting or recording anything.

    Args:
        config_class: what ``notebook_config`` returned; stored under ``config_name`` if nothing is yet.
        config_name: the name it is stored under.
        overrides: Hydra's.
        job_name, version_base: accepted, as upstream takes them; runs do not go by Hydra's own settings.
    """
    if config_class is not None and (None, config_name) not in store:
        store(config_class, name=config_name)
        notebook_configs[config_name] = config_class
    composed = compose(config_name, overrides or ())
    config = composed.instantiate()
    if hasattr(config, "config_choices"):
        config.config_choices = composed.choices
    return config
