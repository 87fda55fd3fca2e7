"""The runner's modules import each other one way, room by room, and the picture of the house shows how."""

from __future__ import annotations

import ast
import functools
import xml.etree.ElementTree as ElementTree
from graphlib import TopologicalSorter
from pathlib import Path

from conftest import ROOT

SOURCE = ROOT / "template" / "src"
PICTURE = ROOT / "docs" / "pictures" / "house.svg"
ROOMS = {
    "cli",
    "archive",
    "storage",
    "check",
    "replay",
    "sweep",
    "site",
    "execution",
    "records",
    "datasets",
    "config",
    "notebook",
    "catalog",
    "deriva",
}
"""The packages; a module beside them is plain, but for those that stand beside a room."""
BESIDE = {"core": "execution", "demo": "cli", "__init__": "execution"}
PLAIN = {"bags"}
"""The package of modules that are plain."""


def modules() -> dict[str, Path]:
    """The runner's modules by name."""
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (SOURCE / "deriva_ml").rglob("*.py")
    }


def imported(name: str, path: Path, known: set[str]) -> set[str]:
    """The runner's modules that one imports: also inside functions, and for types only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one if one in known else node.module for one in whole}
    return (found & known) - {name}


MODULES = modules()
IMPORTS = {name: imported(name, path, {*MODULES}) for name, path in MODULES.items()}


def room(module: str) -> str:
    """The room that a module is in."""
    first = [*module.split(".")[1:], "__init__"][0]
    return first if first in ROOMS else BESIDE.get(first, "plain")


@functools.cache
def arrows() -> set[tuple[str, str]]:
    """The picture's arrows: from which room to which."""
    drawn = (element.get("id", "") for element in ElementTree.parse(PICTURE).iter())
    found = [one.removeprefix("arrow-").split("-") for one in drawn if one.startswith("arrow-")]
    return {(start, end) for start, end in found}


@functools.cache
def below(start: str) -> set[str]:
    """Every room that the picture's arrows lead to from one."""
    steps = {end for begin, end in arrows() if begin == start}
    return steps.union(*(below(step) for step in steps))


def test_no_modules_import_each_other_in_a_circle() -> None:
    """The modules have an order in which each comes after those that it imports."""
    order = [*TopologicalSorter(IMPORTS).static_order()]
    assert len(order) == len(MODULES)


def test_a_module_knows_only_rooms_below_its_own() -> None:
    """What it imports of other rooms is in one that the picture's arrows lead to."""
    strange = {
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if room(other) not in {room(module), *below(room(module))}
    }
    assert not strange


def test_the_picture_has_every_room_and_no_arrow_without_an_import() -> None:
    """Its boxes are the packages and the plain modules, and each of its arrows is an import."""
    ids = [element.get("id", "") for element in ElementTree.parse(PICTURE).iter()]
    assert {one.removeprefix("room-") for one in ids if one.startswith("room-")} == {"plain", *ROOMS}
    packages = {path.parent.name for path in (SOURCE / "deriva_ml").glob("*/__init__.py")}
    assert packages == ROOMS | PLAIN
    used = {(room(module), room(other)) for module, others in IMPORTS.items() for other in others}
    assert arrows() <= used
