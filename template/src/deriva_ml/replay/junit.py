"""Reports on several records as a JUnit file, which the servers that run tests read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from deriva_ml.page import to_markdown
from deriva_ml.project import write_atomically
from deriva_ml.replay.report import MEANING, Report, blocks
from deriva_ml.replay.verdict import Verdict
from deriva_ml.terminal import shown

FAILED = {Verdict.different: "failure", Verdict.could_not_run: "error"}
"""What a test case is that is not passed: one that gave something else failed, one that did not run is in error."""


def write_junit(reports: Sequence[Report], path: Path) -> None:
    """Write a test case for each report, in the form that Jenkins, GitLab and GitHub's readers take.

    XML 1.0 has no way to write most control characters (https://www.w3.org/TR/xml/#charsets): they are shown as Python
    writes them.
    """
    suite = ElementTree.Element(
        "testsuite", name="deriva-ml-replay", timestamp=min((one.begun for one in reports), default="")[:19]
    )
    verdicts = [one.verdict for one in reports]
    for name, verdict in (
        ("tests", None),
        ("failures", Verdict.different),
        ("errors", Verdict.could_not_run),
    ):
        suite.set(name, str(len(verdicts) if verdict is None else verdicts.count(verdict)))
    suite.set("skipped", "0")
    suite.set("time", f"{sum(one.seconds for one in reports):.3f}")
    for one in reports:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(one.workflow), name=_xml(one.rid), time=f"{one.seconds:.3f}"
        )
        if kind := FAILED.get(one.verdict):
            told = {"type": str(one.verdict), "message": _xml(one.why or MEANING[one.verdict])}
            said = ElementTree.SubElement(case, kind, told)
            said.text = "\n".join(map(_xml, to_markdown([*blocks(one)]).split("\n")))
    suites = ElementTree.Element(
        "testsuites", {name: suite.get(name, "") for name in ("tests", "failures", "errors", "time")}
    )
    suites.append(suite)
    ElementTree.indent(suites)
    write_atomically(path, ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True))


def _xml(text: str) -> str:
    """Return a text that XML takes, in one line; ``\\ufffe`` and ``\\uffff`` are no characters to it either."""
    return shown(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")
