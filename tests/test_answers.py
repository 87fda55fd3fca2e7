"""Every pair of choices, and any text, makes a sound project in which the answers read as they were typed."""

from __future__ import annotations

import email
import email.policy
import functools
import html
import itertools
import re
import subprocess
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import markdown
import pytest
from bs4 import BeautifulSoup
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from conftest import ProjectFolder, Render
from rendered_files import answers_of, files_of, names_of, parse, pyproject

LICENSES = ("Apache-2.0", "MIT", "BSD-3-Clause", "none")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SERVER = {"deriva_hostname": "www.example.org:8443", "deriva_catalog_id": "my-catalog"}
EXAMPLE_ONLY = {"matplotlib", "numpy", "pandas", "scikit-learn"}

HOSTILE = [
    'He said "hi", it\'s C:\\new\\table',
    "{{ 7 * 7 }} {% raw %} {# no comment #} {{ undefined.attribute }}",
    "key: value - # no comment, [x] {y} & *z | > %tag @at `tick` $(id) ${HOME}",
    "'''triple''' \"\"\"quotes\"\"\" \\",
    "<script>alert(1)</script> </title> <b>&amp; &copy; &#124;</b> [x](y) `code` | a |",
    "null",
    "  # Issues #1 and # ",
    "1. - ~~gone~~ **bold** __init__.py ![x](y) [^1]: [TOC]",
    "Ångström — 数字の分析 🧪👩🏽\u200d🔬 مرحبا שלום \u202eabc\u202c",
    "x" * 300,
]


# ------------------------------------------------------------------------------------------------------------ every pair


def test_every_pair_of_choices_makes_a_sound_project(slim: Path, copie: Any) -> None:
    """Each file parses, and all that speak of a choice agree on it."""
    parsed: set[tuple[str, bytes]] = set()
    combinations = [
        (license, python, (place + row) % 2 == 0, (place + row // 2) % 2 == 0)
        for row, license in enumerate(LICENSES)
        for place, python in enumerate(PYTHONS)
    ]
    for one, other in itertools.combinations(range(4), 2):
        seen = {(chosen[one], chosen[other]) for chosen in combinations}
        assert len(seen) == len({chosen[one] for chosen in combinations}) * len(
            {chosen[other] for chosen in combinations}
        )
    for license, python, include_example, server in combinations:
        answers = {"license": license, "python_version": python, "include_example": include_example}
        result = copie.copy(extra_answers={**answers, **(SERVER if server else {})}, template_dir=slim)
        assert result.exception is None, answers
        project = result.project_dir
        for name in files_of(project):
            content = name, (project / name).read_bytes()
            if content not in parsed:
                parse(project / name)
                parsed.add(content)
        check_license(project, license)
        check_python(project, python)
        check_example(project, include_example)
        check_server(project, server)
        assert answers.items() <= answers_of(project).items()


def check_license(project: Path, license: str) -> None:
    """The file, the package's metadata and the README name the same licence, or none."""
    metadata, readme = pyproject(project)["project"], (project / "README.md").read_text(encoding="utf-8")
    if license == "none":
        assert not (project / "LICENSE").exists()
        assert not {"license", "license-files"} & set(metadata) and "Licence" not in readme
        return
    first = (project / "LICENSE").read_text(encoding="utf-8").split()[0]
    assert license.startswith(first)
    assert metadata["license"] == license and metadata["license-files"] == ["LICENSE"]
    assert f"## Licence\n\n{license}; see [LICENSE](LICENSE).\n" in readme


def check_python(project: Path, version: str) -> None:
    """It is the oldest that the package allows, the one to develop with, and the first that CI tests on."""
    assert pyproject(project)["project"]["requires-python"] == f">={version}"
    assert (project / ".python-version").read_text(encoding="utf-8") == f"{version}\n"
    strategy = parse(project / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]
    assert strategy["matrix"]["python"] == list(PYTHONS[PYTHONS.index(version) :])


def check_example(project: Path, included: bool) -> None:
    """What the example needs is there with it, and nothing else of the project speaks of it without."""
    metadata = pyproject(project)["project"]
    assert ("create-demo-catalog" in metadata["scripts"]) == included
    assert EXAMPLE_ONLY & names_of(metadata["dependencies"]) == (EXAMPLE_ONLY if included else set())
    speaking = {
        name
        for name in files_of(project)
        if re.search(
            r"my_analysis|digits|DEMO-|demo", (project / name).read_text(encoding="utf-8", errors="replace")
        )
    }
    assert {"README.md", "docs/index.md", "src/configs/base.py"} & speaking if included else not speaking


def check_server(project: Path, named: bool) -> None:
    """The configuration and the README name the server, or say that none is named."""
    settings, readme = pyproject(project)["tool"]["deriva-ml"], (project / "README.md").read_text("utf-8")
    if named:
        assert settings == {"hostname": SERVER["deriva_hostname"], "catalog_id": SERVER["deriva_catalog_id"]}
        assert "`www.example.org:8443`, catalog `my-catalog`" in readme
    else:
        assert settings == {"hostname": "", "catalog_id": "1"}
        assert "[tool.deriva-ml]" in readme and "deriva_catalog_id" not in answers_of(project)


# ------------------------------------------------------------------------------------------------------- single answers


def test_people_and_repository_are_in_the_metadata(sketch: Render, tmp_path: Path) -> None:
    """Author, address and repository, of the package and of the site; none of them where nothing was answered."""
    project = sketch(tmp_path / "p", user_name="Ada", user_email="ada@example.org", github_user="ada-l")
    metadata, site = pyproject(project)["project"], parse(project / "zensical.toml")["project"]
    assert metadata["authors"] == [{"name": "Ada", "email": "ada@example.org"}]
    assert metadata["urls"]["Repository"] == site["repo_url"] == "https://github.com/ada-l/p"
    assert site["site_author"] == "Ada" and site["repo_name"] == "ada-l/p"
    project = sketch(tmp_path / "q")
    assert not {"authors", "urls"} & set(pyproject(project)["project"])
    assert not {"site_author", "repo_url"} & set(parse(project / "zensical.toml")["project"])


@pytest.mark.parametrize(
    ("answered", "author"),
    [
        ({"user_name": "Ada"}, {"name": "Ada"}),
        ({"user_name": "  ", "user_email": "ada@example.org"}, {"email": "ada@example.org"}),
        ({"user_name": " Ada "}, {"name": "Ada"}),
    ],
)
def test_half_an_author_is_one(
    sketch: Render, tmp_path: Path, answered: dict[str, str], author: dict[str, str]
) -> None:
    """Either of name and address may stay empty."""
    assert pyproject(sketch(tmp_path / "p", **answered))["project"]["authors"] == [author]


def test_without_a_name_the_licence_holder_is_the_project(sketch: Render, tmp_path: Path) -> None:
    """A copyright line always names somebody."""
    project = sketch(tmp_path / "p", project_name="Digit analysis", license="MIT")
    line = f"Copyright (c) {datetime.now().year} the Digit analysis authors\n"
    assert line in (project / "LICENSE").read_text(encoding="utf-8")


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
        ("NUL", "nul-project"),
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


# ------------------------------------------------------------------------------------------------------------- any text

# Whatever can be typed on one line; the questions refuse the rest.
one_line = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"),
    max_size=60,
)
marks = st.text("\\`*_{}[]()<>#+-.!|~^=:;&$%@\"'/? 1a\u00a0", max_size=30)
fragments = st.lists(st.one_of(one_line, marks, st.sampled_from(HOSTILE)), min_size=1, max_size=3)
anything = fragments.map(lambda parts: " ".join(parts)[:300])

regex = functools.partial(st.from_regex, fullmatch=True, alphabet=st.characters(codec="ascii"))
valid = {
    "project_slug": regex(r"[a-z]-[a-z0-9]{1,30}(-[a-z0-9]{1,5}){0,4}"),
    "user_email": regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[a-z]{1,9})?@[a-z0-9]{1,20}(\.[a-z]{2,9})?"),
    "github_user": regex(r"([A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?)?"),
    "deriva_hostname": regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{1,9}){0,3}(:[1-9][0-9]{0,3})?"),
    "deriva_catalog_id": regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}"),
    "license": st.sampled_from(LICENSES),
    "include_example": st.booleans(),
}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=anything.filter(lambda text: bool(text.strip())),
    description=anything,
    person=anything,
    others=st.fixed_dictionaries({}, optional=valid),
)
@example(name=HOSTILE[0], description=HOSTILE[1], person=HOSTILE[2], others={})
@example(name=HOSTILE[1], description=HOSTILE[3], person=HOSTILE[8], others={})
@example(
    name=HOSTILE[8], description=HOSTILE[9], person=HOSTILE[1], others={"user_email": "o'neil@example.org"}
)
@example(name=HOSTILE[4], description=HOSTILE[7], person=HOSTILE[4], others={"license": "BSD-3-Clause"})
@example(name=HOSTILE[6], description=HOSTILE[4], person=HOSTILE[9], others={"license": "MIT"})
@example(name=HOSTILE[5], description="", person="", others={"include_example": False})
def test_any_text_is_what_it_was_in_every_file(
    sketch: Render,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    description: str,
    person: str,
    others: dict[str, Any],
) -> None:
    """Quotes, backslashes, tags, marks of Markdown, YAML, TOML and Jinja, any script, emoji, 300 characters; all at once."""
    text = {"project_name": name, "project_description": description, "user_name": person}
    project = sketch(tmp_path_factory.mktemp("hostile") / "p", **text, **others)
    for file in files_of(project):
        parse(project / file)
    answers = answers_of(project)
    assert text.items() <= answers.items()
    asked = set(others) if "deriva_hostname" in others else set(others) - {"deriva_catalog_id"}
    assert all(answers[question] == others[question] for question in asked)

    metadata = pyproject(project)["project"]
    assert metadata["description"] == description
    author = {"name": person.strip(), "email": others.get("user_email", "")}
    assert metadata.get("authors", [{}]) == [{key: value for key, value in author.items() if value}]

    site = parse(project / "zensical.toml")["project"]
    assert BeautifulSoup(site["site_name"], "html.parser").text == name.strip()
    assert html.unescape(site["site_description"]) == description.strip()
    for page in ("README.md", "docs/index.md"):
        assert shown(project / page, site["markdown_extensions"]) == (as_shown(name), as_shown(description))

    if (project / "LICENSE").exists():
        holder = person.strip() or f"the {name} authors"
        assert re.search(
            rf"20\d\d,? {re.escape(holder)}$", (project / "LICENSE").read_text("utf-8"), re.MULTILINE
        )


def as_shown(text: str) -> str:
    """A text as a page shows it: runs of blanks are one."""
    return " ".join(text.split())


def shown(page: Path, extensions: dict[str, Any]) -> tuple[str, str]:
    """A page's heading and the text below it, on which GitHub's Markdown and that of the site agree."""
    source = page.read_text(encoding="utf-8").removeprefix("---\ntitle: Home\n---\n").partition("\n## ")[0]
    source = source.partition("\n\nNotebooks and models here")[0]
    on_github = MarkdownIt("commonmark").enable(["strikethrough", "table"]).render(source)
    on_site = markdown.markdown(source, extensions=[name for name in extensions if name != "toc"])
    read = set()
    for rendered in (on_github, on_site):
        heading, *below = BeautifulSoup(rendered, "html.parser").find_all(True)
        assert heading.name == "h1" and [element.name for element in below] in (["p"], []), rendered
        read.add((as_shown(heading.text), as_shown("".join(element.text for element in below))))
    [agreed] = read
    return agreed


def test_a_hostile_name_is_only_text_on_the_site(sketch: Render, tmp_path: Path) -> None:
    """Zensical writes a site's name and description into its pages as they are: they come escaped."""
    project = sketch(
        tmp_path / "p", project_name=f'{HOSTILE[4]} "q"', project_description=HOSTILE[4], user_name=HOSTILE[4]
    )
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = BeautifulSoup((project / "site/index.html").read_text(encoding="utf-8"), "html.parser")
    name = as_shown(f'{HOSTILE[4]} "q"')
    assert page.title and as_shown(page.title.text) == f"Home - {name}"
    assert page.h1 and as_shown(page.h1.text).rstrip("¶") == name
    assert [meta["content"] for meta in page.find_all("meta", {"name": "description"})] == [HOSTILE[4]]
    assert [meta["content"] for meta in page.find_all("meta", {"name": "author"})] == [HOSTILE[4]]
    assert not [script for script in page.find_all("script") if "alert" in script.text]


# ------------------------------------------------------------------------------------------------- answers of other types


@pytest.mark.parametrize(
    "value", ["null", "~", "007", "1e3", "1.0", "2024-01-01", "[1, 2]", "{a: 1}", "!!str x"]
)
def test_a_value_that_yaml_reads_otherwise_is_text(sketch: Render, tmp_path: Path, value: str) -> None:
    """What was typed is the name, and is again when an update reads the answers."""
    project = sketch(tmp_path / "p", project_name=value, user_name=value)
    assert (answers_of(project)["project_name"], answers_of(project)["user_name"]) == (value, value)
    assert pyproject(project)["project"]["authors"] == [{"name": value}]


def test_a_value_on_the_command_line_is_text(slim: Path, tmp_path: Path) -> None:
    """`--data project_name=null` is a name, and not the absence of one."""
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", "--data", "project_name=null"]
    subprocess.run([*command, str(slim), str(tmp_path / "p")], check=True, capture_output=True)
    assert answers_of(tmp_path / "p")["project_name"] == "null"


@pytest.mark.parametrize(
    ("question", "value", "text"),
    [
        ("project_name", 7, "7"),
        ("project_name", True, "True"),
        ("project_slug", 2024, "2024"),
        ("github_user", 7, "7"),
        ("python_version", 3.12, "3.12"),
        ("deriva_catalog_id", 5, "5"),
    ],
)
def test_a_number_in_a_file_of_answers_is_text(
    sketch: Render, tmp_path: Path, question: str, value: object, text: str
) -> None:
    """`--data-file` with what YAML takes for a number."""
    server = {"deriva_hostname": "www.example.org"} if question == "deriva_catalog_id" else {}
    assert answers_of(sketch(tmp_path / "p", **server, **{question: value}))[question] == text


# --------------------------------------------------------------------------------------------------------- installation


def test_a_project_of_hostile_answers_in_a_hostile_folder_installs(
    render: Render, clean_env: dict[str, str], tmp_path: Path
) -> None:
    """The build backend takes the metadata, and gives it back."""
    folder = tmp_path / "a {b} {{ c }} ü 数 🧪"
    path = render(
        folder / "my 'project'",
        project_description=HOSTILE[1],
        user_name='Ada "the first" Lovelace, PhD',
        user_email="ada.o'neil+ml@example.org",
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
    assert metadata["License-Expression"] == "MIT" and "ada.o'neil+ml@example.org" in metadata["Author-email"]
    assert {"deriva_ml", "configs", "models"} <= packages
