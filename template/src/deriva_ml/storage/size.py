"""What the catalog takes on the disk, and which executions and files take most of it; nothing is read in full."""

from __future__ import annotations

from dataclasses import dataclass, field

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import RID, MLAsset
from deriva_ml.storage.contents import Named, fetched, folder_size, outputs, stored

LARGEST = 10
"""Executions and files that are named."""

KINDS = {
    MLAsset.execution_metadata.value: "metadata of runs",
    MLAsset.file.value: "inputs, datasets",
}
"""What the files of an asset table are; those of the others are outputs."""


@dataclass(frozen=True)
class Large:
    """An execution with the bytes of its outputs, or a file with its own."""

    rid: RID
    name: str
    bytes: int


@dataclass
class Size:
    """Bytes, by what takes them.

    Attributes:
        database: with its log and the copies that were kept of older versions.
        tables: contents by asset table: how many, and their bytes; one that two tables name counts in the first.
        kinds: the same bytes by what they are.
        fetched: contents that a Deriva catalog has and no row here names, and how many.
        unnamed: other contents that no row names, and how many.
        running: folders of runs, executions and sweeps under way, or left by those that were killed.
        known: what Deriva catalogs said.
        environments: those of replays, which uv makes anew, and what replays have under way.
        outputs: the copies for readers, in the project's own folder.
    """

    database: int = 0
    contents: int = 0
    contents_count: int = 0
    tables: dict[str, tuple[int, int]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    fetched: tuple[int, int] = (0, 0)
    unnamed: tuple[int, int] = (0, 0)
    running: int = 0
    known: int = 0
    environments: int = 0
    outputs: int = 0
    total: int = 0
    executions: list[Large] = field(default_factory=list)
    files: list[Large] = field(default_factory=list)


def measure(catalog: EmbeddedCatalog) -> Size:
    """Return what the catalog takes; contents by the lengths that the disk tells."""
    project, size = catalog.project, Size()
    known, named, tables = fetched(project), Named(catalog), dict.fromkeys(catalog.asset_tables(), (0, 0))
    size.kinds = dict.fromkeys(["outputs", *KINDS.values()], 0)
    for one in stored(project.objects):
        size.contents += one.bytes
        size.contents_count += 1
        if rows := named.rows(one.md5):
            table = min((row[0] for row in rows), key=list(tables).index)
            tables[table] = tables[table][0] + 1, tables[table][1] + one.bytes
            size.kinds[KINDS.get(table, "outputs")] += one.bytes
        elif one.md5 in known:
            size.fetched = size.fetched[0] + 1, size.fetched[1] + one.bytes
        else:
            size.unnamed = size.unnamed[0] + 1, size.unnamed[1] + one.bytes
    size.tables = {name: found for name, found in tables.items() if found[0]}
    files = [path for path in project.state.glob(f"{project.database.name}*") if path.is_file()]
    size.database = sum(path.stat().st_size for path in files)
    size.running = sum(map(folder_size, (project.executions, project.runs, project.sweeps)))
    size.known = folder_size(project.state / "known")
    size.environments = sum(map(folder_size, (project.environments, project.state / "replaying")))
    size.outputs = folder_size(project.outputs)
    size.total = size.database + size.contents + size.running + size.known
    size.total += size.environments + size.outputs
    size.executions, size.files = _largest_executions(catalog), _largest_files(catalog)
    return size


def _largest_executions(catalog: EmbeddedCatalog) -> list[Large]:
    rows = catalog.database.query(
        f'SELECT o."execution", e."Description", sum(o."bytes") AS "bytes" FROM ({outputs(catalog)}) o'
        ' JOIN "Execution" e ON e."RID" = o."execution" GROUP BY o."execution" ORDER BY "bytes" DESC LIMIT ?',
        LARGEST,
    )
    return [Large(row["execution"], row["Description"] or "", row["bytes"]) for row in rows]


def _largest_files(catalog: EmbeddedCatalog) -> list[Large]:
    files = " UNION ALL ".join(
        f'SELECT "RID", "Filename", "Length" FROM "{table}"' for table in catalog.asset_tables()
    )
    rows = catalog.database.query(f'SELECT * FROM ({files}) ORDER BY "Length" DESC LIMIT ?', LARGEST)
    return [Large(row["RID"], row["Filename"] or "", row["Length"]) for row in rows]
