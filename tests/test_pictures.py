"""The pictures of the documentation show what is so: names, paths and commands are the software's, runs are real ones."""

from __future__ import annotations

import re
import shlex
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import pictures
import terminal
from cli_reference import parsers
from conftest import ROOT, ProjectFolder
from deriva_ml.definitions import Status
from deriva_ml.project import Project

FOLDER = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SVG = "{http://www.w3.org/2000/svg}"


def drawing(name: str) -> ElementTree.Element:
    """The root of a drawing."""
    return ElementTree.parse(FOLDER / name).getroot()


def texts(drawing: ElementTree.Element, kind: str | None = None) -> list[str]:
    """A drawing's texts, or those of one class, in order."""
    found = (element for element in drawing.iter(f"{SVG}text") if kind in {None, element.get("class")})
    return ["".join(element.itertext()) for element in found]


# ---------------------------------------------------------------------------------------------------- every picture
@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_a_picture_is_shown_and_described(name: str) -> None:
    """Each picture is on a page, and wherever it is, a text tells those who do not see it what is there."""
    shown = re.compile(rf"!\[([^\]]+)\]\([\w./]*pictures/{re.escape(name)}\)")
    described = [text for page in PAGES for text in shown.findall(page.read_text(encoding="utf-8"))]
    assert described and all(len(text) > 150 for text in described)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.svg")))
def test_a_drawing_can_be_seen_anywhere(name: str) -> None:
    """It scales, has a light and a dark side, fetches nothing, and says in words what it is."""
    content, root = (FOLDER / name).read_text(encoding="utf-8"), drawing(name)
    assert root.get("viewBox") and root.findtext(f"{SVG}title")
    assert len(root.findtext(f"{SVG}desc") or "") > 100
    assert not re.search(r"href|url\(|@import|@font-face|<script", content)
    assert "prefers-color-scheme: dark" in content
    assert not re.search(r"/(?:home|root|tmp|work|Users)\b", content)


# ------------------------------------------------------------------------------------------------- those drawn by hand
def test_the_life_of_an_execution_has_every_status() -> None:
    """Its boxes are the statuses that there are, and what it names as setting them is there."""
    from deriva_ml.execution import Execution, run_notebook

    root = drawing("execution.svg")
    assert sorted(texts(root, "status")) == sorted(Status)
    said = " ".join(texts(root))
    functions = set(re.findall(r"(\w+)\(\)", said))
    assert {"run_notebook", "commit_output_assets", "asset_file_path"} == functions
    assert all(hasattr(Execution, name) or name == run_notebook.__name__ for name in functions)
    assert set(re.findall(r"deriva-ml-[a-z-]+", said)) <= set(parsers())


def test_the_parts_of_a_project_are_there(rendered: Path) -> None:
    """Each path that it names is in a project or made by a run, and whose it is is what an update takes it for."""
    parts = {
        group.get("id"): [text.strip("/") for text in texts(group, "path")]
        for group in drawing("project.svg").iter(f"{SVG}g")
    }
    rules = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))["_exclude"]
    left_alone = re.findall(r"_copier_operation == 'update' %}/([^{]+){%", "\n".join(rules))
    assert sorted(parts["yours"]) == sorted(left_alone)
    assert [path for path in [*parts["yours"], *parts["theirs"]] if not (rendered / path).exists()] == []
    made = Project(rendered)
    made_by_runs = (made.database, made.objects, made.outputs)
    assert parts["made"] == [path.relative_to(rendered).as_posix() for path in made_by_runs]
    ignored = (rendered / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {f"/{path.partition('/')[0]}/" for path in parts["made"]} <= set(ignored)


def test_a_push_notes_what_the_catalog_has_columns_for() -> None:
    """The tables and columns that its notes go to are the embedded catalog's."""
    from deriva_ml.catalog.tables import statements

    noted = [text.split(".") for text in texts(drawing("push.svg")) if text.startswith("local_")]
    assert len(noted) == 4
    for table, column in noted:
        [made] = [text for text in statements() if f'CREATE TABLE "{table}"' in text]
        assert f'"{column}"' in made


# --------------------------------------------------------------------------------------------------- those of real runs
def shown() -> list[tuple[str, list[str]]]:
    """The commands of the session's picture, with the lines under each."""
    session: list[tuple[str, list[str]]] = []
    for line in texts(drawing("session.svg")):
        if line.startswith("$ "):
            session.append((line[2:], []))
        else:
            session[-1][1].append(line)
    return session


def form(line: str) -> list[str]:
    """A line's words without what differs from run to run: RIDs, numbers, digests, bars, and what was cut off."""
    line = re.sub(r"[0-9A-HJKMNP-TV-Z]{2}(?:-[0-9A-HJKMNP-TV-Z]{4}){2}\b", "RID", line)
    line = re.sub(r"\b[0-9a-f]{12,}", "DIGEST", line)
    words = re.sub(r"[\d.,:+-]*\d[\d.,:+-]*|[█▏▎▍▌▋▊▉]+", " 0 ", line).split()
    return words[:-1] if line.endswith("…") else words


def test_the_session_has_the_commands_that_are_run() -> None:
    """What is typed in the picture is what the script types, and the commands take it."""
    typed = [command for command, _ in shown()]
    rid = shlex.split(typed[-1])[-1]
    assert typed == [command.format(rid=rid) for command, _ in pictures.SESSION]
    assert f"Execution {rid}: Uploaded" in " ".join(line for _, lines in shown() for line in lines)
    for command in typed:
        run, name, *words = shlex.split(command)[1:]
        assert run == "run" and parsers()[name].parse_args(words)


def test_the_session_is_as_it_would_be_today(
    copy_to: Callable[[Path], ProjectFolder], tmp_path: Path
) -> None:
    """The commands, run again in a project that is not set up yet, show the same lines but for names and numbers."""
    project = copy_to(tmp_path / "myproj")
    for made in (".git", ".deriva-ml", "outputs"):
        shutil.rmtree(project / made, ignore_errors=True)
    path = [str(Path(project.env["UV"]).parent), project.env["PATH"]]
    own = {
        name: value for name, value in project.env.items() if name != "COLUMNS"
    }  # its terminal has a width
    again = pictures.record(project.path, {**own, "PATH": ":".join(path), "LOGNAME": "ada"})
    for (command, lines), (_, before) in zip(again, shown(), strict=True):
        # The tests' projects share an environment, and the kernel in it.
        lines = [line.replace("kernel: already there", "kernel: done (myproj)") for line in lines]
        assert len(lines) == len(before), command
        for now, then in zip(lines, before, strict=True):
            words, expected = form(terminal.cut(now)), form(then)
            length = min(len(words), len(expected))  # one of them may be cut a word earlier
            assert words[:length] == expected[:length], now
            assert abs(len(words) - len(expected)) <= 1, now


@pytest.mark.parametrize("name", ["notebook.png", "runs.png", "comparison.png"])
def test_a_picture_of_a_page_is_light_enough(name: str) -> None:
    """It is at most 300 kB, and as wide as a page on a fine screen needs."""
    content = (FOLDER / name).read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    assert content.startswith(b"\x89PNG") and len(content) <= 300_000
    assert 800 <= width <= 1600 and height <= width


def test_a_terminal_shows_what_stands_in_the_end(tmp_path: Path) -> None:
    """Colours are left out, a line that is rewritten is shown as it was last, and a failure is not taken for a result."""
    program = (
        "import sys; print('\\x1b[31mred\\x1b[0m'); print('1%\\r50%\\r100%'); print(sys.stdout.isatty())"
    )
    assert terminal.run([sys.executable, "-c", program], tmp_path, {}) == ["red", "100%", "True"]
    with pytest.raises(subprocess.CalledProcessError) as failed:
        terminal.run([sys.executable, "-c", "print('no'); raise SystemExit(3)"], tmp_path, {})
    assert (failed.value.returncode, failed.value.output) == (3, "no")


def test_a_long_line_is_cut_in_the_picture() -> None:
    """What would leave the picture is cut with a mark, and marks of XML are kept as text."""
    made = terminal.picture([("echo", ["<a & b>", "x" * 200])], "Title", "What there is")
    *_, first, second = texts(ElementTree.fromstring(made))
    assert first == "<a & b>" and second == "x" * (terminal.COLUMNS - 1) + "…"
