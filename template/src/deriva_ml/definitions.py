"""Names, terms and plain records that every part shares; spelling and values are the deriva-ml schema's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from deriva_ml.untrusted import plain_name
from deriva_ml.upstream import Upstream

RID = str
"""A record's identifier within its catalog, such as ``8Z-12P3-FM2M``."""

RID_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32 (https://www.crockford.com/base32.html): no I, L, O or U, so nothing reads as two things."""


def is_reserved(rid: RID) -> bool:
    """True for an RID that no catalog mints, such as the demonstration's: it means the same in every project."""
    return not set(rid) <= {*RID_DIGITS, "-"}


def is_rid(text: str) -> bool:
    """Whether a text is read as an RID: it has capital letters, digits and hyphens only, which no name has."""
    return re.fullmatch(r"[0-9A-Z-]+", text) is not None


LONGEST_NAME = 200
"""Bytes of a dataset's name; a folder's name can have 255, and the name of a part or a bag is a longer one."""


def is_dataset_name(text: str) -> bool:
    """Whether a dataset can have a name, which is no RID, and a folder's name wherever it is nested."""
    return (
        re.fullmatch(r"\w(?:[\w. -]*\w)?", text) is not None
        and not is_rid(text)
        and len(text.encode()) <= LONGEST_NAME
    )


DRY_RUN_RID: RID = "0000"
"""What a dry run carries in place of an execution RID (upstream's convention): no record has it."""


UNKNOWN_PROVENANCE = "tag:deriva-ml,unknown-provenance:"
"""What the URLs begin with of the records that upstream's catalogs have in place of what nobody knows."""


def normalized_name(package: str) -> str:
    """Return a package's name as locks and indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


class Status(StrEnum):
    """Where an execution stands. ``OPEN_STATUSES`` are those that some process still answers for."""

    created = "Created"
    running = "Running"
    stopped = "Stopped"
    pending_upload = "Pending_Upload"
    uploaded = "Uploaded"
    failed = "Failed"
    aborted = "Aborted"


for _status in list(Status):
    setattr(Status, _status.value, _status)  # upstream spells them so

OPEN_STATUSES = (Status.created, Status.running, Status.stopped)


class MLAsset(StrEnum):
    """Asset tables that every catalog has."""

    execution_asset = "Execution_Asset"
    execution_metadata = "Execution_Metadata"
    file = "File"


class AssetRole(StrEnum):
    """How an asset takes part in an execution."""

    input = "Input"
    output = "Output"

    @property
    def asset_type(self) -> ExecAssetType:
        """The type that says so of an asset on a Deriva catalog, beside its own (upstream's directional type)."""
        return ExecAssetType.input_file if self is AssetRole.input else ExecAssetType.output_file


class ExecAssetType(StrEnum):
    """Asset types of files that a run reads or makes."""

    input_file = "Input_File"
    output_file = "Output_File"
    notebook_output = "Notebook_Output"
    model_file = "Model_File"


class ExecMetadataType(StrEnum):
    """Asset types of files that describe a run; of which file which is upstream's convention."""

    deriva_config = "Deriva_Config"  # configuration.json
    execution_config = "Execution_Config"  # uv.lock
    hydra_config = "Hydra_Config"
    runtime_env = "Runtime_Env"
    metrics_file = "Metrics_File"
    log_file = "Log_File"
    source_diff = "Source_Diff"
    executed_sources = "Executed_Sources"
    dataset_manifest = "Dataset_Manifest"


DATASET_MANAGEMENT = "Dataset_Management"
"""The type of workflows that make and change datasets, and run no code of the project."""


@dataclass
class Workflow:
    """What was executed: a notebook or script at a commit.

    Attributes:
        name: a short title.
        workflow_type: one or more terms of the ``Workflow_Type`` vocabulary; unknown ones are added.
        description: Markdown.
        url: where the code stands: its web address at the commit, or commit and path when there is no host.
        checksum: git's blob id of the code (of the stripped notebook); what a workflow is found by.
        version: from the git tag, PEP 440.
        rid: set once recorded.
        commit: full id of the commit that the code is of, where it is known; no column of the table.
    """

    name: str
    workflow_type: str | list[str] = "Analysis Notebook"
    description: str = ""
    url: str = ""
    checksum: str = ""
    version: str = ""
    rid: RID | None = None
    commit: str = field(default="", init=False, compare=False)

    @property
    def columns(self) -> dict[str, Any]:
        """Its row of the table ``Workflow``, which says nothing of types."""
        return {
            "Name": self.name,
            "Description": self.description,
            "URL": self.url,
            "Checksum": self.checksum,
            "Version": self.version,
        }

    @property
    def types(self) -> list[str]:
        """The workflow's types as a list, however they were given."""
        return [self.workflow_type] if isinstance(self.workflow_type, str) else list(self.workflow_type)


@dataclass(frozen=True)
class Asset(Upstream):
    """A recorded file.

    Attributes:
        length: bytes.
        md5: hexadecimal digest of the content.
        url: the object's path in Hatrac's form, ``/hatrac/<table>/<md5>.<filename>``.
        role: how it takes part in the execution that it was asked for through; None outside one.
        created: when it was recorded, ISO 8601 in UTC; empty where that is not known.
    """

    rid: RID
    table: str
    filename: str
    length: int
    md5: str
    url: str
    description: str = ""
    types: tuple[str, ...] = ()
    role: AssetRole | None = None
    created: str = field(default="", compare=False)

    @classmethod
    def from_row(cls, table: str, row: Row, types: Iterable[str] = ()) -> Asset | None:
        """Return the file that a row stands for, under a plain name; None for a row of a table that is not of files."""
        if not row.keys() >= FILE_COLUMNS:
            return None
        return cls(
            rid=row["RID"],
            table=table,
            filename=plain_name(row["Filename"] or row["MD5"] or row["RID"]),
            length=row["Length"] or 0,
            md5=row["MD5"] or "",
            url=row["URL"] or "",
            description=row.get("Description") or "",
            types=tuple(types),
            created=row.get("RCT") or "",
        )


@dataclass(frozen=True)
class StagedAsset:
    """A file that a run registered and that is not recorded yet.

    Attributes:
        path: where its content is or will be; a symbolic link stands for a file that is not the runner's.
    """

    number: int
    execution: RID
    table: str
    filename: str
    path: Path
    types: tuple[str, ...] = ()
    description: str = ""


Row = dict[str, Any]
"""A table's row, by column."""

FILE_COLUMNS = frozenset({"URL", "Filename", "Length", "MD5"})
"""What the rows of a table have if they stand for files."""


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key: ``columns`` of a table hold the ``key`` of a row of ``table``."""

    columns: tuple[str, ...]
    table: str
    key: tuple[str, ...]


@dataclass(frozen=True)
class FeatureDefinition:
    """What a Deriva catalog says of a feature, whose values are the rows of a table.

    Attributes:
        target: how these refer to the rows that have the values.
        terms: columns that hold terms of a vocabulary; assets: columns that refer to files.
        qualifiers: columns that tell several values of one row apart, such as the left eye's from the right one's.
    """

    name: str
    target: ForeignKey
    terms: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    qualifiers: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableDefinition:
    """What a Deriva catalog says of a table.

    Attributes:
        columns: their types, by name.
        references: foreign keys to tables that can be read.
        feature: the one whose values its rows are, if they are.
    """

    columns: dict[str, str]
    references: tuple[ForeignKey, ...] = ()
    feature: FeatureDefinition | None = None


@dataclass(frozen=True)
class Dataset(Upstream):
    """One version of a dataset.

    Attributes:
        types: terms of the ``Dataset_Type`` vocabulary.
        members: the members' rows by table, other than datasets. A file's row has the path that it has in the dataset
            in ``Path``, where the catalog knows one; a file at two paths has two rows.
        references: the rows that members refer to, and those that these refer to and so on, by table.
        nested: the datasets that are members, as they were when this version was made.
        snapshot: the catalog's state that all this was read at; None in a catalog that keeps no past states.
        version_rid: of the version's row.
        name: what this project calls it; empty where it has no name here.
        digest: of the version's manifest (see ``manifest``); empty where that is not known.
        folder: where it lies in the dataset that it was found nested in.
        tables: what a Deriva catalog says of the tables that have rows here, and of their features'.
        history: its states up to this one, the newest first; empty where they were not read.
        executions: those that had read it when it was read here.
    """

    rid: RID
    version: str
    description: str = ""
    types: tuple[str, ...] = ()
    members: dict[str, list[Row]] = field(default_factory=dict)
    references: dict[str, list[Row]] = field(default_factory=dict)
    nested: tuple[Dataset, ...] = ()
    snapshot: str | None = None
    version_rid: RID | None = None
    name: str = ""
    digest: str = ""
    folder: str = ""
    tables: dict[str, TableDefinition] = field(default_factory=dict, repr=False)
    history: tuple[DatasetState, ...] = field(default=(), compare=False, repr=False)
    executions: tuple[RID, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Member:
    """What lies at a path of a dataset: a file, or another dataset at one of its versions.

    Attributes:
        path: relative, with ``/``; of another dataset the folder that its members lie in.
        file: the RID of a row of ``File``.
        nested: the RID of a row of ``Dataset_Version``.
    """

    path: str
    file: RID | None = None
    nested: RID | None = None


@dataclass(frozen=True)
class DatasetState(Upstream):
    """A version of a dataset, or a working state between two.

    Attributes:
        rid: of the row of ``Dataset_Version``.
        version: such as ``1.1.0``, or ``1.1.0.dev2`` for a working state.
        number: of the dataset's states, from 1.
        description: what changed.
        execution: the one that made it.
        created: ISO 8601 in UTC.
        digest: of its manifest.
        files: how many it has, with those of nested datasets; bytes: what these hold.
    """

    rid: RID
    dataset: RID
    version: str
    number: int
    description: str = ""
    execution: RID | None = None
    created: str = ""
    digest: str = ""
    files: int = 0
    bytes: int = 0

    @property
    def released(self) -> bool:
        """Whether it is a version, and no working state."""
        return is_release(self.version)


def is_release(version: str) -> bool:
    """Whether a dataset's version is three numbers, and not a working state between such."""
    return re.fullmatch(r"\d+\.\d+\.\d+", version, re.ASCII) is not None


@dataclass(frozen=True)
class ExecutionRecord(Upstream):
    """An execution's row. Times are ISO 8601 in UTC; durations are text as the schema has them.

    Attributes:
        started_by: the command or program that started it; empty where this project does not know.
    """

    rid: RID
    status: Status
    status_detail: str
    description: str
    workflow: Workflow
    created: str
    created_by: str
    execution_duration: str | None = None
    download_duration: str | None = None
    upload_duration: str | None = None
    started_by: str = ""


class Dated(Protocol):
    """What has an RID, and when it was recorded."""

    @property
    def created(self) -> str: ...

    @property
    def rid(self) -> RID: ...


def by_age(record: Dated) -> tuple[str, RID]:
    """Return the key that sorts records from the oldest to the newest, those of one time by RID."""
    return record.created, record.rid


def format_duration(seconds: float) -> str:
    """Return a duration as the deriva-ml schema's text columns hold it: ``0H 2min 3.21sec``."""
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}H {minutes}min {round(rest, 2)}sec"


def seconds_of(duration: str) -> float | None:
    """Return the seconds that such a text stands for; None for another text."""
    found = re.fullmatch(r"(\d+)H (\d+)min ([\d.]+)sec", duration)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None
