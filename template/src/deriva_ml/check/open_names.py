"""What may give a notebook names that its text does not tell: magics, ``exec``, IPython's own dictionaries."""

from __future__ import annotations

import ast
import re

from deriva_ml.check.source import Cell

NEUTRAL_MAGICS = frozenset(
    "alias autoawait autoreload autosave bash bookmark cat cd colors conda config cp debug dhist dirs doctest_mode echo"
    " edit env file gui hist history html HTML javascript js latex ldir less lf lk ll load lprun ls lsmagic lx man"
    " markdown matplotlib memit mkdir more mprun mv nbagg notebook page pastebin pdb pdef pdoc perl pfile pinfo pinfo2"
    " pip popd pprint precision prun psearch psource pushd pwd pycat python python2 python3 quickref recall rehashx"
    " rm rmdir ruby sc script set_env sh svg SVG sx system tb tensorboard time timeit unalias unload_ext uv"
    " watermark who who_ls whos writefile xdel xmode cmd".split()
)
"""Magics that give no names to the notebook, but for those that they are asked to."""
_EXTENSIONS = (
    r"[\s'\"]*(autoreload|tensorboard\S*|memory_profiler|line_profiler|watermark|rpy2\.ipython|sql|[Cc]ython|\w*black\w*)"
    r"[\s'\"]*"
)
"""Extensions that give no names."""
_GIVES_OUTPUT = r"%%.*(--out|--err|-o\b|<<|>>)"
OPEN_ATTRIBUTES = frozenset({"user_ns", "user_global_ns", "run_cell", "run_code", "safe_execfile"})
OPEN_CALLS = frozenset(
    {
        "exec",
        "execfile",
        "globals",
        "init_session",
        "install_import_hook",
        "locals",
        "run_path",
        "vars",
        "dir",
    }
    | {"run_line_magic", "run_cell_magic", "magic", "ex", "push", "var"}
)


def cell_may_set_names(cell: Cell) -> bool:
    """Whether a cell that is no Python may give the notebook names."""
    is_neutral = cell.magic in NEUTRAL_MAGICS and not re.match(_GIVES_OUTPUT, cell.text.lstrip())
    return cell.tree is None and (cell.error is not None or not is_neutral)


def may_set_names(node: ast.Call) -> bool:
    """Whether a call may give the notebook names that its text does not tell."""
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    if name not in OPEN_CALLS:
        return False
    match node:
        case ast.Call(
            func=ast.Attribute(attr="run_line_magic"), args=[ast.Constant(value=str(magic)), *rest]
        ):
            words = rest[0].value if rest and isinstance(rest[0], ast.Constant) else ""
            if magic in {"load_ext", "reload_ext"}:
                return not re.fullmatch(_EXTENSIONS, str(words))
            return magic not in NEUTRAL_MAGICS
        case ast.Call(func=ast.Attribute(attr="ex" | "push", value=value)):
            return "get_ipython" in ast.unparse(value)
        case ast.Call(func=ast.Attribute(attr="exec" | "var" | "dir" | "vars")):
            return "sympy" in ast.unparse(node.func) or ast.unparse(node.func).startswith("sp.")
    return name not in {"dir", "locals", "vars"} or not node.args
