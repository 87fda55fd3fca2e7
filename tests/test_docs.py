"""The documentation says only what is true: its commands, options, links, names and snippets are the software's."""

from __future__ import annotations

import ast
import gzip
import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, SOURCE
from deriva_ml.cli.arguments import attach_values
from pages import FENCE, PAGES, Page, read

RUNNER = SOURCE / "deriva_ml"

OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")


@pytest.fixture(params=[*PAGES, ROOT / "template"], ids=lambda path: path.relative_to(ROOT).as_posix())
def page(request: pytest.FixtureRequest, rendered: Path) -> Page:
    """Each page of the template's documentation, and the one that a project gets."""
    if request.param.is_file():
        return read(request.param)
    return Page("the project's README.md", rendered, (rendered / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def scripts(rendered: Path) -> dict[str, str]:
    """A project's commands, with what each calls."""
    project = tomllib.loads((rendered / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands: dict[str, str] = project["scripts"]
    return commands


@pytest.fixture(scope="module")
def tools(rendered: Path) -> set[str]:
    """Programs that a project's dependencies bring, by the names of their packages; and deriva's for logging in."""
    table = tomllib.loads((rendered / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [*table["project"]["dependencies"], *table["dependency-groups"]["dev"]]
    logins = {point.name for point in distribution("deriva").entry_points if "auth" in point.name}
    return {re.split(r"[<>=]", name)[0] for name in wanted} | {"python"} | logins


HelpOf = Callable[..., str]


@pytest.fixture
def help_of(
    scripts: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> HelpOf:
    """``help_of("deriva-ml-catalog", "list")``: what that command prints for ``--help``."""
    monkeypatch.setenv("COLUMNS", "1000")  # so that no option is broken at a hyphen

    def text(command: str, *words: str) -> str:
        module, _, function = scripts[command].partition(":")
        with pytest.raises(SystemExit) as ended:
            getattr(importlib.import_module(module), function)([*words, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return text


def subcommands(help_text: str) -> list[str]:
    """The words that a command's help offers as its first, such as ``list|show|open``."""
    found = re.search(r"^usage: .* ([a-z]+(?:\|[a-z]+)+) ", help_text, re.MULTILINE)
    return found[1].split("|") if found else []


# -------------------------------------------------------------------------------------------------------- every page
def test_links_resolve(page: Page) -> None:
    """A relative link names a file that is there and, where it names a heading, one that the file has."""
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.folder / name
        assert path.exists() if name else True, target
        if anchor:
            into = Page(name, path.parent, path.read_text(encoding="utf-8")) if name else page
            assert anchor in into.anchors(), target


def test_commands_exist(page: Page, scripts: dict[str, str], tools: set[str], help_of: HelpOf) -> None:
    """What a person is told to type names a command, a tool or a target that is there, with options that it has."""
    targets = set(re.findall(r"^([.\w]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for line in page.shell_lines():
        words = shlex.split(line, comments=True)
        for program, *rest in commands_in(words):
            match program:
                case "make":
                    assert {word for word in rest if "=" not in word} <= targets, line
                case "uvx":
                    assert rest[0] == "copier", line
                case "uv" if rest[0] != "run":
                    assert rest[0] in {"add", "lock", "sync"}, line
                case "uv":
                    rest = [word for word in rest if word != "--exact"]  # uv's own
                    extra = rest[1:3] == ["--with", "jupyterlab"]
                    name, *arguments = rest[3:] if extra else rest[1:]
                    assert name in {*scripts, *tools} or (extra and name == "jupyter"), line
                    if name in scripts:
                        known = subcommands(help_of(name))
                        shown = help_of(name, *[word for word in arguments[:1] if word in known])
                        given = {
                            word for word in attach_values(arguments, "--sort") if OPTION.fullmatch(word)
                        }
                        assert given <= set(OPTION.findall(shown)), line


def commands_in(words: list[str]) -> Iterator[list[str]]:
    """The commands of a shell line, without those that ``&&`` and ``|`` join them to."""
    command: list[str] = []
    for word in [*words, "&&"]:
        if word in {"&&", "|"}:
            if command:
                yield command
            command = []
        else:
            command.append(word)


def test_python_snippets_hold(page: Page) -> None:
    """Python in a page parses, and what it imports from the runner is there."""
    for snippet in page.blocks("python"):
        for node in ast.walk(ast.parse(snippet)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deriva_ml"):
                module: Any = importlib.import_module(str(node.module))
                for name in node.names:
                    assert hasattr(module, name.name), f"{node.module}.{name.name}"


def test_no_page_speaks_of_one_machine(page: Page) -> None:
    """A page holds no path of the machine that it was written on."""
    assert not re.search(r"/(?:home|root|tmp|work|Users)/", page.text)


# ------------------------------------------------------------------------------------------------------ architecture
ARCHITECTURE = read(ROOT / "docs" / "architecture.md")


def test_the_map_has_every_module() -> None:
    """The architecture's map names each module of the runner under its package, and no other."""
    tree = next(block for block in ARCHITECTURE.blocks("") if block.startswith("deriva_ml/"))
    mapped: set[str] = set()
    folders: list[str] = []
    for line in tree.splitlines()[1:]:
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        folders = folders[:depth]
        if folder := re.match(r" +(\w+/)", line):
            folders.append(folder[1])
        mapped |= {"".join(folders) + name for name in re.findall(r"\w+\.py", line)}
    modules = {
        path.relative_to(RUNNER).as_posix() for path in RUNNER.rglob("*.py") if path.stem != "__init__"
    }
    assert mapped == modules


def test_what_is_to_be_changed_is_where_the_architecture_says() -> None:
    """Each module that its table names is there once, and has the name that is said to be in it."""
    table = ARCHITECTURE.text.partition("## To change something")[2].partition("\n## ")[0]
    modules = [path.relative_to(RUNNER).as_posix() for path in RUNNER.rglob("*.py")]
    for name in re.findall(r"`([\w/]+\.py)`", table):
        found = [path for path in modules if f"/{path}".endswith(f"/{name}")]
        assert len({path for path in found if path == name} or found) == 1, name
    for inside, name in re.findall(r"`(\w+)` in `([\w/]+\.py)`", table):
        [path, *_] = [path for path in modules if f"/{path}".endswith(f"/{name}")]
        assert re.search(rf"\b{inside}\b", (RUNNER / path).read_text(encoding="utf-8")), (inside, name)


def test_the_catalog_has_the_tables_that_are_named() -> None:
    """The architecture's list of tables is the embedded catalog's."""
    from deriva_ml.catalog.tables import statements

    made = {name for text in statements() for name in re.findall(r'CREATE (?:TABLE|VIEW) "(\w+)"', text)}
    section = ARCHITECTURE.text.partition("## The embedded catalog")[2].partition("\n\nWrite-ahead")[0]
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    assert {name.strip("`") for row in listed for name in row.split(", ")} == made


def test_the_stated_size_is_the_runners() -> None:
    """The number of lines that the architecture states is right within a tenth."""
    stated = re.search(r"about ([\d,]+) lines", ARCHITECTURE.text)
    assert stated
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in RUNNER.rglob("*.py"))
    assert int(stated[1].replace(",", "")) == pytest.approx(lines, rel=0.1)


# ------------------------------------------------------------------------------------------------------ Deriva catalogs
GUIDE = read(ROOT / "docs" / "deriva-catalog.md")


def stored() -> list[list[str]]:
    """The rows of the guide's table of what is stored where, without its head."""
    section = GUIDE.text.partition("## What is stored where\n")[2].partition("\n\nA file's content")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.split("\n") if line]
    return rows[2:]


@pytest.mark.parametrize(("generation", "column"), [("head", 1), ("1.17.10", 2)])
def test_what_is_stored_where_names_tables_that_are_there(generation: str, column: int) -> None:
    """Each table and column that the guide names is in the schema of that generation."""
    recorded = ROOT / "tests" / "data" / "deriva" / f"schema-{generation}.json.gz"
    tables = json.loads(gzip.decompress(recorded.read_bytes()))["schemas"]["deriva-ml"]["tables"]
    columns = {name: {one["name"] for one in table["column_definitions"]} for name, table in tables.items()}
    files = {name for name in columns if {"URL", "MD5"} <= columns[name]}
    named = 0
    for _, *cells in stored():
        cell = cells[0] if cells[column - 1] == "the same" else cells[column - 1]
        for name in re.findall(r"`([A-Z]\w+(?:\.\w+)?)`", cell):
            table, _, attribute = name.partition(".")
            if cell.startswith("columns "):
                assert all(name in columns[file] for file in files), name
            elif table not in {"Input", "Output", "Input_File", "Output_File"}:
                assert not attribute or attribute in columns[table], name
                assert table in columns, name
            named += 1
    assert named > 25


def test_the_guide_has_every_difference_of_status_names() -> None:
    """What a status is called in a catalog of deriva-ml 1.17 is what the guide says."""
    from deriva_ml.definitions import Status
    from deriva_ml.deriva.lookup import status_name
    from deriva_ml.deriva.model import Model

    there = Model({"schemas": {}})  # one without a vocabulary of statuses
    named = {status.value: status_name(status, there) for status in Status}
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", GUIDE.text, re.MULTILINE)
    assert dict(listed) == {name: other for name, other in named.items() if name != other}


def test_the_guide_says_what_is_repeated() -> None:
    """The statuses after which a request is sent again, and how often."""
    from deriva_ml.deriva.retry import PATIENT, TRANSIENT

    section = GUIDE.text.partition("## What is repeated")[2].partition("\n## ")[0]
    row = next(line for line in section.splitlines() if line.startswith("| 408"))
    assert {int(number) for number in re.findall(r"\d+", row.split("|")[1])} == TRANSIENT
    assert PATIENT.attempts == 6 and "up to six times" in section
