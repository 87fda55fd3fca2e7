"""A project's workflow on GitHub: linted, and its steps run here as they run there, on a clone, where they also fail."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader

from conftest import ROOT, Outcome, ProjectFolder, Render, lock
from rendered_files import parse, pyproject

WORKFLOW = ".github/workflows/ci.yml"


@pytest.fixture(scope="module")
def clone(
    render: Render,
    clean_env: dict[str, str],
    furnish: Callable[[Path], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> ProjectFolder:
    """A new project's repository as GitHub checks it out: what is committed, and nothing else is set up."""
    folder = tmp_path_factory.mktemp("github")
    env = {**clean_env, "UV_PROJECT_ENVIRONMENT": str(folder / "check")}
    python = f"3.{min(sys.version_info.minor, 14)}"
    origin = ProjectFolder(render(folder / "origin", python_version=python), env)
    furnish(folder / "check")
    lock(origin)
    origin.run("uv", "run", "--quiet", "deriva-ml-init", check=True, timeout=600)
    origin.git("clone", "--quiet", str(origin.path), str(folder / "my-project"))
    return ProjectFolder(folder / "my-project", env)


@pytest.fixture
def change(clone: ProjectFolder) -> Iterator[ProjectFolder]:
    """The clone, to change and commit in; afterwards it is as it was."""
    state = clone.git("rev-parse", "HEAD")
    clone.git("config", "filter.nbstripout.clean", "cat")  # the filter of who has not run deriva-ml-init
    yield clone
    clone.git("reset", "--hard", "--quiet", state)
    clone.git("clean", "--force", "-d", "--quiet")


def commit(project: ProjectFolder) -> None:
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "Change")


def steps(project: ProjectFolder, job: str) -> dict[str, dict[str, Any]]:
    """The steps of a job that run something, by name."""
    listed = parse(project / WORKFLOW)["jobs"][job]["steps"]
    return {step["name"]: step for step in listed if "run" in step}


def run_step(project: ProjectFolder, job: str, name: str, **variables: str) -> Outcome:
    """Run a step as GitHub does, with the repository's variables.

    The steps of all jobs that install the locked environment share one. `uv run` brings it about where a job does not.
    """
    script = steps(project, job)[name]["run"]
    assert "${{" not in script
    file = project.path.parent / "step.sh"
    file.write_text(script)
    place = project.path.parent / ("docs" if job == "docs" else "check")
    env = {"UV_PROJECT_ENVIRONMENT": str(place), "CI": "true", "GITHUB_ACTIONS": "true"}
    for variable, given in parse(project / WORKFLOW)["jobs"][job].get("env", {}).items():
        if named := re.fullmatch(r"\$\{\{ vars\.(\w+) \}\}", given):
            env[variable] = variables.get(named[1], "")
    return project.run("bash", "--noprofile", "--norc", "-eo", "pipefail", str(file), env=env)


# ------------------------------------------------------------------------------------------------------------- linting


def lint(*command: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name(command[0])
    return subprocess.run([str(program), *command[1:]], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("schema", "file"), [("github-workflows", WORKFLOW), ("dependabot", ".github/dependabot.yml")]
)
def test_github_takes_the_files_that_it_reads(rendered: Path, tmp_path: Path, schema: str, file: str) -> None:
    """They follow the published schemas, which know a misspelt key."""
    command = ["check-jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = lint(*command, str(rendered / file))
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((rendered / file).read_text().replace("cooldown:", "cool:").replace("runs-on:", "on:"))
    assert lint(*command, str(wrong)).returncode == 1


def test_nobody_gets_in_through_the_workflow(rendered: Path, tmp_path: Path) -> None:
    """Zizmor, at its strictest, finds nothing: no injection, no spare permission, no action that can be moved."""
    command = ["zizmor", "--offline", "--no-progress", "--persona", "auditor", "--format", "plain"]
    done = lint(*command, str(rendered / ".github"))
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / ".github/workflows").mkdir(parents=True)
    moved = re.sub(r"(uses: .+)@\w+ # (v\d+).*", r"\1@\2", (rendered / WORKFLOW).read_text())
    (tmp_path / WORKFLOW).write_text(moved)
    found = lint(*command, str(tmp_path / ".github"))
    assert found.returncode != 0 and "unpinned-uses" in found.stdout


def test_every_job_is_bounded_and_every_action_says_its_version(rendered: Path) -> None:
    """A job that hangs ends, a newer push stops the older one's, and dependabot finds what to update."""
    text = (rendered / WORKFLOW).read_text(encoding="utf-8")
    workflow = parse(rendered / WORKFLOW)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"] == "${{ github.workflow }}-${{ github.ref }}"
    assert set(workflow["jobs"]) == {"check", "test", "docs", "replay"}
    assert workflow["jobs"]["test"]["env"] == {"UV_PYTHON": "${{ matrix.python }}"}
    for job in workflow["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 30 and "permissions" not in job
        checkout, setup_uv = job["steps"][:2]
        assert (
            checkout["uses"].startswith("actions/checkout@") and not checkout["with"]["persist-credentials"]
        )
        assert setup_uv["uses"].startswith("astral-sh/setup-uv@") and setup_uv["with"]["enable-cache"]
    assert len(re.findall(r"uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", text, re.MULTILINE)) == text.count(
        "uses: "
    )
    ecosystems = {
        update["package-ecosystem"] for update in parse(rendered / ".github/dependabot.yml")["updates"]
    }
    assert ecosystems == {"uv", "github-actions"}


# ------------------------------------------------------------------------------------------------------------- running


@pytest.mark.parametrize("job", ["check", "test", "docs", "replay"])
def test_every_step_succeeds_on_a_new_project(clone: ProjectFolder, job: str) -> None:
    """In their order, in what is committed, without what `deriva-ml-init` sets up."""
    names = list(steps(clone, job))
    assert names
    for name in names:
        done = run_step(clone, job, name)
        assert done.rc == 0 and "::warning" not in done.text, f"{name}\n{done.text}"
    assert clone.git("status", "--porcelain") == ""
    if job == "docs":
        assert (clone / "site/index.html").is_file()
        if job == "replay":  # no records are named: one line, and nothing is installed
            assert done.text.splitlines()[1:] == [] and re.search("nothing to replay|no records", done.text)


OUTPUTS, PARAMETERS = "No committed notebook has outputs", "The parameters of every notebook can be read"


def test_a_committed_output_fails(change: ProjectFolder) -> None:
    """It names the notebook, wherever in the repository it is; and the path may have blanks."""
    path = change / "notebooks/more/a notebook.ipynb"
    notebook = nbformat.read(change / "notebooks/my-notebook.ipynb", as_version=4)
    path.parent.mkdir()
    nbformat.write(notebook, path)
    commit(change)
    assert run_step(change, "check", OUTPUTS).rc == run_step(change, "check", PARAMETERS).rc == 0
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="a result")]
    nbformat.write(notebook, path)
    commit(change)
    done = run_step(change, "check", OUTPUTS)
    assert done.rc != 0 and "a notebook.ipynb" in done.text


def test_a_parameter_that_cannot_be_read_fails(change: ProjectFolder) -> None:
    """One notebook of several is enough."""
    path = change / "notebooks/a-first.ipynb"
    notebook = nbformat.read(change / "notebooks/my-notebook.ipynb", as_version=4)
    [parameters] = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    parameters.source = "threshold: float = "
    nbformat.write(notebook, path)
    commit(change)
    done = run_step(change, "check", PARAMETERS)
    assert done.rc != 0 and "a-first.ipynb" in done.err, done.text


@pytest.mark.parametrize("text", ["import os\n", "x = {  'a':1 }\n"])
def test_code_that_ruff_would_change_fails(change: ProjectFolder, text: str) -> None:
    """What the linter finds, and what the formatter would write otherwise."""
    (change / "src/models/own.py").write_text(f'"""Mine."""\n\n{text}')
    assert run_step(change, "check", "Lint").rc == 1


STYLES = {
    "imports where they are needed": "import sys, os\nfrom collections import *\nimport json\nimport json",
    "names that are not used": "unused = 3\ndef g(a):\n    b = 1\ndef g(a): return a",
    "lines that are long": f"print('{'x' * 300}')",
    "values at the end and in between": "x = 1\nx\nx == 2\n[x]\nx",
    "lambdas and short names": "f = lambda a: a + 1\nl = [1]\nO = {  'a':1 }",
    "several statements in a line": "x=1;y =2\nif x == None: print('none')\nprint(y);",
    "bare and mutable": "try:\n  x = 1\nexcept: pass\ndef h(a=[], *, b = print()): return a",
    "strings": "s = 'no %s' % 1\nt = f'no hole'\nu = '{} {}'.format(1, 2, 3)\nv = '\\alpha \\d'",
    "old ways": "from typing import List, Optional\nw: Optional[List[int]] = None\nprint('%s' % (1,), dict())",
    "closures": "fs = []\nfor i in range(3):\n    fs.append(lambda: i)\nfor n in zip([1], [2]): pass",
    "white space": "x = 1   \n\n\n\n\ny = 2\t\n\n\n",
    "IPython's own": "%matplotlib inline\n!ls\nfiles = !ls\nlen?\ndisplay(files, _, __, ___, Out, In)\nawait g(1)",
    "cells of IPython's own": "%%time\nfor i in range(3): print(i)",
    "nothing": "",
}
"""Cells as people write them."""

MISTAKES = {
    "syntax": "def f(:\n    pass",
    "a return outside of a function": "return 3",
    "a name that is nowhere": "print(undefined_name)",
}


def a_notebook(*sources: str) -> str:
    """A notebook's file that records a run, with these cells in it."""
    begin, start = (
        "from deriva_ml.execution import run_notebook",
        "ml, execution, config = run_notebook('my_notebook')",
    )
    texts = [begin, "top_k: int = 2", start, "print(top_k)", *sources, "execution.commit_output_assets()"]
    cells = [nbformat.v4.new_code_cell(text) for text in texts]
    cells[1].metadata.tags = ["parameters"]
    return str(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))


@pytest.fixture(scope="module")
def drawn(sketch: Render, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project to lint notebooks in."""
    return sketch(tmp_path_factory.mktemp("drawn") / "my-project")


@pytest.mark.parametrize("name", [*STYLES, *MISTAKES])
def test_only_mistakes_are_found_in_a_notebook(drawn: Path, name: str) -> None:
    """Its style is up to who writes it, cell by cell."""
    notebook = drawn / "notebooks/counts.ipynb"
    notebook.write_text(text := a_notebook("def g(a): return a", (STYLES | MISTAKES)[name]))
    ruff = str(Path(sys.executable).with_name("ruff"))
    file, folder = ["--force-exclude", str(notebook)], ["notebooks"]
    for command in (
        ["check", *folder],
        ["check", "--fix", *file],
        ["format", "--check", *folder],
        ["format", *file],
    ):
        done = subprocess.run([ruff, *command], cwd=drawn, capture_output=True, text=True)
        found = name in MISTAKES and command[0] == "check"
        assert (done.returncode == 1) == found, done.stdout + done.stderr
    assert notebook.read_text() == text


def test_a_first_notebook_in_a_persons_own_style_passes(change: ProjectFolder) -> None:
    """Every step, and the checks before a commit, which leave it as it is."""
    notebook = change / "notebooks/a first look.ipynb"
    notebook.write_text(text := a_notebook(*STYLES.values()))
    commit(change)
    for name in steps(change, "check"):
        done = run_step(change, "check", name)
        assert done.rc == 0, f"{name}\n{done.text}"
    environment = {"UV_PROJECT_ENVIRONMENT": str(change.path.parent / "check")}
    done = change.run("uv", "run", "pre-commit", "run", "--files", str(notebook), env=environment)
    assert done.rc == 0 and "ruff check" in done.out, done.text
    assert notebook.read_text() == text


def test_a_stale_lock_file_fails(change: ProjectFolder) -> None:
    """Rather than test other versions than those that are committed."""
    file = change / "pyproject.toml"
    file.write_text(file.read_text().replace('"nbformat>=5.10"', '"nbformat>=5.9"'))
    assert run_step(change, "check", "Install the locked environment").rc != 0


def test_an_edited_runner_is_a_warning(change: ProjectFolder) -> None:
    """Who keeps an edit sees at each push that there is one, and which file, and is not held up."""
    with (change / "src/deriva_ml/git.py").open("a") as file:
        file.write("# mine\n")
    commit(change)
    done = run_step(change, "check", "The runner is as the template brought it")
    assert done.rc == 0 and "src/deriva_ml/git.py" in done.text
    assert re.search(r"^::warning title=[^:]+::src/deriva_ml is not as", done.out, re.MULTILINE)
    (change / "src/deriva_ml/SHA256SUMS").unlink()
    assert "::warning" in run_step(change, "check", "The runner is as the template brought it").out


def test_what_an_exported_file_brings_is_replayed(change: ProjectFolder) -> None:
    """In a clone without records: it takes them in, replays them, and says the verdicts; what is not as it was fails."""
    folder = change.path.parent
    environment = {"UV_PROJECT_ENVIRONMENT": str(folder / "check")}

    def own(*command: str) -> Outcome:
        return change.run("uv", "run", *command, env=environment, check=True)

    rid = re.findall(
        r"^Execution (\S+): Uploaded",
        own("deriva-ml-run-notebook", "notebooks/my-notebook.ipynb").out,
        re.MULTILINE,
    )[0]
    own("deriva-ml-catalog", "export", rid, str(folder / "records.zip"), "--with-inputs", "--with-code")
    (change / ".deriva-ml").rename(folder / "records")
    name, pages = steps(change, "replay")
    try:
        done = run_step(change, "replay", name, REPLAY_RECORDS=str(folder / "records.zip"))
        assert done.rc == 0 and re.search(rf"^{rid} .* identical ", done.out, re.MULTILINE), done.text
        assert f'name="{rid}"' in (change / "replay.xml").read_text()
        assert [*change.path.glob("outputs/*/replay-*/report.html")]
        looked = run_step(change, "replay", pages, REPLAY_RECORDS=str(folder / "records.zip"))
        assert looked.rc == 0, looked.text
        assert "identical" in (change / f"outputs/site/data/runs/{rid}.js").read_text()
        missing = run_step(change, "replay", name, REPLAY_RECORDS="nowhere.zip")
        assert missing.rc == 2 and "nowhere.zip" in missing.err
        later = run_step(
            change, "replay", name, REPLAY_RECORDS=str(folder / "records.zip"), REPLAY_SINCE="2099-01-01"
        )
        assert later.rc == 2 and "nothing is recorded since 2099-01-01" in later.err
    finally:
        shutil.rmtree(change / ".deriva-ml")
        (folder / "records").rename(change / ".deriva-ml")


@pytest.mark.parametrize("without", ["docs", "zensical.toml"])
def test_a_project_without_a_site_passes(change: ProjectFolder, without: str) -> None:
    """One that was made before there was a site, or whose person does not want it."""
    change.git("rm", "-r", "--quiet", without)
    [build] = steps(change, "docs")
    done = run_step(change, "docs", build)
    assert done.rc == 0 and "nothing to build" in done.out


def test_a_link_that_leads_nowhere_fails(change: ProjectFolder) -> None:
    """To a page, or to a heading of one."""
    [build] = steps(change, "docs")
    for target in ("nowhere.md", "index.md#nowhere"):
        (change / "docs/own.md").write_text(f"# Mine\n\n[There]({target})\n")
        assert run_step(change, "docs", build).rc != 0


# --------------------------------------------------------------------------------------------------------- the project


def test_the_sites_first_page_can_be_followed(change: ProjectFolder) -> None:
    """Its commands put an executed notebook onto the site, with its pictures."""
    change.git("config", "--unset", "filter.nbstripout.clean")
    text = (change / "docs/index.md").read_text(encoding="utf-8")
    rid = "none yet"
    for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            done = change.run("bash", "-c", line.replace("RID", rid), check=True)
            rid = next(iter(re.findall(r"^Execution (\S+): Uploaded", done.out, re.MULTILINE)), rid)
    page = BeautifulSoup((change / "site/my_analysis/index.html").read_text("utf-8"), "html.parser")
    assert len(page.select("img[src^='data:image/png;base64,']")) >= 3 and page.select("table")
    front = BeautifulSoup((change / "site/index.html").read_text("utf-8"), "html.parser")
    assert front.select("a[href='./my_analysis/']")
    fetched = [*front.select("script[src], img[src]"), *front.select("link[rel=stylesheet]")]
    assert fetched and not [
        tag for tag in fetched if re.match(r"https?:|//", str(tag.get("src") or tag.get("href")))
    ]
    assert (change / "site/records/index.html").read_bytes() == (
        change / "docs/records/index.html"
    ).read_bytes()
    for made in ("site", ".cache", "docs/records"):
        assert change.run("git", "check-ignore", f"{made}/index.html").rc == 0


def test_no_name_that_a_project_installs_is_free_for_a_project(clone: ProjectFolder) -> None:
    """On any system, with every group of its dependencies, and by the name of any module that came with it."""
    packages: Any = (
        Environment(loader=FileSystemLoader(ROOT)).get_template("extensions/packages.jinja").module
    )
    lock = tomllib.loads((clone / "uv.lock").read_text(encoding="utf-8"))
    locked = {package["name"] for package in lock["package"]}
    clone.run("uv", "sync", "--quiet", "--all-groups", check=True)
    found = "import importlib.metadata, json; print(json.dumps(list(importlib.metadata.packages_distributions())))"
    modules = json.loads(clone.run("uv", "run", "python", "-c", found, check=True).out)
    assert {"zensical", "pytest", "deriva", "colorama"} <= locked and {"yaml", "hydra", "pymdownx"} <= set(
        modules
    )
    names = locked | {name.lower().replace("_", "-") for name in modules}
    possible = {name for name in names if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)}
    missing = possible - set(packages.reserved) - {pyproject(clone)["project"]["name"]}
    assert not missing, f"add to extensions/packages.jinja: {' '.join(sorted(missing))}"
