"""The embedded catalog's tables and terms as they are now: the deriva-ml schema's, and the runner's own."""

from __future__ import annotations

from deriva_ml.definitions import (
    DATASET_MANAGEMENT,
    AssetRole,
    ExecAssetType,
    ExecMetadataType,
    MLAsset,
    Status,
)

VERSION = 7
"""Of these tables and terms, kept in SQLite's ``user_version``; a change of either is a step in ``migrations.py``, too."""

TERMS: dict[str, tuple[str, ...]] = {
    "Asset_Type": (*(t.value for t in ExecAssetType), *(t.value for t in ExecMetadataType), "File"),
    "Asset_Role": tuple(role.value for role in AssetRole),
    "Dataset_Type": ("Training", "Testing", "Complete"),
    "Execution_Status": tuple(status.value for status in Status),
    "Workflow_Type": ("Analysis Notebook", "Training", DATASET_MANAGEMENT),
}

_SYSTEM = '"RID" TEXT PRIMARY KEY, "RCT" TEXT NOT NULL, "RMT" TEXT NOT NULL, "RCB" TEXT, "RMB" TEXT'


def _table(name: str, *columns: str) -> str:
    return f'CREATE TABLE "{name}" ({_SYSTEM}, {", ".join(columns)}) WITHOUT ROWID'


def _texts(*columns: str) -> list[str]:
    return [f'"{column}" TEXT' for column in columns]


def _association(name: str, left: str, right: str, *more: str, right_key: str = "RID") -> list[str]:
    """Return an association table named as the schema names them, and the index that finds its rows from the right."""
    right_column = "Nested_" + right if left == right else right
    return [
        _table(
            name,
            f'"{left}" TEXT NOT NULL REFERENCES "{left}" ("RID")',
            f'"{right_column}" TEXT NOT NULL REFERENCES "{right}" ("{right_key}")',
            *more,
            f'UNIQUE ("{left}", "{right_column}")',
        ),
        f'CREATE INDEX "{name}_{right_column}" ON "{name}" ("{right_column}")',
    ]


def asset_table(name: str) -> list[str]:
    """Return the statements that make an asset table with its associations."""
    role = '"Asset_Role" TEXT NOT NULL REFERENCES "Asset_Role" ("Name")'
    return [
        _table(
            name,
            '"URL" TEXT NOT NULL UNIQUE',
            *_texts("Filename", "Description"),
            '"Length" INTEGER NOT NULL',
            '"MD5" TEXT NOT NULL',
        ),
        *_association(f"{name}_Asset_Type", name, "Asset_Type", right_key="Name"),
        *_association(f"{name}_Execution", name, "Execution", role),
    ]


def statements() -> list[str]:
    """Return the statements that make an empty catalog, in order."""
    unique = '"Name" TEXT NOT NULL UNIQUE'
    return [
        *(_table(name, *_texts("ID", "URI"), unique, *_texts("Description", "Synonyms")) for name in TERMS),
        _table("Workflow", *_texts("Name", "Description", "URL", "Checksum", "Version")),
        'CREATE INDEX "Workflow_Checksum" ON "Workflow" ("Checksum")',
        *_association("Workflow_Workflow_Type", "Workflow", "Workflow_Type", right_key="Name"),
        _table(
            "Execution",
            '"Workflow" TEXT REFERENCES "Workflow" ("RID")',
            *_texts("Description", "Execution_Duration", "Download_Duration", "Upload_Duration"),
            '"Status" TEXT REFERENCES "Execution_Status" ("Name")',
            '"Status_Detail" TEXT',
        ),
        'CREATE INDEX "Execution_RCT" ON "Execution" ("RCT")',
        'CREATE INDEX "Execution_Status_RCT" ON "Execution" ("Status", "RCT")',
        'CREATE INDEX "Execution_Workflow" ON "Execution" ("Workflow")',
        *_association("Execution_Execution", "Execution", "Execution", '"Sequence" INTEGER'),
        _table("Dataset", '"Description" TEXT', '"Deleted" INTEGER', '"Version" TEXT'),
        *_association("Dataset_Dataset_Type", "Dataset", "Dataset_Type", right_key="Name"),
        _table(
            "Dataset_Version",
            *_texts("Version", "Description"),
            '"Dataset" TEXT REFERENCES "Dataset" ("RID")',
            '"Execution" TEXT REFERENCES "Execution" ("RID")',
            '"Snapshot" TEXT',
            'UNIQUE ("Dataset", "Version")',
        ),
        *_association("Dataset_Execution", "Dataset", "Execution", '"Dataset_Version" TEXT'),
        *(statement for name in MLAsset for statement in asset_table(name.value)),
        # What is in a dataset, from one of its states on and until another. The schema's tables for it, which know no
        # versions, are views: of what is in any of them.
        'CREATE TABLE "local_member" ("dataset" TEXT NOT NULL REFERENCES "Dataset" ("RID"), "path" TEXT NOT NULL,'
        ' "file" TEXT REFERENCES "File" ("RID"), "nested" TEXT REFERENCES "Dataset_Version" ("RID"),'
        ' "since" INTEGER NOT NULL, "until" INTEGER, PRIMARY KEY ("dataset", "path", "since"),'
        ' CHECK (("file" IS NULL) <> ("nested" IS NULL))) WITHOUT ROWID',
        'CREATE INDEX "local_member_file" ON "local_member" ("file") WHERE "file" IS NOT NULL',
        'CREATE INDEX "local_member_nested" ON "local_member" ("nested") WHERE "nested" IS NOT NULL',
        'CREATE VIEW "Dataset_File" AS SELECT DISTINCT "dataset" AS "Dataset", "file" AS "File" FROM "local_member"'
        ' WHERE "file" IS NOT NULL',
        'CREATE VIEW "Dataset_Dataset" AS SELECT DISTINCT m."dataset" AS "Dataset", v."Dataset" AS "Nested_Dataset"'
        ' FROM "local_member" m JOIN "Dataset_Version" v ON v."RID" = m."nested" WHERE m."nested" IS NOT NULL',
        'CREATE TABLE "local_version" ("version" TEXT PRIMARY KEY REFERENCES "Dataset_Version" ("RID"), "dataset" TEXT'
        ' NOT NULL REFERENCES "Dataset" ("RID"), "number" INTEGER NOT NULL, "digest" TEXT NOT NULL, "files" INTEGER NOT'
        ' NULL, "bytes" INTEGER NOT NULL, UNIQUE ("dataset", "number")) WITHOUT ROWID',
        'CREATE INDEX "local_version_digest" ON "local_version" ("digest")',
        'CREATE TABLE "local_dataset" ("dataset" TEXT PRIMARY KEY REFERENCES "Dataset" ("RID"), "name" TEXT NOT NULL'
        " UNIQUE) WITHOUT ROWID",
        # Where a person's files are, and what is known of them: see ``datasets.walk`` and ``datasets.ingest``.
        'CREATE TABLE "local_root" ("dataset" TEXT NOT NULL REFERENCES "Dataset" ("RID"), "folder" TEXT NOT NULL,'
        ' "into" TEXT NOT NULL, PRIMARY KEY ("dataset", "folder", "into")) WITHOUT ROWID',
        'CREATE TABLE "local_seen" ("path" TEXT PRIMARY KEY, "size" INTEGER NOT NULL, "mtime" INTEGER NOT NULL, "ctime"'
        ' INTEGER NOT NULL, "inode" INTEGER NOT NULL, "device" INTEGER NOT NULL, "md5" TEXT NOT NULL, "noted" REAL NOT'
        " NULL) WITHOUT ROWID",
        # Executions and datasets that were imported: their RIDs where they came from, and the file; see ``catalog.merging``.
        'CREATE TABLE "local_imported" ("rid" TEXT PRIMARY KEY, "was" TEXT NOT NULL, "archive" TEXT NOT NULL, "imported"'
        " TEXT NOT NULL) WITHOUT ROWID",
        'CREATE INDEX "local_imported_was" ON "local_imported" ("was")',
        # The runner's own: no part of a record, so no part of the deriva-ml schema.
        'CREATE TABLE "local_catalog" ("id" TEXT NOT NULL)',
        'CREATE TABLE "local_run" ("execution" TEXT PRIMARY KEY REFERENCES "Execution" ("RID"), "folder" TEXT,'
        ' "host" TEXT NOT NULL, "pid" INTEGER NOT NULL, "started" REAL NOT NULL, "lock" TEXT, "started_by" TEXT)',
        'CREATE TABLE "local_staged" ("number" INTEGER PRIMARY KEY AUTOINCREMENT, "execution" TEXT NOT NULL'
        ' REFERENCES "Execution" ("RID"), "table" TEXT NOT NULL, "filename" TEXT NOT NULL, "path" TEXT NOT NULL,'
        ' "types" TEXT NOT NULL, "description" TEXT NOT NULL)',
        'CREATE INDEX "local_staged_execution" ON "local_staged" ("execution")',
        # What can be asked of many executions; see ``catalog.summaries``.
        'CREATE TABLE "local_setting" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "kind" TEXT NOT NULL,'
        ' "name" TEXT NOT NULL, "value", "json" TEXT NOT NULL, PRIMARY KEY ("execution", "kind", "name")) WITHOUT ROWID',
        'CREATE INDEX "local_setting_name" ON "local_setting" ("name", "value")',
        'CREATE TABLE "local_metric" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "name" TEXT NOT NULL,'
        ' "last", "last_step", "least", "least_step", "greatest", "greatest_step",'
        ' PRIMARY KEY ("execution", "name")) WITHOUT ROWID',
        'CREATE INDEX "local_metric_name" ON "local_metric" ("name", "last")',
        'CREATE TABLE "local_unread" ("execution" TEXT PRIMARY KEY REFERENCES "Execution" ("RID")) WITHOUT ROWID',
        # Its notes about other catalogs; see ``catalog.journal``.
        'CREATE TABLE "local_destination" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "host" TEXT NOT'
        ' NULL, "catalog" TEXT NOT NULL, "credential" TEXT, "held" INTEGER NOT NULL,'
        ' "changes" INTEGER NOT NULL DEFAULT 1, "pushed" INTEGER NOT'
        ' NULL DEFAULT 0, UNIQUE ("execution", "host", "catalog"))',
        'CREATE INDEX "local_destination_pending" ON "local_destination" ("execution") WHERE "changes" > "pushed"',
        'CREATE TABLE "local_remote" ("local" TEXT NOT NULL, "host" TEXT NOT NULL, "catalog" TEXT NOT NULL, "remote"'
        ' TEXT NOT NULL, "url" TEXT, "stored" INTEGER NOT NULL, PRIMARY KEY ("local", "host", "catalog")) WITHOUT ROWID',
        'CREATE INDEX "local_remote_remote" ON "local_remote" ("remote")',
        'CREATE TABLE "local_input" ("execution" TEXT NOT NULL REFERENCES "Execution" ("RID"), "host" TEXT NOT NULL,'
        ' "catalog" TEXT NOT NULL, "table" TEXT NOT NULL, "rid" TEXT NOT NULL, "version_rid" TEXT,'
        ' UNIQUE ("execution", "host", "catalog", "table", "rid"))',
        'CREATE INDEX "local_input_rid" ON "local_input" ("rid")',
        'CREATE TABLE "local_columns" ("staged" INTEGER PRIMARY KEY, "asset" TEXT, "values" TEXT NOT NULL)',
        'CREATE INDEX "local_columns_asset" ON "local_columns" ("asset")',
    ]
