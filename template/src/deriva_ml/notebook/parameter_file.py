"""Reads a file of parameter values, as it is written: what it seems to say is what arrives, or it is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.document import read_text
from deriva_ml.notebook.literals import Misread, as_in_file, check_once, from_json, from_yaml_word


def load_parameter_file(path: Path) -> dict[str, Any]:
    """Return the values in a ``.json``, ``.yaml`` or ``.yml`` file, by parameter name.

    Dates in YAML stay text, as in JSON: the notebook's annotation says whether they are dates. So do yes, no, on
    and off, until a type is known.

    Raises:
        DerivaMLRequestError: The file is missing, has another suffix, is not valid, maps no names or one twice,
            or holds what would be read as something else.
    """
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise DerivaMLRequestError(f"parameter file {path}: its name must end in .json, .yaml or .yml")
    if not path.is_file():
        raise DerivaMLRequestError(f"there is no parameter file {path}")
    text = read_text(path)
    kind = "JSON" if path.suffix == ".json" else "YAML"
    try:
        values = from_json(text if text.strip() else "null") if kind == "JSON" else _from_yaml(text)
        if isinstance(values, dict):
            check_once(unicodedata.normalize("NFKC", str(name)) for name in values)
    except Misread as error:
        raise DerivaMLRequestError(f"parameter file {path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise DerivaMLRequestError(f"parameter file {path} is not valid {kind}: {error}") from None
    if values is None:
        raise DerivaMLRequestError(f"parameter file {path} is empty: write a 'name: value' in it")
    if not isinstance(values, dict):
        raise DerivaMLRequestError(
            f"parameter file {path} holds a {type(values).__name__}, not a mapping of names to values"
        )
    for name in values:
        if not isinstance(name, str):
            raise DerivaMLRequestError(
                f"parameter file {path}: name {as_in_file(name)} is not text: put it in quotes"
            )
    return {unicodedata.normalize("NFKC", name): value for name, value in values.items()}


@contextmanager
def _at(node: Any) -> Iterator[None]:
    """Say at which line of the file something would be misread."""
    try:
        yield
    except Misread as error:
        raise Misread(f"line {node.start_mark.line + 1}: {error}") from None


def _from_yaml(text: str) -> Any:
    """Return what a YAML text holds; ValueError with the line if it is not valid, or would be misread."""
    import yaml

    prefix = "tag:yaml.org,2002:"

    class Loader(yaml.SafeLoader):
        """Takes words without quotes by ``from_yaml_word`` alone, and names once."""

        def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
            if kind is yaml.ScalarNode and implicit[0]:
                return prefix + ("merge" if value == "<<" else "plain")
            tag: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
            return tag

        def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
            node: yaml.MappingNode = super().compose_mapping_node(anchor)
            for at, (key, _) in enumerate(node.value, 1):
                with _at(key):
                    check_once(one.value for one, _ in node.value[:at] if isinstance(one, yaml.ScalarNode))
            return node

        def flatten_mapping(self, node: yaml.MappingNode) -> None:
            """Merge mappings (``<<``): PyYAML 6.0.4 loses what a merged one has overridden itself."""
            merged: list[Any] = []
            own: list[Any] = []
            for key, value in node.value:
                if key.tag != prefix + "merge":
                    own.append((key, value))
                    continue
                for one in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if not isinstance(one, yaml.MappingNode):
                        with _at(key):
                            raise Misread("<< takes a mapping, as in <<: *name")
                    self.flatten_mapping(one)
                    merged[:0] = one.value  # of several the first counts
            node.value = [*merged, *own]

        def plain(self, node: yaml.ScalarNode) -> Any:
            with _at(node):
                return from_yaml_word(node.value)

    constructors: Any = Loader
    for tag in ("plain", "int", "float", "bool", "null"):
        constructors.add_constructor(prefix + tag, Loader.plain)
    constructors.add_constructor(f"{prefix}timestamp", Loader.construct_yaml_str)
    try:
        return Loader(StringIO(text)).get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
