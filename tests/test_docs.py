"""The documentation says only what is true: its commands, options, links, names and snippets are the software's."""

from __future__ import annotations

import ast
import gzip
import importlib
import json
import os
import re
import shlex
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, SOURCE, ProjectFolder
from deriva_double import DerivaDouble

PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
RUNNER = SOURCE / "deriva_ml"

OPTION = re.compile(r"(?<![\w-])--?[a-zA-Z][\w-]*")
HERE_DOCUMENT = re.compile(r"<<'END'\n.*?^END$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A page of the documentation: its name for messages, the folder that its links start from, its text."""

    name: str
    folder: Path
    text: str

    def blocks(self, *languages: str) -> list[str]:
        """The contents of its fenced blocks in any of these languages."""
        return [content for language, content in FENCE.findall(self.text) if language in languages]

    def shell_lines(self) -> Iterator[str]:
        """What it tells a person to type: lines of shell blocks, and of sessions after their prompt."""
        for block in self.blocks("bash"):
            yield from HERE_DOCUMENT.sub("", block).replace("\\\n", " ").splitlines()
        for block in self.blocks("console"):
            yield from (line[2:] for line in block.splitlines() if line.startswith("$ "))
        yield from re.findall(r"`((?:uv|uvx|make) (?!run`)[^`]+)`", FENCE.sub("", self.text))

    def anchors(self) -> set[str]:
        """What a link into it may name, in GitHub's spelling."""
        headings = re.findall(r"^#+ (.+)$", FENCE.sub("", self.text), re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def read(path: Path) -> Page:
    """The page in a file."""
    return Page(str(path.relative_to(ROOT)), path.parent, path.read_text(encoding="utf-8"))


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


# ------------------------------------------------------------------------------------------------ the command reference
REFERENCE = read(ROOT / "docs" / "cli-reference.md")
COMMON = {"-h", "--help", "--debug"}
SECTIONS = {
    title: content
    for title, content in re.findall(
        r"^##+ ([^\n]+)\n(.*?)(?=^##+ |\Z)", REFERENCE.text, re.MULTILINE | re.DOTALL
    )
}


def tabled(section: str) -> str:
    """The first columns of a section's tables of options."""
    return "\n".join(re.findall(r"^\| (`-[^|]+) \|", section, re.MULTILINE))


def subcommands(help_text: str) -> list[str]:
    """The words that a command's help offers as its first, such as ``list|show|open``."""
    found = re.search(r"^usage: .* ([a-z]+(?:\|[a-z]+)+) ", help_text, re.MULTILINE)
    return found[1].split("|") if found else []


def test_the_reference_has_every_command(scripts: dict[str, str], help_of: HelpOf) -> None:
    """Each command and subcommand has a section and is in the overview, and no other is."""
    parts = [f"{name} {word}" for name in scripts for word in subcommands(help_of(name))]
    assert set(SECTIONS) - {"Every command"} == {*scripts, *parts}
    overview = REFERENCE.text.partition("## Every command")[0]
    assert set(re.findall(r"^\| \[`([\w-]+)`\]", overview, re.MULTILINE)) == set(scripts)


@pytest.mark.parametrize("title", sorted(set(SECTIONS) - {"Every command"}))
def test_the_reference_has_every_option(title: str, help_of: HelpOf) -> None:
    """A command's section lists the options that its ``--help`` shows, with their choices, and no other."""
    shown = help_of(*title.split())
    listed = tabled(SECTIONS[title])
    taken = set(OPTION.findall(shown))
    assert set(OPTION.findall(listed)) == taken - COMMON
    for choices in re.findall(r"\{[^}]+\}", shown.partition("\n\n")[0]):
        assert choices in listed or choices.strip("{}").replace(",", "|") in SECTIONS[title]


def test_every_command_takes_the_common_options(scripts: dict[str, str], help_of: HelpOf) -> None:
    """What the reference says of every command holds for each that does something by itself."""
    assert set(OPTION.findall(tabled(SECTIONS["Every command"]))) == COMMON
    for name in scripts:
        for words in subcommands(help_of(name)) or [""]:
            assert COMMON <= set(OPTION.findall(help_of(name, *words.split()))), f"{name} {words}"


def test_the_reference_has_every_exit_status() -> None:
    """The table of exit statuses has those that commands return."""
    from deriva_ml.cli import common

    statuses = {0, common.FAILED, common.WRONG_REQUEST, common.INTERRUPTED}
    assert {int(n) for n in re.findall(r"^\| (\d+) \|", SECTIONS["Every command"], re.MULTILINE)} == statuses


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
                    extra = rest[1:3] == ["--with", "jupyterlab"]
                    name, *arguments = rest[3:] if extra else rest[1:]
                    assert name in {*scripts, *tools} or (extra and name == "jupyter"), line
                    if name in scripts:
                        known = subcommands(help_of(name))
                        shown = help_of(name, *[word for word in arguments[:1] if word in known])
                        given = {word for word in arguments if OPTION.fullmatch(word)}
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


@pytest.mark.parametrize(
    ("package", "unknown"),
    [
        ("catalog", ("notebook", "execution", "cli", "core")),
        ("notebook", ("catalog", "execution", "cli", "core")),
        ("execution", ("cli",)),
    ],
)
def test_imports_point_one_way(package: str, unknown: tuple[str, ...]) -> None:
    """A package imports nothing of those above it, nor of its sibling, not even inside a function."""
    for path in (RUNNER / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                parts = (node.module or "").split(".")
                assert parts[0] != "deriva_ml" or not set(parts[1:2]) & set(unknown), (
                    f"{path.name}: {node.module}"
                )


def test_the_catalog_has_the_tables_that_are_named() -> None:
    """The architecture's list of tables is the embedded catalog's."""
    from deriva_ml.catalog.tables import statements

    made = {name for text in statements() for name in re.findall(r'CREATE TABLE "(\w+)"', text)}
    section = ARCHITECTURE.text.partition("## The embedded catalog")[2].partition("\n\nWrite-ahead")[0]
    listed = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE)
    assert {name.strip("`") for row in listed for name in row.split(", ")} == made


def test_the_stated_size_is_the_runners() -> None:
    """The number of lines that the architecture states is right within a tenth."""
    stated = re.search(r"about ([\d,]+) lines", ARCHITECTURE.text)
    assert stated
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in RUNNER.rglob("*.py"))
    assert int(stated[1].replace(",", "")) == pytest.approx(lines, rel=0.1)


def test_the_picture_of_a_push_can_be_read_anywhere() -> None:
    """It is text that scales, in light and in dark, with nothing fetched for it, and names columns that are there."""
    from deriva_ml.catalog.tables import statements

    content = (ROOT / "docs" / "push.svg").read_text(encoding="utf-8")
    picture = ElementTree.fromstring(content)
    space = picture.tag.removesuffix("svg")
    assert picture.get("viewBox") and picture.findtext(f"{space}title") and picture.findtext(f"{space}desc")
    assert not re.search(r"href|url\(|@import|@font-face", content)
    assert "prefers-color-scheme: dark" in content
    texts = [element.text or "" for element in picture.iter(f"{space}text")]
    noted = [text.split(".") for text in texts if text.startswith("local_")]
    assert len(noted) == 4
    for table, column in noted:
        [made] = [text for text in statements() if f'CREATE TABLE "{table}"' in text]
        assert f'"{column}"' in made
    alt = re.search(r"!\[([^\]]+)\]\(push\.svg\)", ARCHITECTURE.text)
    assert alt and len(alt[1]) > 200


# ------------------------------------------------------------------------------------------------------- quick start
def test_the_quick_start_works_as_written(project_copy: Callable[..., ProjectFolder]) -> None:
    """Its commands, typed one after the other into a project that has just been made, all succeed."""
    _, *blocks = read(ROOT / "docs" / "quick-start.md").blocks("bash")  # the first makes the project
    project = project_copy()
    places = [Path(project.env["UV_PROJECT_ENVIRONMENT"]) / "bin", Path(project.env["UV"]).parent]
    path = os.pathsep.join([*map(str, places), project.env["PATH"]])
    newest = ""
    for block in blocks:
        # Every catalog's RIDs are its own: where the page shows one, the reader types the one that was printed.
        typed = re.sub(r"\b1-00[0-9A-Z]{2}\b", newest, block)
        done = project.run("bash", "-ec", typed, env={"PATH": path})
        assert done.rc == 0, typed + done.text
        newest = next(iter(re.findall(r"^Execution (\S+): Uploaded", done.out, re.M)), newest)
    assert project.git("describe", "--exact-match") == "v0.1.1"
    listing = project.run("uv", "run", "deriva-ml-catalog", "list", "--limit", "0", check=True).out
    assert listing.count("My Analysis") == 3 and listing.count("Model training") == 6
    assert "Counts" in listing and "Failed" not in listing


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
            elif table not in {"Input", "Output"}:
                assert not attribute or attribute in columns[table], name
                assert table in columns, name
            named += 1
    assert named > 25


def test_the_guide_has_every_difference_of_status_names() -> None:
    """What a status is called in a catalog of deriva-ml 1.17 is what the guide says."""
    from deriva_ml.catalog.remote.executions import status_name
    from deriva_ml.catalog.remote.model import Model
    from deriva_ml.definitions import Status

    there = Model({"schemas": {}})  # one without a vocabulary of statuses
    named = {status.value: status_name(status, there) for status in Status}
    listed = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", GUIDE.text, re.MULTILINE)
    assert dict(listed) == {name: other for name, other in named.items() if name != other}


def test_the_guide_says_what_is_repeated() -> None:
    """The statuses after which a request is sent again, and how often."""
    from deriva_ml.catalog.remote.retry import PATIENT, TRANSIENT

    section = GUIDE.text.partition("## What is repeated")[2].partition("\n## ")[0]
    row = next(line for line in section.splitlines() if line.startswith("| 408"))
    assert {int(number) for number in re.findall(r"\d+", row.split("|")[1])} == TRANSIENT
    assert PATIENT.attempts == 6 and "up to six times" in section


def test_the_guide_works_as_written(project_copy: Callable[..., ProjectFolder], tmp_path: Path) -> None:
    """Its commands, typed in order by someone who is logged in, all succeed, and leave nothing that waits."""
    project = project_copy()
    with DerivaDouble() as double:
        double.create_catalog("head")
        login = tmp_path / "home" / ".deriva" / "credential.json"
        login.parent.mkdir(parents=True)
        login.write_text(json.dumps({double.host: double.credential("admin")}))
        configs = project / "src" / "configs" / "deriva.py"
        configs.write_text(configs.read_text().replace('hostname=""', f'hostname="{double.url}"'))
        project.git("commit", "-qam", "Name the catalog")
        places = [Path(project.env["UV_PROJECT_ENVIRONMENT"]) / "bin", Path(project.env["UV"]).parent]
        env = {
            "PATH": os.pathsep.join([*map(str, places), project.env["PATH"]]),
            "HOME": str(tmp_path / "home"),
        }
        newest, typed = "", 0
        for block in GUIDE.blocks("bash"):
            if " login " in block:
                continue
            command = block.replace("www.example.org", double.url)
            command = re.sub(r"\bW-[0-9A-Z]{4}\b", newest, command)
            done = project.run("bash", "-ec", command, env=env)
            assert done.rc == 0, command + done.text
            newest = next(iter(re.findall(r"^Execution (\S+): ", done.out, re.M)), newest)
            typed += 1
        assert typed >= 4
        assert project.run("uv", "run", "deriva-ml-upload", env=env).out == "nothing waits to be pushed\n"
        there = [row for row in double.rows("1", "Execution") if row["Status"] == "Uploaded"]
        assert len(there) == 4
        assert not [row for row in double.rows("1", "Execution") if row["Status"] in {"Created", "Running"}]
