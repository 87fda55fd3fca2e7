"""A project renders from any answers and into any folder, without trust, and other tools accept every file of it."""

from __future__ import annotations

import email
import email.policy
import json
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader

from conftest import ROOT, ProjectFolder, Render
from rendered_files import answers_of, files_of, names_of, parse, pyproject

MOST_FILES = 95
STARTER = ("notebooks", "src/configs", "src/models", "tests")
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
QUESTIONS = [name for name in CONFIG if not name.startswith("_")]

HOSTILE = [
    'He said "hi", it\'s C:\\new\\table',
    "{{ 7 * 7 }} {% raw %} {# no comment #} {{ undefined.attribute }}",
    "key: value - # no comment, [x] {y} & *z | > %tag @at `tick` $(id) ${HOME}",
    "'''triple''' \"\"\"quotes\"\"\" \\",
    "null",
    "Ångström — 数字の分析 🧪👩🏽\u200d🔬 مرحبا שלום \u202eabc\u202c",
    "x" * 300,
]


# ------------------------------------------------------------------------------------------------------------ defaults


def test_the_command_line_asks_nothing_with_defaults_and_says_what_to_do_next(tmp_path: Path) -> None:
    """`copier copy --defaults` needs no terminal and no trust, and ends with the next commands."""
    done = subprocess.run(
        [sys.executable, "-m", "copier", "copy", "--defaults", "--vcs-ref", "HEAD", str(ROOT), "my project"],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    after = done.stderr[done.stderr.index("is ready") :]
    assert [line.strip() for line in after.splitlines() if line.startswith("    ")] == [
        "cd 'my project'",
        "uv run deriva-ml-init",
        "uv run deriva-ml-run-notebook notebooks/my_analysis.ipynb",
    ]
    assert answers_of(tmp_path / "my project")["project_slug"] == "my-project"


def test_the_template_uses_nothing_that_copier_asks_trust_for() -> None:
    """No tasks, no migrations, no Jinja extensions."""
    assert not {"_tasks", "_migrations", "_jinja_extensions"} & set(CONFIG)


def test_questions_are_complete_and_in_the_order_a_person_thinks_of_them() -> None:
    """Each has help and a default; each that takes free text says what to type instead."""
    assert QUESTIONS == [
        "project_name",
        "project_slug",
        "project_description",
        "user_name",
        "user_email",
        "github_user",
        "license",
        "python_version",
        "deriva_hostname",
        "deriva_catalog_id",
        "include_example",
    ]
    for name in QUESTIONS:
        assert CONFIG[name]["help"] and "default" in CONFIG[name]
        assert "choices" in CONFIG[name] or CONFIG[name]["type"] == "bool" or CONFIG[name]["validator"]


def test_every_rendered_file_parses(rendered: Path) -> None:
    """TOML, YAML, JSON, Python and notebooks, cell by cell."""
    for name in files_of(rendered):
        parse(rendered / name)


def test_nothing_of_the_template_language_is_left(rendered: Path) -> None:
    """No file keeps the suffix, and none that Jinja should have rendered was copied as it is."""
    left = re.compile(r"\{%|\{\{-? *(" + "|".join(QUESTIONS) + r")\b")
    for name in files_of(rendered):
        assert not name.endswith(".jinja") and "{" not in name
        content = (rendered / name).read_bytes().decode("utf-8")
        copied = ROOT / "template" / name
        if not (
            copied.is_file() and copied.read_bytes() == content.encode()
        ):  # Jinja had nothing to do with it
            assert not left.search(content), f"{name}: {left.search(content)}"


def test_a_project_is_tidy(rendered: Path) -> None:
    """Few enough files to look through."""
    assert len(files_of(rendered)) <= MOST_FILES


@pytest.mark.parametrize("include_example", [True, False])
def test_a_project_passes_its_own_linter(render: Render, tmp_path: Path, include_example: bool) -> None:
    """Ruff, with the settings in the project, has nothing to say and nothing to format."""
    longest = f"{'x' * 60}.{'y' * 60}.example.org"
    project = render(tmp_path / "my-project", include_example=include_example, deriva_hostname=longest)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_notebooks_are_rendered_as_the_filter_commits_them(rendered: Path) -> None:
    """So that the project's first `git status`, and its CI, find nothing to strip."""
    notebooks = [str(path) for path in (rendered / "notebooks").glob("*.ipynb")]
    assert notebooks
    done = subprocess.run(
        [sys.executable, "-m", "nbstripout", "--verify", *notebooks],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_pytest_copie_renders_the_template_too(copie: Any) -> None:
    """The plugin with which derived templates are tested finds everything it expects."""
    result = copie.copy(extra_answers={"project_slug": "from-copie"})
    assert result.exit_code == 0 and result.exception is None
    assert pyproject(result.project_dir)["project"]["name"] == "from-copie"


def test_a_plain_folder_renders_the_same_project(
    render: Render, rendered: Path, plain: Path, tmp_path: Path
) -> None:
    """A template that was downloaded rather than cloned, with the caches that working on it leaves."""
    (plain / "template" / "src" / "deriva_ml" / "__pycache__").mkdir(exist_ok=True)
    (plain / "template" / "src" / "deriva_ml" / "__pycache__" / "core.pyc").touch()
    project = render(tmp_path / "my-project", template=plain)
    assert files_of(project) == files_of(rendered)


# ------------------------------------------------------------------------------------------------------- single answers


@pytest.mark.parametrize(
    ("license", "title", "last"),
    [
        ("Apache-2.0", "Apache License", "limitations under the License."),
        ("MIT", "MIT License", "SOFTWARE."),
        (
            "BSD-3-Clause",
            "BSD 3-Clause License",
            "OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.",
        ),
    ],
)
def test_a_licence_is_the_whole_text_with_year_and_holder(
    sketch: Render, tmp_path: Path, license: str, title: str, last: str
) -> None:
    """The file, and the same licence in the package's metadata."""
    project = sketch(tmp_path / "p", license=license, user_name="Zoë O'Neil")
    text = (project / "LICENSE").read_text(encoding="utf-8")
    lines = text.strip().splitlines()
    assert lines[0].strip() == title and lines[-1].strip() == last
    assert re.search(r"^ *Copyright (\(c\) )?20\d\d,? Zoë O'Neil$", text, re.MULTILINE)
    assert pyproject(project)["project"]["license"] == license


def test_no_licence_leaves_no_trace(sketch: Render, tmp_path: Path) -> None:
    """No file, and none in the metadata."""
    project = sketch(tmp_path / "p", license="none")
    assert not (project / "LICENSE").exists()
    assert not {"license", "license-files"} & set(pyproject(project)["project"])


def test_without_a_name_the_licence_holder_is_the_project(sketch: Render, tmp_path: Path) -> None:
    """A copyright line always names somebody."""
    project = sketch(tmp_path / "p", project_name="Digit analysis", license="MIT")
    assert re.search(
        r"20\d\d the Digit analysis authors\n", (project / "LICENSE").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_python_version_is_a_lower_bound_and_the_one_to_develop_with(
    sketch: Render, tmp_path: Path, version: str
) -> None:
    """In the metadata and for uv."""
    project = sketch(tmp_path / "p", python_version=version)
    assert pyproject(project)["project"]["requires-python"] == f">={version}"
    assert (project / ".python-version").read_text(encoding="utf-8") == f"{version}\n"


def test_a_deriva_server_is_written_into_the_configuration(sketch: Render, tmp_path: Path) -> None:
    """Host, port and catalog, as Python strings."""
    project = sketch(tmp_path / "p", deriva_hostname="localhost:8443", deriva_catalog_id="my-catalog")
    config = (project / "src/configs/deriva.py").read_text(encoding="utf-8")
    assert '"localhost:8443"' in config and '"my-catalog"' in config
    assert answers_of(project)["deriva_catalog_id"] == "my-catalog"


def test_the_catalog_is_asked_for_only_with_a_server(rendered: Path) -> None:
    """An answer that means nothing is not remembered."""
    assert "deriva_catalog_id" not in answers_of(rendered)


def test_people_and_repository_are_in_the_metadata(sketch: Render, tmp_path: Path) -> None:
    """Author, address and repository; none of them where nothing was answered."""
    project = sketch(tmp_path / "p", user_name="Ada", user_email="ada@example.org", github_user="ada-l")
    metadata = pyproject(project)["project"]
    assert metadata["authors"] == [{"name": "Ada", "email": "ada@example.org"}]
    assert metadata["urls"]["Repository"] == "https://github.com/ada-l/p"
    assert not {"authors", "urls"} & set(pyproject(sketch(tmp_path / "q"))["project"])


def test_without_the_example_its_files_and_its_dependencies_are_left_out(
    render: Render, rendered: Path, plain: Path, tmp_path: Path
) -> None:
    """What stays does not speak of it."""
    project = render(tmp_path / "my-project", template=plain, include_example=False)
    left_out = {
        "notebooks/my_analysis.ipynb",
        "src/configs/digits.py",
        "src/configs/my_analysis.py",
        "src/deriva_ml/demo.py",
        "src/models/digits.py",
        "tests/test_digits.py",
    }
    assert set(files_of(rendered)) - set(files_of(project)) == left_out
    for name in files_of(project):
        if name.startswith((*STARTER, "README", "pyproject")):
            content = (project / name).read_text(encoding="utf-8")
            assert not re.search(r"my_analysis|digits|DEMO-|demo", content), name
    metadata = pyproject(project)["project"]
    assert "create-demo-catalog" not in metadata["scripts"]
    assert not {"matplotlib", "numpy", "pandas", "scikit-learn"} & names_of(metadata["dependencies"])


# ------------------------------------------------------------------------------------------------------- hostile answers

# Whatever can be typed on one line; the questions refuse the rest.
one_line = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"),
    max_size=60,
)
fragments = st.lists(st.one_of(one_line, st.sampled_from(HOSTILE)), min_size=1, max_size=3).map(" ".join)
anything = fragments.map(lambda text: text[:300])


def check_hostile(project: Path, name: str, description: str, person: str) -> None:
    """Every file parses, and the answers come out of it as they went in."""
    for file in files_of(project):
        parse(project / file)
    metadata = pyproject(project)["project"]
    assert metadata["description"] == description
    assert metadata.get("authors", [{"name": ""}])[0]["name"] == person.strip()
    answers = answers_of(project)
    assert (answers["project_name"], answers["project_description"], answers["user_name"]) == (
        name,
        description,
        person,
    )
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {name}\n") and description in readme


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=anything.filter(lambda text: bool(text.strip())), description=anything, person=anything)
@example(name=HOSTILE[0], description=HOSTILE[1], person=HOSTILE[2])
@example(name=HOSTILE[1], description=HOSTILE[3], person=HOSTILE[5])
@example(name=HOSTILE[5], description=HOSTILE[6], person=HOSTILE[1])
@example(name=HOSTILE[4], description="", person="")
def test_any_answer_renders_to_files_that_parse(
    sketch: Render, tmp_path_factory: pytest.TempPathFactory, name: str, description: str, person: str
) -> None:
    """Quotes, colons, backslashes, braces, Jinja, any script, emoji, 300 characters."""
    project = sketch(
        tmp_path_factory.mktemp("hostile") / "p",
        project_name=name,
        project_description=description,
        user_name=person,
    )
    check_hostile(project, name, description, person)


@pytest.mark.parametrize(
    ("folder", "slug"),
    [
        ("My Project", "my-project"),
        ("{{ 7 * 7 }} {% if x %}", "7-7-if-x"),
        ("数字の分析", "deriva-ml-project"),
        ("Größe & Dépôt № 1", "groesse-depot-1"),
        ("numpy", "numpy-project"),
        ("deriva_ml", "deriva-ml-project"),
        ("json", "json-project"),
        ("--help", "help"),
        ('it\'s "quoted" \\ $(id)', "it-s-quoted-id"),
        ("two\nlines", "two-lines"),
        ("👩🏽\u200d🔬", "deriva-ml-project"),
        ("x" * 200, "x" * 50),
    ],
)
def test_any_folder_gives_a_project_name_and_a_package_name(
    sketch: Render, tmp_path: Path, folder: str, slug: str
) -> None:
    """The defaults that come from the destination pass the questions' own checks."""
    project = sketch(tmp_path / folder)
    answers = answers_of(project)
    assert answers["project_name"] == folder.replace("\n", " ")
    assert answers["project_slug"] == pyproject(project)["project"]["name"] == slug


def test_a_project_of_hostile_answers_in_a_hostile_folder_installs(
    render: Render, clean_env: dict[str, str], tmp_path: Path
) -> None:
    """The build backend takes the metadata, and gives it back."""
    folder = tmp_path / "a {b} {{ c }} ü 数 🧪"
    path = render(
        folder / "my 'project'",
        project_description=HOSTILE[1],
        user_name='Ada "the first" Lovelace, PhD',
        user_email="ada@example.org",
        license="MIT",
        python_version="3.11",
    )
    project = ProjectFolder(path, clean_env)
    project.run("uv", "build", "--wheel", "--quiet", "--out-dir", str(tmp_path / "dist"), check=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name), policy=email.policy.default)
        packages = {entry.split("/")[0] for entry in archive.namelist()}
    assert metadata["Name"] == "my-project" and metadata["Summary"] == HOSTILE[1]
    assert metadata["License-Expression"] == "MIT" and "ada@example.org" in metadata["Author-email"]
    assert {"deriva_ml", "configs", "models"} <= packages


# ------------------------------------------------------------------------------------------------------- refused answers


@pytest.mark.parametrize(
    ("question", "answer", "says"),
    [
        ("project_name", "", "type a title"),
        ("project_name", "  ", "type a title"),
        ("project_name", "two\nlines", "type a single line"),
        ("project_slug", "", "type lower-case letters"),
        ("project_slug", "My_Project", "type lower-case letters"),
        ("project_slug", "-x", "type lower-case letters"),
        ("project_slug", "x-\n", "type lower-case letters"),
        ("project_slug", "größe", "type lower-case letters"),
        ("project_slug", "x" * 65, "type at most 64 characters"),
        ("project_slug", "deriva-ml", 'for example "deriva-ml-project"'),
        ("project_slug", "configs", 'for example "configs-project"'),
        ("project_slug", "models", "type another"),
        ("project_slug", "papermill", "type another"),
        ("project_slug", "traitlets", "type another"),
        ("project_slug", "asyncio", "type another"),
        ("project_description", "two\r\nlines", "type a single line"),
        ("project_description", "nul \x00", "type a single line"),
        ("project_description", "line\u2028separator", "type a single line"),
        ("user_name", "Ada\nLovelace", "type a single line"),
        ("user_name", "half of an emoji \ud83d", "type a single line"),
        ("user_email", "ada", "jane.doe@example.org"),
        ("user_email", "ada@example.org\n", "jane.doe@example.org"),
        ("user_email", "Ada <ada@example.org>", "jane.doe@example.org"),
        ("user_email", 'a"b@example.org', "jane.doe@example.org"),
        ("github_user", "@ada", "type only the name"),
        ("github_user", "https://github.com/ada", "type only the name"),
        ("github_user", "ada/project", "type only the name"),
        ("license", "GPL", "Apache-2.0"),
        ("python_version", "3.10", "3.11"),
        ("deriva_hostname", "https://www.example.org", 'without "https://"'),
        ("deriva_hostname", "www.example.org/chaise", "without a path"),
        ("deriva_hostname", "www.example.org:0", "type a port from 1 to 65535"),
        ("deriva_hostname", "www.example.org:65536", "type a port from 1 to 65535"),
        ("deriva_hostname", "two hosts", "type a host name"),
        ("deriva_hostname", "user@host", "type a host name"),
        ("deriva_hostname", "host\n", "type a host name"),
        ("deriva_hostname", '"; import os', "type a host name"),
        ("deriva_catalog_id", "", "number or alias"),
        ("deriva_catalog_id", "1/schema", "number or alias"),
        ("deriva_catalog_id", "1\n", "number or alias"),
    ],
)
def test_an_answer_that_cannot_work_is_refused_with_what_to_type_instead(
    sketch: Render, tmp_path: Path, question: str, answer: str, says: str
) -> None:
    """Nothing is rendered then."""
    answers = {"deriva_hostname": "www.example.org"} if question == "deriva_catalog_id" else {}
    with pytest.raises(ValueError, match=question) as refusal:
        sketch(tmp_path / "p", **{**answers, question: answer})
    assert says in str(refusal.value)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("deriva_hostname", "localhost"),
        ("deriva_hostname", "localhost:8443"),
        ("deriva_hostname", "dev.www-2.example.org:65535"),
        ("deriva_hostname", "127.0.0.1"),
        ("user_email", "ada.l+ml@mail.example.org"),
        ("github_user", "A-1"),
        ("project_slug", "2-digits"),
    ],
)
def test_an_unusual_answer_that_works_is_taken(
    sketch: Render, tmp_path: Path, question: str, answer: str
) -> None:
    """The checks are no stricter than what they protect."""
    assert answers_of(sketch(tmp_path / "p", **{question: answer}))[question] == answer


def test_no_name_that_a_project_depends_on_is_free_for_a_project(rendered: Path) -> None:
    """A project of that name could not be installed."""
    environment = Environment(loader=FileSystemLoader(ROOT))
    reserved = set(environment.get_template("extensions/packages.jinja").module.reserved)  # type: ignore[attr-defined]
    metadata = pyproject(rendered)
    needed = names_of(
        metadata["project"]["dependencies"]
        + metadata["dependency-groups"]["dev"]
        + metadata["build-system"]["requires"]
    )
    assert needed <= reserved
    if sys.version_info < (3, 14):
        public = {name.lower() for name in sys.stdlib_module_names if not name.startswith("_")}
        assert {name.replace("_", "-") for name in public} <= reserved


# --------------------------------------------------------------------------------------------------- project's own files


def test_committed_notebooks_pass_the_filter_and_ci_checks_that_they_did(rendered: Path) -> None:
    """.gitattributes names the filter, pre-commit runs it, and CI verifies it with no more rights than reading."""
    assert "*.ipynb filter=nbstripout diff=ipynb" in (rendered / ".gitattributes").read_text().splitlines()
    hooks = parse(rendered / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == [
        "notebook-outputs",
        "merge-conflict",
        "ruff-check",
        "ruff-format",
    ]
    workflow = parse(rendered / ".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    commands = "\n".join(step.get("run", "") for step in workflow["jobs"]["check"]["steps"])
    for command in ("ruff check", "ruff format --check", "pytest", "nbstripout --verify"):
        assert f"uv run {command}" in commands


def test_pre_commit_refuses_staged_outputs_and_leaves_those_in_the_working_copy(
    project_copy: Callable[..., ProjectFolder],
) -> None:
    """What is committed is what counts: the filter keeps outputs out of it, and a clone without the filter is told."""
    project = project_copy()
    hook = parse(project / ".pre-commit-config.yaml")["repos"][0]["hooks"][0]["entry"]
    path = project / "notebooks" / "my-notebook.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="a result")]
    nbformat.write(notebook, path)
    project.git("add", "-A")
    assert project.run(*shlex.split(hook)).rc == 0
    assert "a result" in path.read_text()
    project.git("config", "filter.nbstripout.clean", "cat")
    path.touch()
    project.git("add", "--renormalize", "-A")
    refused = project.run(*shlex.split(hook))
    assert refused.rc != 0 and "my-notebook.ipynb" in refused.out


@pytest.mark.parametrize("include_example", [True, False])
def test_the_readme_names_only_commands_and_files_that_are_there(
    render: Render, plain: Path, tmp_path: Path, include_example: bool
) -> None:
    """Every `uv run` command is one of the project's or its tools', and every path in code exists."""
    project = render(tmp_path / "my-project", template=plain, include_example=include_example)
    readme = (project / "README.md").read_text(encoding="utf-8")
    metadata = pyproject(project)
    known = set(metadata["project"]["scripts"]) | names_of(metadata["dependency-groups"]["dev"])
    used = set(re.findall(r"uv run (?!--)([\w-]+)", readme))
    assert {"deriva-ml-init", "deriva-ml-run-notebook", "deriva-ml-catalog", "bump-version"} <= used <= known
    made_by_the_reader = {"notebooks/counts.ipynb", "src/configs/counts.py", "src/models/counts.py"}
    for path in set(re.findall(r"(?:notebooks|src|tests)/[\w./-]*\w", readme)) - made_by_the_reader:
        assert (project / path).exists(), path


def test_a_private_copy_runs_its_own_code(project_copy: Callable[..., ProjectFolder]) -> None:
    """What the other tests of commands stand on: a copy is clean, and imports from its own source folder."""
    project = project_copy()
    assert project.git("status", "--porcelain") == ""
    imported = project.run(
        "uv", "run", "python", "-c", "import deriva_ml; print(deriva_ml.__file__)", check=True
    )
    assert Path(imported.out.strip()) == project / "src/deriva_ml/__init__.py"


def test_the_readme_can_be_followed_from_top_to_bottom(project_copy: Callable[..., ProjectFolder]) -> None:
    """Each command succeeds, after the edits that the text asks for, and the runs are recorded with what they read."""
    project = project_copy()
    readme = (project / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(bash|python)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 8
    for language, block in blocks:
        if language == "python":
            (project / "data").mkdir()
            (project / "data/measurements.csv").write_text("length\n1.5\n")
            imports, _, entry = block.partition("\n\n")
            assets = project / "src/configs/assets.py"
            above, first, below = assets.read_text().partition("from deriva_ml.")
            assets.write_text(f"{above}{imports}\n{first}{below}\n{entry}")
            project.git("add", "--all")
            project.git("commit", "--quiet", "--message", "Measurements")
            continue
        for line in block.splitlines():
            project.run("bash", "-c", line, check=True)
            if line.startswith("cp src/configs/"):
                copied = project / line.split()[-1]
                copied.write_text(copied.read_text().replace('"my_notebook"', '"counts"'))
    listed = json.loads(project.run("uv", "run", "deriva-ml-catalog", "list", "--json", check=True).out)
    assert {record["status"] for record in listed} == {"Uploaded"}
    assert [record["workflow"]["name"] for record in listed][:2] == ["Counts", "Counts"]
    shown = project.run("uv", "run", "deriva-ml-catalog", "show", listed[0]["rid"], check=True).out
    assert "measurements.csv" in shown


def test_the_workshop_has_what_a_project_installs(rendered: Path) -> None:
    """The template's tests import the runner and the example, so its own environment names the same packages."""
    workshop = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert workshop["dependency-groups"]["project"] == sorted(pyproject(rendered)["project"]["dependencies"])
    assert workshop["tool"]["ruff"]["lint"] == pyproject(rendered)["tool"]["ruff"]["lint"]
    assert workshop["tool"]["ruff"]["line-length"] == pyproject(rendered)["tool"]["ruff"]["line-length"]
