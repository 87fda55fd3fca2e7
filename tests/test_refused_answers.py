"""An answer that cannot work is refused with what to type instead, and one that works is not."""

from __future__ import annotations

import sys
from pathlib import Path, PureWindowsPath
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader

from conftest import ROOT, Render
from rendered_files import answers_of

TITLE = "type a title, for example"
LINE = "type a single line of text"
SLUG = 'type lower-case letters, digits and single hyphens, starting and ending with a letter or digit, for example "my'
ADDRESS = "type an address such as jane.doe@example.org"
OWNER = "type only the name, for example jane-doe"
CATALOG = "type the catalog's number or alias, for example 1"
BARE = 'type only the host name, without "https://" and without a path, for example www.example.org'
HOST = "type a host name, for example www.example.org or localhost:8443, or leave it empty"
PORT = "type a port from 1 to 65535, for example"


@pytest.mark.parametrize(
    ("question", "answer", "says"),
    [
        ("project_name", "", TITLE),
        ("project_name", "  ", TITLE),
        ("project_name", "two\nlines", LINE),
        ("project_description", "two\r\nlines", LINE),
        ("project_description", "nul \x00", LINE),
        ("project_description", "a\ttab", LINE),
        ("project_description", "line\u2028separator", LINE),
        ("project_description", "next line\x85", LINE),
        ("user_name", "Ada\nLovelace", LINE),
        ("user_name", "half of an emoji \ud83d", LINE),
        ("user_name", "\ufeffAda", LINE),
        # a package's name
        ("project_slug", "", SLUG),
        ("project_slug", "My_Project", SLUG),
        ("project_slug", "-x", SLUG),
        ("project_slug", "x--y", SLUG),
        ("project_slug", "x-\n", SLUG),
        ("project_slug", "größe", SLUG),
        ("project_slug", "x" * 65, 'type at most 64 characters, for example "xxxxxxxxxxxxxxxxxxxx"'),
        (
            "project_slug",
            "deriva-ml",
            'a package that the project uses; type another name, for example "deriva-ml-project"',
        ),
        ("project_slug", "configs", 'type another name, for example "configs-project"'),
        ("project_slug", "models", "a package that the project uses"),
        ("project_slug", "papermill", "a package that the project uses"),
        ("project_slug", "zensical", "a package that the project uses"),
        ("project_slug", "sklearn", "a package that the project uses"),
        ("project_slug", "python3", "a package that the project uses"),
        ("project_slug", "asyncio", '"asyncio" is a module of Python\'s standard library; type another name'),
        ("project_slug", "py-compile", "a module of Python's standard library"),
        ("project_slug", "con", '"con" is what Windows calls a device, not a folder; type another name'),
        ("project_slug", "nul", 'for example "nul-project"'),
        ("project_slug", "lpt9", "what Windows calls a device"),
        # an e-mail address
        ("user_email", "ada", f"{ADDRESS}, with one @"),
        ("user_email", "ada@home@example.org", f"{ADDRESS}, with one @"),
        ("user_email", "@example.org", ADDRESS),
        ("user_email", "=?utf-8?q?x?=@example.org", f'{ADDRESS}, without "=?"'),
        ("user_email", "ada@", ADDRESS),
        ("user_email", "ada@-example.org", ADDRESS),
        ("user_email", "ada@example.org.", ADDRESS),
        ("user_email", "ada..l@example.org", ADDRESS),
        ("user_email", "ada@example.org\n", ADDRESS),
        ("user_email", " ada@example.org", f"{ADDRESS}, without spaces"),
        ("user_email", "Ada <ada@example.org>", f"{ADDRESS}, without spaces, quotes or brackets"),
        ("user_email", 'a"b@example.org', ADDRESS),
        ("user_email", "ada@exämple.org", 'an international domain starts with "xn--"'),
        ("user_email", "ädä@example.org", "in letters of the English alphabet"),
        # an owner on GitHub
        ("github_user", "@ada", OWNER),
        ("github_user", "https://github.com/ada", OWNER),
        ("github_user", "ada/project", OWNER),
        ("github_user", "ada lovelace", OWNER),
        ("github_user", "ada.l", OWNER),
        ("github_user", "-ada", OWNER),
        ("github_user", "adä", OWNER),
        ("github_user", "a" * 40, OWNER),
        # a server and a catalog
        ("deriva_hostname", "https://www.example.org", BARE),
        ("deriva_hostname", "www.example.org/chaise", BARE),
        ("deriva_hostname", "ada@www.example.org", "type only the host name, without a user"),
        ("deriva_hostname", "my_host.example.org", "hyphens but no underscores"),
        ("deriva_hostname", "www.example.org.", "without the dot at its end"),
        ("deriva_hostname", "www.example.org.:443", "without the dot at its end"),
        ("deriva_hostname", "www.exämple.org", 'starts with "xn--"'),
        ("deriva_hostname", "www..example.org", HOST),
        ("deriva_hostname", "-www.example.org", HOST),
        ("deriva_hostname", f"{'x' * 64}.org", HOST),
        ("deriva_hostname", ".".join(["x" * 60] * 5), HOST),
        ("deriva_hostname", "two hosts", HOST),
        ("deriva_hostname", " www.example.org", HOST),
        ("deriva_hostname", "host\n", HOST),
        ("deriva_hostname", '"; import os', HOST),
        ("deriva_hostname", "[::1]:8443", HOST),
        ("deriva_hostname", "192.0.2.256", "an address of four numbers up to 255"),
        ("deriva_hostname", "192.0.2", "an address of four numbers up to 255"),
        ("deriva_hostname", "www.example.org:0", PORT),
        ("deriva_hostname", "www.example.org:65536", PORT),
        ("deriva_hostname", "www.example.org:0443", PORT),
        ("deriva_hostname", "www.example.org:", PORT),
        ("deriva_hostname", "www.example.org:https", PORT),
        ("deriva_hostname", "www.example.org:443:443", PORT),
        ("deriva_catalog_id", "", CATALOG),
        ("deriva_catalog_id", "1/schema", CATALOG),
        ("deriva_catalog_id", "#1", CATALOG),
        ("deriva_catalog_id", "1@2Q5-ABCD", CATALOG),
        ("deriva_catalog_id", "1\n", CATALOG),
        # a choice
        ("license", "GPL", "'GPL' is not in ['Apache-2.0', 'MIT', 'BSD-3-Clause', 'none']"),
        ("python_version", "3.10", "'3.10' is not in ['3.11', '3.12', '3.13', '3.14']"),
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
        ("project_name", None),
        ("user_email", None),
        ("project_name", ["a", "b"]),
        ("project_description", {"a": 1}),
        ("include_example", None),
    ],
)
def test_a_value_of_a_file_of_answers_that_is_no_text_is_refused(
    sketch: Render, tmp_path: Path, question: str, answer: Any
) -> None:
    """Rather than rendered as `None` or as a list."""
    with pytest.raises((ValueError, TypeError)):
        sketch(tmp_path / "p", **{question: answer})
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    "answers",
    [
        {"deriva_hostname": "localhost", "deriva_catalog_id": "my-catalog_2.0", "github_user": "A-1"},
        {"deriva_hostname": "localhost:8443", "project_slug": "con-2", "github_user": "ada_acme"},
        {"deriva_hostname": "127.0.0.1:1", "project_slug": "2-digits", "user_email": "ada.o'neil@localhost"},
        {"deriva_hostname": "4.www-2.example.org:65535", "user_email": "ada.l+ml@mail.example.org"},
        {"deriva_hostname": "WWW.xn--exmple-cua.org", "user_email": "ada@xn--exmple-cua.org"},
        {"project_slug": "x" * 64, "github_user": "a" * 39},
    ],
)
def test_unusual_answers_that_work_are_taken(sketch: Render, tmp_path: Path, answers: dict[str, str]) -> None:
    """The checks are no stricter than what they protect."""
    assert answers.items() <= answers_of(sketch(tmp_path / "p", **answers)).items()


def test_a_server_that_the_questions_take_is_one_to_the_runner(sketch: Render, tmp_path: Path) -> None:
    """Both have a check of their own: the runner's also meets what was typed into a file."""
    from deriva_ml.deriva.login import address

    for hostname in ("localhost:8443", "WWW.xn--exmple-cua.org", "127.0.0.1:1", "dev.www-2.example.org"):
        assert address(hostname)[1] == hostname.lower()


def test_no_name_that_python_or_windows_has_is_free_for_a_project() -> None:
    """Of any Python that projects may run on. What a project installs is compared in `test_project_ci.py`."""
    packages: Any = (
        Environment(loader=FileSystemLoader(ROOT)).get_template("extensions/packages.jinja").module
    )
    standard = {
        name.lower().replace("_", "-") for name in sys.stdlib_module_names if not name.startswith("_")
    }
    assert standard <= set(packages.standard_library)
    assert all(PureWindowsPath(name).is_reserved() for name in packages.devices)
    numbered = {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
    assert set(packages.devices) == {"con", "prn", "aux", "nul"} | numbered
