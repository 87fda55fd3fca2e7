"""Files of a bag laid out in folders by what they are, as training frameworks read them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deriva_ml.disk as disk
from deriva_ml.bags import rows
from deriva_ml.bags.features import Feature, FeatureRecord, find_features
from deriva_ml.bags.targets import Targets, elements
from deriva_ml.definitions import RID, Row
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.untrusted import check_inside, plain_name

FOLDERS = {"Training": "training", "Testing": "testing", "Unknown": "unknown"}
"""Folders by the type of the dataset that a file is of; a type that is none of these has no folder."""
UNKNOWN = "Unknown"


def asset_table(bag: rows.Bag) -> str:
    """The table of the bag's files.

    Raises:
        DerivaMLRequestError: there is none, or several.
    """
    found = [table for table, held in rows.members(bag).items() if held and rows.is_file(held[0])]
    if len(found) != 1:
        raise DerivaMLRequestError(
            f"dataset {bag.dataset.rid} has files of {' and '.join(found) or 'no table'}: say asset_table=TABLE"
        )
    return found[0]


def restructure(
    bag: rows.Bag,
    output: Path,
    table: str,
    targets: Targets,
    transform: Callable[..., str] | None,
    missing: str,
    links: bool,
    select_type: Callable[[list[str]], str | None] | None,
    folders: Mapping[str, str],
    of_terms_only: bool,
    transformer: Callable[[Path, Path], Path] | None,
) -> dict[Path, Path]:
    """Lay files out in folders; see ``DatasetBag.restructure_assets``."""
    if table not in {name for name, held in rows.all_rows(bag).items() if held and rows.is_file(held[0])}:
        raise DerivaMLRequestError(f"dataset {bag.dataset.rid} has no table of files called {table}")
    labelled = elements(bag, table, targets, missing, of_terms_only, first=not of_terms_only)
    features = {one.feature_name: one for one in find_features(bag, table)}
    types = _type_folders(bag, table, select_type, folders)
    places: dict[Path, Path] = {}
    taken: set[str] = set()
    for one in labelled.found:
        source = rows.content(one.row)
        if source is None:
            continue  # a reference to what is elsewhere, or a bag without its files
        names = [
            _folder(value, name, transform, features.get(name))
            for name, value in zip(labelled.names, one.values, strict=True)
        ]
        folder = output.joinpath(*types.get(_key(one.row), ()), *names)
        place = next(free for free in _names(folder, one.row, source) if str(free).casefold() not in taken)
        taken.add(str(place).casefold())
        places[source] = place
    with _written(output):
        output.mkdir(parents=True, exist_ok=True)
    return {source: _put(source, place, output, links, transformer) for source, place in places.items()}


def _names(folder: Path, row: Row, source: Path) -> Iterator[Path]:
    """Where a file may go: under its own name, or where another has that, with what tells the two apart."""
    yield folder / source.name
    yield folder / plain_name(f"{row['RID']}-{source.name}")
    for number in itertools.count(2):
        yield folder / plain_name(f"{row['RID']}-{number}-{source.name}")


def _folder(value: Any, name: str, transform: Callable[..., str] | None, feature: Feature | None) -> str:
    if value is None:
        return UNKNOWN
    if transform is not None:
        text = transform(value)
        if not isinstance(text, str):
            raise DerivaMLRequestError(
                f"target_transform has to return the name of a folder, and returned {type(text).__name__}"
            )
        return plain_name(text)
    if isinstance(value, FeatureRecord):
        own = sorted(feature.term_columns or feature.feature_columns) if feature else []
        values = {column: getattr(value, column, None) for column in own}
        if len(values) != 1:
            raise DerivaMLRequestError(
                f"{name} has the columns {', '.join(own)}: say which one names folders, as in"
                f" target_transform=lambda value: value.{own[0] if own else 'COLUMN'}"
            )
        [value] = values.values()
        if value is None:
            return UNKNOWN
    return plain_name(str(value))


def _key(row: Row) -> tuple[RID, str | None]:
    return row["RID"], row.get("Path")


def _type_folders(
    bag: rows.Bag,
    table: str,
    select: Callable[[list[str]], str | None] | None,
    folders: Mapping[str, str],
) -> dict[tuple[RID, str | None], tuple[str, ...]]:
    """The folders by types for each file: those of the innermost dataset that has it, below those it is nested in."""
    found: dict[tuple[RID, str | None], tuple[str, ...]] = {}

    def visit(one: rows.Bag, prefix: str, above: tuple[str, ...]) -> None:
        types = list(one.dataset.types)
        if types:
            chosen = select(types) if select else types[0]
            folder = folders.get(chosen) if chosen is not None else None
        else:
            # As upstream has it: files to predict for.
            folder = folders.get("Testing", "testing") if folders else None
        here = (*above, plain_name(folder)) if folder else above
        for child in one.children:
            visit(child, f"{prefix}{child.dataset.folder}/" if child.dataset.folder else prefix, here)
        for row in one.dataset.members.get(table, ()):
            path = row.get("Path")
            found.setdefault((row["RID"], path and prefix + path), here)

    visit(bag, "", ())
    return found


def _put(
    source: Path, place: Path, output: Path, links: bool, transformer: Callable[[Path, Path], Path] | None
) -> Path:
    check_inside(place.parent / "x", output)  # a folder there may be a link
    with _written(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        if transformer is None and not (links and _link(source, place)):
            disk.copy_file(source, place)
    return place if transformer is None else Path(transformer(source, place))


@contextmanager
def _written(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DerivaMLException(f"{place} cannot be written: {error.strerror or error}") from error


def _link(source: Path, place: Path) -> bool:
    try:
        os.symlink(source.resolve(), place)
    except (OSError, NotImplementedError):  # not on every file system, and not for everybody on Windows
        return False
    return True
