"""The two generations of a DerivaML catalog, with the vocabulary terms that a real one starts with.

``tests/data/deriva/schema-*.json.gz`` are what ``GET /ermrest/catalog/N/schema`` answered for one of each.
"""

from __future__ import annotations

import copy
import gzip
import json
import re
from functools import cache
from pathlib import Path

from .auth import User
from .catalog import Catalog
from .inputs import Input
from .model import Document
from .mutation import insert
from .values import Stored

DATA = Path(__file__).parent.parent / "data" / "deriva"
_ASSET_ROLES = {"Input": "What an execution reads", "Output": "What an execution makes"}
_ASSET_TYPES = {
    "Execution_Config": "Configuration of an execution",
    "Runtime_Env": "The environment of an execution",
    "Execution_Metadata": "Facts about an execution",
    "Execution_Asset": "A file made by an execution",
    "File": "A file that is not in the object store",
    "Input_File": "A file that an execution reads",
    "Output_File": "A file that an execution writes",
    "Model_File": "A model",
    "Notebook_Output": "An executed notebook",
}
_OLD = {
    "Asset_Role": _ASSET_ROLES,
    "Asset_Type": _ASSET_TYPES,
    "Dataset_Type": {"File": "A dataset of files"},
}
_HEAD = {
    "Asset_Role": _ASSET_ROLES,
    "Asset_Type": {
        **_ASSET_TYPES,
        "Hydra_Config": "Hydra's configuration of an execution",
        "Deriva_Config": "Datasets, assets and workflow of an execution",
        "Metrics_File": "Metrics by step",
    },
    "Dataset_Type": {
        "Complete": "All records of a kind",
        "File": "A dataset of files",
        "Directory": "A dataset that mirrors a folder",
        "Training": "A dataset to train with",
        "Testing": "A dataset to test with",
        "Validation": "A dataset to validate with",
        "Split": "A dataset of datasets",
        "Labeled": "Records with labels",
        "Unlabeled": "Records without labels",
    },
    "Workflow_Type": {
        "Training": "Trains a model",
        "Testing": "Evaluates a model",
        "Prediction": "Applies a model",
        "Feature_Creation": "Makes features",
        "Visualization": "Draws",
        "Analysis": "Analyses without training",
        "Ingest": "Brings data in",
        "Data_Cleaning": "Cleans data",
        "Dataset_Management": "Makes or changes datasets",
    },
    "Execution_Status": {
        "Created": "Recorded, not begun",
        "Running": "Under way",
        "Stopped": "Ended, its outputs not uploaded",
        "Failed": "Ended with an error",
        "Pending_Upload": "Its outputs wait to be uploaded",
        "Uploaded": "Ended, its outputs uploaded",
        "Aborted": "Given up",
    },
}


@cache
def _document(generation: str) -> str:
    return gzip.decompress((DATA / f"schema-{generation}.json.gz").read_bytes()).decode()


def document(generation: str, identifier: str) -> Document:
    """The schema document of a generation, for a catalog of that id."""
    read: Document = json.loads(re.sub(r"(?<=/recordset/#)\d+", identifier, _document(generation)))
    return read


def bare_document() -> Document:
    """The schema document of a catalog that was just created."""
    bare = document("1.17.10", "")
    public = copy.deepcopy(bare["schemas"]["public"])
    public["acls"] = {}
    for table in public["tables"].values():
        table["annotations"], table["acls"], table["acl_bindings"] = {}, {}, {}
        for column in table["column_definitions"]:
            column["annotations"] = {}
    bare["schemas"] = {"public": public}
    bare["annotations"] = {
        "tag:isrd.isi.edu,2018:indexing-preferences": {"trgm": True, "btree": True, "gin_array": True}
    }
    bare["acls"] = {
        access: []
        for access in ("owner", "create", "insert", "delete", "write", "enumerate", "update", "select")
    }
    return bare


def plant(catalog: Catalog, generation: str) -> None:
    """Give a catalog what one of its generation starts with: terms and, in ``head``, rows for unknown provenance."""
    admin = User("admin", frozenset({"admin"}))
    with catalog.transaction(admin):
        for vocabulary, terms in (_HEAD if generation == "head" else _OLD).items():
            rows: Input = [{"Name": name, "Description": text} for name, text in terms.items()]
            _insert(catalog, admin, vocabulary, rows, {"ID", "URI"})
        if generation == "head":
            workflow = {
                "Name": "Unknown Provenance",
                "URL": "tag:deriva-ml,unknown-provenance:workflow",
                "Checksum": "0" * 40,
            }
            identifier = _insert(catalog, admin, "Workflow", [workflow])
            file = {"URL": "tag:deriva-ml,unknown-provenance:file", "MD5": "0" * 32, "Length": 0}
            _insert(catalog, admin, "File", [file])
            execution = {"Workflow": identifier, "Description": "Unknown provenance", "Status": "Aborted"}
            _insert(catalog, admin, "Execution", [execution])


def _insert(
    catalog: Catalog, user: User, table: str, rows: Input, defaults: frozenset[str] | set[str] = frozenset()
) -> Stored:
    """Insert rows of the deriva-ml schema; the first one's RID."""
    found = insert(
        catalog, user, catalog.model.tables["deriva-ml", table], rows, set(defaults), set(), skip=False
    )
    return dict(zip([name for name, _ in found.columns], found.values[0], strict=True))["RID"]
