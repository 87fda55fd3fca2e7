"""Asks the rules of files, and says what they found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from deriva_ml.check.committed import Committed
from deriva_ml.check.noqa import is_silenced, lines_of
from deriva_ml.check.rule import Kind, Problem, Rule
from deriva_ml.check.settings import Settings, read_settings
from deriva_ml.check.source import Source, read_source
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.state_folder import OUTPUTS

_LEFT_OUT = {OUTPUTS, "__pycache__", "node_modules", "site-packages"}
"""Folders in which nobody writes."""


class Finding(NamedTuple):
    """What a rule found, and where.

    Attributes:
        path: of the file.
        cell: its place among all cells of the notebook, from 1; 0 in a module.
        line: of the cell or the module, from 1.
        column: from 1.
        code: the rule's.
        end_line: the last line of what was found.
        message: what is wrong, and how to mend it.
        advice: it is no reason to fail.
    """

    path: Path
    cell: int
    line: int
    column: int
    code: str
    end_line: int
    message: str
    advice: bool


@dataclass
class Checker:
    """Checks files, each by the settings of its project.

    Attributes:
        select: codes that are asked instead of those of the settings.
        ignore: codes that are not asked.
        only: the one notebook that is checked, where it is one.
    """

    select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    only: Path | None = None
    _settings: dict[Path, Settings] = field(default_factory=dict)
    _committed: dict[Path, Committed] = field(default_factory=dict)

    def settings(self, folder: Path) -> Settings:
        """Return what holds for the files in a folder.

        Raises:
            DerivaMLRequestError: the project's settings are not as they have to be.
        """
        if folder not in self._settings:
            self._settings[folder] = read_settings(folder).narrowed(self.select, self.ignore)
        return self._settings[folder]

    def files(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yield the notebooks and modules at these paths and in the folders there, but for those that are left out.

        Raises:
            DerivaMLRequestError: a path is of neither.
        """
        for path in paths:
            if path.is_dir():
                yield from self._walk(path)
            elif not path.is_file():
                raise DerivaMLRequestError(f"there is nothing to check at {path}: no such file or folder")
            elif path.suffix not in {".ipynb", ".py"}:
                raise DerivaMLRequestError(
                    f"{path} is not checked: only notebooks (.ipynb) and modules (.py) are"
                )
            elif not self.settings(path.parent).excludes(path):
                yield path

    def _walk(self, folder: Path) -> Iterator[Path]:
        settings = self.settings(folder)
        runner = settings.root / "src" / "deriva_ml"
        for parent, folders, names in os.walk(folder):
            here = Path(parent)
            folders[:] = sorted(
                name
                for name in folders
                if not (
                    name.startswith(".") or name in _LEFT_OUT or os.path.exists(here / name / "pyvenv.cfg")
                )
                and (here / name).absolute() != runner.absolute()
                and not (settings.exclude and settings.excludes(here / name))
            )
            for name in sorted(names):
                path = here / name
                # A link to nothing has no content, and that of a pipe or a device may have no end.
                if path.suffix in {".ipynb", ".py"} and os.path.isfile(path):
                    if not self.settings(here).excludes(path):
                        yield path

    def check(self, path: Path) -> list[Finding]:
        """Return what the rules find in a file, in its order.

        Raises:
            DerivaMLRequestError: the project's settings are not as they have to be.
        """
        settings = self.settings(path.parent)
        try:
            source = read_source(path, settings.root)
        except DerivaMLRequestError as error:
            why = str(error).removeprefix(f"{path} ")
            source = Source(path, settings.root, [], path.suffix == ".ipynb", unreadable=why)
        source.committed = self._committed.setdefault(settings.root, Committed(settings.root, self.only))
        found = [
            _finding(path, problem, rule, advice=not settings.counts(rule))
            for rule in settings.rules(path)
            if _is_for(rule, source)
            for problem in problems(rule, source)
            if not is_silenced(problem, rule.code)
        ]
        return sorted(set(found))


def _is_for(rule: Rule, source: Source) -> bool:
    """Whether a rule has something to say of such a file."""
    if rule.own and not source.is_own:
        return False
    if source.unreadable or rule.reads is Kind.unreadable:
        return bool(source.unreadable) and rule.reads is Kind.unreadable
    match rule.reads:
        case Kind.document:
            return source.is_notebook
        case Kind.notebook:
            return source.is_notebook and not source.language
        case Kind.configuration:
            return not source.is_notebook and source.path.absolute().is_relative_to(
                (source.root / "src" / "configs").absolute()
            )
    return not source.language


def problems(rule: Rule, source: Source) -> list[Problem]:
    """Return what a rule finds.

    Raises:
        DerivaMLException: the rule is wrong.
    """
    try:
        return [*rule.check(source)]
    except RecursionError:  # syntax that is nested deeper than Python can follow
        return []
    except Exception as error:
        kind = type(error).__name__
        raise DerivaMLException(
            f"{source.path} could not be checked: a fault in {rule.code} ({kind}: {error}); '--ignore {rule.code}' goes on"
        ) from error


def _finding(path: Path, problem: Problem, rule: Rule, *, advice: bool) -> Finding:
    line, end = lines_of(problem)
    column = getattr(problem.node, "col_offset", 0) + 1
    return Finding(path, problem.cell.number, line, column, rule.code, end, problem.message, advice)
