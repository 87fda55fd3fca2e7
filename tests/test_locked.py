"""What is installed and not in `uv.lock` is recorded and said, for results may depend on it."""

from __future__ import annotations

import json
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ProjectFolder
from deriva_ml.execution import locked
from deriva_ml.execution.locked import describe, not_locked, read_lock, warnings_of
from deriva_ml.project import Project
from notebook_runs.runs import committed, contents, latest
from notebooks import COMMIT, START

LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[manifest]
members = ["member"]

[[manifest.dependency-metadata]]
name = "told-of"
version = "9.9"

[[package]]
name = "numpy"
version = "1.26.4"
source = { registry = "https://index.example.org/simple" }
resolution-markers = [
    "python_full_version < '3.12'",
]

[[package]]
name = "numpy"
version = "2.3.5"
source = { registry = "https://index.example.org/simple" }

[[package]]
name = "pandas"
version = "2.2.3"
dependencies = [
    { name = "tzdata" },
]

[package.metadata]
requires-dist = [{ name = "pyarrow", specifier = ">=20" }]

[package.optional-dependencies]
name = [
    { name = "fastparquet" },
]

[[package]]
name = "ruamel-yaml"
version = "0.18.6"

[[package]]
name = "mine"
source = { editable = "." }

[[package]]
name = "member"
source = { editable = "packages/member" }

[[package]]
name = "torch"
version = "2.9.1+cpu"

[[package]]
name = "odd"
version = "2024.1.2"
"""


def test_a_lock_is_read_as_toml_reads_it(synced: ProjectFolder) -> None:
    """A project's, which uv wrote."""
    text = (synced / "uv.lock").read_text(encoding="utf-8")
    expected: dict[str, set[str]] = {}
    for package in tomllib.loads(text)["package"]:
        expected.setdefault(package["name"], set()).add(package.get("version", ""))
    assert read_lock(text) == expected and len(expected) > 50


def test_only_packages_count_and_each_of_their_versions() -> None:
    assert read_lock(LOCK) == {
        "numpy": {"1.26.4", "2.3.5"},
        "pandas": {"2.2.3"},
        "ruamel-yaml": {"0.18.6"},
        "mine": {""},
        "member": {""},
        "torch": {"2.9.1+cpu"},
        "odd": {"2024.1.2"},
    }


@pytest.mark.parametrize(
    "text", ["", "no lock at all", "[[package]]\n", "\0\n[[package]]\nversion = 1\n", "name"]
)
def test_what_is_no_lock_tells_of_nothing(text: str) -> None:
    assert read_lock(text) == {}


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ({"numpy": "1.26.4"}, {}),
        ({"numpy": "2.3.5"}, {}),
        ({"numpy": "2.0.0"}, {"numpy": "2.0.0 (locked 1.26.4 or 2.3.5)"}),
        ({"pandas": "2.1.0"}, {"pandas": "2.1.0 (locked 2.2.3)"}),
        ({"pyarrow": "21.0.0"}, {"pyarrow": "21.0.0"}),
        ({"told-of": "9.9"}, {"told-of": "9.9"}),
        ({"ruamel.yaml": "0.18.6"}, {}),
        ({"Ruamel_YAML": "0.18.6"}, {}),
        ({"Ruamel_YAML": "0.18.7"}, {"Ruamel_YAML": "0.18.7 (locked 0.18.6)"}),
        ({"torch": "2.9.1+cpu"}, {}),
        ({"torch": "2.9.1+cu128"}, {"torch": "2.9.1+cu128 (locked 2.9.1+cpu)"}),
        ({"odd": "2024.01.02"}, {}),
        ({"odd": "not a version"}, {"odd": "not a version (locked 2024.1.2)"}),
        ({"mine": "0.1.0.post3", "member": "7"}, {}),
        ({"pip": "25.0", "setuptools": "80", "wheel": "0.45", "uv": "0.9"}, {}),
        ({}, {}),
    ],
)
def test_what_is_installed_otherwise_than_locked_is_named(
    installed: dict[str, str], expected: dict[str, str]
) -> None:
    """By any of a name's spellings and a version's; the project's own, and what installs packages, are not judged."""
    assert not_locked(installed, read_lock(LOCK)) == expected


def test_the_projects_own_package_is_not_judged_whatever_the_lock_says() -> None:
    assert not_locked({"My.Own": "1", "other": "1"}, {"my-own": {"2"}}, own="My.Own") == {"other": "1"}


def test_a_warning_is_one_line_that_names_a_few_and_the_mend() -> None:
    """Another version of what the project asks for before what came with something else."""
    unlocked = {f"extra-{number}": "1.0" for number in range(99)} | {"pandas": "2.1 (locked 2.2)"}
    [line] = warnings_of({"not_locked": unlocked})
    assert line.startswith("not in uv.lock") and "\n" not in line and len(line) < 300
    assert ": pandas 2.1 (locked 2.2), extra-0 1.0, " in line and "and 95 more" in line
    assert "uv sync" in line and "uv add NAME" in line
    assert warnings_of({"not_locked": {}}) == warnings_of({}) == []


def test_on_top_of_an_environment_the_mend_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `uv run --with` brings, `uv sync` does not remove."""
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nextends-environment = /project/.venv\n")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    [line] = warnings_of({"not_locked": {"pyarrow": "21.0.0"}})
    assert "run without --with" in line and "uv sync" not in line


def installed(folder: Path, name: str, version: str, kind: str = "dist-info") -> None:
    """Make a folder look as if a package were installed there."""
    info = folder / f"{name.replace('-', '_')}-{version}.{kind}"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nName: no\nVersion: 0\n"
    (info / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text(head)


class TestDescribe:
    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
        """A project with a lock and an environment of its own."""
        root, site = tmp_path / "project", tmp_path / "site"
        root.mkdir()
        (root / "pyproject.toml").write_text('[project]\nname = "Mine"\n')
        (root / "uv.lock").write_text(LOCK)
        for name, version in (("mine", "0.0.1"), ("pandas", "2.2.3"), ("Ruamel.Yaml", "0.18.6")):
            installed(site, name, version)
        monkeypatch.setattr(sys, "path", [str(site)])
        return Project(root)

    def test_an_environment_of_the_lock_has_nothing_beyond_it(self, project: Project) -> None:
        found = describe(project, "0.1.0")
        assert found["not_locked"] == {} and warnings_of(found) == []
        assert json.loads(json.dumps(found)) == found and "python" in found

    def test_the_projects_own_version_is_the_recorded_one(self, project: Project) -> None:
        """What is installed is the version of the day when it was."""
        packages = describe(project, "0.2.0.post3+gabc1234")["packages"]
        assert packages == {"mine": "0.2.0.post3+gabc1234", "pandas": "2.2.3", "Ruamel.Yaml": "0.18.6"}

    @pytest.mark.parametrize("text", ["", "[project]\n", "project = 3\n", "no toml"])
    def test_a_project_without_a_name_has_no_package(self, project: Project, text: str) -> None:
        (project.root / "pyproject.toml").write_text(text)
        assert describe(project, "9")["packages"]["mine"] == "0.0.1"

    @pytest.mark.parametrize("kind", ["dist-info", "egg-info"])
    def test_a_package_that_was_put_beside_is_named(self, project: Project, kind: str) -> None:
        installed(Path(sys.path[0]), "Some-Package", "3.0", kind)
        assert describe(project, "1")["not_locked"] == {"Some-Package": "3.0"}

    def test_one_of_another_folder_on_the_path_too(
        self, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As `uv run --with` and system packages are; it hides the locked one, or is hidden by it."""
        installed(tmp_path / "before", "pandas", "2.1.0")
        installed(tmp_path / "after", "ruamel-yaml", "0.17.0")
        monkeypatch.setattr(sys, "path", [str(tmp_path / "before"), *sys.path, str(tmp_path / "after")])
        assert describe(project, "1")["not_locked"] == {"pandas": "2.1.0 (locked 2.2.3)"}

    def test_what_is_damaged_is_passed_over(self, project: Project) -> None:
        site = Path(sys.path[0])
        (site / "gone-1.0.dist-info").mkdir()
        installed(site, "bad", "1.0")
        (site / "bad-1.0.dist-info" / "METADATA").write_bytes(b"Name: b\xff\xfed\nVersion: 1\n\n")
        installed(site, "half", "1.0")
        (site / "half-1.0.dist-info" / "METADATA").write_text("Name: half\n")
        found = describe(project, "1")
        assert found["not_locked"] == {} and not {"gone", "bad", "half"} & found["packages"].keys()

    @pytest.mark.parametrize("lock", [None, "", "<<<<<<< no lock"])
    def test_without_a_lock_nothing_is_judged(self, project: Project, lock: str | None) -> None:
        installed(Path(sys.path[0]), "extra", "3.0")
        (project.root / "uv.lock").unlink()
        if lock is not None:
            (project.root / "uv.lock").write_text(lock)
        assert "not_locked" not in describe(project, "1")

    def test_another_kernels_packages_are_not_judged(self, project: Project) -> None:
        installed(Path(sys.path[0]), "extra", "3.0")
        found = describe(project, "1", kernel="conda")
        assert found["kernel"] == "conda" and "not_locked" not in found

    def test_no_toml_of_a_lock_is_parsed(self, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
        """That would take longer than all the rest."""
        monkeypatch.setattr(locked, "_own_name", lambda _: "mine")
        monkeypatch.setattr(tomllib, "loads", lambda _: pytest.fail("TOML was parsed"))
        assert describe(project, "1")["not_locked"] == {}


def a_wheel(folder: Path, name: str, version: str) -> Path:
    """A package as one would install it by hand."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_a_package_that_was_installed_by_hand_is_recorded_and_said(
    copy_to: Callable[[Path], ProjectFolder],
    furnish: Callable[[Path], Path],
    clean_env: dict[str, str],
    tmp_path: Path,
) -> None:
    """`uv run` leaves it where it is; of notebooks and models, until an exact environment is asked for."""
    project = ProjectFolder(copy_to(tmp_path / "my-project").path, clean_env)
    furnish(project / ".venv")
    path = committed(project, "counts.ipynb", START, COMMIT)
    project.run("uv", "run", "bump-version", "minor", check=True)
    wheel = a_wheel(tmp_path, "by_hand", "1.5")
    python = ("--python", str(project / ".venv"))
    project.run("uv", "pip", "install", "--quiet", "--no-deps", *python, str(wheel), check=True)
    version = project.git("describe", "--tags").removeprefix("v")
    model = ("model_config=my_model", "datasets=default_dataset")
    for command in (["deriva-ml-run-notebook", path], ["deriva-ml-run", *model]):
        done = project.run("uv", "run", *command, check=True)
        [line] = [line for line in done.err.splitlines() if "uv.lock" in line]
        assert line.startswith("warning: not in uv.lock") and ": by_hand 1.5; uv sync " in line
        environment = json.loads(contents(latest(project))["environment.json"])
        assert environment["not_locked"] == {"by_hand": "1.5"}
        assert environment["packages"]["my-project"] == version
        for unjudged in ("dry_run=true", "--kernel=python3")[: 2 if "notebook" in command[0] else 1]:
            assert "uv.lock" not in project.run("uv", "run", *command, unjudged, check=True).err
    done = project.run("uv", "run", "--exact", "deriva-ml-run-notebook", path, check=True)
    assert "uv.lock" not in done.err
    assert json.loads(contents(latest(project))["environment.json"])["not_locked"] == {}
