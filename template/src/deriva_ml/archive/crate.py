"""What a file of records says to others: its executions, files and datasets as an RO-Crate of the Process Run profile.

The profile is https://www.researchobject.org/workflow-run-crate/profiles/process_run_crate; it has no main workflow, as
the executions are of several.
"""

from __future__ import annotations

import json
import math
import mimetypes
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from deriva_ml.archive.container import CRATE, object_name
from deriva_ml.catalog.carried import Selection
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import AssetRole, Status, is_release
from deriva_ml.untrusted import DAMAGED

_CONTEXT = "https://w3id.org/ro/crate/1.1/context"
_CRATE = "https://w3id.org/ro/crate/1.1"
_PROFILE = "https://w3id.org/ro/wfrun/process/0.5"

Entity = dict[str, Any]


class Crate:
    """The crate of chosen records.

    Args:
        carried: the MD5s of the contents that the file has.
        others: further files of the payload, each with what it is.
        name: the project's.
    """

    def __init__(
        self,
        catalog: EmbeddedCatalog,
        selection: Selection,
        carried: set[str],
        others: dict[str, str],
        name: str,
        license_name: str,
    ) -> None:
        self._catalog, self._selection, self._carried, self._others = catalog, selection, carried, others
        self._name, self._license = name, license_name
        self._needed_versions: set[str] = set()
        self._people: dict[str, None] = {}
        self._workflows: dict[str, str] = {}
        self._mentions: list[str] = []
        self._newest = ""

    def text(self) -> Iterator[bytes]:
        """Return the crate's document, in pieces."""
        yield f'{{"@context": {json.dumps(_CONTEXT)}, "@graph": [\n'.encode()
        for entity in self._entities():
            yield f"{json.dumps(entity, ensure_ascii=False)},\n".encode(errors="replace")
        yield from self._root()
        yield b"]}\n"

    def _entities(self) -> Iterator[Entity]:
        about = {"@id": CRATE, "@type": "CreativeWork", "about": _ref("./")}
        yield {**about, "conformsTo": _ref(_CRATE)}
        yield {"@id": "#license", "@type": "CreativeWork", "name": self._license}
        yield {"@id": _PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
        for name, what in self._others.items():
            yield {"@id": name, "@type": "File", "name": what, "encodingFormat": _format(name)}
        for row in self._selection.rows("Workflow"):
            address = row["URL"] or ""
            # An absolute address, as the profile would have it, and one of its own.
            place = f"{address}#{row['RID']}" if address.startswith("http") else f"#{row['RID']}"
            self._workflows[row["RID"]] = place
            yield _entity(
                place,
                "SoftwareSourceCode",
                name=row["Name"] or row["RID"],
                description=row["Description"],
                url=address,
                version=row["Version"],
                identifier=row["Checksum"],
            )
        for row in self._selection.contents():
            yield self._content(row)
        for row in self._selection.rows("Execution"):
            yield from self._execution(row)
        self._needed_versions.update(row["nested"] for row in self._selection.rows("Member") if row["nested"])
        for row in self._selection.rows("Dataset_Version"):
            if is_release(row["Version"]) or row["RID"] in self._needed_versions:
                yield self._version(row)
        for name in self._people:
            yield {"@id": _person(name), "@type": "Person", "name": name}

    def _content(self, row: Entity) -> Entity:
        is_here = row["MD5"] in self._carried
        return _entity(
            self._of_content(row["MD5"]),
            "File" if is_here else "CreativeWork",
            name=row["Filename"] or row["MD5"],
            identifier=row["RIDs"],
            contentSize=str(row["Length"]),
            encodingFormat=_format(row["Filename"] or ""),
            description="" if is_here else "its content is not in this file",
        )

    def _of_content(self, md5: str) -> str:
        return object_name(md5) if md5 in self._carried else f"#content-{md5}"

    def _execution(self, row: Entity) -> Iterator[Entity]:
        rid = row["RID"]
        failed = row["Status"] in {Status.failed, Status.aborted}
        assets = self._catalog.assets_of(rid)
        summary = self._catalog.summaries.of([rid])[rid]
        given = _values(rid, "parameter", {**summary.parameters, **summary.choices})
        came_to = _values(rid, "metric", {name: one.last for name, one in summary.metrics.items()})
        read = [
            one["Dataset_Version"]
            for one in self._catalog.linked_rows("Dataset_Execution", "Execution", [rid])
        ]
        made = [one["RID"] for one in self._catalog.linked_rows("Dataset_Version", "Execution", [rid])]
        files = {
            role: [_ref(self._of_content(one.md5)) for one in assets if one.role is role]
            for role in AssetRole
        }
        started = datetime.fromisoformat(row["RCT"])
        self._newest = max(self._newest, row["RCT"])
        self._mentions.append(f"#{rid}")
        yield from (*given, *came_to)
        yield _entity(
            f"#{rid}",
            "CreateAction",
            name=f"execution {rid}",
            description=row["Description"] or f"execution {rid}",
            instrument=_ref(self._workflows[row["Workflow"]]),
            agent=_ref(self._agent(row["RCB"])),
            startTime=_time(started),
            endTime=_time(_ended(started, row["Execution_Duration"])),
            actionStatus=f"http://schema.org/{'Failed' if failed else 'Completed'}ActionStatus",
            error=row["Status_Detail"] if failed else "",
            object=_unique([*files[AssetRole.input], *self._versions(read), *map(_ref_of, given)]),
            result=_unique([*files[AssetRole.output], *self._versions(made), *map(_ref_of, came_to)]),
        )

    def _versions(self, rids: Iterable[str | None]) -> list[Entity]:
        known = [rid for rid in rids if rid]
        self._needed_versions.update(known)
        return [_ref(f"#{rid}") for rid in known]

    def _agent(self, name: str | None) -> str:
        self._people[name or "unknown"] = None
        return _person(name or "unknown")

    def _version(self, row: Entity) -> Entity:
        """Return a dataset at a version: a collection of what is in it."""
        parts = [
            f"#{member['nested']}" if member.get("nested") else self._of_content(member["MD5"])
            for member in self._catalog.members(row["RID"])
        ]
        self._mentions.append(f"#{row['RID']}")
        name = self._catalog.name_of_dataset(row["Dataset"]) or row["Dataset"]
        return _entity(
            f"#{row['RID']}",
            "Collection",
            name=f"dataset {name} {row['Version']}",
            description=row["Description"],
            identifier=row["Dataset"],
            version=row["Version"],
            dateCreated=row["RCT"],
            hasPart=_unique(map(_ref, parts)),
            mainEntity=_ref(parts[0]) if parts else None,
        )

    def _root(self) -> Iterator[bytes]:
        """Return the entity of the whole, which comes last as it lists all that came before."""
        root = _entity(
            "./",
            "Dataset",
            name=f"Records of {self._name}",
            description="Executions, files and datasets recorded by DerivaML",
            license=_ref("#license"),
            author=[_ref(_person(name)) for name in self._people],
            datePublished=self._newest or "1980-01-01",
            conformsTo=_ref(_PROFILE),
            mentions=[_ref(one) for one in self._mentions],
        )
        yield f'{json.dumps(root, ensure_ascii=False)[:-1]}, "hasPart": ['.encode(errors="replace")
        yield ", ".join(json.dumps(_ref(name)) for name in self._others).encode()
        for md5 in sorted(self._carried):
            yield f",\n{json.dumps(_ref(object_name(md5)))}".encode()
        yield b"]}\n"


def _ref(name: str) -> Entity:
    return {"@id": name}


def _ref_of(entity: Entity) -> Entity:
    return {"@id": entity["@id"]}


def _unique(entities: Iterable[Entity]) -> list[Entity]:
    return list({entity["@id"]: entity for entity in entities}.values())


def _entity(name: str, kind: str, /, **properties: Any) -> Entity:
    """Return an entity without the properties that are empty; one value stands for itself."""
    plain = {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in properties.items()
        if value
    }
    return {"@id": name, "@type": kind, **plain}


def _values(rid: str, kind: str, values: dict[str, Any]) -> list[Entity]:
    found = []
    for name, value in values.items():
        is_plain = isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))
        plain = value if is_plain else json.dumps(value, ensure_ascii=False)
        found.append(
            {"@id": f"#{rid}-{kind}-{_plain(name)}", "@type": "PropertyValue", "name": name, "value": plain}
        )
    return list({one["@id"]: one for one in found}.values())


def _person(name: str) -> str:
    return f"#person-{_plain(name)}"


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _format(name: str) -> str:
    known = {
        ".bundle": "application/x-git",
        ".jsonl": "application/jsonl",
        ".ipynb": "application/x-ipynb+json",
    }
    return known.get(name[name.rfind(".") :]) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _ended(started: datetime, lasted: str | None) -> datetime:
    """Return when an execution ended, by the duration that a text of the schema says; its beginning where it says none."""
    found = re.fullmatch(r"(\d+)H (\d+)min ([\d.]+)sec", lasted or "")
    if found:
        with suppress(*DAMAGED):  # others may have written it
            return started + timedelta(hours=int(found[1]), minutes=int(found[2]), seconds=float(found[3]))
    return started
