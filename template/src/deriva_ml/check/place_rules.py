"""What ties a notebook to one place: variables of one machine, one server, one catalog."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from deriva_ml.check.literal_paths import fetches, server_read
from deriva_ml.check.rule import Problem, rule
from deriva_ml.check.source import Cell, Source
from deriva_ml.definitions import DRY_RUN_RID, is_reserved
from deriva_ml.notebook.document import TAG

_COSMETIC = r"(?i)LOG|VERBOS|WARN|PROGRESS|COLOR|PARALLELISM|TELEMETRY"
_SETS_VARIABLES = frozenset({"os.putenv", "os.environ.setdefault", "os.environ.update"})
_CONFIGURING = (
    r"hydra\.(initialize\w*|compose)|hydra_zen\.(store|builds|make_config|make_custom_builds_fn|zen)"
    r"|omegaconf\.OmegaConf\.(create|update|load|from_cli|from_dotlist)"
    r"|deriva_ml(\.\w+)*\.(DerivaMLConfig|create_model_config|notebook_config|multirun_config|with_description)"
)
_HOSTNAME = r"(?i)(?=.{4,253}\Z)(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)+[a-z]{2,24}|\d{1,3}(?:\.\d{1,3}){3}"
_HOST_WORDS = r"(?i)(?:.*_)?(host|hostname|host_name|server|servername|server_name)\Z"
_LOCAL = r"(?i)localhost|127\.|0\.0\.0\.0|.*\.(py|txt|csv|json|html?|log|ipynb|ya?ml|md)\Z"
_TAKES_HOST = (
    r"deriva\.core(\.\w+)*\.(DerivaServer|ErmrestCatalog|HatracStore|get_credential|DerivaBinding)"
    r"|deriva_ml(\.\w+)*\.(DerivaML|DerivaMLConfig|demo_catalog\.\w+)"
)
_TAKES_RID = (
    r"lookup_\w+|resolve_rid|retrieve_rid|download_asset|download_dataset_bag|delete_dataset|DatasetSpec|DatasetSpecConfig"
    r"|AssetSpec|AssetSpecConfig|restore_execution|list_dataset_members|cite"
)
_RID_WORD = r"(?i)(?:.*_)?rids?\Z"
_LIKE_RID = re.compile(r"[\"'][0-9A-Z][0-9A-Z-]{2,}[\"']")
_RID = r"[0-9A-Z]{1,5}(-[0-9A-Z]{1,4})+|[1-9A-Z][0-9A-Z]{3,5}"


@rule("DML201", "configured-in-a-cell", own=True)
def configured(source: Source) -> Iterator[Problem]:
    """A cell sets a variable of the environment, or Hydra's or DerivaML's configuration.

    **What it protects.** The record says what the run was configured with: parameters, and entries of `src/configs`. What a
    cell changes behind them is in neither, and nobody can choose another value from the command line.

    **How to mend it.** Make it a parameter, or an entry in `src/configs`; export a variable before the run.

    ```text
    # before                                      # after
    os.environ["CUDA_VISIBLE_DEVICES"] = "1"      # CUDA_VISIBLE_DEVICES=1 uv run deriva-ml-run-notebook ...
    config.top_k = 5                              # uv run deriva-ml-run-notebook ... -p top_k 5
    ```

    Variables that only say how much is logged or shown are left alone.
    """
    for cell, call, name in source.calls:
        if name in _SETS_VARIABLES:
            if not re.search(_COSMETIC, ast.unparse(call.args[0]) if call.args else ""):
                yield Problem(cell, call, f"{name}() sets environment variables: set them before the run")
        elif name:
            # As every notebook of a project calls it, no pattern is compiled for it.
            if name.endswith(".run_notebook"):
                continue
            if name.startswith(("hydra", "omegaconf", "deriva")) and re.fullmatch(_CONFIGURING, name):
                what = f"{name.rpartition('.')[2]}() configures in a cell"
                yield Problem(cell, call, f"{what}: make it an entry in src/configs")
        elif getattr(call.func, "attr", "") == "run_line_magic" and (variable := _set_by_magic(call)):
            yield Problem(cell, call, f"sets the environment variable {variable}: set it before the run")
    for cell, item in source.variables:
        if isinstance(item.ctx, ast.Store | ast.Del):
            key = ast.unparse(item.slice).strip("'")
            if not re.search(_COSMETIC, key):
                yield Problem(cell, item, f"sets the environment variable {key}: set it before the run")
    config = _configuration_name(source)
    for cell in source.cells:
        for target in cell.nodes(ast.Attribute) if config else ():
            if isinstance(target.ctx, ast.Store) and _root(target) == config:
                what = f"changes {ast.unparse(target)} after the run was composed"
                yield Problem(cell, target, f"{what}: make it a parameter or an entry")


def _set_by_magic(call: ast.Call) -> str:
    """Return the variable of the environment that a line of IPython sets; empty if it sets none, or what is only shown."""
    match call.args:
        case [ast.Constant(value="env" | "set_env"), ast.Constant(value=str(words))]:
            found = re.match(r"(\w+)\s*[= ]\s*\S", words)
            return found[1] if found and not re.search(_COSMETIC, found[1]) else ""
    return ""


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _configuration_name(source: Source) -> str:
    """Return the name that a notebook gives to the configuration that ``run_notebook()`` returns."""
    for cell in source.cells:
        for node in cell.nodes(ast.Assign) if "run_notebook" in cell.last_words else ():
            match node:
                case ast.Assign(
                    targets=[ast.Tuple(elts=[_, _, ast.Name(id=name)])],
                    value=ast.Call(func=ast.Name(id="run_notebook") | ast.Attribute(attr="run_notebook")),
                ):
                    return name
    return ""


@rule("DML203", "hostname")
def hostname(source: Source) -> Iterator[Problem]:
    """A cell names the server that it connects to, or that it reads from.

    **What it protects.** The notebook works with this server only: not with a test server, not with the project's embedded
    catalog, and not when the server is gone. What it reads there may be something else tomorrow, and is in no record.

    **How to mend it.** The catalog is an entry of the configuration (`deriva_ml=production`). A file from the web is
    fetched once, and declared as an input.

    ```text
    # before                                                        # after
    ml = DerivaML("data.example.org", "12")                         ml, execution, config = run_notebook("my_analysis")
    rows = pd.read_csv("https://data.example.org/rows.csv")         path, = execution.asset_paths["File"]
    ```

    Addresses in texts, of pictures and of this machine, and those in the parameters cell are left alone.
    """
    named = dict.fromkeys(cell for cell in source.cells if _may_name_host(cell))
    for cell, call, name in source.calls:
        if not (cell in named or name.startswith("deriva") or fetches(name)) or TAG in cell.tags:
            continue
        given = [one.value for one in call.keywords if one.arg and re.match(_HOST_WORDS, one.arg)]
        for node in [
            *given,
            *(
                call.args[:2]
                if call.args and name.startswith("deriva") and re.fullmatch(_TAKES_HOST, name)
                else ()
            ),
        ]:
            if text := _host(node):
                yield Problem(cell, node, f"{text!r} ties the notebook to one server: name it in src/configs")
        if address := server_read(call, name, source):
            yield Problem(
                cell, call, f"reads from {address}: fetch it once, and declare the file as an input"
            )
    for cell in named:
        for assigned in cell.nodes(ast.Assign) if TAG not in cell.tags else ():
            names = [getattr(one, "id", getattr(one, "attr", "")) for one in assigned.targets]
            if any(re.match(_HOST_WORDS, one) for one in names) and (text := _host(assigned.value)):
                yield Problem(
                    cell, assigned, f"{text!r} ties the notebook to one server: name it in src/configs"
                )


def _may_name_host(cell: Cell) -> bool:
    text = cell.text.lower()
    return "host" in text or "server" in text or not text.isascii()


def _host(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            plain = re.sub(r"\A\w+://|[:/].*\Z", "", text)
            return text if re.fullmatch(_HOSTNAME, plain) and not re.match(_LOCAL, plain) else ""
    return ""


@rule("DML204", "rid-in-a-cell")
def rid(source: Source) -> Iterator[Problem]:
    """A cell names a record of one catalog by its RID.

    **What it protects.** Which datasets, files and executions a notebook reads is part of its configuration: there they are
    checked before the run starts, recorded as inputs, and can be exchanged from the command line.

    **How to mend it.** Put the RID into an entry in `src/configs`, or make it a parameter:

    ```text
    # before                                                  # after, in src/configs/datasets.py
    bag = execution.download_dataset_bag("2-B3C4")            datasets_store([DatasetSpecConfig(rid="2-B3C4", version="1.0.0")], name="cells")
    ```

    A text counts as an RID only where one belongs: as `rid=`, in a variable or under a key of that name, or in a call that
    takes one. RIDs that mean the same in every project, as the demonstration's, are left alone.
    """
    for cell in source.cells:
        if TAG in cell.tags or not _LIKE_RID.search(cell.text):
            continue
        for node in _where_rids_belong(cell):
            match node:
                case ast.Constant(value=str(text)) if _is_rid(text):
                    yield Problem(
                        cell,
                        node,
                        f"the RID {text!r} is of one catalog: name it in src/configs, or make it a parameter",
                    )


def _is_rid(text: str) -> bool:
    return (
        bool(re.fullmatch(_RID, text))
        and not is_reserved(text)
        and text != DRY_RUN_RID
        and bool(re.search(r"\d", text))
    )


def _where_rids_belong(cell: Cell) -> Iterator[ast.expr]:
    for call in cell.nodes(ast.Call):
        for keyword in call.keywords:
            if keyword.arg and re.match(_RID_WORD, keyword.arg):
                yield from _elements(keyword.value)
        if call.args and re.fullmatch(_TAKES_RID, getattr(call.func, "attr", getattr(call.func, "id", ""))):
            yield from _elements(call.args[0])
    for node in cell.nodes(ast.Assign):
        if any(re.match(_RID_WORD, getattr(one, "id", getattr(one, "attr", ""))) for one in node.targets):
            yield from _elements(node.value)
    for table in cell.nodes(ast.Dict):
        for key, value in zip(table.keys, table.values, strict=True):
            if (
                isinstance(key, ast.Constant)
                and isinstance(key.value, str)
                and re.match(_RID_WORD, key.value)
            ):
                yield from _elements(value)
    for compared in cell.nodes(ast.Compare):
        names = {"RID", "rid"}
        sides = [compared.left, *compared.comparators]
        if any(getattr(one, "attr", getattr(one, "id", "")) in names or _key(one) in names for one in sides):
            yield from (element for side in sides for element in _elements(side))


def _key(node: ast.expr) -> str:
    match node:
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            return key
    return ""


def _elements(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
