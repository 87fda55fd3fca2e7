"""A dataset's name means the same content in every clone, by a file that people commit, merge and edit."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from datasets.conftest import Put
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.protocol import Source
from deriva_ml.dataset import DatasetSpec, DatasetSpecConfig
from deriva_ml.datasets import changes
from deriva_ml.datasets.names import FILE, Named, found, read, write
from deriva_ml.definitions import RID
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project


@pytest.fixture
def pets(catalog: EmbeddedCatalog, put: Put) -> RID:
    """A dataset with two versions, and a working state."""
    with changes.recorded(catalog, "deriva-ml-dataset", "") as execution:
        rid = changes.create(catalog, execution, "pets", [put("a.png")], version="1.0.0")
        changes.add(catalog, execution, rid, [put("b.png")])
        changes.release(catalog, execution, rid)
        changes.add(catalog, execution, rid, [put("c.png")])
    return rid


def resolved(catalog: Source, project: Project, spec: DatasetSpec) -> tuple[RID, str, str]:
    """What a specification means: RID, version and digest, which agree with what is found."""
    meant, dataset = found(spec, catalog, project)
    assert (meant.rid, meant.digest) == (dataset.rid, dataset.digest)
    return dataset.rid, dataset.version, dataset.digest


def test_a_name_means_a_version_the_newest_release_or_a_working_state(
    catalog: EmbeddedCatalog, pets: RID
) -> None:
    for version, meant in (("1.0.0", "1.0.0"), (None, "1.1.0"), ("1.2.0.dev1", "1.2.0.dev1")):
        rid, found_version, digest = resolved(
            catalog, catalog.project, DatasetSpec(name="pets", version=version)
        )
        assert (rid, found_version) == (pets, meant)
        assert digest == catalog.lookup_dataset(pets, meant).digest
    assert catalog.lookup_dataset(pets).digest not in (catalog.project.root / FILE).read_text()


def test_shorthand_and_configuration_take_names() -> None:
    assert DatasetSpec.from_shorthand("digits@1.0.0") == DatasetSpec(name="digits", version="1.0.0")
    assert DatasetSpec.from_shorthand("1-ABC@1.0.0") == DatasetSpec("1-ABC", "1.0.0")
    assert DatasetSpec.from_shorthand("DEMO-DATA") == DatasetSpec("DEMO-DATA")
    config = DatasetSpecConfig(name="digits", version="1.0.0")
    assert (config.name, config.rid) == ("digits", "")
    with pytest.raises(DerivaMLRequestError, match="by its rid or by its name"):
        DatasetSpec()


def test_a_clone_without_the_contents_says_how_to_get_them(
    catalog: EmbeddedCatalog, pets: RID, tmp_path: Path
) -> None:
    clone = Project(tmp_path / "clone")
    clone.root.mkdir()
    (clone.root / FILE).write_bytes((catalog.project.root / FILE).read_bytes())
    with closing(EmbeddedCatalog(clone)) as other:
        with pytest.raises(
            DerivaMLRequestError, match="pets 1.0.0 is not in this project's catalog.*import FILE"
        ):
            found(DatasetSpec(name="pets", version="1.0.0"), other, clone)
        with pytest.raises(DerivaMLRequestError, match="no dataset is called dogs; datasets.toml has pets"):
            found(DatasetSpec(name="dogs"), other, clone)


def test_in_a_clone_the_content_counts_and_not_the_rid(
    catalog: EmbeddedCatalog, pets: RID, put: Put, tmp_path: Path
) -> None:
    """An import may give another RID; somebody's dataset of that RID with another content is not meant."""
    clone = Project(tmp_path / "clone")
    clone.root.mkdir()
    (clone.root / FILE).write_bytes((catalog.project.root / FILE).read_bytes())
    with closing(EmbeddedCatalog(clone)) as other:
        file = other.add_file(tmp_path / "files" / "a.png")
        other.add_dataset("Strange", [], version="1.0.0", rid=pets)
        same = other.add_dataset("Pets", [file.rid], version="1.0.0")
        assert found(DatasetSpec(name="pets", version="1.0.0"), other, clone)[0].rid == same


def test_entries_of_others_are_kept_and_all_is_in_order(catalog: EmbeddedCatalog, pets: RID) -> None:
    colleague = Named("9-XYZ", {"1.10.0": "b" * 32, "1.9.0": "a" * 32}, {"deriva.example.org/3": "2-XYZ"})
    write(catalog.project, {**read(catalog.project), 'möbel "alt"'.replace('"', ""): colleague})
    with changes.recorded(catalog, "deriva-ml-dataset", "") as execution:
        changes.release(catalog, execution, pets)
        changes.create(catalog, execution, "birds")
    assert [*read(catalog.project)] == ["birds", "möbel alt", "pets"]
    assert read(catalog.project)["möbel alt"] == colleague
    assert [*read(catalog.project)["möbel alt"].versions] == ["1.9.0", "1.10.0"]
    with (
        pytest.raises(DerivaMLRequestError, match="has a dataset möbel alt already"),
        changes.recorded(catalog, "deriva-ml-dataset", "") as execution,
    ):
        changes.create(catalog, execution, "möbel alt")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[pets]\n<<<<<<< HEAD\nrid = 'X'\n=======\n", "merge conflict in line 2"),
        ("[pets\n", "cannot be read"),
        ("pets = 1\n", "the entry pets is no table"),
        ("[pets]\nrid = 1\n", "the entry pets has rid = 1"),
        ("[pets]\nversion = 'x'\n", "the entry pets has version, which"),
        ("[pets]\nversions = 'x'\n", "the entry pets has versions that are no table"),
        ('[pets]\nversions."1.0.0" = "x"\n', "the entry pets has a version 1.0.0"),
        ('[pets]\nversions."new" = "' + "a" * 32 + '"\n', "the entry pets has a version new"),
        ("['a/b']\n", "the entry a/b has a name that no dataset can have"),
        (b"\xff", "cannot be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_in_one_line(
    catalog: EmbeddedCatalog, text: str | bytes, why: str
) -> None:
    (catalog.project.root / FILE).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DerivaMLRequestError) as refused:
        read(catalog.project)
    assert why in str(refused.value) and FILE in str(refused.value) and "\n" not in str(refused.value)


def test_a_composed_configuration_means_the_same(catalog: EmbeddedCatalog, pets: RID) -> None:
    """Hydra gives a specification's fields as a mapping, those that nobody has given too."""
    from dataclasses import asdict

    from deriva_ml.execution.inputs import ExecutionConfiguration

    spec = DatasetSpec(name="pets", version="1.0.0")
    assert ExecutionConfiguration(datasets=[asdict(spec)]).datasets == [spec]


def test_a_digest_that_is_given_has_to_be_that_of_what_is_found(catalog: EmbeddedCatalog, pets: RID) -> None:
    digest = catalog.lookup_dataset(pets, "1.0.0").digest
    meant, _ = found(DatasetSpec(pets, "1.0.0", digest=digest), catalog, catalog.project)
    assert meant.digest == digest
    with pytest.raises(DerivaMLRequestError, match=f"1.1.0 has another manifest than {digest}: "):
        found(DatasetSpec(pets, "1.1.0", digest=digest), catalog, catalog.project)


def test_an_upload_notes_where_a_dataset_has_been_sent(
    catalog: EmbeddedCatalog, pets: RID, capsys: pytest.CaptureFixture[str]
) -> None:
    from deriva_ml.catalog.journal import Destination, Remote
    from deriva_ml.cli.upload import _note_names

    catalog.journal.note({pets: Remote("2-XYZ", stored=True)}, Destination("www.example.org", "3"))
    _note_names(catalog)
    assert read(catalog.project)["pets"].catalogs == {"www.example.org/3": "2-XYZ"}
    assert capsys.readouterr().out == f"commit {FILE}\n"
    _note_names(catalog)
    assert capsys.readouterr().out == ""


def test_an_rid_and_a_name_together_mean_one_dataset(catalog: EmbeddedCatalog, pets: RID, put: Put) -> None:
    """A record would name another dataset than the one that was read."""
    assert resolved(catalog, catalog.project, DatasetSpec(pets, "1.0.0", name="pets"))[0] == pets
    with pytest.raises(DerivaMLRequestError, match=f"dataset {pets} is called pets here, and not dogs"):
        found(DatasetSpec(pets, "1.0.0", name="dogs"), catalog, catalog.project)


def test_a_name_can_be_that_of_a_folder_with_more_added(catalog: EmbeddedCatalog) -> None:
    with changes.recorded(catalog, "deriva-ml-dataset", "") as execution:
        changes.create(catalog, execution, "a" * 200)
        for name in ("a" * 201, "é" * 101):
            with pytest.raises(DerivaMLRequestError, match="200 bytes at most"):
                changes.create(catalog, execution, name)
