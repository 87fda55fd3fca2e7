"""What may differ the next time: installed packages, random numbers, the clock, the environment."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from deriva_ml.check.random_sources import MENDS, SEEDS, Draw, drawn_by, may_draw, may_seed, seeded_by
from deriva_ml.check.rule import Kind, Problem, rule
from deriva_ml.check.source import Cell, Source

_INSTALLS = (
    r"(?:^|[;&|(]\s*|\bsudo\s+(?:-\S+\s+)*|-m\s+|\byes\s*\|\s*)"
    r"(?:[\w./{}-]*/)?(?P<tool>pip[\d.]*|conda|mamba|micromamba|apt|apt-get|brew|uv|uv\s+pip|poetry|pipx|npm|yum|dnf|easy_install)\s+"
    r"(?:-\S+\s+)*(?P<verb>install|add|sync)\b"
)
_VERBS = ("install", "add", "sync")
_IS_PYTHON = r"(pip|conda|mamba|micromamba|uv|poetry|easy_install)"
_RUN = frozenset("system getoutput check_call check_output run Popen call run_line_magic".split())
"""What runs a command, by the last word of its name."""
_SHELLS = frozenset({"bash", "sh", "script", "cmd", "system", "sx", "!"})
_DURATIONS = frozenset({"time.time", "time.time_ns", "datetime.datetime.now", "datetime.datetime.utcnow"})
_CLOCKS = _DURATIONS | {
    "datetime.date.today",
    "datetime.datetime.today",
    "pandas.Timestamp.now",
    "pandas.Timestamp.today",
    "pandas.Timestamp.utcnow",
    "time.asctime",
    "time.ctime",
    "time.gmtime",
    "time.localtime",
    "time.strftime",
}
_NEEDS_NO_TIME = {
    "time.asctime": 0,
    "time.ctime": 0,
    "time.gmtime": 0,
    "time.localtime": 0,
    "time.strftime": 1,
}
"""Functions that read the clock unless they are given a time, and after how many other arguments."""
_ENVIRONMENT = {
    "os.getenv": "an environment variable",
    "os.environ.get": "an environment variable",
    "os.getlogin": "the user's name",
    "getpass.getuser": "the user's name",
    "socket.gethostname": "the machine's name",
    "socket.getfqdn": "the machine's name",
    "platform.node": "the machine's name",
    "locale.getlocale": "the locale",
    "locale.getdefaultlocale": "the locale",
}
_SECRET = r"(?i)KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH|USER_?NAME"
_KNOWN_LIBRARIES = frozenset(
    "IPython astropy bokeh collections datetime fastai fastbook itertools ipywidgets keras math matplotlib mpl_toolkits numpy"
    " os pandas plotly pylab pyspark random scipy seaborn sklearn statistics sympy tensorflow time tkinter torch torchvision"
    " turtle typing".split()
)
"""Libraries that seed nothing as they are imported."""


@rule("DML601", "installs-packages")
def installs(source: Source) -> Iterator[Problem]:
    """A cell installs packages.

    **What it protects.** What is installed while the notebook runs is in no `uv.lock`: the next run gets another version, or
    none without a network, and the environment of other notebooks changes under them.

    **How to mend it.** Add the package to the project, commit `uv.lock`, and delete the line:

    ```bash
    uv add seaborn
    ```
    """
    for cell in source.cells:
        for line, command in _commands(cell):
            if any(verb in command for verb in _VERBS) and (found := re.search(_INSTALLS, command)):
                mend = (
                    "'uv add' the package"
                    if re.match(_IS_PYTHON, found["tool"])
                    else "install it before the run"
                )
                yield Problem(cell, line, f"{found['tool']} {found['verb']}: {mend}, and delete the line")


def _commands(cell: Cell) -> Iterator[tuple[ast.AST | int, str]]:
    """Yield the commands of the system that a cell runs, each with its place."""
    if cell.tree is None:
        if cell.magic in _SHELLS:
            for number, line in enumerate(cell.text.splitlines(), 1):
                if not line.lstrip().startswith(("%%", "#")):
                    yield number, line.strip()
        elif cell.error:
            for number, line in enumerate(cell.text.splitlines(), 1):
                if line.lstrip().startswith(("!", "%")):
                    yield number, line.strip().lstrip("!%")
        return
    for call, name in cell.calls if not _RUN.isdisjoint(cell.last_words) else ():
        if name not in _RUN:
            continue
        texts = [
            one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)
        ]
        if name != "run_line_magic":
            if texts:
                yield call, texts[0]
            elif call.args and isinstance(call.args[0], ast.List | ast.Tuple):
                words = [
                    one.value if isinstance(one, ast.Constant) else "python" for one in call.args[0].elts
                ]
                yield call, " ".join(map(str, words))
        elif len(texts) == 2:
            yield call, " ".join(texts)


@rule("DML602", "unseeded-random", reads=Kind.code)
def unseeded(source: Source) -> Iterator[Problem]:
    """Random numbers are drawn that nothing seeds.

    **What it protects.** Each run draws others: a split, the start of a training or a sample is not the one that was
    reported, and a difference between two runs may be nothing but chance.

    **How to mend it.** Take the seed from the parameters cell, so that the record has it:

    ```text
    # before                                    # after
    rng = np.random.default_rng()               rng = np.random.default_rng(seed)
    train, test = train_test_split(rows)        train, test = train_test_split(rows, random_state=seed)
    weights = torch.randn(3)                    torch.manual_seed(seed)  # once, above
    ```

    What is known is the standard library's `random`, `numpy.random`, PyTorch, TensorFlow and Keras, what takes
    `random_state` in scikit-learn and is random without, and `sample()` of a data frame. A call of a function with
    `seed` in its name, such as `seed_everything(0)`, counts as seeding all of them.
    """
    for one in _unseeded(source):
        if not one.other:
            where = " above, only below" if one.later else ""
            message = f"{one.draw.what}, and nothing seeds it{where}: {_mend(one.draw)}"
            yield Problem(one.cell, one.call, message)


@rule("DML603", "seed-of-another-kind", reads=Kind.code)
def wrong_kind(source: Source) -> Iterator[Problem]:
    """Random numbers are drawn that another library's seed does not reach.

    **What it protects.** The notebook looks seeded, and each run gives something else all the same: `random.seed()` does not
    reach NumPy, `np.random.seed()` reaches neither PyTorch nor a generator that `default_rng()` made, and so on.

    **How to mend it.** Seed what draws:

    ```text
    # before                          # after
    np.random.seed(seed)              np.random.seed(seed)
    rng = np.random.default_rng()     rng = np.random.default_rng(seed)
    ```
    """
    for one in _unseeded(source):
        if one.other:
            message = f"{one.draw.what}, and {one.other}() does not seed it: {_mend(one.draw)}"
            yield Problem(one.cell, one.call, message)


def _mend(draw: Draw) -> str:
    return draw.mend or f"{MENDS[draw.kind]} above"


class _Place(NamedTuple):
    """Where a call stands: its cell's place among all, its line and its column; and whether it runs when a function is called."""

    at: tuple[int, int, int]
    is_late: bool


class _Unseeded(NamedTuple):
    """A draw without a seed.

    Attributes:
        cell, call, draw: what draws, and where.
        other: a function that seeds something else; empty if there is none.
        later: its kind is seeded below.
    """

    cell: Cell
    call: ast.Call
    draw: Draw
    other: str
    later: bool


@lru_cache(maxsize=1)
def _unseeded(source: Source) -> list[_Unseeded]:
    """Return draws without a seed; of a kind that is seeded as a whole, the first."""
    seeds: list[tuple[_Place, str, Collection[str]]] = [
        (_Place((n, 0, 0), False), "", MENDS) for n, cell in enumerate(source.cells) if _may_seed(cell)
    ]
    numbers = {id(cell): n for n, cell in enumerate(source.cells)}  # those of modules have no other
    draws: list[tuple[_Place, Cell, ast.Call, Draw]] = []
    defined = {one.name for cell in source.cells for one in cell.nodes(ast.FunctionDef)}
    func: Any
    for cell, call, name in source.calls:
        func = call.func
        word = func.attr if func.__class__ is ast.Attribute else func.id if func.__class__ is ast.Name else ""
        if not name and func.__class__ is ast.Attribute and word != "sample":
            continue
        if (may_seed(name) or may_seed(word)) and (seeded := seeded_by(call, name, defined)):
            seeds.append((_place(numbers[id(cell)], cell, call), name if name in SEEDS else "", seeded))
        elif (word == "sample" or may_draw(name)) and (
            draw := drawn_by(call, name and source.means(func), source)
        ):
            draws.append((_place(numbers[id(cell)], cell, call), cell, call, draw))
    if draws and not source.is_notebook and not _is_entry(source):
        draws = [one for one in draws if not one[-1].kind]
    return [*_without(source, draws, seeds)] if draws else []


def _without(
    source: Source,
    draws: list[tuple[_Place, Cell, ast.Call, Draw]],
    seeds: list[tuple[_Place, str, Collection[str]]],
) -> Iterator[_Unseeded]:
    """Yield the draws that no seed reaches."""
    text = "\n".join(cell.text for cell in source.cells)
    told: set[str] = set()
    for place, cell, call, draw in draws:
        before = [one for one in seeds if place.is_late or one[0].is_late or one[0].at < place.at]
        # A function that seeds all may also seed what only has a seed of its own.
        if any(draw.kind in seeded or not name for _, name, seeded in before) or draw.kind in told:
            continue
        if draw.is_start and ("load_state_dict" in text or "load_weights" in text):
            continue
        if draw.mend and "set_params" in text:
            continue
        if not draw.mend:
            told.add(draw.kind)
        other = next((name for where, name, _ in before if place.is_late or where.at < place.at), "")
        later = any(draw.kind in seeded for _, _, seeded in seeds)
        yield _Unseeded(cell, call, draw, other, later)


def _place(number: int, cell: Cell, call: ast.Call) -> _Place:
    is_late = False
    function: Any
    for function in cell.nodes(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda):
        is_late = is_late or function.lineno <= call.lineno <= function.end_lineno
    return _Place((number, call.lineno, call.col_offset), is_late)


def _is_entry(source: Source) -> bool:
    """Whether a module is a model, which a run calls: others may rely on the seed of who uses them."""
    return any(
        one.arg in {"execution", "ml_instance"} for cell in source.cells for one in cell.nodes(ast.arg)
    )


def _may_seed(cell: Cell) -> bool:
    """Whether a cell may seed what its text does not tell."""
    if cell.tree is None:
        return bool(cell.error) and "seed" in cell.text
    for call in cell.nodes(ast.Call) if "run_line_magic" in cell.last_words else ():
        if getattr(call.func, "attr", "") == "run_line_magic" and ast.unparse(call.args[0]) == "'run'":
            return True
    return any(
        one.names[0].name == "*"
        and (one.level or (one.module or "").partition(".")[0] not in _KNOWN_LIBRARIES)
        for one in cell.nodes(ast.ImportFrom)
    )


@rule("DML604", "clock-read", reads=Kind.code, advice=True)
def clock(source: Source) -> Iterator[Problem]:
    """The clock is read for something else than a duration.

    **What it protects.** What depends on the day or the hour of the run differs the next time: a file's name, a filter "the last
    thirty days", an age.

    **How to mend it.** Make the day a parameter. When a run was, its record says already.

    ```text
    # before                        # after, in the parameters cell
    today = date.today()            today: date = date(2026, 1, 31)
    ```

    Reading the clock twice to take the difference is left alone.
    """
    for cell, call, name in source.calls:
        if name not in _CLOCKS or len(call.args) > _NEEDS_NO_TIME.get(name, 9) or not source.means(call.func):
            continue
        if name not in _DURATIONS or not _is_duration(call, cell, source):
            yield Problem(cell, call, f"{name}() reads the clock: a parameter says which time is meant")


def _is_duration(call: ast.Call, cell: Cell, source: Source) -> bool:
    """Whether a time is compared with another, or subtracted."""
    node: Any
    names = {
        ast.unparse(target)
        for node in cell.nodes(ast.Assign)
        if node.value is call
        for target in node.targets
    }
    spelled = "|".join(map(re.escape, names))
    for one in source.cells:
        if one.error and names and re.search(rf"\b(?:{spelled})\s*-|-\s*(?:{spelled})\b", one.text):
            return True
        for node in one.nodes(ast.BinOp, ast.Compare):
            sides = node.left, *(node.comparators if isinstance(node, ast.Compare) else [node.right])
            if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.Add | ast.Sub):
                continue
            if any(side is call or (names and ast.unparse(side) in names) for side in sides):
                return True
    return False


@rule("DML605", "environment-read", reads=Kind.code, advice=True)
def environment(source: Source) -> Iterator[Problem]:
    """A variable of the environment, or the name of the user or the machine is read.

    **What it protects.** Somebody else has another value, and so have you tomorrow. The record does not name it.

    **How to mend it.** Make it a parameter, or an entry of the configuration. Credentials belong into the environment:
    variables whose names tell that they hold one are left alone, and so are those that the notebook sets itself.
    """
    own = {ast.unparse(node.slice) for _, node in source.variables if isinstance(node.ctx, ast.Store)}
    for cell, call, name in source.calls:
        what = _ENVIRONMENT.get(name)
        key = ast.unparse(call.args[0]) if what and call.args else ""
        if what and source.means(call.func) and key not in own and not re.search(_SECRET, key):
            yield Problem(cell, call, f"{name}() reads {what}: a parameter says which value is meant")
    for cell, node in source.variables:
        if isinstance(node.ctx, ast.Load):
            key = ast.unparse(node.slice)
            if key not in own and not re.search(_SECRET, key):
                message = "os.environ[] reads an environment variable: a parameter says which value is meant"
                yield Problem(cell, node, message)
