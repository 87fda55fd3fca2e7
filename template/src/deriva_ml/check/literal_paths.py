"""Which files and addresses a cell's calls read, as far as they are literal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from deriva_ml.check.source import Cell, Source
from deriva_ml.notebook.document import TAG

_OPEN = frozenset(
    "open io.open gzip.open bz2.open lzma.open codecs.open tarfile.open zipfile.ZipFile wave.open h5py.File".split()
)
"""What opens a file for reading unless its mode says otherwise."""
_READS = {
    "PIL.Image": ("open",),
    "anndata": ("read_",),
    "astropy.io.ascii": ("read",),
    "astropy.io.fits": ("open", "getdata", "getheader"),
    "astropy.table.QTable": ("read",),
    "astropy.table.Table": ("read",),
    "cv2": ("imread", "VideoCapture"),
    "geopandas": ("read_",),
    "imageio": ("imread", "mimread", "volread"),
    "imageio.v2": ("imread", "mimread", "volread"),
    "imageio.v3": ("imread",),
    "joblib": ("load",),
    "librosa": ("load",),
    "matplotlib.image": ("imread",),
    "matplotlib.pyplot": ("imread",),
    "netCDF4": ("Dataset",),
    "nibabel": ("load",),
    "numpy": ("load", "genfromtxt", "fromfile"),
    "pandas": ("read_", "ExcelFile", "HDFStore"),
    "polars": ("read_", "scan_"),
    "pyarrow.csv": ("read_",),
    "pyarrow.feather": ("read_",),
    "pyarrow.parquet": ("read_", "ParquetFile"),
    "pydicom": ("dcmread", "read_file"),
    "scanpy": ("read",),
    "scipy.io": ("loadmat",),
    "scipy.io.wavfile": ("read",),
    "scipy.sparse": ("load_npz",),
    "skimage.io": ("imread",),
    "sklearn.datasets": ("load_files", "load_svmlight_file"),
    "soundfile": ("read",),
    "tifffile": ("imread",),
    "torch": ("load",),
    "torchaudio": ("load",),
    "xarray": ("open_",),
}
"""What reads the file that its first argument names: modules, and what their functions begin with."""
_READS_NO_FILE = ("pandas.read_sql", "pandas.read_clipboard", "pandas.read_gbq")
_TAKES_PATH = {
    "glob": ("glob", "iglob"),
    "numpy": ("save",),
    "os": ("chdir", "listdir", "walk", "makedirs", "mkdir"),
    "os.path": ("",),
    "pathlib": ("Path", "PurePath"),
    "shutil": ("",),
    "sys.path": ("append", "insert"),
}
_FETCHES = {
    "geopandas": ("read_file",),
    "httpx": ("get", "post", "stream"),
    "numpy": ("loadtxt", "genfromtxt"),
    "pandas": _READS["pandas"],
    "polars": _READS["polars"],
    "requests": ("get", "post", "request"),
    "urllib": ("urlopen", "urlretrieve"),
    "urllib.request": ("urlopen", "urlretrieve"),
    "urllib2": ("urlopen",),
    "wget": ("download",),
}
"""What reads from an address."""
_ADDRESS = r"(?:https?|ftp|s3|gs)://(?:[\w.-]+@)?([\w.-]+)"
_LOCAL = r"localhost|127\.|0\.0\.0\.0"
_MAY_WRITE = (
    r"(?i)\b(wget|curl|unzip|untar|tar|gdown|kaggle|rsync|scp|cp|mv|git\s+(clone|lfs|checkout)|7z|gunzip)\b"
    r"|urlretrieve|extract|unpack|download|fetch|snapshot|get_file|shutil|%%(writefile|file|bash|sh|script)|%run|os\.(system|popen)|subprocess"
    r"|\bexec\(|colab|drive\.mount|chdir|%cd"
)
"""Words of cells that may bring files which the text does not name."""
_READ_METHODS = frozenset({"read_text", "read_bytes"})
_OPENING_METHODS = _READ_METHODS | {"open"}
_PATHS = frozenset({"pathlib.Path", "pathlib.PosixPath"})


def _is_of(name: str, modules: Mapping[str, tuple[str, ...]]) -> bool:
    module, _, last = name.rpartition(".")
    return module in modules and last.startswith(modules[module])


@lru_cache(maxsize=4096)
def _reads_file(name: str) -> bool:
    return _is_of(name, _READS) and not name.startswith(_READS_NO_FILE)


@lru_cache(maxsize=4096)
def fetches(name: str) -> bool:
    """Whether a function may read from an address."""
    return _is_of(name, _FETCHES)


def takes_path(name: str) -> bool:
    """Whether the first argument of a function is a path."""
    return name in _OPEN or _is_of(name, _READS) or _is_of(name, _TAKES_PATH)


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
    if not fetches(name) or not (call.args or call.keywords):
        return ""
    argument = (
        call.args[0] if call.args else next((one.value for one in call.keywords if one.arg == "url"), None)
    )
    text = text_of(argument, source)
    if isinstance(argument, ast.JoinedStr) and argument.values:
        text = text_of(argument.values[0], source)
        text = text if text.count("/") > 2 else ""  # the server's whole name is there
    address = re.match(_ADDRESS, text)
    return address[1] if address and not re.match(_LOCAL, address[1]) else ""


def files_read(source: Source) -> Iterator[tuple[Cell, ast.Call, str]]:
    """Yield the calls that read a file by a relative path, and the path."""
    func: Any
    for cell, call, name in source.calls:
        func = call.func
        if not name:
            if func.__class__ is ast.Attribute:
                if func.attr not in _OPENING_METHODS:
                    continue
            elif func.__class__ is ast.Name:
                name = func.id
        if name and name not in _OPEN and not _reads_file(name):
            continue
        text = _read(call, name, source)
        if text and _is_relative(text):
            yield cell, call, text


def files_written(source: Source) -> Iterator[tuple[tuple[int, int], str | None]]:
    """Yield what may have been written, with the cell and the line: any text that a call gets, and None for anything."""
    for cell in source.cells:
        for found in re.finditer(_MAY_WRITE, cell.text):
            yield (cell.number, cell.text.count("\n", 0, found.start()) + 1), None
        if cell.error:
            yield (cell.number, 0), None
    for cell, call, name in source.calls:
        name = name or getattr(call.func, "id", "")
        is_read = (name in _OPEN and _reads_only(call, 1)) or _reads_file(name) or name in _PATHS
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
    if isinstance(call.func, ast.Attribute) and attr in _OPENING_METHODS and not source.resolve(call.func):
        path = call.func.value
        if isinstance(path, ast.Constant) or (attr == "open" and not _reads_only(call, 0)):
            return ""
        return text_of(path, source) if _is_path(path, source) else ""
    if not call.args or name in source.values:
        return ""
    if name in _OPEN and not _reads_only(call, 1):
        return ""
    return text_of(call.args[0], source) if name in _OPEN or _reads_file(name) else ""


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
