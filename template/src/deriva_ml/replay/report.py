"""What a replay found, as a report that people and programs read: Markdown, HTML and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml.definitions import RID
from deriva_ml.git import listed
from deriva_ml.page import Block, Heading, Items, Mark, Rows, Text, facts, to_html, to_markdown
from deriva_ml.project import write_atomically
from deriva_ml.replay.verdict import Compared, Comparison, Difference, Tolerance, Verdict

SCHEMA = 1
"""Of the report as JSON: a number that grows when a field is taken away or gets another meaning."""

MEANING = (
    "It gave the same, but for what every run has of its own.",
    "It gave the same, but for what must differ or is within the tolerance.",
    "It did not give the same.",
    "It could not be run again.",
)
"""What each verdict means, from best to worst."""


@dataclass(frozen=True)
class Side:
    """A run as one side of a report: the recorded one, or the one that repeated it.

    Attributes:
        execution: its RID; that of the repeating one is known to the project only where that was recorded.
        status: how it ended: ``Uploaded``, ``Failed``, ``Aborted``.
        detail: why, where it failed.
        runner: version of the runner: ``0.1.0``; empty where that is not known.
        python, platform: as its environment says.
        seconds: of the execution; None where that is not known.
    """

    execution: RID = ""
    status: str = ""
    detail: str = ""
    runner: str = ""
    python: str = ""
    platform: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """What came of repeating an execution.

    Attributes:
        rid: of the execution, as it was asked for.
        kind: ``notebook``, ``model``, ``interactive``, ``script`` or ``sweep``.
        workflow: its name.
        commit, path: of the code; whether it was run with a patch.
        why: what was missing, where it could not run; in one line.
        ending: how the two ended, compared; None where both came to their end.
        outputs: one a file; of a sweep none.
        reasons: why it differs, as far as that can be told, a line each.
        notes: what the reader has to know though nothing differs for it, a line each (``--here``, what was left out).
        runs: of a sweep, the report on each of its jobs.
        begun: when the replay began, ISO 8601 in UTC.
        seconds: that it took, all in all.
        recorded_as: the RID of the new execution, with ``--record``.
        folder: where the report lies, as a path below the project's folder; empty where it does not.
    """

    rid: RID
    verdict: Verdict
    kind: str = ""
    workflow: str = ""
    commit: str = ""
    path: str = ""
    patched: bool = False
    why: str = ""
    ending: Compared | None = None
    outputs: Sequence[Compared] = ()
    reasons: Sequence[str] = ()
    notes: Sequence[str] = ()
    recorded: Side = Side()
    repeated: Side = Side()
    tolerance: Tolerance = Tolerance()
    parameters: dict[str, Any] = field(default_factory=dict)
    runs: Sequence[Report] = ()
    begun: str = ""
    seconds: float = 0.0
    recorded_as: RID = ""
    folder: str = ""

    @property
    def similarity(self) -> float:
        """That of what is least alike; 0 where nothing was compared for want of a run."""
        if self.verdict is Verdict.could_not_run:
            return 0.0
        compared = [*self.outputs, *([self.ending] if self.ending else [])]
        return min(
            [*(one.result.similarity for one in compared), *(one.similarity for one in self.runs)],
            default=1.0,
        )


def write(report: Report, folder: Path) -> Path:
    """Write ``report.md``, ``report.html`` and ``report.json`` into a folder, and return the path of the first."""
    page = [*blocks(report)]
    folder.mkdir(parents=True, exist_ok=True)
    # JSON has no NaN, which a parameter may be; texts may have halves of characters, which ASCII takes.
    plain = json.loads(json.dumps(as_json(report)), parse_constant=str)
    write_atomically(folder / "report.json", json.dumps(plain, indent=2) + "\n")
    write_atomically(folder / "report.html", to_html(page))
    write_atomically(folder / "report.md", to_markdown(page))
    return folder / "report.md"


def as_json(report: Report) -> dict[str, Any]:
    """Return the report in plain types; ``docs/reproducing.md`` says what each field is."""
    return {"schema": SCHEMA, **_plain(report)}


def _plain(report: Report) -> dict[str, Any]:
    found = {name: getattr(report, name) for name in vars(report)}
    return {
        **found,
        "verdict": str(report.verdict),
        "similarity": report.similarity,
        "ending": _compared(report.ending) if report.ending else None,
        "outputs": [*map(_compared, report.outputs)],
        "reasons": [*report.reasons],
        "notes": [*report.notes],
        "recorded": asdict(report.recorded),
        "repeated": asdict(report.repeated),
        "tolerance": asdict(report.tolerance),
        "runs": [*map(_plain, report.runs)],
    }


def from_json(told: Mapping[str, Any]) -> Report:
    """Return the report that this runner's ``as_json`` gave in plain types.

    Raises:
        LookupError, TypeError, ValueError: it did not.
    """

    def verdict(part: Mapping[str, Any]) -> Verdict:
        return Verdict[part["verdict"].replace(" ", "_")]

    def compared(part: Mapping[str, Any]) -> Compared:
        differences = [Difference(**one) for one in part["differences"]]
        result = Comparison(verdict(part), part["similarity"], part["note"], differences)
        return Compared(part["name"], part["kind"], result)

    given = {name: value for name, value in told.items() if name not in {"schema", "similarity"}}
    return Report(
        **given
        | {
            "verdict": verdict(told),
            "ending": compared(told["ending"]) if told["ending"] else None,
            "outputs": [*map(compared, told["outputs"])],
            "recorded": Side(**told["recorded"]),
            "repeated": Side(**told["repeated"]),
            "tolerance": Tolerance(**told["tolerance"]),
            "runs": [*map(from_json, told["runs"])],
        }
    )


def _compared(one: Compared) -> dict[str, Any]:
    result = {**asdict(one.result), "verdict": str(one.result.verdict)}
    return {"name": one.name, "kind": one.kind, **result, "differences": [*result["differences"]]}


def percent(similarity: float) -> str:
    """Return a similarity in percent, which is 100 only for what is alike in all, and 0 for what is in nothing."""
    said = min(max(similarity, 0.001), 0.999) if 0 < similarity < 1 else similarity
    return f"{said:.1%}".replace(".0%", "%")


def blocks(report: Report, level: int = 1) -> Iterator[Block]:
    """Return the report as a page; ``level`` is its heading's, that of a sweep's run 2."""
    yield Heading(f"{'Run' if level > 1 else 'Replay of'} {report.rid}", level, Mark(report.verdict))
    said = "It has the worst verdict of its runs." if report.runs else MEANING[report.verdict]
    yield Text(f"{said[:-1]}: {report.why}" if report.why else said)
    yield facts(
        {
            "workflow": report.workflow,
            "what": report.kind,
            "code": f"{report.path} at {report.commit}" if report.path else report.commit,
            "changes": "the recorded patch was applied" if report.patched else "",
            "similarity": percent(report.similarity),
            "tolerance": f"rtol {report.tolerance.rtol:g}, atol {report.tolerance.atol:g}",
            "replayed": report.begun[:19].replace("T", " ") + " UTC" if report.begun else "",
            "took": f"{report.seconds:.1f} s" if report.seconds else "",
            "recorded as": report.recorded_as,
            **{
                f"parameter {name}": json.dumps(value, ensure_ascii=False)
                for name, value in report.parameters.items()
            },
        }
    )
    if report.reasons:
        yield Heading("Why it differs", level + 1)
        yield Items(report.reasons)
    if report.ending:
        yield Heading("How it ended", level + 1)
        yield from _outputs([report.ending], level + 2)
    if report.outputs:
        yield Heading("Outputs", level + 1)
        yield from _outputs(report.outputs, level + 2)
    if report.runs:
        yield Heading("Runs", level + 1)
        rows = [
            (one.rid, Mark(one.verdict), percent(one.similarity), what_is_odd(one)) for one in report.runs
        ]
        yield Rows(("run", "verdict", "similarity", "what"), rows)
    if report.repeated != Side():
        yield Heading("The two runs", level + 1)
        sides = asdict(report.recorded), asdict(report.repeated)
        pairs = [(name, *(_said(side[name]) for side in sides)) for name in sides[0]]
        yield Rows(("", "recorded", "repeated"), [row for row in pairs if any(row[1:])])
    if report.notes:
        yield Heading("To know", level + 1)
        yield Items(report.notes)
    for one in report.runs:
        yield from blocks(one, level + 1)


def _said(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value or "")


def what_is_odd(report: Report) -> str:
    """Return what is to be said of a replay in a table of several: why it could not run, or which outputs are not identical."""
    compared = [*report.outputs, *([report.ending] if report.ending else [])]
    odd = [one.name for one in compared if one.result.verdict is not Verdict.identical]
    return report.why or listed(odd or [one.rid for one in report.runs if one.verdict], 3)


def _outputs(outputs: Sequence[Compared], level: int) -> Iterator[Block]:
    """Return what came of comparing outputs: all in a table, and the first differences of each that has any."""
    rows = [
        (one.name, Mark(one.result.verdict), percent(one.result.similarity), one.kind, one.result.note)
        for one in outputs
    ]
    yield Rows(("output", "verdict", "similarity", "table", "note"), rows)
    for one in outputs:
        if one.result.differences:
            yield Heading(f"First differences of {one.name}", level)
            places = [(place.where, place.recorded, place.repeated) for place in one.result.differences]
            yield Rows(("where", "recorded", "repeated"), places)
