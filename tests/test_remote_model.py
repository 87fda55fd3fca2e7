"""A catalog's schema document is read for what is there, whichever generation of deriva-ml made it."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.definitions import ForeignKey
from deriva_ml.deriva.model import Association, Model
from deriva_ml.exceptions import DerivaMLRequestError
from domain_schema import DOMAIN

DATA = Path(__file__).parent / "data" / "deriva"


def document(generation: str) -> dict[str, Any]:
    """What a real server answered for /schema of a catalog of a generation, with a domain's schema added."""
    read: dict[str, Any] = json.loads(gzip.decompress((DATA / f"schema-{generation}.json.gz").read_bytes()))
    read["schemas"]["lab"] = copy.deepcopy(DOMAIN)
    return read


@pytest.fixture(scope="module", params=["head", "1.17.10"])
def generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(generation: str) -> Model:
    return Model(document(generation))


def test_generations_are_told_apart_by_what_is_there() -> None:
    old, new = Model(document("1.17.10")), Model(document("head"))
    for name in (
        "workflow_types_are_rows",
        "statuses_are_terms",
        "executions_nest",
        "dataset_versions_are_linked",
    ):
        assert (getattr(old, name), getattr(new, name)) == (False, True), name
    assert old.has("Execution", "Duration") and not new.has("Execution", "Duration")
    assert new.has("Execution", "Upload_Duration") and not old.has("Execution", "Upload_Duration")


def test_a_document_is_believed_and_not_its_age() -> None:
    """Part of a newer generation in an older one counts: catalogs are brought up to date table by table."""
    mixed = document("1.17.10")
    newer = document("head")["schemas"]["deriva-ml"]["tables"]
    mixed["schemas"]["deriva-ml"]["tables"]["Execution_Execution"] = newer["Execution_Execution"]
    assert Model(mixed).executions_nest and not Model(mixed).statuses_are_terms


def test_tables_are_named_for_requests(model: Model) -> None:
    assert model.qualified("Execution_Asset") == "deriva-ml:Execution_Asset"
    assert model.qualified("Scan Image") == "lab:Scan%20Image", "a name is quoted, whatever is in it"
    assert model.qualified("ERMrest_RID_Lease") == "public:ERMrest_RID_Lease"
    with pytest.raises(DerivaMLRequestError, match="^the catalog has no table Imgae$"):
        model.qualified("Imgae")


def test_a_name_that_two_schemas_use_is_that_of_the_deriva_ml_table(model: Model) -> None:
    assert (model.qualified("File"), model.qualified("WWW:File")) == ("deriva-ml:File", "WWW:File")
    assert model.qualified("deriva-ml:File") == "deriva-ml:File"
    assert [model.name_of(schema, "File") for schema in ("deriva-ml", "WWW")] == ["File", "WWW:File"]


def test_only_what_deriva_ml_has_counts_as_its_own(model: Model) -> None:
    assert model.has("Execution") and model.has("Execution", "Status")
    assert not model.has("Subject") and not model.has("Execution", "Mood") and not model.has("Mood")


def test_asset_tables_are_those_of_files_that_executions_are_joined_to(model: Model) -> None:
    """Also a domain's own; a file of a web page is none, though it has the columns of one."""
    assert sorted(model.asset_tables) == ["Execution_Asset", "Execution_Metadata", "File", "Scan Image"]
    assert {*model.file_tables} == {*model.asset_tables, "WWW:File", "Page"}


def test_what_joins_two_tables_is_found_in_any_schema(model: Model) -> None:
    assert model.association("File", "Execution") == Association(
        "File_Execution", "File", "Execution", "Execution", "RID"
    )
    assert model.association("Scan Image", "Asset_Type") == Association(
        "Scan Image_Asset_Type", "Scan Image", "Asset_Type", "Asset_Type", "Name"
    )
    assert model.association("Subject", "Execution") is None
    assert model.association("WWW:File", "Execution") is None, "that is another table's"


def test_members_of_datasets_may_be_of_every_kind_that_is_joined_to_them(model: Model) -> None:
    """Files and a domain's own tables; no nested dataset, no execution, no type, and no row that has a text on both."""
    assert {link.other: link for link in model.member_tables} == {
        "File": Association("Dataset_File", "Dataset", "File", "File", "RID"),
        "Scan Image": Association("Dataset_Scan Image", "Dataset", "Scan Image", "Scan Image", "RID"),
        "Subject": Association("Dataset_Subject", "Dataset", "Subject", "Subject", "RID"),
    }


def test_members_are_found_by_what_joins_them_and_not_by_its_name(generation: str) -> None:
    changed = document(generation)
    tables = changed["schemas"]["lab"]["tables"]
    tables["Enrolment"] = {**tables.pop("Dataset_Subject"), "table_name": "Enrolment"}
    assert "Enrolment" in [link.table for link in Model(changed).member_tables]


def test_references_have_all_their_columns_and_leave_out_the_servers_own(model: Model) -> None:
    assert model.references("Subject") == [
        ForeignKey(("Country", "Site"), "Site", ("Country", "Code")),
        ForeignKey(("Species",), "Species", ("Name",)),
        ForeignKey(("Mother",), "Subject", ("RID",)),
        ForeignKey(("Last_Visit",), "Visit", ("RID",)),
    ]
    assert model.references("Execution")[0] == ForeignKey(("Workflow",), "Workflow", ("RID",))
    assert model.references("File") == [], "who made a row is no part of the data"


def test_what_may_not_be_read_is_not_referred_to(generation: str) -> None:
    """Neither a table that the server says so of, nor one that it does not even show."""
    changed = document(generation)
    tables = changed["schemas"]["lab"]["tables"]
    tables["Site"]["rights"] = {"select": False, "insert": False}
    del tables["Species"]
    assert [one.table for one in Model(changed).references("Subject")] == ["Subject", "Visit"]


def test_rights_are_those_that_the_server_gives_the_one_who_asks(generation: str) -> None:
    changed = document(generation)
    tables = changed["schemas"]["deriva-ml"]["tables"]
    tables["Workflow"]["rights"]["insert"] = False
    tables["Dataset"]["rights"]["insert"] = None  # it depends on the row
    del tables["File"]["rights"]
    columns = {column["name"]: column for column in tables["Execution"]["column_definitions"]}
    columns["RCT"]["rights"]["insert"] = False
    model = Model(changed)
    allowed = {
        name: model.may(name, "insert") is not False
        for name in ("Workflow", "Dataset", "File", "ERMrest_RID_Lease")
    }
    assert allowed == {"Workflow": False, "Dataset": True, "File": True, "ERMrest_RID_Lease": True}
    assert model.may("Execution", "insert", "RCT") is False
    assert model.may("Execution", "insert", "RID") is not False


def test_a_catalog_without_deriva_ml_is_read_too(generation: str) -> None:
    bare = document(generation)
    del bare["schemas"]["deriva-ml"]
    model = Model(bare)
    assert not model.has("Execution") and model.asset_tables == {} and model.member_tables == []
