"""A project's own files: licence, git's and editors' settings, checks before a commit, and a README that works."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import editorconfig
import nbformat
import pytest

from conftest import ROOT, STRANGE, ProjectFolder, Render, lock
from rendered_files import files_of, names_of, parse, pyproject

ProjectCopy = Callable[..., ProjectFolder]


# ------------------------------------------------------------------------------------------------------------- licences


@pytest.mark.parametrize(
    ("license", "package"), [("Apache-2.0", "tornado"), ("MIT", "hydra-core"), ("BSD-3-Clause", "nbclient")]
)
def test_a_licence_is_the_whole_text_with_year_and_holder(
    sketch: Render, tmp_path: Path, license: str, package: str
) -> None:
    """Word for word what a well-known package under the same licence has, but for who holds the copyright."""
    project = sketch(tmp_path / "p", license=license, user_name="Zoë O'Neil")
    text = (project / "LICENSE").read_text(encoding="utf-8")
    assert re.search(r"^ *Copyright (\(c\) )?20\d\d,? Zoë O'Neil$", text, re.MULTILINE)
    assert words(text) == words(str(distribution(package).read_text("licenses/LICENSE")))


def words(license: str) -> list[str]:
    """A licence without the lines that name a holder."""
    return re.sub(r"^ *(Copyright .*|All rights reserved\.)$", "", license, flags=re.MULTILINE).split()


# ----------------------------------------------------------------------------------------------------- git and editors


def test_notebooks_are_filtered_and_text_has_the_same_line_ends_in_every_clone(
    project_copy: ProjectCopy,
) -> None:
    """Whatever the machine's git is set to."""
    project = project_copy()
    attributes = project.git("check-attr", "filter", "eol", "--", "notebooks/my-notebook.ipynb", "src/new.py")
    assert "notebooks/my-notebook.ipynb: filter: nbstripout" in attributes
    assert "src/new.py: eol: lf" in attributes
    project.git("config", "core.autocrlf", "true")
    (project / "README.md").unlink()
    project.git("checkout", "README.md")
    assert b"\r" not in (project / "README.md").read_bytes()


def test_files_are_as_an_editor_that_reads_the_settings_would_save_them(rendered: Path) -> None:
    """And so as ruff, nbformat and Copier write them: neither undoes what the other does."""
    indents: dict[str, set[str]] = {}
    for name in files_of(rendered):
        if name.endswith(".npz"):  # no text
            continue
        content = (rendered / name).read_bytes()
        text = content.decode("utf-8")
        asked = editorconfig.get_properties(str(rendered / name))
        assert asked["charset"] == "utf-8" and asked["end_of_line"] == "lf" and b"\r" not in content, name
        assert asked["insert_final_newline"] == "true" and text.endswith("\n") or not text, name
        if asked["trim_trailing_whitespace"] == "true":
            assert not re.search(r"[ \t]$", text, re.MULTILINE), name
        assert asked["indent_style"] == "space" and not re.search(r"^\t", text, re.MULTILINE), name
        indents.setdefault(Path(name).suffix, set()).add(asked["indent_size"])
    assert (indents[".py"], indents[".ipynb"], indents[".yml"]) == ({"4"}, {"1"}, {"2"})
    asked = editorconfig.get_properties(str(rendered / "src/new.py"))
    assert asked["max_line_length"] == str(pyproject(rendered)["tool"]["ruff"]["line-length"])


def test_a_notebook_that_jupyter_saves_is_as_the_settings_say(rendered: Path, tmp_path: Path) -> None:
    """Reading and writing one changes nothing."""
    for path in (rendered / "notebooks").glob("*.ipynb"):
        nbformat.write(nbformat.read(path, as_version=4), tmp_path / path.name)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


# ---------------------------------------------------------------------------------------------------------- pre-commit


def commit_hook(project: ProjectFolder, *hook: str) -> str:
    """What a hook, or all of them, say to all files; empty if nothing is wrong."""
    done = project.run("uv", "run", "pre-commit", "run", "--all-files", *hook)
    assert done.rc in (0, 1), done.text
    return done.text if done.rc else ""


def test_a_new_project_passes_its_checks_before_a_commit(project_copy: ProjectCopy) -> None:
    """They run with what is installed, fetch nothing, and let a commit through."""
    project = project_copy()
    nowhere = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    project.run("uv", "run", "pre-commit", "install", check=True)
    (project / "src/models/own.py").write_text('"""Mine."""\n')
    project.git("add", "--all")
    done = project.run("git", "commit", "--message", "Mine", env=nowhere)
    assert done.rc == 0, done.text
    assert done.text.count("Passed") == 5
    assert {repository["repo"] for repository in parse(project / ".pre-commit-config.yaml")["repos"]} == {
        "local"
    }


@pytest.mark.parametrize("left", ["outputs", "execution_count"])
def test_pre_commit_refuses_staged_outputs_and_leaves_those_in_the_working_copy(
    project_copy: ProjectCopy, left: str
) -> None:
    """What is committed is what counts: the filter keeps outputs out of it, and a clone without the filter is told."""
    project = project_copy()
    path = project / "notebooks" / "my-notebook.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1][left] = {
        "outputs": [nbformat.v4.new_output("stream", text="a result")],
        "execution_count": 7,
    }[left]
    nbformat.write(notebook, path)
    edited = path.read_text()
    project.git("add", "-A")
    assert not commit_hook(project, "notebook-outputs")
    assert path.read_text() == edited
    project.git("config", "filter.nbstripout.clean", "cat")
    path.touch()
    project.git("add", "--renormalize", "-A")
    assert "notebooks/my-notebook.ipynb" in commit_hook(project, "notebook-outputs")


def test_pre_commit_refuses_what_an_update_or_a_merge_left_to_decide(project_copy: ProjectCopy) -> None:
    """Conflict markers, as Copier and git write them; and what ruff finds, it mends."""
    project = project_copy()
    (project / "src/models/own.py").write_text("import os\n")
    (project / ".gitignore").write_text("<<<<<<< before updating\n/mine/\n=======\n>>>>>>> after updating\n")
    project.git("add", "--all")
    assert ".gitignore" in commit_hook(project, "merge-conflict")
    assert "files were modified by this hook" in commit_hook(project, "ruff-check")
    assert (project / "src/models/own.py").read_text() == ""


# ------------------------------------------------------------------------------------------------------------- README


@pytest.mark.parametrize("include_example", [True, False])
def test_the_readme_names_only_commands_and_files_that_are_there(
    render: Render, plain: Path, tmp_path: Path, include_example: bool
) -> None:
    """Every `uv run` command is one of the project's or its tools', and every path in code exists."""
    project = render(tmp_path / "my-project", template=plain, include_example=include_example)
    metadata = pyproject(project)
    groups = metadata["dependency-groups"]
    known = set(metadata["project"]["scripts"]) | names_of(groups["dev"] + groups["docs"])
    made_by_the_reader = {"counts", "sizes"}
    for page in ("README.md", "docs/index.md"):
        text = (project / page).read_text(encoding="utf-8")
        used = set(re.findall(r"uv run (?:--group docs )?(?!--)([\w-]+)", text))
        assert {"deriva-ml-init", "deriva-ml-run-notebook"} <= used <= known
        paths = set(re.findall(r"(?:notebooks|src|tests|docs)/[\w./-]*\w", text))
        for path in paths - {"docs/my_analysis.md", "docs/my-notebook.md", "docs/records"}:
            assert Path(path).stem in made_by_the_reader or (project / path).exists(), path
        for line in text.splitlines():
            assert len(line) <= 122 or line.startswith("|"), line


@pytest.fixture(scope="module")
def lean(
    render: Render,
    clean_env: dict[str, str],
    furnish: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> ProjectFolder:
    """A new project without the example, but for its server with answers that are hard to write down.

    Its environment is its own, without what only the example needs.
    """
    answers = {**STRANGE, "deriva_hostname": ""}
    python = f"3.{min(sys.version_info.minor, 14)}"
    path = tmp_path_factory.mktemp("lean") / "my-project"
    project = ProjectFolder(render(path, include_example=False, python_version=python, **answers), clean_env)
    furnish(path / ".venv")
    lock(project)
    project.run("uv", "sync", "--quiet", check=True)
    assert "No module named 'sklearn'" in project.run("python", "-c", "import sklearn").err
    return project


@pytest.mark.parametrize("kind", ["with the example", "lean"])
def test_the_readme_can_be_followed_from_top_to_bottom(
    project_copy: ProjectCopy, request: pytest.FixtureRequest, kind: str
) -> None:
    """Each command succeeds, after the edits that the text asks for, and the runs are recorded with what they read."""
    project = request.getfixturevalue("lean") if kind == "lean" else project_copy()
    readme = (project / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 9
    for language, block in blocks:
        if language == "python":
            name_the_measurements(project, block)
            continue
        for line in block.splitlines():
            if "RID" in line:
                line = re.sub(r"\bRID\b", executions(project)[0]["rid"], line)
            project.run("bash", "-c", line, check=True)
            if line.startswith("cp src/"):
                adapt(project / line.split()[-1])
    listed = executions(project)
    assert {record["status"] for record in listed} == {"Uploaded"}
    newest = [record["workflow"]["name"] for record in listed[:6]]
    sweep = ["Model training", "Model training", "Model training sweep"]
    assert newest == [*sweep, "Model training", "Counts", "Counts"]
    for run in (listed[3], listed[4]):
        shown = project.run("uv", "run", "deriva-ml-catalog", "show", run["rid"], check=True).out
        assert "measurements.csv" in shown


def executions(project: ProjectFolder) -> list[dict[str, Any]]:
    """What was recorded, the newest first."""
    listed: list[dict[str, Any]] = json.loads(
        project.run("uv", "run", "deriva-ml-catalog", "list", "--json", check=True).out
    )
    return listed


def name_the_measurements(project: ProjectFolder, snippet: str) -> None:
    """Put the file there, the import with the others, and the entry below."""
    (project / "data").mkdir()
    (project / "data/measurements.csv").write_text("length\n1.5\n")
    imports, _, entry = snippet.partition("\n\n")
    assets = project / "src/configs/assets.py"
    text = assets.read_text()
    first = "from deriva_ml." if "\nfrom deriva_ml." in text else "assets_store = "
    above, first, below = text.partition(first)
    gap = "" if first == "from deriva_ml." else "\n"
    assets.write_text(f"{above}{imports}\n{gap}{first}{below}\n{entry}")


def adapt(copy: Path) -> None:
    """Change the names in a copy of a skeleton as the text says."""
    text = copy.read_text()
    if copy.stem == "counts":
        assert '"my_notebook"' in text
        copy.write_text(text.replace('"my_notebook"', '"counts"'))
    else:
        assert "my_model" in text
        copy.write_text(text.replace("my_model", "sizes").replace('"default_model"', '"sizes"'))


def test_without_the_example_a_command_says_what_there_is(lean: ProjectFolder) -> None:
    """A sweep needs nothing but the skeleton; a name that only the example has is refused with those that are there."""
    lean.run("uv", "run", "deriva-ml-init", check=True)
    lean.run("uv", "run", "deriva-ml-run", "--multirun", "model_config.largest=1,2", check=True)
    for command, says in {
        "deriva-ml-run +multirun=lengths": "no sweep is named lengths; there are: none",
        "deriva-ml-run +experiment=digits": "a model run takes no experiment",
        "deriva-ml-run model_config=quick": "Available options in 'model_config': default_model",
        "deriva-ml-run datasets=training_data": "Available options in 'datasets': default_dataset",
        "deriva-ml-run-notebook notebooks/my_analysis.ipynb": "no notebook file notebooks/my_analysis.ipynb",
        "deriva-ml-run deriva_ml=production": "names no server yet: put its hostname and catalog_id into pyproject.toml",
    }.items():
        refused = lean.run("uv", "run", *command.split())
        assert refused.rc == 2 and says in refused.err and refused.err.count("\n") == 1, refused.text


def test_a_private_copy_runs_its_own_code(project_copy: ProjectCopy) -> None:
    """What the other tests of commands stand on: a copy is clean, and imports from its own source folder."""
    project = project_copy()
    assert project.git("status", "--porcelain") == ""
    imported = project.run(
        "uv", "run", "python", "-c", "import deriva_ml; print(deriva_ml.__file__)", check=True
    )
    assert Path(imported.out.strip()) == project / "src/deriva_ml/__init__.py"


def test_the_workshop_has_what_a_project_installs(rendered: Path) -> None:
    """The template's tests import the runner and the example, so its own environment names the same packages."""
    workshop = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject(rendered)
    assert workshop["dependency-groups"]["project"] == sorted(project["project"]["dependencies"])
    own = {one for one in workshop["dependency-groups"]["dev"] if isinstance(one, str)}
    assert own >= {*project["dependency-groups"]["docs"]}
    extras = project["project"]["optional-dependencies"]
    installed = workshop["dependency-groups"]["engines"] + workshop["dependency-groups"]["site"]
    assert {one for name, extra in extras.items() if name != "ray" for one in extra} == {*installed}
    assert workshop["tool"]["ruff"]["lint"] == project["tool"]["ruff"]["lint"]
    assert workshop["tool"]["ruff"]["line-length"] == project["tool"]["ruff"]["line-length"]
