"""`deriva-ml-init` makes a project, or a clone of it, ready to work in, and can be repeated without harm."""

from __future__ import annotations

import json
import os
import shutil
import site
import stat
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
from ipykernel.ipkernel import IPythonKernel

import deriva_ml
from deriva_ml.cli import init
from deriva_ml.cli.init import main
from git_repository import Repository, isolate_git

SOURCE = Path(deriva_ml.__path__[0]).parent
TEMPLATE = SOURCE.parent
DEMO_CONTENT = init.demo_content
PYPROJECT = """\
[project]
name = "digits"
version = "0"
authors = [{ name = "Grace \\"Amazing\\" Hopper", email = "grace@example.org" }]
"""


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """git's settings, uv and the environment's kernels are the test's own."""
    isolate_git(monkeypatch, tmp_path)
    monkeypatch.delenv("UV", raising=False)
    git = shutil.which("git")
    assert git
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(git).parent), "/bin"]))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))
    monkeypatch.setattr(init, "demo_content", lambda project: "made elsewhere")  # it takes a second


def render(folder: Path, pyproject: str = PYPROJECT) -> Repository:
    """What a freshly rendered project has of git's files; it is not a repository yet."""
    project = Repository(folder)
    project.write("pyproject.toml", pyproject)
    project.write("notebooks/nb.ipynb", notebook(""))
    for name in (".gitattributes", ".gitignore"):
        shutil.copy(TEMPLATE / name, folder / name)
    return project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = render(tmp_path / "digits")
    monkeypatch.chdir(made.path)
    return made


def notebook(output: str) -> str:
    """A notebook of one cell, which has run when there is an output."""
    outputs = [{"name": "stdout", "output_type": "stream", "text": [output]}] if output else []
    cell = {"cell_type": "code", "execution_count": 7 if output else None, "id": "0", "metadata": {}}
    cells = [{**cell, "outputs": outputs, "source": ["print('hello')"]}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def make_environment(folder: Path, source: Path = SOURCE) -> Path:
    """An environment of a project's own, with the installed packages of this one; returns its interpreter."""
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/*/site-packages"))
    packages.joinpath("borrowed.pth").write_text("\n".join([*site.getsitepackages(), str(source)]))
    return folder / "bin" / "python"


def init_with(interpreter: Path, folder: Path) -> list[str]:
    """Run the command in a process of its own, as `uv run` does; returns its lines."""
    code = "import sys; from deriva_ml.cli.init import main; sys.exit(main())"
    done = subprocess.run([str(interpreter), "-c", code], cwd=folder, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def outcomes(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Each step's label with what was said of it."""
    return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())


def test_a_fresh_project_is_set_up_step_by_step(
    project: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(init, "demo_content", DEMO_CONTENT)
    attributes = project.path.joinpath(".gitattributes").read_bytes()
    assert main([]) == 0
    assert outcomes(capsys) == {
        "git repository": "done",
        "notebook filter": "done",
        "Jupyter kernel": "done (digits)",
        "lock file": "skipped because uv is not installed",
        "embedded catalog": "done",
        "demo content": "done",
        "first commit": "done (v0.1.0)",
    }
    assert project.git("symbolic-ref", "--short", "HEAD") == "main"
    assert project.git("rev-list", "--count", "HEAD") == "1"
    assert project.git("cat-file", "-t", "v0.1.0") == "tag"
    assert project.git("rev-parse", "v0.1.0^{commit}") == project.git("rev-parse", "HEAD")
    assert project.git("status", "--porcelain") == ""
    assert "notebooks/nb.ipynb" in project.git("ls-files").split("\n")
    assert ".deriva-ml" not in project.git("ls-files")
    assert project.path.joinpath(".gitattributes").read_bytes() == attributes
    assert project.path.joinpath(".deriva-ml/catalog.db").is_file()
    assert (tmp_path / "prefix/share/jupyter/kernels/digits/kernel.json").is_file()


def test_a_project_without_the_example_has_no_demo_content(project: Repository, tmp_path: Path) -> None:
    """The example is a question of the template's; without it the module is not there."""
    source = tmp_path / "src"
    ignored = shutil.ignore_patterns("demo.py", "demo_files", "__pycache__")
    shutil.copytree(SOURCE / "deriva_ml", source / "deriva_ml", ignore=ignored)
    said = init_with(make_environment(project.path / ".venv", source), project.path)
    assert "demo content: skipped because this project has no example" in said
    assert "first commit: done (v0.1.0)" in said


def test_a_repeat_finds_everything_there_and_changes_nothing(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    project.write("notebooks/mine.txt", "not committed by anyone but me\n")
    refs, settings = project.refs(), project.git("config", "--local", "--list")
    capsys.readouterr()
    assert main([]) == 0
    said = outcomes(capsys)
    assert said.pop("lock file") == "skipped because uv is not installed"
    assert said.pop("demo content")
    assert set(said.values()) == {"already there"}
    assert project.refs() == refs
    assert project.git("config", "--local", "--list") == settings
    assert project.git("status", "--porcelain") == "?? notebooks/mine.txt"


def test_no_output_reaches_git_from_a_clone_that_was_set_up(tmp_path: Path) -> None:
    """In a path with spaces, braces and letters beyond ASCII, and again in a second clone of it.

    Each has its own environment, as with uv, so the filter's command holds that very path.
    """
    first = render(tmp_path / "my {project} ü" / "digits")
    init_with(make_environment(first.path / ".venv"), first.path)
    ran = notebook("a result\n")
    first.write("notebooks/nb.ipynb", ran)
    assert first.git("diff", "--name-only") == "", "running a notebook is no change"
    first.write("notebooks/new.ipynb", ran)
    first.git("add", "--all")
    first.git("commit", "--quiet", "--message", "Notebook ready for execution")
    for name in ("nb", "new"):
        assert "a result" not in first.git("show", f"HEAD:notebooks/{name}.ipynb")
    assert "a result" in (first.path / "notebooks/new.ipynb").read_text(), "the working copy keeps its output"

    second = Repository(tmp_path / "second {clone} é")
    first.git("clone", "--quiet", str(first.path), str(second.path))
    assert second.git("status", "--porcelain") == ""
    said = init_with(make_environment(second.path / ".venv"), second.path)
    assert "notebook filter: done" in said
    assert "first commit: already there" in said
    assert second.refs().count("refs/heads/main") == 1
    assert second.git("rev-parse", "HEAD") == first.git("rev-parse", "HEAD")
    second.write("notebooks/second.ipynb", ran)
    second.git("add", "--all")
    second.git("commit", "--quiet", "--message", "From the second clone")
    assert "print('hello')" in second.git("show", "HEAD:notebooks/second.ipynb")
    assert "a result" not in second.git("show", "HEAD:notebooks/second.ipynb")


def test_a_filter_whose_interpreter_is_gone_is_repaired(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """The filter holds an absolute path: a rebuilt environment elsewhere leaves git unable to add notebooks."""
    init_with(make_environment(project.path / ".venv"), project.path)
    (project.path / ".venv").rename(project.path / "old")
    shutil.rmtree(project.path / "old")
    project.write("notebooks/nb.ipynb", notebook("a result\n"))
    broken = subprocess.run(["git", "add", "--all"], cwd=project.path, capture_output=True)
    assert broken.returncode != 0, "git refuses notebooks while the filter is broken"
    assert main([]) == 0
    assert outcomes(capsys)["notebook filter"] == "done"
    project.git("add", "--all")
    assert "a result" not in project.git("show", ":notebooks/nb.ipynb")


def test_a_filter_that_works_is_left_as_the_person_made_it(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--no-commit"]) == 0
    own = f'"{sys.executable}" -m nbstripout --keep-count'
    project.git("config", "filter.nbstripout.clean", own)
    capsys.readouterr()
    assert main([]) == 0
    assert outcomes(capsys)["notebook filter"] == "already there"
    assert project.git("config", "filter.nbstripout.clean") == own


def test_saving_a_notebook_in_jupyterlab_is_no_change(project: Repository, tmp_path: Path) -> None:
    """JupyterLab writes what its kernel says of its language into the file, and each Python says something else."""
    shutil.rmtree(project.path / "notebooks")
    shutil.copytree(TEMPLATE / "notebooks", project.path / "notebooks")
    assert main([]) == 0
    for path in project.path.glob("notebooks/*.ipynb"):
        name = f"notebooks/{path.name}"
        assert project.git("rev-parse", f"HEAD:{name}") == project.git("hash-object", "--no-filters", name)
        opened = nbformat.read(path, as_version=4)
        opened.metadata.language_info = {**IPythonKernel.language_info, "name": "python"}
        opened.cells[-1].outputs = [nbformat.v4.new_output("stream", text="a result")]
        nbformat.write(opened, path)
    assert project.git("diff", "--name-only") == ""
    project.git("add", "--all")
    assert project.git("status", "--porcelain") == ""

    clone = Repository(tmp_path / "ci")
    project.git("clone", "--quiet", str(project.path), str(clone.path))
    names = [str(path) for path in clone.path.glob("notebooks/*.ipynb")]
    verify = [sys.executable, "-m", "nbstripout", "--verify", *names]
    assert subprocess.run(verify, cwd=clone.path).returncode == 0, (
        "continuous integration has no filter set up"
    )


def test_a_clone_that_was_set_up_earlier_learns_what_the_filter_strips_now(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the person has nbstripout strip besides stays as it is."""
    key = "filter.nbstripout.extrakeys"
    assert main([]) == 0
    project.git("config", key, "metadata.kernelspec metadata.language_info.version")
    capsys.readouterr()
    assert main([]) == 0
    assert outcomes(capsys)["notebook filter"] == "done"
    names = project.git("config", key).split()
    assert names[:2] == ["metadata.kernelspec", "metadata.language_info.version"]
    assert set(names[1:]) == set(init.LANGUAGE_DETAILS) and len(names) == 1 + len(init.LANGUAGE_DETAILS)
    assert main([]) == 0
    assert outcomes(capsys)["notebook filter"] == "already there"


@pytest.mark.parametrize("attributes", [None, "*.png binary\n"])
def test_where_the_attributes_do_not_name_the_filter_they_are_added(
    project: Repository, attributes: str | None
) -> None:
    path = project.path / ".gitattributes"
    path.unlink() if attributes is None else path.write_text(attributes, encoding="utf-8")
    assert main([]) == 0
    assert path.read_text(encoding="utf-8").startswith(attributes or "")
    assert "filter: nbstripout" in project.git("check-attr", "filter", "notebooks/nb.ipynb")
    assert ".gitattributes" in project.git("ls-files").split("\n")


def test_it_works_from_a_subfolder(project: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.path / "notebooks")
    assert main([]) == 0
    assert project.tags() == ["v0.1.0"]


def test_in_a_folder_of_another_repository_it_commits_that_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also as that repository's first commit, and with its notebooks filtered."""
    outer = Repository.create(tmp_path / "outer")
    outer.write("README.md", "The rest\n")
    inner = render(outer.path / "inner")
    inner.write("notebooks/nb.ipynb", notebook("a result\n"))
    monkeypatch.chdir(inner.path)
    assert main([]) == 0
    said = outcomes(capsys)
    assert said["git repository"] == f"already there ({outer.path}, of which this project is a folder)"
    assert said["notebook filter"] == "done"
    assert not (inner.path / ".git").exists()
    files = outer.git("ls-files").split("\n")
    assert "inner/notebooks/nb.ipynb" in files and "README.md" not in files
    assert "a result" not in outer.git("show", "HEAD:inner/notebooks/nb.ipynb")
    assert outer.tags() == []


def test_a_folder_that_another_repository_ignores_is_free_to_be_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer = Repository.create(tmp_path / "outer")
    outer.write(".gitignore", "/inner/\n")
    inner = render(outer.path / "inner")
    monkeypatch.chdir(inner.path)
    assert main([]) == 0
    assert inner.git("rev-parse", "--show-prefix") == ""
    assert inner.tags() == ["v0.1.0"]


def test_nothing_is_committed_in_a_repository_that_has_commits(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    project.git("init", "--quiet")
    project.git("commit", "--quiet", "--allow-empty", "--message", "Mine")
    before = project.refs()
    assert main([]) == 0
    assert outcomes(capsys)["first commit"] == "already there"
    assert project.refs() == before
    assert project.tags() == []


def test_the_first_commit_can_be_left_to_the_person(
    project: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--no-commit"]) == 0
    assert outcomes(capsys)["first commit"] == "skipped because of --no-commit"
    assert project.refs() == ""


def test_the_person_is_gits_where_git_knows_one(project: Repository) -> None:
    assert main([]) == 0
    assert project.git("log", "--format=%an <%ae>") == "Ada Lovelace <ada@example.org>"


def test_the_person_is_the_projects_first_author_where_git_knows_none(
    project: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_git(monkeypatch, tmp_path, identity="")
    assert main([]) == 0
    assert project.git("log", "--format=%an <%ae> %cn") == (
        'Grace "Amazing" Hopper <grace@example.org> Grace "Amazing" Hopper'
    )
    assert "Grace" in project.git("tag", "--list", "--format=%(taggername)")
    assert "user." not in project.git("config", "--local", "--list"), (
        "later commits are the person's own affair"
    )


@pytest.mark.parametrize(
    "authors", ["", 'authors = [{ name = "Grace" }]', 'authors = [{ email = "g@x.org" }]']
)
def test_with_nobody_to_commit_as_all_else_is_done_and_two_commands_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authors: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project = render(tmp_path / "digits", f'[project]\nname = "digits"\n{authors}\n')
    monkeypatch.chdir(project.path)
    config = isolate_git(monkeypatch, tmp_path, identity="")
    assert main([]) == 2
    told = capsys.readouterr()
    assert "git config --global user.name" in told.err
    assert "git config --global user.email" in told.err
    assert "embedded catalog: done" in told.out
    assert project.refs() == ""

    config.write_text("[user]\n\tname = Me\n\temail = me@example.org\n", encoding="utf-8")
    assert main([]) == 0
    assert project.git("log", "--format=%an") == "Me"
    assert project.tags() == ["v0.1.0"]


def fake_uv(folder: Path, script: str) -> Path:
    """A `uv` that does what a test needs."""
    folder.mkdir(exist_ok=True)
    path = folder / "uv"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("found", ["UV", "PATH"])
def test_uv_locks_the_environment_before_the_first_commit(
    project: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """uv is found on the PATH, or by the variable in which `uv run` names itself."""
    uv = fake_uv(tmp_path / "tools", 'test "$1" = lock && echo locked > uv.lock')
    if found == "UV":
        monkeypatch.setenv("UV", str(uv))
    else:
        monkeypatch.setenv("PATH", str(uv.parent), prepend=os.pathsep)
    assert main([]) == 0
    assert outcomes(capsys)["lock file"] == "done"
    assert project.git("show", "HEAD:uv.lock") == "locked"


def test_a_lock_file_that_is_there_is_kept(
    project: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("UV", str(fake_uv(tmp_path / "tools", "echo other > uv.lock")))
    project.write("uv.lock", "mine\n")
    assert main([]) == 0
    assert outcomes(capsys)["lock file"] == "already there"
    assert project.git("show", "HEAD:uv.lock") == "mine"


@pytest.mark.parametrize(
    ("printed", "reason"),
    [
        ("error: no network", "error: no network"),
        (
            "Using CPython 3.11\\nerror: No solution\\n  cause: numpy is too old",
            "error: No solution cause: numpy is too old",
        ),
        (
            "  × No solution:\\n  ╰─▶ Because x was not found,\\n      we give up.",
            "No solution: Because x was not found, we give up.",
        ),
        ("Traceback (most recent call last):\\n  File x\\nOSError: no space", "OSError: no space"),
    ],
)
def test_a_lock_that_fails_is_said_and_the_rest_goes_on(
    project: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    printed: str,
    reason: str,
) -> None:
    """In uv's words. Without a network a person can still work; the lock comes with the next `uv run`."""
    monkeypatch.setenv("UV", str(fake_uv(tmp_path / "tools", f"printf '{printed}\\n' >&2; exit 2")))
    assert main([]) == 0
    said = outcomes(capsys)
    assert said["lock file"] == f"skipped because uv failed: {reason}"
    assert said["first commit"] == "done (v0.1.0)"


def test_an_environment_that_cannot_be_written_costs_only_its_kernel(
    project: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("prefix").write_text("no folder", encoding="utf-8")
    assert main([]) == 0
    said = outcomes(capsys)
    assert said["Jupyter kernel"].startswith("skipped because the kernel cannot be written")
    assert said["first commit"] == "done (v0.1.0)"


def test_a_refused_commit_is_gits_own_line(project: Repository, capsys: pytest.CaptureFixture[str]) -> None:
    project.git("init", "--quiet")
    hook = project.path / ".git" / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\necho fatal: not today >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    assert main([]) == 2
    error = capsys.readouterr().err
    assert "not today" in error
    assert len(error.splitlines()) == 1


def test_outside_a_project_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 2
    assert "not inside a project" in capsys.readouterr().err


def test_help_loads_nothing_slow() -> None:
    heavy = "nbformat, ipykernel, jupyter_core, sqlite3, numpy".split(", ")
    code = (
        "import sys; from deriva_ml.cli.init import main\n"
        "try: main(['--help'])\n"
        f"except SystemExit: sys.exit(any(name in sys.modules for name in {heavy!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True).returncode == 0
