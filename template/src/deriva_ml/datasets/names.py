"""``datasets.toml``: what a project calls its datasets, so that configurations name them alike in every clone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.dataset import DatasetSpec
from deriva_ml.dataset_version import DatasetVersion
from deriva_ml.definitions import LONGEST_NAME, RID, Dataset, is_dataset_name, is_release
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.git import listed
from deriva_ml.project import Project, write_atomically

FILE = "datasets.toml"
_HEAD = "# The names of this project's datasets, for every clone of it: commit this file. deriva-ml-dataset writes it.\n"
_MARK = re.compile(r"^(?:<<<<<<<|=======|>>>>>>>)(?: |$)", re.MULTILINE)
_NAMED = 5
"""Names that a message lists."""


@dataclass(frozen=True)
class Named:
    """What the file says of a dataset.

    Attributes:
        rid: in the catalog where it was made, and in those that imported it from there.
        versions: the digest of each version's manifest.
        catalogs: its RID in Deriva catalogs, by ``HOST/CATALOG``.
    """

    rid: RID = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    catalogs: Mapping[str, RID] = field(default_factory=dict)

    @property
    def newest(self) -> str | None:
        """The newest version that it names."""
        return max(self.versions, key=DatasetVersion, default=None)


def check_name(name: str) -> None:
    """See that a dataset can have a name, which is no RID, and a folder's name wherever it is nested.

    Raises:
        DerivaMLRequestError: it cannot.
    """
    if not is_dataset_name(name):
        raise DerivaMLRequestError(
            f"{name!r} cannot name a dataset: give letters, digits, and . _ - between them, a small letter among them,"
            f" {LONGEST_NAME} bytes at most"
        )


def read(project: Project) -> dict[str, Named]:
    """Return what a project's file says, by name; nothing where there is none.

    Raises:
        DerivaMLRequestError: the file, or an entry of it, is not as it has to be.
    """
    import tomllib

    path = project.root / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DerivaMLRequestError(f"{FILE} cannot be read: {error}") from error
    if mark := _MARK.search(text):
        line = text.count("\n", 0, mark.start()) + 1
        raise DerivaMLRequestError(
            f"{FILE} has a merge conflict in line {line}: keep the entries of both sides, and take out git's marks"
        )
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DerivaMLRequestError(f"{FILE} cannot be read: {error}") from error
    return {name: _entry(name, said) for name, said in entries.items()}


def _entry(name: str, said: Any) -> Named:
    """Return what an entry says, which a person may have written."""

    def refuse(why: str) -> DerivaMLRequestError:
        return DerivaMLRequestError(
            f"{FILE}: the entry {name} {why}; deriva-ml-dataset writes it as it has to be"
        )

    try:
        check_name(name)
    except DerivaMLRequestError as error:
        raise refuse("has a name that no dataset can have") from error
    if not isinstance(said, dict):
        raise refuse("is no table")
    if unknown := [*said.keys() - {"rid", "versions", "catalogs"}]:
        raise refuse(f"has {', '.join(sorted(unknown))}, which means nothing there")
    texts = {"rid": said.get("rid", "")}
    for part in ("versions", "catalogs"):
        if not isinstance(said.get(part, {}), dict):
            raise refuse(f"has {part} that are no table")
        texts |= {f'{part}."{key}"': value for key, value in said.get(part, {}).items()}
    for key, value in texts.items():
        if not isinstance(value, str):
            raise refuse(f"has {key} = {value!r}, which is no text")
    for version, digest in said.get("versions", {}).items():
        if not is_release(version) or not re.fullmatch(r"[0-9a-f]{32}", digest):
            raise refuse(
                f"has a version {version} = {digest!r}, where a version has the digest of its manifest"
            )
    return Named(texts["rid"], said.get("versions", {}), said.get("catalogs", {}))


def write(project: Project, entries: Mapping[str, Named]) -> None:
    """Write the file anew, in order."""

    def key(text: str) -> str:
        return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _text(text)

    blocks = [_HEAD]
    for name, one in sorted(entries.items()):
        lines = [f"[{key(name)}]", *([f"rid = {_text(one.rid)}"] if one.rid else [])]
        lines += [
            f"versions.{_text(version)} = {_text(one.versions[version])}"
            for version in sorted(one.versions, key=DatasetVersion)
        ]
        lines += [f"catalogs.{_text(place)} = {_text(rid)}" for place, rid in sorted(one.catalogs.items())]
        blocks.append("\n".join(lines) + "\n")
    write_atomically(project.root / FILE, "\n".join(blocks))


def _text(text: str) -> str:
    """Return a text as TOML has it, which is JSON's form with whole characters."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def check_new(project: Project, name: str) -> None:
    """See that no dataset has a name in the project's file.

    Raises:
        DerivaMLRequestError: one has, such as a colleague's that is not here.
    """
    if there := read(project).get(name):
        raise DerivaMLRequestError(
            f"{FILE} has a dataset {name} already ({there.rid}): add to it, import it, or choose another name; if it was"
            " deleted, take its entry out of the file"
        )


def note(catalog: EmbeddedCatalog, rid: RID) -> None:
    """Write the versions of a dataset that has a name here into the file, and where else it is known.

    Raises:
        DerivaMLRequestError: the file has another content under one of these versions.
    """
    name = catalog.name_of_dataset(rid)
    if not name:
        return
    with catalog.transaction():  # nobody else writes the file meanwhile
        entries = read(catalog.project)
        before = entries.get(name, Named(rid))
        versions = {one.version: one.digest for one in catalog.dataset_versions(rid) if one.released}
        for version, digest in versions.items():
            if before.versions.get(version, digest) != digest:
                raise DerivaMLRequestError(
                    f"{FILE} has another content as {name} {version}, which somebody else released: import that, or call"
                    " yours by another name"
                )
        known = {
            f"{place.host.removeprefix('http://')}/{place.catalog}": there
            for place, there in catalog.journal.elsewhere(rid)
        }
        entry = Named(before.rid or rid, {**before.versions, **versions}, {**before.catalogs, **known})
        if entry != entries.get(name):
            catalog.if_taken_back(partial(_put_back, catalog.project, _bytes(catalog.project)))
            write(catalog.project, entries | {name: entry})


def _bytes(project: Project) -> bytes | None:
    path = project.root / FILE
    return path.read_bytes() if path.exists() else None


def _put_back(project: Project, before: bytes | None) -> None:
    """Have the file as it was before a change that did not come to be; a disk that refuses that keeps the new one."""
    with suppress(OSError):
        if before is None:
            (project.root / FILE).unlink(missing_ok=True)
        else:
            write_atomically(project.root / FILE, before)


def found(spec: DatasetSpec, source: Source, project: Project) -> tuple[DatasetSpec, Dataset]:
    """Look up the dataset that a specification means by its RID or its name, and say in the specification which it is.

    Raises:
        DerivaMLRequestError: there is no such dataset or version, or its contents are not here.
    """
    rid, version = spec.rid, spec.version
    if not rid:
        rid, version = _meant(spec, source, project)
    dataset = source.lookup_dataset(rid, version)
    if spec.rid and spec.name and dataset.name and dataset.name != spec.name:
        raise DerivaMLRequestError(
            f"dataset {rid} is called {dataset.name} here, and not {spec.name}: give its RID or its name alone"
        )
    if spec.digest and spec.digest != dataset.digest:
        raise DerivaMLRequestError(
            f"dataset {spec.name or rid} {dataset.version} has another manifest than {spec.digest}:"
            f" {dataset.digest}"
        )
    return replace(spec, rid=rid, version=version, digest=dataset.digest), dataset


def _meant(spec: DatasetSpec, source: Source, project: Project) -> tuple[RID, str | None]:
    """Return the RID in a catalog, and the version, that a name means."""
    own = source if isinstance(source, EmbeddedCatalog) else None
    entries = read(project)
    entry = entries.get(spec.name, Named())
    here = own.dataset_named(spec.name) if own else None
    if spec.name not in entries and not here:
        names = listed(sorted(entries), _NAMED) or "none"
        raise DerivaMLRequestError(f"no dataset is called {spec.name}; {FILE} has {names}")
    version = spec.version or entry.newest
    digest = entry.versions.get(version or "", "")
    if digest:
        place = f"{source.host_name}/{source.catalog_id}"
        for rid in filter(None, (here, entry.rid) if own else (entry.catalogs.get(place),)):
            if _is_there(source, rid, version, digest):
                return rid, version
        if there := source.find_dataset_by_digest(digest, str(version)):
            return there
    elif here:
        return here, version
    said = f"{spec.name} {version or ''}".strip()
    if own:
        raise DerivaMLRequestError(
            f"the dataset {said} is not in this project's catalog: have it exported where it is, and then uv run"
            " deriva-ml-catalog import FILE; or read it from a Deriva catalog, with deriva_ml=production"
        )
    known = "" if digest else f", and {FILE} has no such version of it"
    raise DerivaMLRequestError(f"the dataset {said} is neither on {source.host_name} nor here{known}")


def _is_there(source: Source, rid: RID, version: str | None, digest: str) -> bool:
    """Whether a dataset has a version, with the content that a digest says where the catalog knows it."""
    try:
        states = source.dataset_versions(rid)
    except NotFound:
        return False
    return any(one.version == version and one.digest in {digest, ""} for one in states)
