"""Findings as text for a person, as JSON, as annotations of GitHub's, and as SARIF 2.1.0."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deriva_ml.check.catalogue import RULES
from deriva_ml.check.checking import Finding
from deriva_ml.check.rule import Rule
from deriva_ml.notebook.document import source_of
from deriva_ml.terminal import print, print_json, shown

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SOURCE = re.compile(r'(?<!\\)"source": ?(\[\n)?')


def place(finding: Finding) -> str:
    """Return where a finding is: file, cell and line; a module has no cell."""
    cell = f"{finding.cell}:" if finding.cell else ""
    return f"{finding.path}:{cell}{finding.line}"


def summary_of(page: str) -> str:
    """Return what a rule finds, by the first line of its page."""
    return page.partition("\n")[0]


def concise(findings: Sequence[Finding]) -> None:
    """Print a line for each, as compilers do."""
    for one in findings:
        print(f"{place(one)}: {one.code}{' (advice)' if one.advice else ''} {one.message}")


def as_json(findings: Sequence[Finding]) -> None:
    """Print a list with all that is known of each."""
    print_json(
        [
            {
                "code": one.code,
                "name": RULES[one.code].name,
                "message": one.message,
                "advice": one.advice,
                "fixable": RULES[one.code].fixable,
                "filename": str(one.path),
                "cell": one.cell or None,
                "location": {"row": one.line, "column": one.column},
                "end_row": one.end_line,
            }
            for one in findings
        ]
    )


def github(findings: Sequence[Finding]) -> None:
    """Print GitHub's workflow commands (https://docs.github.com/actions/reference/workflow-commands-for-github-actions)."""

    def data(text: str) -> str:
        return shown(text).replace("%", "%25")

    def named(text: str) -> str:
        return data(text).replace(":", "%3A").replace(",", "%2C")

    for one in findings:
        begin, end = _lines_in_file(one)
        what = "notice" if one.advice else "error"
        where = f"file={named(one.path.as_posix())},line={begin},endLine={end}"
        title = named(f"{one.code} {RULES[one.code].name}")
        print(f"::{what} {where},title={title}::{data(f'{place(one)}: {one.message}')}")


def sarif(findings: Sequence[Finding]) -> None:
    """Print a log of SARIF (https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html)."""
    used = [*RULES.values()]
    driver = {"name": "deriva-ml-check", "rules": [_descriptor(one) for one in used]}
    places = {one.code: index for index, one in enumerate(used)}
    results = [_result(one, places[one.code]) for one in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    print_json({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _descriptor(rule: Rule) -> dict[str, Any]:
    what = {"text": summary_of(rule.page)}
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": what,
        "help": {"text": rule.page, "markdown": rule.page},
        "defaultConfiguration": {"level": "note" if rule.advice else "error"},
    }


def _result(one: Finding, index: int) -> dict[str, Any]:
    begin, end = _lines_in_file(one)
    path = one.path
    # A name is bytes, which need not be of any encoding.
    file = {"uri": path.as_uri() if path.is_absolute() else quote(os.fsencode(path.as_posix()))}
    place: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": file, "region": {"startLine": begin, "endLine": end}}
    }
    if one.cell:
        place["logicalLocations"] = [
            {"name": f"cell {one.cell}", "fullyQualifiedName": f"cell {one.cell}:{one.line}"}
        ]
    return {
        "ruleId": one.code,
        "ruleIndex": index,
        "level": "note" if one.advice else "error",
        "message": {"text": one.message},
        "locations": [place],
    }


def _lines_in_file(finding: Finding) -> tuple[int, int]:
    """Return first and last line of a finding in the file, which for a notebook are lines of JSON; the first where unsure."""
    if not finding.cell:
        return finding.line, finding.end_line
    cells = _cells_in_file(finding.path)
    if finding.cell > len(cells):
        return 1, 1
    first, last = cells[finding.cell - 1]
    begin = min(first + finding.line - 1, last)
    return begin, min(max(begin, first + finding.end_line - 1), last)


@cache
def _cells_in_file(path: Path) -> list[tuple[int, int]]:
    """Return first and last line of each cell's source in a notebook's file; nothing where its form does not tell."""
    import json

    text = path.read_text(encoding="utf-8-sig", errors="replace")
    found = [*_SOURCE.finditer(text)]
    cells = json.loads(text)["cells"]
    if len(found) != len(cells):
        return []
    lines = []
    for match, cell in zip(found, cells, strict=True):
        first = text.count("\n", 0, match.end()) + 1
        several = len(source_of(cell).splitlines()) if match[1] else 1
        lines.append((first, first + max(several, 1) - 1))
    return lines


FORMATS: dict[str, Callable[[Sequence[Finding]], None]] = {
    "concise": concise,
    "json": as_json,
    "github": github,
    "sarif": sarif,
}


def statistics(findings: Sequence[Finding]) -> Iterator[tuple[int, str, str]]:
    """Yield how often each rule found something, the most often first: number, code and name."""
    codes = [one.code for one in findings]
    for code in sorted({*codes}, key=lambda one: (-codes.count(one), one)):
        yield codes.count(code), code, RULES[code].name
