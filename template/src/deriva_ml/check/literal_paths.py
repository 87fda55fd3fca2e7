"""Which files and addresses a cell's calls read, as far as they are literal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.document import TAG

_OPEN = re.compile(
    r"open|io\.open|gzip\.open|bz2\.open|lzma\.open|codecs\.open|tarfile\.open|zipfile\.ZipFile|wave\.open|h5py\.File"
)
"""What opens a file for reading unless its mode says otherwise."""
_READS = re.compile(
    r"pandas\.(read_(?!sql|clipboard|gbq)\w+|ExcelFile|HDFStore)|polars\.(read|scan)_\w+|geopandas\.read_\w+"
    r"|numpy\.(load|loadtxt|genfromtxt|fromfile)|scipy\.io\.(loadmat|wavfile\.read|arff\.loadarff)|scipy\.sparse\.load_npz"
    r"|PIL\.Image\.open|cv2\.(imread|VideoCapture)|imageio(\.v\d)?\.(imread|mimread|volread)|matplotlib\.(pyplot|image)\.imread"
    r"|skimage\.io\.(imread|imread_collection)|tifffile\.imread|torch\.load|torchaudio\.load|joblib\.load"
    r"|xarray\.open_\w+|netCDF4\.Dataset|nibabel\.load|pydicom\.(dcmread|read_file)|soundfile\.read|librosa\.(load|core\.load)"
    r"|astropy\.io\.(fits\.open|ascii\.read)|astropy\.io\.fits\.(getdata|getheader)|astropy\.table\.(Q?Table)\.read"
    r"|pyarrow\.(parquet|csv|feather)\.read_\w+|pyarrow\.parquet\.ParquetFile|pysam\.\w+File|anndata\.read_\w+|scanpy\.read\w*"
    r"|sklearn\.datasets\.load_files|sklearn\.datasets\.load_svmlight_file"
)
TAKES_PATH = re.compile(
    rf"{_OPEN.pattern}|{_READS.pattern}|pathlib\.(Pure)?Path|os\.(chdir|listdir|walk|makedirs|mkdir|path\.\w+)|glob\.i?glob|shutil\.\w+"
    r"|numpy\.save\w*|sys\.path\.(append|insert)"
)
"""Calls whose first argument is a path."""
_FETCHES = re.compile(
    r"pandas\.read_(csv|table|json|excel|parquet|html|xml|fwf|feather|pickle|stata)|polars\.(read|scan)_\w+|requests\.(get|post|request)"
    r"|httpx\.(get|post|stream)|urllib\.request\.(urlopen|urlretrieve)|urllib2?\.(urlopen|urlretrieve)|wget\.download"
    r"|numpy\.(loadtxt|genfromtxt)|geopandas\.read_file"
)
_ADDRESS = re.compile(r"(?:https?|ftp|s3|gs)://(?:[\w.-]+@)?([\w.-]+)")
_LOCAL = re.compile(r"localhost|127\.|0\.0\.0\.0")
_MAY_WRITE = re.compile(
    r"\b(wget|curl|unzip|untar|tar|gdown|kaggle|rsync|scp|cp|mv|git\s+(clone|lfs|checkout)|7z|gunzip)\b"
    r"|urlretrieve|extract|unpack|download|fetch|snapshot|get_file|shutil|%%(writefile|file|bash|sh|script)|%run|os\.(system|popen)|subprocess"
    r"|\bexec\(|colab|drive\.mount|chdir|%cd",
    re.IGNORECASE,
)
"""Words of cells that may bring files which the text does not name."""
_READ_METHODS = frozenset({"read_text", "read_bytes"})
_PATHS = frozenset({"pathlib.Path", "pathlib.PosixPath"})


def text_of(node: ast.AST | None, source: Source, depth: int = 0) -> str:
    """Return the text that an expression is: a literal, a path of one, or a name that stands for it and nothing else."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) if depth < 5:
            values = source.values.get(name, [])
            if len(values) != 1 or values[0] is None or _is_parameter(name, source):
                return ""
            return text_of(values[0], source, depth + 1)
        case ast.Call(func=func, args=[first, *rest]) if source.resolve(func) in {*_PATHS, "os.path.join"}:
            parts = [text_of(one, source, depth + 1) for one in (first, *rest)]
            return "/".join(parts) if all(parts) else ""
        case ast.BinOp(left=left, op=ast.Div(), right=right) if depth < 20:
            parts = [text_of(one, source, depth + 1) for one in (left, right)]
            return "/".join(parts) if all(parts) else ""
    return ""


def _is_parameter(name: str, source: Source) -> bool:
    return any(
        isinstance(one.ctx, ast.Store) and one.id == name
        for cell in source.cells
        if TAG in cell.tags
        for one in cell.nodes(ast.Name)
    )


def server_read(call: ast.Call, name: str, source: Source) -> str:
    """Return the server that a call reads from, if that is literal and another machine."""
    if not name or not _FETCHES.fullmatch(name) or not (call.args or call.keywords):
        return ""
    argument = (
        call.args[0] if call.args else next((one.value for one in call.keywords if one.arg == "url"), None)
    )
    text = text_of(argument, source)
    if isinstance(argument, ast.JoinedStr) and argument.values:
        text = text_of(argument.values[0], source)
        text = text if text.count("/") > 2 else ""  # the server's whole name is there
    address = _ADDRESS.match(text)
    return address[1] if address and not _LOCAL.match(address[1]) else ""


def files_read(source: Source) -> Iterator[tuple[Cell, ast.Call, str]]:
    """Yield the calls that read a file by a relative path, and the path."""
    for cell, call, name in source.calls:
        text = _read(call, name or getattr(call.func, "id", ""), source)
        if text and _is_relative(text):
            yield cell, call, text


def files_written(source: Source) -> Iterator[tuple[tuple[int, int], str | None]]:
    """Yield what may have been written, with the cell and the line: any text that a call gets, and None for anything."""
    for cell in source.cells:
        for found in _MAY_WRITE.finditer(cell.text):
            yield (cell.number, cell.text.count("\n", 0, found.start()) + 1), None
        if cell.error:
            yield (cell.number, 0), None
    for cell, call, name in source.calls:
        name = name or getattr(call.func, "id", "")
        is_read = (_OPEN.fullmatch(name) and _reads_only(call, 1)) or _READS.fullmatch(name) or name in _PATHS
        if (
            is_read
            or name.startswith("os.path.")
            or getattr(call.func, "attr", "") in {*_READ_METHODS, "exists"}
        ):
            continue
        given = [*call.args, *(one.value for one in call.keywords), getattr(call.func, "value", None)]
        yield from (((cell.number, call.lineno), text) for one in given if (text := text_of(one, source)))


def _read(call: ast.Call, name: str, source: Source) -> str:
    """Return the path that a call reads; empty if it reads none, or one that is not literal."""
    attr = getattr(call.func, "attr", "")
    if (
        isinstance(call.func, ast.Attribute)
        and attr in _READ_METHODS | {"open"}
        and not source.resolve(call.func)
    ):
        path = call.func.value
        if isinstance(path, ast.Constant) or (attr == "open" and not _reads_only(call, 0)):
            return ""
        return text_of(path, source) if _is_path(path, source) else ""
    if not call.args or name in source.values:
        return ""
    if _OPEN.fullmatch(name) and not _reads_only(call, 1):
        return ""
    return text_of(call.args[0], source) if _OPEN.fullmatch(name) or _READS.fullmatch(name) else ""


def _is_path(node: ast.expr, source: Source) -> bool:
    match node:
        case ast.Call(func=func):
            return source.resolve(func) in _PATHS
        case ast.BinOp(left=left, op=ast.Div()):
            return _is_path(left, source)
        case ast.Name(id=name):
            values = source.values.get(name, [])
            return (
                len(values) == 1
                and values[0] is not None
                and not isinstance(values[0], ast.Name)
                and _is_path(values[0], source)
            )
    return False


def _reads_only(call: ast.Call, place: int) -> bool:
    mode = call.args[place] if len(call.args) > place else None
    mode = next((one.value for one in call.keywords if one.arg == "mode"), mode)
    return mode is None or (isinstance(mode, ast.Constant) and not set(str(mode.value)) & set("wax+"))


def _is_relative(text: str) -> bool:
    return (
        not re.match(r"[\w+.-]+:|[/\\~]", text)
        and "\n" not in text
        and len(text) < 300
        and text.strip() != ""
    )
