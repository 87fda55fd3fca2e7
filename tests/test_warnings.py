"""A warning of a library is one line for a person; what their own code meets is shown as Python does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import SOURCE


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A file of a person's own, outside of every environment."""
    (tmp_path / "study.py").write_text("import warnings\ndef warn():\n    warnings.warn('mine\\nhere')\n")
    (tmp_path / "escapes.py").write_text("pattern = '\\d'\n")
    return tmp_path


def said(body: str, folder: Path, library: str = "") -> str:
    """What a command with this body prints on stderr; ``library`` is the source of a module of the environment."""
    code = (
        "import sys, types, warnings\n"
        f"library = types.ModuleType('library')\n"
        f"exec(compile({library!r}, sys.prefix + '/lib/library.py', 'exec'), library.__dict__)\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "source = '''from deriva_ml.cli.command import command\n"
        f"@command\ndef main(argv):\n    {body}\n    return 0\n'''\n"
        "names = {'library': library}\n"
        f"exec(compile(source, sys.prefix + '/bin/a-command', 'exec'), names)\n"
        "exec(compile('status = main([])', sys.prefix + '/bin/a-command', 'exec'), names)\n"
        "sys.exit(names['status'])"
    )
    # The code itself has no file, as a console script's is in the environment.
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )
    return done.stderr


LIBRARY = (
    "import warnings\n"
    "def old(text='this is\\n  old', kind=DeprecationWarning, level=1):\n"
    "    warnings.warn(text, kind, stacklevel=level)\n"
)


def test_a_library_s_warning_is_one_line_and_once(study: Path) -> None:
    body = "[library.old() for _ in range(3)]; library.old(level=2); library.old('another', UserWarning, 99)"
    assert said(body, study, LIBRARY).splitlines() == ["warning: this is old", "warning: another"]


def test_what_a_person_s_code_meets_is_shown_as_python_does(study: Path) -> None:
    told = said("import study; study.warn()", study)
    assert "study.py:3: UserWarning: mine" in told and "warning: mine" not in told


def test_so_is_a_library_s_that_their_code_called(study: Path) -> None:
    (study / "calls.py").write_text("def call(library):\n    library.old()\n")
    told = said("import calls; calls.call(library)", study, LIBRARY)
    assert "library.py:3: DeprecationWarning: this is" in told


def test_and_python_s_own_of_their_source(study: Path) -> None:
    told = said("import escapes", study)
    assert "escapes.py:1: " in told and "invalid escape sequence" in told


def test_after_the_command_all_is_as_it_was() -> None:
    import warnings

    from deriva_ml.cli.command import command

    before = warnings.showwarning
    assert command(lambda argv: 0)([]) == 0
    assert warnings.showwarning is before
