"""What is in a site says nothing of the machine that records were made on, and holds no credential."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deriva_ml.site.clean import Cleaner

ROOT = Path("/home/ada/work/digits")
TOKEN = "ghp_" + "0aZ9bY8cX7dW6eV5fU4gT3hS2iR1jQ0kP9lO"


@pytest.fixture(scope="module")
def cleaner() -> Cleaner:
    return Cleaner([ROOT, Path("/srv/groups/vision/Zoë's digits"), Path("/")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'File "{ROOT}/src/models/a.py", line 3', 'File "src/models/a.py", line 3'),
        (f"in {ROOT}, and {ROOT}/data", "in ., and data"),
        (f"{ROOT}2/a.csv", "~/work/digits2/a.csv"),
        (f"path={ROOT}/a.csv", "path=a.csv"),
        (f"file://{ROOT}/.deriva-ml/catalog.db#1-ABCD", ".deriva-ml/catalog.db#1-ABCD"),
        ("/srv/groups/vision/Zoë's digits/a.csv", "a.csv"),
        (json.dumps("/srv/groups/vision/Zoë's digits/a.csv"), '"a.csv"'),
        ("file:///srv/groups/vision/Zo%C3%AB%27s%20digits/a.csv", "a.csv"),
        ("/home/bob/data/a.csv", "~/data/a.csv"),
        ("/Users/bob/data/a.csv:12", "~/data/a.csv:12"),
        ("-I/home/bob/include", "-I~/include"),
        ("/root/.cache/uv", "~/.cache/uv"),
        (r"C:\Users\Ada Lovelace\digits\a.csv", r"~\digits\a.csv"),
        (json.dumps(r"C:\Users\ada\digits\a.csv"), r'"~\\digits\\a.csv"'),
        (
            json.dumps(json.dumps({"path": r"C:\Users\ada\a.csv"})),
            json.dumps(json.dumps({"path": r"~\a.csv"})),
        ),
        ("c:/users/x and C:/Users/ada/a.csv", "…/x and ~/a.csv"),
        ("/tmp/pytest-of-ada/pytest-0/a.csv", "…/a.csv"),
        ("/scratch/ada/job-17/model.pt is there", "…/model.pt is there"),
        (r"D:\data\ada\a.csv", "…/a.csv"),
        (r'"a\n/home/bob/x.py"', r'"a\n~/x.py"'),
        ("\x1b[36m/home/bob/x.py\x1b[0m", "\x1b[36m~/x.py\x1b[0m"),
        (f"token={TOKEN}", "token=***"),
        (f"git clone https://ada:{TOKEN}@git.example.org/a", "git clone https://git.example.org/a"),
    ],
)
def test_paths_begin_at_the_project_at_a_home_or_are_names(
    cleaner: Cleaner, text: str, expected: str
) -> None:
    assert cleaner.text(text) == expected
    assert cleaner.text(f"{text} " * 200).split() == (f"{expected} " * 200).split()


@pytest.mark.parametrize(
    "text",
    [
        "https://git.example.org/home/ada/blob/main/tmp/a.py",
        "docs/home/index.md and ./tmp/x and ../home/ada",
        "a/b, 3/4, and/or",
        "src/data/a.csv",
        "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ+/home/x//tmp/z",
        "git:c0ffee:notebooks/a.ipynb",
        "/usr/lib/python3.12/json/decoder.py",
        "ratio 1:2, at 12:30, s3://bucket/tmp/a.csv",
    ],
)
def test_what_is_no_path_of_a_machine_stays(cleaner: Cleaner, text: str) -> None:
    assert cleaner.text(text) == text


def test_values_are_cleaned_at_any_depth_and_credentials_known_by_their_names(cleaner: Cleaner) -> None:
    value = {"folders": [f"{ROOT}/a", {"/home/bob/x": None}], "seed": 3, "api_key": "abc", "big": 2**70}
    assert cleaner.named("config", value) == {
        "folders": ["a", {"~/x": None}],
        "seed": 3,
        "api_key": "***",
        "big": str(2**70),
    }
    assert cleaner.named("password", 1234) == "***" and cleaner.named("lr", float("inf")) == "Infinity"
    assert cleaner.named("flag", True) is True and cleaner.named("none", None) is None


def test_a_patch_has_no_credential_over_several_lines(cleaner: Cleaner) -> None:
    patch = f"--- a/x\n+++ b/x\n@@ -1 +1,3 @@\n+secret = (\n+  'abcdef'\n+)\n+path = '{ROOT}/data'\n"
    cleaned = cleaner.diff(patch)
    assert "abcdef" not in cleaned and "+path = 'data'" in cleaned
