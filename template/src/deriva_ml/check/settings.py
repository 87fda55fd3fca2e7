"""What a project's `pyproject.toml` says of checking: which rules, and which files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from deriva_ml.check.catalogue import RULES
from deriva_ml.check.rule import PREFIX, Rule
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.terminal import suggest

TABLE = "tool.deriva-ml.check"
_MAY_HAVE = re.compile(
    r"^\s*(?:\[.*deriva-ml.*check|[\"']?check[\"']?\s*[.=]|.*deriva-ml.*check.*=\s*[\[{])", re.MULTILINE
)


class Settings(NamedTuple):
    """Which rules are asked of which files.

    Attributes:
        root: of the project, or the working directory; patterns are of paths below it.
        select: codes, or what codes begin with.
        ignore: the same, of rules that are not asked; the longer of two that fit a rule counts.
        exclude: patterns of files and folders that are left out.
        per_file_ignores: what is ignored, by such a pattern.
    """

    root: Path
    select: Sequence[str] = (PREFIX,)
    ignore: Sequence[str] = ()
    exclude: Sequence[str] = ()
    per_file_ignores: Mapping[str, Sequence[str]] = {}

    def excludes(self, path: Path) -> bool:
        """Whether a file or folder is left out."""
        return any(self._fits(path, pattern) for pattern in self.exclude)

    def rules(self, path: Path) -> list[Rule]:
        """Return the rules that are asked of a file."""
        ignore = [*self.ignore]
        for pattern, codes in self.per_file_ignores.items():
            ignore += codes if self._fits(path, pattern) else []
        return [one for one in RULES.values() if _longest(one, self.select) > _longest(one, ignore)]

    def counts(self, rule: Rule) -> bool:
        """Whether what a rule finds makes the check fail: advice does if it is asked for by its code."""
        return not rule.advice or rule.code in self.select

    def narrowed(self, select: Sequence[str], ignore: Sequence[str]) -> Settings:
        """Return the settings with what the command line says: ``select`` instead of theirs, ``ignore`` beside it."""
        if select:
            return self._replace(select=select, ignore=ignore, per_file_ignores={})
        return self._replace(ignore=[*self.ignore, *ignore])

    def _fits(self, path: Path, pattern: str) -> bool:
        """Whether the path, a folder that it is in, or its last name is as a pattern says."""
        try:
            below = path.absolute().relative_to(self.root.absolute())
        except ValueError:
            below = Path(path.name)
        texts = [one.as_posix() for one in (below, *below.parents)]
        return any(fnmatchcase(text, pattern.rstrip("/")) for text in [*texts, path.name])


def _longest(rule: Rule, codes: Iterable[str]) -> int:
    return max((len(code) for code in codes if rule.code.startswith(code)), default=0)


def read_settings(folder: Path) -> Settings:
    """Return the settings of the project that a folder is in; those without a project where it is in none.

    Raises:
        DerivaMLRequestError: they are not as they have to be.
    """
    try:
        project = Project.find(folder)
    except DerivaMLRequestError:
        return Settings(Path.cwd())
    path = project.root / "pyproject.toml"
    # Reading TOML takes longer than checking a notebook.
    if not _MAY_HAVE.search(path.read_text(encoding="utf-8", errors="replace")):
        return Settings(project.root)
    table: Any = project.pyproject()
    for name in TABLE.split("."):
        table = table.get(name, {}) if isinstance(table, dict) else {}
    return Settings(project.root, **_read(table, path))


def _read(table: object, path: Path) -> dict[str, Any]:
    """Return what the table says, by the fields of ``Settings``."""
    if not isinstance(table, dict):
        raise DerivaMLRequestError(f"check in {path} is no table: its settings stand under [{TABLE}]")
    names = ("select", "ignore", "exclude", "per-file-ignores")
    found: dict[str, Any] = {}
    for name, value in table.items():
        if name not in names:
            hint = suggest(name, {one: one for one in names})
            raise DerivaMLRequestError(
                f"[{TABLE}] in {path} has no setting {name}{hint}: it takes {', '.join(names)}"
            )
        lists = {"": value}
        if name == "per-file-ignores":
            lists = value if isinstance(value, dict) else {"": None}
        for one in lists.values():
            if not isinstance(one, list) or not all(isinstance(text, str) for text in one):
                raise DerivaMLRequestError(f"{name} of [{TABLE}] in {path} is not a list of texts in quotes")
        read = lists if name == "exclude" else {key: codes(one, f"[{TABLE}]") for key, one in lists.items()}
        found[name.replace("-", "_")] = read if name == "per-file-ignores" else read[""]
    return found


def codes(given: Iterable[str], where: str) -> list[str]:
    """Return codes as they are written here.

    Raises:
        DerivaMLRequestError: one is of no rule; ``where`` it stands.
    """
    found = [code.strip().upper() for code in given]
    for code in found:
        if not code or not any(known.startswith(code) for known in RULES):
            hint = suggest(code, {known: known for known in RULES})
            raise DerivaMLRequestError(
                f"{where} names no rule with {code!r}{hint}: 'deriva-ml-check --explain all' lists them"
            )
    return found
