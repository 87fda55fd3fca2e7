"""``deriva-ml-check``: what keeps notebooks and models from running again with the same result."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deriva_ml.check.catalogue import RULES
from deriva_ml.check.checking import Checker, Finding
from deriva_ml.check.fix import FIXED, fix
from deriva_ml.check.formats import FORMATS, statistics, summary_of
from deriva_ml.check.many import check_all
from deriva_ml.check.settings import codes
from deriva_ml.cli.arguments import CommandParser
from deriva_ml.cli.command import FAILED, command
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.progress import progress
from deriva_ml.project import Project
from deriva_ml.table import aligned
from deriva_ml.terminal import print, print_lines, tell

DEFAULT = ("notebooks", "src/configs", "src/models")
"""What is checked of a project where no path is given."""
WORTH_A_BAR = 200
"""Files from which on a terminal shows how far it is."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's arguments."""
    parser = CommandParser(
        "deriva-ml-check",
        usage="[PATH ...] [options]",
        description="Read notebooks, models and configurations for what keeps a run from being repeated with the same"
        " result. Nothing in them is run. The exit status is 1 if something is found that is no advice.",
        examples=[
            "deriva-ml-check",
            "deriva-ml-check notebooks/my-notebook.ipynb",
            "deriva-ml-check --ignore DML6",
            "deriva-ml-check --fix notebooks/my-notebook.ipynb",
            "deriva-ml-check --explain DML101",
        ],
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PATH",
        help="a notebook, a module, or a folder with such (default: the project's notebooks/, src/configs/ and"
        " src/models/)",
    )
    rules = parser.add_argument_group("rules")
    for flag, what in (
        (
            "--select",
            "ask these rules alone, instead of those of pyproject.toml: codes, or what they begin with",
        ),
        ("--ignore", "do not ask these"),
    ):
        rules.add_argument(
            flag, action="append", default=[], metavar="CODES", help=f"{what}, such as DML1,DML301"
        )
    rules.add_argument(
        "--explain",
        metavar="CODE",
        help="say what a rule protects and how to mend what it finds, and exit; 'all' lists them",
    )
    rules.add_argument(
        "--fix",
        action="store_true",
        help="tag an obvious parameters cell, move it after the imports, and annotate its literal defaults, in the"
        " notebook's file; say what is found then",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output-format",
        choices=[*FORMATS],
        default="concise",
        help="how findings are printed (default: concise)",
    )
    output.add_argument(
        "--statistics", action="store_true", help="print only how often each rule found something"
    )
    return parser


@command
def main(argv: Sequence[str]) -> int:
    """Run the command; the exit status is 0, 1 where something was found, 2 for a wrong request."""
    args = parser().parse_args(argv)
    if args.explain:
        _explain(args.explain)
        return 0
    checker = Checker(_codes(args.select, "--select"), _codes(args.ignore, "--ignore"))
    files = [*dict.fromkeys(checker.files(args.paths or _default()))]
    refused = args.fix and not all([_fix(checker, file) for file in files])
    findings = []
    shown = len(files) > WORTH_A_BAR and sys.stderr.isatty()
    sizes = [file.stat().st_size if shown else 0 for file in files]
    with progress("checking", len(files) if shown else 0, sum(sizes)) as report:
        for size, found in zip(sizes, check_all(checker, files), strict=True):
            findings += found
            report(size)
    if args.statistics:
        print_lines(aligned([("findings", "code", "rule"), *statistics(findings)]))
    else:
        FORMATS[args.output_format](findings)
    if args.output_format == "concise":
        print(_summary(findings, len(files)))
    return FAILED if refused or any(not one.advice for one in findings) else 0


def _fix(checker: Checker, file: Path) -> bool:
    """Mend a notebook as far as that is mechanical, and say so; False if its file was refused."""
    done: list[str] = []
    try:
        for _ in FIXED:  # the next one may be found only then
            found: dict[str, list[int]] = {}
            for one in checker.check(file) if file.suffix == ".ipynb" else ():
                if one.code in FIXED:
                    found.setdefault(one.code, []).append(one.line)
            changes = fix(file, checker.settings(file.parent).root, found)
            done += changes
            if not changes:
                break
        return True
    except DerivaMLRequestError as error:
        tell(error)
        return False
    finally:
        if done:
            tell(f"{file}: {', '.join(done)}")


def _codes(given: Sequence[str], flag: str) -> list[str]:
    """Return the codes that a flag was given, which may be several with commas between."""
    return codes((code for text in given for code in text.split(",") if code.strip()), flag)


def _default() -> list[Path]:
    """Return what is checked where nothing is named.

    Raises:
        DerivaMLRequestError: the project has none of these folders.
    """
    root = Project.find().root
    here = Path.cwd()
    found = [root / name for name in DEFAULT if (root / name).is_dir()]
    if not found:
        raise DerivaMLRequestError(f"{root} has none of {', '.join(DEFAULT)}: name what is to be checked")
    return [one.relative_to(here) if one.is_relative_to(here) else one for one in found]


def _summary(findings: Sequence[Finding], files: int) -> str:
    """Return how many were found, and in how many of the files."""
    checked = f"{files} file{'' if files == 1 else 's'} checked"
    if not findings:
        return f"{checked}: nothing found"
    advice = sum(one.advice for one in findings)
    places = len({one.path for one in findings})
    said = f"{len(findings)} finding{'' if len(findings) == 1 else 's'} in {places}"
    return f"{checked}: {said}{f' ({advice} of them advice)' if advice else ''}"


def _explain(code: str) -> None:
    """Print a rule's page, or a table of all rules.

    Raises:
        DerivaMLRequestError: there is no such rule.
    """
    if code.lower() == "all":
        rows = [(one.code, one.name, summary_of(one.page)) for _, one in sorted(RULES.items())]
        print_lines(aligned([("code", "rule", "finds"), *rows]))
        return
    [found] = codes([code], "--explain")
    if found not in RULES:
        for one in (RULES[key] for key in sorted(RULES) if key.startswith(found)):
            print(f"{one.code} {one.name}: {summary_of(one.page)}")
        return
    print_lines(f"# {RULES[found].name} ({found})\n\n{RULES[found].page}")
