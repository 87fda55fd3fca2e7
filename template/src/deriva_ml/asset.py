"""How configurations name input files, and the paths by which a run meets its assets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.definitions import RID, Asset, ExecAssetType, StagedAsset
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.lazy import builds_of
from deriva_ml.upstream import Upstream

if TYPE_CHECKING:
    AssetSpecConfig: Any
    LocalFileConfig: Any


@dataclass
class AssetSpec:
    """A recorded asset that a run reads.

    Attributes:
        rid: of a row in any asset table.
        cache: accepted, as in upstream's configurations; contents are always kept by digest here.
    """

    rid: RID
    cache: bool = False


@dataclass
class LocalFile:
    """A file of the user's that a run reads; recorded in the ``File`` table as the run starts.

    Attributes:
        path: absolute, or relative to the project's root.
        description: Markdown.
        asset_types: terms of the ``Asset_Type`` vocabulary; unknown ones are added. None: ``Input_File``.
    """

    path: str
    description: str = ""
    asset_types: list[str] | None = None

    @property
    def types(self) -> tuple[str, ...]:
        """The types that the file is recorded with."""
        return tuple(self.asset_types or [ExecAssetType.input_file.value])


class FileName(str):
    """An asset's name, which is a text, and opens, too, where the content is: ``name.read_text()``, ``name.open()``.

    Attributes:
        path: where the content is.
    """

    path = Path()

    def __getattr__(self, attribute: str) -> Any:
        """Return what a path has by this name."""
        return getattr(self.path, attribute)


class AssetFilePath(Upstream, type(Path())):  # type: ignore[misc]  # a Path can be subclassed only so before 3.12
    """A path to an asset's content that also knows the asset.

    Attributes:
        asset_table: the table that the asset is, or will be, a row of.
        file_name: its name there.
        asset_types: terms of the ``Asset_Type`` vocabulary.
        asset_rid: None until it is recorded.
        columns: values for columns of its table's own.
        change: notes other types and columns, and tells whether it could; it can until the file is recorded.
    """

    asset_table: str = ""
    file_name: str = ""
    asset_types: tuple[str, ...] = ()
    asset_rid: RID | None = None
    columns: Mapping[str, Any] = {}
    change: Callable[..., bool] = staticmethod(lambda types, columns: False)

    @classmethod
    def make(
        cls, path: Path, table: str, file_name: str, asset_types: tuple[str, ...] = (), rid: RID | None = None
    ) -> AssetFilePath:
        """The path of the asset ``file_name`` of ``table`` whose content is at ``path``."""
        made = cls(path)
        made.asset_table, made.file_name = table, FileName(file_name)
        made.file_name.path = Path(made)
        made.asset_types, made.asset_rid = asset_types, rid
        return made

    @classmethod
    def of(cls, asset: Asset | StagedAsset, path: Path, rid: RID | None = None) -> AssetFilePath:
        """The path ``path`` of a file that is recorded, under ``rid``, or registered."""
        return cls.make(path, asset.table, asset.filename, asset.types, rid)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Values for columns of the table's own; may be set until the file is recorded."""
        return self.columns

    @metadata.setter
    def metadata(self, values: Mapping[str, Any]) -> None:
        self._change(self.asset_types, values)

    def set_asset_types(self, types: Sequence[str] | str) -> None:
        """Give the file other types, until it is recorded."""
        self._change((types,) if isinstance(types, str) else tuple(map(str, types)), self.columns)

    def _change(self, types: tuple[str, ...], columns: Mapping[str, Any]) -> None:
        if not self.change(types, columns):
            raise DerivaMLRequestError(f"{self.file_name} is recorded: it keeps its types and columns")
        self.asset_types, self.columns = types, columns

    def __repr__(self) -> str:
        if not self.file_name:  # a path derived from one, before Python 3.12
            return str(super().__repr__())
        return f"<{' '.join(filter(None, [type(self).__name__, self.asset_table, self.file_name, self.asset_rid]))}>"

    def with_segments(self, *pathsegments: Any) -> Path:
        """Paths derived from this one are plain: they name other files."""
        return Path(*pathsegments)


class NoFiles(DerivaMLException, KeyError):
    """Code asks for the files of a table that there are none of."""

    __str__ = Exception.__str__  # KeyError's puts the text in quotes


class AssetPaths(dict[str, list[AssetFilePath]]):
    """Paths of files by asset table; asked for a table that has none, it says which have some."""

    def __missing__(self, table: str) -> list[AssetFilePath]:
        others = f"only of {', '.join(sorted(self))}" if self else "nor of any other table"
        raise NoFiles(
            f"there are no files of {table} here, {others}: choose inputs with assets=ENTRY or datasets=ENTRY, as"
            " --list-configs shows, or use .get()"
        )


__getattr__ = builds_of(__name__, AssetSpecConfig=AssetSpec, LocalFileConfig=LocalFile)
