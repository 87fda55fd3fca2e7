"""The embedded catalog's assets: rows of files and their contents, those that are staged, and who made or read them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from sqlite3 import Row
from typing import Any

from deriva_ml.catalog.base import CatalogBase, file_of
from deriva_ml.catalog.summaries import RecordedFile, summarize
from deriva_ml.catalog.tables import asset_table
from deriva_ml.definitions import RID, Asset, AssetRole, MLAsset, StagedAsset, by_age
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.terminal import warn
from deriva_ml.untrusted import check_inside, is_inside, plain_name


class Assets(CatalogBase):
    """The part of ``EmbeddedCatalog`` that keeps assets; ``Source`` says what its look-ups do."""

    def asset_columns(self, table: str) -> dict[str, bool]:
        return {}

    def make_asset_table(self, name: str) -> None:
        """Make an asset table as a destination has it, so that files for it can be staged; one that is there is kept."""
        with self._db.transaction():
            if name in self.asset_tables():
                return
            # SQLite takes File and file for one name, keeps some names for itself, and every statement quotes with ".
            taken = self._db.value("SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", name)
            joins = name.endswith(("_Asset_Type", "_Execution"))  # as the tables that join files to others
            if taken or joins or '"' in name or name.lower().startswith("sqlite_"):
                raise DerivaMLRequestError(f"files for a table called {name} cannot be kept in this project")
            for statement in asset_table(name):
                self._db.query(statement)

    def make_asset_tables(self, names: Iterable[str]) -> None:
        """Make those of a domain that can be kept and are not there, so that code for them runs in this catalog, too."""
        for name in sorted({*names} - {*self.asset_tables()}):
            with suppress(DerivaMLRequestError):
                self.make_asset_table(name)

    def lookup_assets(self, rids: Sequence[RID]) -> list[Asset]:
        return [self.lookup_asset(rid) for rid in rids]

    def lookup_asset(self, rid: RID) -> Asset:
        for table in self.asset_tables():
            if row := self._db.find(table, RID=rid):
                return self._build(row, functools.partial(self._asset, table), "asset")
        raise self._not_found(rid, "asset")

    def _asset(self, table: str, row: Row) -> Asset:
        types = self._db.get_all(f"{table}_Asset_Type", "Asset_Type", **{table: row["RID"]})
        role = row["Asset_Role"] if "Asset_Role" in row.keys() else None
        asset = file_of(table, row, types)
        return replace(asset, filename=row["Filename"], role=AssetRole(role) if role else None)

    def find_assets(
        self,
        table: str | None = None,
        asset_type: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> list[Asset]:
        tables = self.asset_tables()
        if table is not None and table not in tables:
            raise DerivaMLRequestError(
                f"there is no asset table {table}; the catalog has {', '.join(tables)}"
            )
        found: list[Asset] = []
        for one in tables if table is None else [table]:
            of_type = f'"RID" IN (SELECT "{one}" FROM "{one}_Asset_Type" WHERE "Asset_Type" = ?)'
            wanted = [('"Filename" GLOB ?', name), (of_type, asset_type)]
            conditions = [condition for condition, value in wanted if value is not None]
            rows = self._db.query(
                f'SELECT * FROM "{one}" WHERE {" AND ".join(conditions) or "1"} ORDER BY "RCT" DESC, "RID" DESC LIMIT ?',
                *(value for _, value in wanted if value is not None),
                -1 if limit is None else limit,
            )
            found += self._build_all(rows, functools.partial(self._asset, one), "asset")
        return sorted(found, key=by_age, reverse=True)[:limit]

    def assets_of(self, execution: RID) -> list[Asset]:
        assets = []
        for table in self.asset_tables():
            rows = self._db.query(
                f'SELECT a.*, l."Asset_Role" FROM "{table}" a JOIN "{table}_Execution" l ON l."{table}" = a."RID"'
                ' WHERE l."Execution" = ? ORDER BY l."Asset_Role", a."Filename"',
                execution,
            )
            assets += self._build_all(rows, functools.partial(self._asset, table), "asset")
        return assets

    def read_summaries(self) -> None:
        """Read what the executions of older runners were given and came to, which these kept in files only."""
        waiting = self.summaries.waiting()
        if waiting and self._db.read_only:
            warn(
                f"what {len(waiting)} executions of older runners came to is left out: nothing can be written here"
            )
            return
        for execution in waiting:
            # Of several files, the last one says how it ended; RIDs count up.
            outputs = [asset for asset in self.assets_of(execution) if asset.role is AssetRole.output]
            outputs.sort(key=by_age)
            files = (RecordedFile(one.filename, one.types, self.objects.path(one.md5)) for one in outputs)
            self.summaries.fill(execution, summarize(execution, files))

    def executions_of(self, asset: Asset) -> list[tuple[RID, AssetRole]]:
        rows = self._db.select(f"{asset.table}_Execution", 'ORDER BY "RCT"', **{asset.table: asset.rid})
        roles = set(AssetRole)
        return [
            (row["Execution"], AssetRole(row["Asset_Role"])) for row in rows if row["Asset_Role"] in roles
        ]

    def _insert_asset(self, item: StagedAsset, md5: str, length: int, rid: RID | None = None) -> Asset:
        """Return the row of a content under a file's name: the one that is there, or a new one."""
        table, url = item.table, f"/hatrac/{item.table}/{md5}.{item.filename}"
        row = {"RID": rid, "URL": url, "Filename": item.filename, "Description": item.description}
        self._db.insert(table, {**row, "Length": length, "MD5": md5})
        found = self._db.find(table, URL=url)
        if found is None:
            raise DerivaMLException(f"{rid} is recorded with another content than that of {item.filename}")
        self._insert_types(table, found["RID"], "Asset_Type", item.types)
        return self._build(found, functools.partial(self._asset, table), "asset")

    def add_asset(
        self,
        source: Path,
        table: str,
        filename: str,
        types: Sequence[str] = (),
        description: str = "",
        rid: RID | None = None,
    ) -> Asset:
        """Record a copy of ``source`` under ``filename``; the same content and name once. ``rid`` as elsewhere."""
        item = StagedAsset(0, "", table, filename, source, tuple(types), description)
        content = self.objects.add(source)
        with self._db.transaction():
            return self._insert_asset(item, *content, rid)

    def add_file(self, source: Path, description: str = "", types: Sequence[str] = ()) -> Asset:
        """Record a file of the user's in the ``File`` table; the same content and name once."""
        return self.add_asset(source, MLAsset.file.value, source.name, types, description)

    def link_asset(self, execution: RID, asset: Asset, role: AssetRole) -> None:
        """Record that an execution read or made an asset."""
        row = {asset.table: asset.rid, "Execution": execution, "Asset_Role": role.value}
        self._link(execution, f"{asset.table}_Execution", row)

    def fetch(self, asset: Asset, destination: Path) -> None:
        self.objects.copy_to(asset.md5, destination)

    def fetch_all(self, pairs: Sequence[tuple[Asset, Path]]) -> None:
        for asset, destination in pairs:
            self.fetch(asset, destination)

    def locate(self, asset: Asset) -> str:
        return str(self.objects.path(asset.md5))

    # Files of executions that are under way

    def stage(
        self,
        execution: RID,
        table: str,
        filename: str,
        folder: Path,
        types: Sequence[str] = (),
        description: str = "",
        columns: Mapping[str, Any] | None = None,
    ) -> StagedAsset:
        """Note that an execution will have this output, and make room for it under ``folder``."""
        with self._db.transaction():
            row = {"execution": execution, "table": table, "filename": filename, "description": description}
            number = self._db.add("local_staged", {**row, "types": json.dumps(list(types)), "path": ""})
            path = _staged_path(folder, table, number, filename)
            self._db.change("local_staged", {"path": self._stored_path(path)}, number=number)
            self.journal.stage_columns(number, columns or {})
            path.parent.mkdir(parents=True, exist_ok=True)  # there, if a process was killed right here before
            check_inside(path.parent, self.project.state)
        return StagedAsset(number, execution, table, filename, path, tuple(types), description)

    def restage(self, number: int, types: Sequence[str], columns: Mapping[str, Any]) -> bool:
        """Note other types and columns for a file that an execution will have; False if it has it already."""
        with self._db.transaction():
            waits = self._db.change("local_staged", {"types": json.dumps(list(types))}, number=number)
            if waits:
                self._db.delete("local_columns", staged=number)
                self.journal.stage_columns(number, columns)
            return bool(waits)

    def staged(self, execution: RID) -> list[StagedAsset]:
        """Return what an execution registered and has not recorded."""
        rows = self._db.select("local_staged", 'ORDER BY "number"', execution=execution)
        return self._build_all(rows, self._staged, "a file of execution")

    def _staged(self, row: Row) -> StagedAsset:
        table, filename, number = row["table"], row["filename"], row["number"]
        path = self._path_of(row["path"])
        folder = self.project.executions / plain_name(row["execution"])
        if not is_inside(path.parent, folder) and path.parent != folder:
            # A row that means another place names nothing; what was written is where the runner lets it be written.
            path = _staged_path(folder / "assets", table, number, filename)
        types = tuple(json.loads(row["types"]))
        return StagedAsset(number, row["execution"], table, filename, path, types, row["description"])

    def is_written(self, item: StagedAsset) -> bool:
        """Whether a registered file is there, and the way to it leads through no link; it may be one itself."""
        return is_inside(item.path.parent, self.project.state) and item.path.is_file()

    def commit(
        self,
        execution: RID,
        *,
        keep: bool = False,
        beside: Sequence[StagedAsset] = (),
        then: Callable[[list[StagedAsset]], None] | None = None,
    ) -> tuple[list[Asset], list[StagedAsset]]:
        """Record every staged file that exists and link it as output; return these, and those never written.

        The latter stay staged, and can still be written. The others' files are removed unless ``keep``.

        Args:
            beside: files to record with them that were never staged, and stay where they are.
            then: what else becomes true in the same moment; called in the transaction with those never written.
        """
        written, missing = list[StagedAsset](), list[StagedAsset]()
        for item in self.staged(execution):
            (written if self.is_written(item) else missing).append(item)
        taken = [*written, *beside]
        contents = [(item, *self.objects.add(item.path)) for item in taken]
        recorded = []
        files = (RecordedFile(item.filename, item.types, self.objects.path(md5)) for item, md5, _ in contents)
        summary = summarize(execution, files)
        with self._db.transaction(durable=True):  # only then may what was staged go
            for item, md5, length in contents:
                asset = self._insert_asset(item, md5, length)
                self.link_asset(execution, asset, AssetRole.output)
                self.journal.keep_columns(item.number, asset.rid)
                recorded.append(asset)
            self.summaries.add(execution, summary)
            for item in written:
                self.drop_staged(item)
            if then:
                then(missing)
        if not keep:
            for item in written:
                item.path.unlink()
        return recorded, missing

    def drop_staged(self, item: StagedAsset) -> None:
        """Forget one registered file, and leave it where it is."""
        with self._db.transaction():
            self._db.delete("local_staged", number=item.number)

    def unstage(self, execution: RID) -> None:
        """Forget what is still staged: the execution is over."""
        with self._db.transaction():
            self._db.delete("local_staged", execution=execution)


def _staged_path(folder: Path, table: str, number: int, filename: str) -> Path:
    """Return where a staged file is: a folder of its own keeps two outputs of one name apart."""
    return folder / plain_name(table) / str(number) / plain_name(filename)
