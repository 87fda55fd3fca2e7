"""A project of every released version of the template can be updated to the newest, and keeps what is in it."""

from __future__ import annotations

import gzip
import re
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from conftest import ROOT, ProjectFolder, lock
from rendered_files import files_of, pyproject
from template_versions import (
    RELEASED,
    STARTER,
    Template,
    changed,
    check,
    commit,
    copier,
    duplicate,
    edit_starter,
    make,
    production,
    replace,
    starter,
)

VERSIONS = sorted(path.name.removesuffix(".tar.gz") for path in RELEASED.glob("*.tar.gz"))
CATALOGS = {"0.1.0": "catalog-v1.db.gz"}
"""Catalogs that the runners of released versions wrote, where they have other tables than today's."""
REFUSED_BY_NOW = {
    "0.1.0": {
        "project_slug": ("zensical", "The package is called my-project now, and was zensical before."),
        "deriva_hostname": (
            "10.0.0.256",
            "The Deriva server is not named now, and was 10.0.0.256 before.",
        ),
    }
}
"""Answers that released versions took and that today's checks refuse, with what is said of them."""
ANSWERS = {"license": "MIT", "deriva_hostname": "www.example.org", "deriva_catalog_id": "7"}


@pytest.fixture(scope="module", params=VERSIONS)
def made(
    request: pytest.FixtureRequest,
    plain: Path,
    clean_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> ProjectFolder:
    """A project of a released version; the template has a newer one by now, which is the working tree."""
    folder = tmp_path_factory.mktemp("released")
    template = Template.create(folder / "template", clean_env)
    template.unpack(RELEASED / f"{request.param}.tar.gz")
    template.tag(f"v{request.param}")
    python = f"3.{min(sys.version_info.minor, 13)}"
    project = make(template, folder / "my-project", f"v{request.param}", python_version=python, **ANSWERS)
    template.put(plain)
    template.tag("v1000.0.0")
    return project


def fenced(page: Path, heading: str) -> list[str]:
    """The fenced blocks of a page from a heading on."""
    below = page.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    return re.findall(r"^```text\n(.*?)^```$", below, re.MULTILINE | re.DOTALL)


@pytest.fixture
def project(made: ProjectFolder, tmp_path: Path) -> ProjectFolder:
    return duplicate(made, tmp_path / "my-project")


@pytest.fixture
def version(request: pytest.FixtureRequest) -> str:
    """The released version that the test's project is of."""
    return str(request.node.callspec.params["made"])


def test_untouched_it_becomes_what_a_new_project_is(
    made: ProjectFolder, project: ProjectFolder, tmp_path: Path
) -> None:
    """But for the starter content, which stays; so nothing of the older version is left behind."""
    before = starter(project)
    copier(project, "update", "--defaults")
    assert starter(project) == before and "UU" not in changed(project).values()
    answers = str(project / ".copier-answers.yml")
    fresh = tmp_path / "fresh"
    copier(
        made,
        "copy",
        "--quiet",
        "--defaults",
        "--data-file",
        answers,
        str(made.path.parent / "template"),
        str(fresh),
    )
    own = tuple(f"{name}/" for name in (*STARTER, ".git"))
    files = {name for name in files_of(fresh) if not name.startswith(own)}
    assert {name for name in files_of(project.path) if not name.startswith(own)} == files
    for name in files - {".copier-answers.yml"}:  # in which only the order of the answers may differ
        assert (project / name).read_bytes() == (fresh / name).read_bytes(), name
    assert check(project) == ["runner: as the template brought it"]


def test_what_the_user_did_stays(project: ProjectFolder) -> None:
    """To starter content, which is as it was; and to the set-up and the runner, where it is merged."""
    edit_starter(project)
    (project / ".pre-commit-config.yaml").unlink()
    ignored = project / ".gitignore"
    ignored.write_text("/mine/\n" + ignored.read_text())
    replace(project / "pyproject.toml", "[tool.ruff]\n", '[tool.mine]\nkey = "mine"\n\n[tool.ruff]\n')
    replace(project / "README.md", "## Your own notebook", "## My notebooks")
    runner = project / "src/deriva_ml/asset.py"
    runner.write_text("# mine\n" + runner.read_text())
    commit(project, "Mine")
    before = starter(project)
    copier(project, "update", "--defaults")
    assert starter(project) == before
    assert "UU" not in changed(project).values()
    assert not (project / ".pre-commit-config.yaml").exists()
    assert ignored.read_text().startswith("/mine/\n")
    assert pyproject(project.path)["tool"]["mine"] == {"key": "mine"}
    assert "\n## My notebooks\n" in (project / "README.md").read_text()
    assert runner.read_text().startswith("# mine\n")
    assert check(project)[:2] == ["edited   src/deriva_ml/asset.py", ""]


@pytest.mark.parametrize("made", REFUSED_BY_NOW, indirect=True)
def test_answers_that_are_refused_by_now_are_not_replaced_without_a_word(
    project: ProjectFolder, version: str
) -> None:
    """Copier drops each, and takes the default; the next update has nothing more to say."""
    answers = project / ".copier-answers.yml"
    text = answers.read_text()
    for answer, (before, _) in REFUSED_BY_NOW[version].items():
        text = re.sub(rf"^{answer}: .*$", f"{answer}: {before}", text, flags=re.MULTILINE)
        assert f"{answer}: {before}\n" in text
    answers.write_text(text)
    commit(project, "Answered when that was allowed")
    told = copier(project, "update", "--defaults").err
    after = answers.read_text()
    for before, said in REFUSED_BY_NOW[version].values():
        assert said in told and before not in after
    commit(project, "Updated")
    assert " before." not in copier(project, "update", "--defaults").err


def test_after_the_update_it_installs_passes_its_tests_and_has_its_records(
    project: ProjectFolder, version: str, furnish: Callable[[Path], Path]
) -> None:
    """The commands that the template says to type; a copy of the older catalog is beside the newer one."""
    lock(project)
    commit(project, "Locked")
    (project / ".deriva-ml").mkdir()
    if version in CATALOGS:
        content = gzip.decompress((ROOT / "tests/data/embedded" / CATALOGS[version]).read_bytes())
        (project / ".deriva-ml/catalog.db").write_bytes(content)
    copier(project, "update", "--defaults")
    furnish(project / ".venv")
    lock(project)
    project.run("uv", "sync", "--quiet", check=True, timeout=600)
    said = project.run("uv", "run", "deriva-ml-init", check=True).out
    assert "notebook filter: done" in said and "first commit: already there" in said
    assert ("kept as catalog.db.v" in said) == (version in CATALOGS)
    project.run("uv", "run", "pytest", "-q", check=True)
    assert project.run("uv", "run", "deriva-ml-init", "--check").out == "runner: as the template brought it\n"
    assert production(project) == ["www.example.org", "7"], (
        "also where the file of configurations says it itself"
    )
    project.run("uv", "lock", "--check", check=True)
    commit(project, "Update from the template")

    if version in CATALOGS:
        listed = project.run("uv", "run", "deriva-ml-catalog", "list", check=True).out
        assert "E-8VZZ" in listed and "Old study" in listed
        shown = project.run("uv", "run", "deriva-ml-catalog", "show", "E-8VZZ", check=True).out
        assert "table.csv" in shown and "in.txt" in shown
        with closing(sqlite3.connect(project / ".deriva-ml/catalog.db.v1")) as kept:
            assert kept.execute("PRAGMA user_version").fetchone() == (1,)
        project.run("uv", "run", "deriva-ml-run-notebook", "notebooks/my-notebook.ipynb", check=True)
        project.git("checkout", "--quiet", "HEAD~1")
        refused = project.run("uv", "run", "--quiet", "deriva-ml-catalog", "list")
        assert refused.rc == 1 and refused.err.count("\n") == 1
        assert "newer runner" in refused.err and "copier update" in refused.err
        _, commands, *_ = fenced(ROOT / "docs/updating.md", "## Go back")
        project.run("bash", "-ec", commands, check=True)
        for name, records in {"catalog.db": 0, "newer/catalog.db": 1}.items():
            with closing(sqlite3.connect(project / ".deriva-ml" / name)) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",), name
                workflows = database.execute("SELECT count(*) FROM Workflow WHERE Name = 'My Notebook'")
                assert workflows.fetchone() == (records,), name
        assert "E-8VZZ" in project.run("uv", "run", "deriva-ml-catalog", "list", check=True).out
