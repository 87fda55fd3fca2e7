"""Which rules are asked of which files: flags, settings, comments in cells."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from check.conftest import Checkable, Checked

Check = Callable[..., Checked]
BROKEN = "x = = 1"


@pytest.fixture(autouse=True)
def broken(project: Checkable) -> None:
    """A notebook and a module with a syntax error each; only that rule is asked, unless a test says otherwise."""
    project.notebook("notebooks/a.ipynb", "x = 1", BROKEN)
    project.write("src/models/b.py", f"y = 1\n{BROKEN}\n")
    project.write("src/configs/__init__.py", "")


@pytest.fixture
def settings(project: Checkable) -> Callable[[str], None]:
    """Give the project settings."""
    return lambda text: project.write("pyproject.toml", f"[tool.deriva-ml.check]\n{text}\n") and None  # type: ignore[return-value]


NOTEBOOK = "notebooks/a.ipynb:2:1: DML901 syntax error: invalid syntax"
MODULE = "src/models/b.py:2: DML901 syntax error: invalid syntax"


def test_the_projects_own_are_checked(project: Checkable, check: Check) -> None:
    """Notebooks, configurations and models, with places that can be found; the exit status says that there are some."""
    done = check("--select", "DML9")
    assert done.lines == [NOTEBOOK, MODULE] and done.rc == 1
    assert done.out.splitlines()[-1] == "3 files checked: 2 findings in 2"
    assert not done.err


def test_paths_are_checked_alone(project: Checkable, check: Check) -> None:
    """A file, or a folder with what is in it, from any folder."""
    assert check("src", "--select", "DML9").lines == [MODULE]
    assert check("notebooks/a.ipynb", "src/models/b.py", "src/models", "--select", "DML9").lines == [
        NOTEBOOK,
        MODULE,
    ]
    assert check("src/configs").rc == 0


def test_what_has_no_content_is_no_file(project: Checkable, check: Check) -> None:
    """Nobody waits for a pipe, nor for the end of a device, and a link to nothing is nothing, also among many files."""
    os.mkfifo(project.path / "notebooks" / "pipe.ipynb")
    os.mkfifo(project.path / "src" / "models" / "pipe.py")
    (project.path / "src" / "configs" / "gone.py").symlink_to("nowhere")
    (project.path / "notebooks" / "loop.ipynb").symlink_to("loop.ipynb")
    assert check("--select", "DML9").lines == [NOTEBOOK, MODULE]
    assert check("notebooks/pipe.ipynb").rc == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_of_somebody_elses_is_left_out(project: Checkable, check: Check) -> None:
    """And the rest is checked."""
    folder = project.path / "src" / "theirs"
    folder.mkdir(mode=0)
    try:
        assert check("src", "--select", "DML9").lines == [MODULE]
    finally:
        folder.chmod(0o700)


def test_folders_that_nobody_writes_in_are_left_out(project: Checkable, check: Check) -> None:
    """Checkpoints, outputs, environments and the runner itself."""
    for folder in (
        "notebooks/.ipynb_checkpoints",
        "outputs/1-A",
        "env/lib",
        "src/deriva_ml",
        "x/node_modules",
    ):
        project.write(f"{folder}/c.py", BROKEN)
    project.write("env/pyvenv.cfg", "")
    assert check(".", "--select", "DML9").lines == [NOTEBOOK, MODULE]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("--select DML9", 2),
        ("--select DML", 2),
        ("--select dml901", 2),
        ("--select DML3,DML901", 2),
        ("--select DML3 --select DML901", 2),
        ("--select DML3", 0),
        ("--select DML --ignore DML9", 0),
        ("--select DML901 --ignore DML9", 2),
        ("--select DML9 --ignore DML901", 0),
        ("--select DML901 --ignore DML901", 0),
    ],
)
def test_the_longer_code_counts(check: Check, flags: str, found: int) -> None:
    """Codes and what they begin with choose rules, on the command line."""
    assert check(*flags.split()).codes.count("DML901") == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('select = ["DML901"]', [NOTEBOOK, MODULE]),
        ('select = ["DML3"]', []),
        ('select = ["DML9"]\nignore = ["DML901"]', []),
        ('select = ["DML9"]\nexclude = ["notebooks"]', [MODULE]),
        ('select = ["DML9"]\nexclude = ["notebooks/"]', [MODULE]),
        ('select = ["DML9"]\nexclude = ["*.ipynb", "src/models/b.py"]', []),
        ('select = ["DML9"]\nper-file-ignores = {"notebooks/*" = ["DML9"]}', [MODULE]),
        ('select = ["DML9"]\nper-file-ignores = {"b.py" = ["DML901"], "other" = ["DML901"]}', [NOTEBOOK]),
    ],
)
def test_settings_choose(settings: Callable[[str], None], check: Check, text: str, found: list[str]) -> None:
    """What pyproject.toml says holds where the command line says nothing, also for files that are named."""
    settings(text)
    assert check().lines == found
    assert check("notebooks/a.ipynb", "src/models/b.py").lines == found


def test_the_command_line_wins(settings: Callable[[str], None], check: Check) -> None:
    """``--select`` takes the place of the settings, ``--ignore`` adds to them; what is left out stays that."""
    settings('select = ["DML3"]\nignore = ["DML9"]\nexclude = ["src"]\nper-file-ignores = {"*" = ["DML9"]}')
    assert check("--select", "DML901").lines == [NOTEBOOK]
    settings('select = ["DML9"]')
    assert check("--ignore", "DML901").lines == []


def test_each_project_has_its_own_settings(project: Checkable, check: Check) -> None:
    """Those of the project that a file is in hold, from wherever it is checked."""
    project.write("other/pyproject.toml", '[tool.deriva-ml.check]\nignore = ["DML9"]')
    project.write("other/c.py", BROKEN)
    assert check("other/c.py", "src/models/b.py", "--ignore", "DML3").lines == [MODULE]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('slect = ["DML9"]', "has no setting slect (did you mean select?)"),
        ('select = "DML9"', "select of [tool.deriva-ml.check] in"),
        ("ignore = [1]", "is not a list of texts"),
        ('ignore = ["E501"]', "names no rule with 'E501'"),
        ('per-file-ignores = ["DML9"]', "per-file-ignores of"),
        ('per-file-ignores = {a = "DML9"}', "per-file-ignores of"),
        ('per-file-ignores = {a = ["X"]}', "names no rule"),
    ],
)
def test_wrong_settings_are_refused(
    settings: Callable[[str], None], check: Check, text: str, said: str
) -> None:
    """In one line that says what is wrong, before anything is checked."""
    settings(text)
    done = check()
    assert done.rc == 2 and not done.out
    assert done.err.count("\n") == 1 and said in done.err


@pytest.mark.parametrize(
    ("cell", "silent"),
    [
        ("x = = 1  # noqa: DML901", True),
        ("x = = 1  # NOQA:dml901", True),
        ("x = = 1  # noqa: E501, DML901 because of that", True),
        ("x = = 1  # noqa", True),
        ("# noqa: DML901\nx = = 1", True),
        ("\n  # noqa: DML901, DML101\n\nx = = 1", True),
        ("x = = 1  # noqa: DML902", False),
        ("x = = 1  # noqa: DML90", False),
        ("# noqa\nx = = 1", False),
        ("y = 1  # noqa: DML901\nx = = 1", False),
        ("y = 1\n# noqa: DML901\nx = = 1", False),
        ("x = = 1  # noqatall", False),
        ("x = = 1  # noqa: all of it", True),
    ],
)
def test_a_comment_silences_a_rule(project: Checkable, check: Check, cell: str, silent: bool) -> None:
    """On its line, or for the cell where it stands alone on the first line and names the rule."""
    path = str(project.notebook("notebooks/c.ipynb", cell))
    assert check(path, "--select", "DML9").lines == [] or not silent
    assert silent or check(path, "--select", "DML9").codes == ["DML901"]
    module = str(project.write("src/models/c.py", cell))
    assert (check(module, "--select", "DML9").lines == []) == silent


def test_advice_changes_no_status(project: Checkable, check: Check) -> None:
    """It is marked; asked for by its whole code, it counts."""
    project.notebook("notebooks/c.ipynb", "import time\nprint(time.time())")
    path = "notebooks/c.ipynb"
    done = check(path, "--select", "DML60")
    assert done.rc == 0 and "DML604 (advice) " in done.out and "(1 of them advice)" in done.out
    done = check(path, "--select", "DML604")
    assert done.rc == 1 and "(advice)" not in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("nothing", "there is nothing to check at nothing"),
        ("pyproject.toml", "only notebooks (.ipynb) and modules (.py)"),
        ("--select X", "--select names no rule with 'X'"),
        ("--ignore DML9011", "--ignore names no rule with 'DML9011' (did you mean DML901?)"),
        ("--explain DML", ""),
        ("--explain X9", "--explain names no rule"),
        ("--output-format xml", "invalid choice"),
    ],
)
def test_a_wrong_request_is_refused(project: Checkable, check: Check, arguments: str, said: str) -> None:
    """With status 2 and what would be right."""
    done = check(*arguments.split())
    assert said in done.err
    assert done.rc == (2 if said else 0)


def test_a_project_without_such_folders_is_asked_for_paths(
    project: Checkable, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than be told that all is well."""
    project.write("other/pyproject.toml", "")
    monkeypatch.chdir(project.path / "other")
    done = check()
    assert done.rc == 2 and "name what is to be checked" in done.err


def test_every_rule_has_a_page_in_the_terminal(check: Check) -> None:
    """It says what it finds, what that protects, and how to mend it."""
    from deriva_ml.check.catalogue import RULES

    for code, rule in RULES.items():
        shown = check("--explain", code).out
        assert shown.startswith(f"# {rule.name} ({code})\n")
        assert "**What it protects.**" in shown and "**How to mend it.**" in shown
        first = rule.page.partition("\n")[0]
        assert first.endswith("."), code
    listed = check("--explain", "all").out
    assert [line.split()[0] for line in listed.splitlines()[1:]] == sorted(RULES)
    assert check("--explain", "dml9").out.splitlines()[0].startswith("DML901 syntax-error: ")


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("x = 1\nreturn x", 2),
        ("def f():\n    return 1\nreturn f()", 3),
        ("for x in y:\n    pass\nbreak", 3),
        ("continue", 1),
        ("yield 1", 1),
        ("def f():\n    x = 1\n    global x", 3),
        ("nonlocal x", 1),
        ("def f():\n    return 1\nwhile True:\n    break\nglobal z\nawait f()", 0),
        ("class A:\n    def f(self):\n        return lambda: (yield)", 0),
        ("async def f():\n    async for x in y:\n        continue\nx = [await y for y in z]", 0),
        ("%%time\n%matplotlib inline\nx = 1", 0),
        ("import os\nfrom __future__ import division\ndef f():\n    global x", 0),
    ],
)
def test_what_only_the_compiler_sees_is_a_syntax_error(
    project: Checkable, check: Check, cell: str, line: int
) -> None:
    """A ``return`` outside of a function ends a run as any other syntax error does; an ``await`` is IPython's to take."""
    project.notebook("notebooks/c.ipynb", cell)
    found = check("notebooks/c.ipynb", "--select", "DML9").lines
    assert [one.split()[0] for one in found] == ([f"notebooks/c.ipynb:1:{line}:"] if line else [])


def test_a_cell_that_is_to_fail_may(project: Checkable, check: Check) -> None:
    """Its tag says so."""
    path = project.notebook(
        "notebooks/c.ipynb", {"source": "x = = 1", "metadata": {"tags": ["raises-exception"]}}
    )
    assert check(str(path), "--select", "DML9").rc == 0


def test_unreadable_files_are_findings(project: Checkable, check: Check) -> None:
    """With the reason, and the others are checked."""
    project.write("notebooks/c.ipynb", "{")
    project.write("notebooks/d.ipynb", '{"nbformat": 3}')
    project.write("notebooks/e.ipynb", '{"cells": [\n<<<<<<< HEAD\n')
    (project.path / "src/models/f.py").write_bytes(b"x = '\xff'")
    done = check("--select", "DML9")
    assert done.codes == ["DML901", "DML902", "DML902", "DML902", "DML901", "DML902"]
    assert "notebooks/c.ipynb:1: DML902 is not valid JSON" in done.out
    assert "line 2: unresolved merge conflict" in done.out


def test_many_are_checked_by_several_processes(
    project: Checkable, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what one process finds, in the same order."""
    from deriva_ml.check import many

    for n in range(12):
        project.notebook(f"notebooks/n{n:02}.ipynb", "x = 1", BROKEN if n % 2 else "x = 2")
    alone = check("--select", "DML9")
    monkeypatch.setattr(many, "WORTH_A_PROCESS", 3)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert check("--select", "DML9") == alone
    assert len(alone.lines) == 8
