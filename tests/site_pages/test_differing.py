"""The page of a comparison says what `deriva-ml-catalog compare` says, in the same words and order."""

from __future__ import annotations

import re
from pathlib import Path

from deriva_ml.cli.compare import SHORT, TITLES
from deriva_ml.records.comparison import DESCRIBING
from deriva_ml.site.building import PAGES


def test_sections_are_those_of_the_command() -> None:
    """But for the source, which needs the repository, and which the command shows only when asked."""
    script = Path(PAGES / "differing.js").read_text(encoding="utf-8")
    sections = re.findall(r"^    \['(\w+)', '([^']+)', \(run\)", script, re.MULTILINE)
    assert dict(sections) == {name: title for name, title in TITLES.items() if name != "source"}
    assert [name for name, _ in sections] == [name for name in TITLES if name != "source"]


def test_files_that_describe_a_run_are_no_outputs() -> None:
    """They are compared by what they say; digests are shown in the same length."""
    script = Path(PAGES / "differing.js").read_text(encoding="utf-8")
    listed = re.search(r"DESCRIBING = \[(.*?)\]", script, re.DOTALL)
    assert listed and set(re.findall(r"'([^']+)'", listed[1])) == DESCRIBING
    assert f"SHORT = {SHORT};" in script
