"""All that a page tells of one run: what its rows say, and what the files of its record do."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.links import METADATA
from deriva_ml.catalog.summaries import Result, Summary
from deriva_ml.configuration_file import is_configuration, parameters_of, read_configuration, repeat_command
from deriva_ml.definitions import RID, AssetRole, ExecMetadataType, seconds_of
from deriva_ml.exceptions import DerivaMLException
from deriva_ml.records.comparison import DESCRIBING, ENVIRONMENT, HYDRA, PATCHES
from deriva_ml.records.replays import Note
from deriva_ml.site import notebooks, previews
from deriva_ml.site.clean import Cleaner, brief
from deriva_ml.site.folder import Beside
from deriva_ml.site.rows import SWEEP_FILES, File, Rows
from deriva_ml.site.runs import NOTEBOOK, first_line, kind_of
from deriva_ml.site.series import read_series, told
from deriva_ml.untrusted import DAMAGED, read_json

LONGEST = 1 << 18
"""Bytes of a configuration or a patch that a page shows."""

VALUE = 20_000
"""Characters of a parameter."""

REMEMBERED = 2_000
"""Previews that are remembered: the same file is an input or an output of many runs."""

_COMMIT = re.compile(r"git:([0-9a-f]{7,64}):")


class Shown(StrEnum):
    """How a notebook is shown: not at all; from its Markdown, which takes a fraction of the time; in full."""

    no = "no"
    soon = "from Markdown"
    full = "in full"


@dataclass
class Told:
    """What there is to tell of a run.

    Attributes:
        page: for its page.
        missing: digests of its record's contents that are not here, and may be brought back.
        whole: False where one could not be read.
    """

    page: dict[str, Any]
    missing: list[str]
    whole: bool


@dataclass
class _Previewed:
    """A preview, and the files that it consists of."""

    preview: dict[str, Any] | None = None
    files: list[str] = field(default_factory=list)


class Details:
    """Tells of runs, one after the other."""

    def __init__(self, catalog: EmbeddedCatalog, clean: Cleaner) -> None:
        self._catalog = catalog
        self._clean = clean
        self._previews: dict[tuple[str, str], _Previewed] = {}
        self._environment = functools.lru_cache(256)(self._read_environment)

    def of(
        self,
        result: Result,
        rows: Rows,
        replays: Iterable[Note],
        replay_of: RID,
        shown: Shown,
        beside: Beside,
    ) -> Told:
        """Return what there is to tell of a run; what lies beside it is written.

        Args:
            shown: how its notebook is.

        Raises:
            OSError: the disk does not take what lies beside it.
        """
        record, summary = result
        text, made = self._clean.text, rows.outputs()
        files = _Files(self._catalog, made)
        configuration = (
            files.read(lambda one: is_configuration(one.name, one.types), read_configuration) or {}
        )
        environment = files.read(
            lambda one: one.name == ENVIRONMENT and one.table == METADATA, self._environment
        )
        kind = kind_of(result, rows)
        metrics = (
            files.read_all(lambda one: ExecMetadataType.metrics_file.value in one.types, read_series) or {}
        )
        page = {
            "rid": record.rid,
            "when": record.created,
            "status": record.status.value,
            "reason": text(record.status_detail),
            "description": text(record.description),
            "seconds": seconds_of(record.execution_duration or ""),
            "by": text(record.created_by),
            "started_by": text(record.started_by or str(configuration.get("started_by") or "")),
            "imported": text(rows.imported),
            "kind": kind,
            "workflow": {
                "name": text(record.workflow.name),
                "type": text(", ".join(record.workflow.types)),
                "version": text(record.workflow.version),
                "url": text(record.workflow.url),
                "checksum": text(record.workflow.checksum),
            },
            "code": self._code(record.workflow.url, configuration, files),
            "cite": text(rows.pushed[0][1]) if rows.pushed else "",
            "repeat": text(repeat_command(configuration, is_sweep=kind == "sweep")),
            "pushed": [{"text": text(place), "url": text(url)} for place, url in rows.pushed],
            **self._given(configuration, summary),
            "config": text(
                files.read(lambda one: one.name == HYDRA and one.table == METADATA, _read_text) or ""
            ),
            **(environment or {"environment": [], "packages": []}),
            "inputs": [self._file(one, files, beside) for one in rows.files if one.role == AssetRole.input],
            "outputs": [self._file(one, files, beside) for one in rows.files if one.role == AssetRole.output],
            "datasets": [
                {"rid": text(rid), "name": text(name), "version": text(version), "digest": digest}
                for rid, name, version, digest in rows.datasets
            ],
            "parents": rows.parents,
            "children": rows.children,
            "metrics": [[text(name), points] for name, points in told(summary.metrics, metrics)],
            "replays": [self._replay(note) for note in replays],
            "replay_of": text(replay_of),
            "notebook": self._notebook(
                record.rid,
                first_line(record.description) or record.workflow.name,
                rows.notebooks(),
                files,
                shown,
                beside,
            ),
        }
        return Told(page, [*files.missing], files.whole)

    def _code(self, url: str, configuration: Mapping[str, Any], files: _Files) -> dict[str, Any]:
        """Return what ran, which may differ from what its workflow names."""
        text, provenance = self._clean.text, configuration.get("provenance", {})
        named = {name: provenance.get(name) for name in ("commit", "version", "url")}
        said = {name: value if isinstance(value, str) else "" for name, value in named.items()}
        found = _COMMIT.match(url)
        patches = files.read_each(lambda one: one.name in PATCHES and one.table == METADATA, _read_text)
        return {
            "commit": text(said["commit"] or (found[1] if found else "")),
            "version": text(said["version"]),
            "url": text(said["url"] or url),
            "dirty": bool(provenance.get("dirty")),
            "differences": [text(one) for one in provenance.get("differences", [])],
            "patch": "\n".join(map(self._clean.diff, patches)),
        }

    def _given(self, configuration: Mapping[str, Any], summary: Summary) -> dict[str, Any]:
        text, named = self._clean.text, self._clean.named
        started = {**configuration, "parameters": configuration.get("parameters_given", {})}
        given = parameters_of(started)
        return {
            "parameters": [
                [text(name), brief(named(name, value), VALUE), name in given]
                for name, value in summary.parameters.items()
            ],
            "not_set": [text(one) for one in configuration.get("parameters_not_set", [])],
            "overrides": [text(one) for one in configuration.get("overrides", [])],
            "choices": [[text(group), text(entry)] for group, entry in summary.choices.items()],
        }

    def _read_environment(self, path: Path) -> dict[str, Any]:
        """Return what a file says of a run's machine and packages.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        found = read_json(path)
        if not isinstance(found, dict):
            raise ValueError("it is no mapping")
        parts = [
            ("", found),
            *((f"{name}.", value) for name, value in found.items() if isinstance(value, dict)),
        ]
        facts = [
            [self._clean.text(f"{before}{name}"), self._clean.named(str(name), value)]
            for before, part in parts
            if before != "packages."
            for name, value in part.items()
            if value not in ("", None, [], {}) and not (before == "" and isinstance(value, dict))
        ]
        packages = found.get("packages")
        pairs = packages.items() if isinstance(packages, dict) else ()
        return {
            "environment": facts,
            "packages": [[self._clean.text(str(name)), self._clean.text(str(one))] for name, one in pairs],
        }

    def _file(self, one: File, files: _Files, beside: Beside) -> dict[str, Any]:
        told_elsewhere = one.table == METADATA and (
            one.name in DESCRIBING | SWEEP_FILES or ExecMetadataType.metrics_file.value in one.types
        )
        return {
            "rid": one.rid,
            "table": one.table,
            "name": self._clean.text(one.name),
            "types": [self._clean.text(str(kind)) for kind in one.types],
            "size": one.size,
            "md5": one.md5,
            "description": self._clean.text(one.description),
            "preview": None if told_elsewhere or not one.md5 else self._preview(one, files, beside),
        }

    def _preview(self, one: File, files: _Files, beside: Beside) -> dict[str, Any] | None:
        """Return what shows what is in a file; it is made once, however many runs have the file."""
        key = one.md5, one.name
        if made := self._previews.get(key):
            for name in made.files:
                beside.share(name)
            return made.preview
        path = files.path(one)
        if path is None:
            return None
        if len(self._previews) >= REMEMBERED:
            self._previews.clear()
        made = self._previews[key] = _Previewed()

        def write(name: str, content: bytes) -> None:
            beside.write(name, content)
            made.files.append(name)

        made.preview = previews.preview(path, one.name, one.md5, write, self._clean.text)
        return made.preview

    def _notebook(
        self, rid: RID, title: str, found: Iterable[File], files: _Files, shown: Shown, beside: Beside
    ) -> dict[str, str] | None:
        """Return where the executed notebook is shown, if there is one."""
        ways = [(".md", notebooks.from_markdown), (NOTEBOOK, notebooks.from_notebook)]
        for suffix, render in {Shown.no: [], Shown.soon: ways, Shown.full: ways[::-1]}[shown]:
            for one in found:
                if one.name.endswith(suffix) and (path := files.path(one)):
                    made = render(path, rid, self._clean.text(title), beside.write, self._clean.text)
                    if made:
                        return made
        return None

    def _replay(self, note: Note) -> dict[str, Any]:
        text = self._clean.text
        return {
            "when": note.when,
            "verdict": note.verdict,
            "similarity": note.similarity,
            "runner": text(note.runner),
            "recorded_as": text(note.recorded_as),
            "report": text(note.report),
        }


class _Files:
    """The contents of what a run made, and read.

    Attributes:
        made: what it made, the oldest first.
        missing: digests of what was asked for, and is not there.
        whole: whether all that is there could be read.
    """

    def __init__(self, catalog: EmbeddedCatalog, made: list[File]) -> None:
        self._objects = catalog.objects
        self.made = made
        self.missing: dict[str, None] = {}
        self.whole = True

    def path(self, one: File) -> Path | None:
        """Return where a content is; None where it is not."""
        try:
            path = self._objects.path(one.md5)
        except DerivaMLException:
            return None
        if path.is_file():
            return path
        self.missing[one.md5] = None
        return None

    def read_each(self, wanted: Callable[[File], bool], reader: Callable[[Path], Any]) -> list[Any]:
        """Return what is in the wanted files, without those that cannot be read."""
        found = []
        for one in self.made:
            if wanted(one) and (path := self.path(one)):
                try:
                    found.append(reader(path))
                except (OSError, DerivaMLException, *DAMAGED):
                    self.whole = False
        return found

    def read(self, wanted: Callable[[File], bool], reader: Callable[[Path], Any]) -> Any:
        """Return what is in the last of the wanted files, which says how the run ended; None where there is none."""
        return next(iter(self.read_each(wanted, reader)[-1:]), None)

    def read_all(self, wanted: Callable[[File], bool], reader: Callable[[list[Path]], Any]) -> Any:
        """Return what is in the wanted files together; None where one cannot be read."""
        paths = [path for one in self.made if wanted(one) and (path := self.path(one))]
        try:
            return reader(paths)
        except (OSError, *DAMAGED):
            self.whole = False
            return None


def _read_text(path: Path) -> str:
    with path.open("rb") as stream:
        return stream.read(LONGEST).decode(errors="replace")
