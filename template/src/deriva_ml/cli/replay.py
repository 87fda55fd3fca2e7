"""``deriva-ml-replay``: run what was recorded again, and say whether it gives the same."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

from deriva_ml.cli.arguments import CommandParser, whole_number
from deriva_ml.cli.catalog import opened
from deriva_ml.cli.command import COULD_NOT_RUN, FAILED, command
from deriva_ml.cli.deriva_catalog import add_reading_flags, named_catalog
from deriva_ml.cli.named import rid_of
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.table import aligned
from deriva_ml.terminal import print, print_json, print_lines, tell, width

if TYPE_CHECKING:
    from deriva_ml.catalog.protocol import Source
    from deriva_ml.replay.report import Report
    from deriva_ml.replay.verdict import Compared


SHOWN = 5
"""Differences of one output, and reasons, that are printed; the report has more."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "deriva-ml-replay",
        usage="[RID ...] [options]",
        description="Run a recorded execution again, and say whether it gives the same: with the code of its commit, the"
        " packages of its uv.lock, its parameters and its inputs. The verdict is identical, equivalent, different, or"
        " could not run. It works in a folder of its own: what is recorded stays as it is.",
        examples=[
            "deriva-ml-catalog list",
            "deriva-ml-replay --all --since v0.1.0 --jobs 2 --junit replay.xml",
        ],
    )
    parser.add_argument(
        "rids",
        nargs="*",
        metavar="RID",
        help="executions: of notebooks, of models, or of sweeps with all their runs",
    )
    several = parser.add_argument_group("several records")
    several.add_argument(
        "--all",
        action="store_true",
        help="every execution that came to its end, failed ones too; of a sweep its runs; no replays",
    )
    several.add_argument(
        "--since",
        metavar="WHEN",
        help="with --all: only those whose commit is not older than a tag, such as v1.2.0: its own, and all that are not its ancestors;"
        " or those recorded since 2w, 3d, 12h or 30m ago, or since a date such as 2026-11-28",
    )
    several.add_argument(
        "--jobs",
        type=whole_number(1, "jobs"),
        default=1,
        metavar="NUMBER",
        help="how many are replayed at once (default: %(default)s)",
    )
    several.add_argument(
        "--junit",
        type=Path,
        metavar="FILE",
        help="write a JUnit file, too: a test case a record, which failed where it differs, and is an error where it could"
        " not run",
    )
    how = parser.add_argument_group("execution")
    how.add_argument(
        "--here",
        action="store_true",
        help="with the packages that are installed here, and say how they differ",
    )
    how.add_argument(
        "--once",
        action="store_true",
        help="run it no more than once: where it differs, it is otherwise run up to twice more to tell why",
    )
    how.add_argument(
        "--record",
        action="store_true",
        help="record the run that repeats it as an execution of this project, with the report",
    )
    how.add_argument(
        "--keep",
        action="store_true",
        help="leave the working tree and what the run wrote, and say where it is",
    )
    comparing = parser.add_argument_group("comparison")
    comparing.add_argument(
        "--rtol",
        type=_tolerance,
        default=1e-9,
        metavar="NUMBER",
        help="how far floating point numbers may be apart, relative to the recorded one (default: %(default)s)",
    )
    comparing.add_argument(
        "--atol",
        type=_tolerance,
        default=1e-12,
        metavar="NUMBER",
        help="the same, absolutely (default: %(default)s)",
    )
    comparing.add_argument("--json", action="store_true", help="write JSON, for a program to read")
    add_reading_flags(parser)
    return parser


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return value


@command
def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 0 for the same, 1 for a difference, 2 for a wrong request, 3 for what could not run."""
    args = parser().parse_args(argv)
    args.rids, args.named = _catalog_among(args.rids, args.named)
    _check(args)
    project = Project.find()
    from deriva_ml.records.replays import Replays
    from deriva_ml.replay.junit import write_junit
    from deriva_ml.replay.kept import keep
    from deriva_ml.replay.many import replayable
    from deriva_ml.replay.recording import attach_report
    from deriva_ml.replay.replaying import Options, Records, replay
    from deriva_ml.replay.verdict import Tolerance
    from deriva_ml.signals import raise_on_signals

    reports: list[Report] = []
    with raise_on_signals(), ExitStack() as stack:
        local = stack.enter_context(closing(opened(project)))
        source: Source = local
        if config := named_catalog(args, "--from", project):
            from deriva_ml.deriva.connect import connect

            connection = stack.enter_context(closing(connect(config, project)))
            source = connection.source
        records = Records(project, local, source)
        rids = [*dict.fromkeys(rid_of(local, rid) if source is local else rid for rid in args.rids)]
        replays = Replays(source, project.state)
        for rid in rids:
            if first := replays.replayed_by(rid):
                raise DerivaMLRequestError(f"{rid} is itself a replay, of {first}: replay that one")
        if args.all:
            rids = replayable(source, project, args.since)
        if args.all or len(rids) > 1:
            reports = _replay_each(args, source, rids, project)
        else:
            options = Options(
                Tolerance(args.rtol, args.atol), args.here, args.keep, args.record, args.once, _sayer(rids[0])
            )
            reports = [keep(replay(records, rids[0], options), source, project)]
            attach_report(local, project, reports[0])
            if not args.json:
                _show(reports[0])
    if args.junit:
        write_junit(reports, args.junit)
    if args.json:
        from deriva_ml.replay.report import as_json

        found = [as_json(report) for report in reports]
        print_json(found if args.all or len(rids) > 1 else found[0])
    return exit_status(reports)


def replay_here(project: Project, rids: Sequence[str], times: int) -> int:
    """Replay executions that were just recorded so often in the present environment, and return the exit status."""
    from deriva_ml.replay.kept import keep
    from deriva_ml.replay.replaying import Options, Records, replay
    from deriva_ml.signals import raise_on_signals

    reports = []
    with raise_on_signals(), closing(opened(project)) as local:
        for rid in (rid_of(local, rid) for rid in rids for _ in range(times)):
            report = replay(Records(project, local, local), rid, Options(here=True, say=_sayer(rid)))
            reports.append(keep(report, local, project))
            _show(reports[-1])
    return exit_status(reports)


def _catalog_among(words: Sequence[str], named: str | None) -> tuple[list[str], str | None]:
    """Return the RIDs, and the entry of ``deriva_ml`` that is named as runs name it: ``deriva_ml=production``."""
    rids = [word for word in words if not word.startswith("deriva_ml=")]
    for word in words:
        if word not in rids:
            named = word.partition("=")[2]
    return rids, named


def _check(args: argparse.Namespace) -> None:
    """Refuse what does not go together.

    Raises:
        DerivaMLRequestError: something does not.
    """
    if not args.rids and not args.all:
        raise DerivaMLRequestError(
            "give the RIDs of executions, which deriva-ml-catalog list shows, or --all"
        )
    if args.rids and args.all:
        raise DerivaMLRequestError("give the RIDs of executions, or --all, and not both")
    if args.since is not None and not args.all:
        raise DerivaMLRequestError("--since goes with --all")
    if args.junit and not args.junit.absolute().parent.is_dir():
        raise DerivaMLRequestError(f"{args.junit.parent} is no folder, so that --junit cannot write there")


def _replay_each(
    args: argparse.Namespace, source: Source, rids: Sequence[str], project: Project
) -> list[Report]:
    """Replay several executions, and print a row each."""
    from tqdm import tqdm

    from deriva_ml.replay.many import replay_each
    from deriva_ml.replay.report import percent, what_is_odd

    when = {rid: source.lookup_execution(rid).created[:16].replace("T", " ") for rid in rids}
    words = [f"--{name}={value}" for name, value in _passed_on(args)]
    words += [f"--{name}" for name in ("here", "keep", "record", "once") if getattr(args, name)]
    # `None` is quiet where the output is no terminal.
    with tqdm(desc="replayed", total=len(rids), unit="record", disable=None) as bar:
        reports = replay_each(rids, words, args.jobs, Path.cwd(), lambda report: bar.update())
    if not args.json:
        rows = [
            (
                one.rid,
                when[one.rid],
                one.workflow,
                one.verdict,
                percent(one.similarity),
                f"{one.seconds:.1f} s",
                what_is_odd(one),
            )
            for one in reports
        ]
        headings = ("RID", "when (UTC)", "workflow", "verdict", "similarity", "took", "what")
        print_lines(aligned([headings, *rows], width(), ("workflow", "what")))
        counts = Counter(str(one.verdict) for one in reports)
        print(f"{len(reports)} records: {', '.join(f'{count} {name}' for name, count in counts.items())}")
        print("uv run deriva-ml-catalog show RID says where the report on one is")
    return reports


def _passed_on(args: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Return the flags with values that hold for each execution."""
    for name, given in {
        "rtol": args.rtol,
        "atol": args.atol,
        "from": args.named,
        "host": args.host,
        "catalog": args.catalog,
    }.items():
        if given is not None:
            yield name, given


def exit_status(reports: Sequence[Report]) -> int:
    """Return the command's exit status: that of a difference counts more than that of what could not run."""
    from deriva_ml.replay.verdict import Verdict

    verdicts = {report.verdict for report in reports}
    if Verdict.different in verdicts:
        return FAILED
    return COULD_NOT_RUN if Verdict.could_not_run in verdicts else 0


def _sayer(rid: str) -> Callable[[str], None]:
    """Return what tells a person at a terminal what is being done."""
    if not sys.stderr.isatty():
        return lambda text: None
    return lambda text: tell(f"{rid}: {text}")


def _show(report: Report) -> None:
    """Print the verdict on an execution, and what is to be said of it."""
    from deriva_ml.replay.report import percent
    from deriva_ml.replay.verdict import Verdict

    alike = f" (similarity {percent(report.similarity)})" if report.verdict is Verdict.different else ""
    print(f"{report.rid}: {report.verdict}{alike}{f': {report.why}' if report.why else ''}")
    for run in report.runs:
        _show(run)
    compared = [*([report.ending] if report.ending else []), *report.outputs]
    odd = [one for one in compared if one.result.verdict is not Verdict.identical]
    if odd:
        rows = [
            (one.name, one.result.verdict, percent(one.result.similarity), one.result.note) for one in odd
        ]
        _show_table([("output", "verdict", "similarity", "note"), *rows], ["note", "output"])
    for one in odd:
        _show_differences(one)
    if same := len(compared) - len(odd):
        print(f"  {same} {'output is' if same == 1 else 'outputs are'} identical")
    for line in report.reasons[:SHOWN]:
        print(f"  why: {line}")
    for line in report.notes:
        print(f"  note: {line}")
    if report.recorded_as:
        print(f"  recorded as {report.recorded_as}")
    if report.folder:
        print(f"  report: {report.folder}/report.html")


def _show_differences(one: Compared) -> None:
    for difference in one.result.differences[:SHOWN]:
        print(
            f"  {one.name}, {difference.where}: {difference.recorded or '-'} | {difference.repeated or '-'}"
        )


def _show_table(rows: Sequence[Sequence[object]], elastic: Sequence[str]) -> None:
    room = width()
    lines = aligned(rows, room and room - 2, elastic).split("\n")
    print_lines("\n".join(f"  {line}" for line in lines))
