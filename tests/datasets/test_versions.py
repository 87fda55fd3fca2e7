"""A dataset's versions: what is in each, how they are numbered, and that none of them ever changes."""

from __future__ import annotations

import hashlib

import pytest

from datasets.conftest import Put
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Dataset, Member
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.manifest import parse


def paths(dataset: Dataset) -> list[str]:
    """Where the files of a dataset are in it."""
    return [row["Path"] for row in dataset.members["File"]]


def test_a_version_has_what_was_in_it_when_it_was_made(catalog: EmbeddedCatalog, put: Put) -> None:
    pets = catalog.add_dataset("Pets", [put("cat/1.png"), put("dog/1.png")], version="1.0.0", name="pets")
    assert catalog.change_dataset(pets, [put("cat/2.png")], ["dog/1.png"]) == "1.1.0.dev1"
    assert catalog.change_dataset(pets, [put("cat/1.png", "better")]) == "1.1.0.dev2"
    assert catalog.release_dataset(pets, "minor", "Corrected") == "1.1.0"
    assert paths(catalog.lookup_dataset(pets, "1.0.0")) == ["cat/1.png", "dog/1.png"]
    assert paths(catalog.lookup_dataset(pets, "1.1.0.dev1")) == ["cat/1.png", "cat/2.png"]
    old, new = (catalog.lookup_dataset(pets, one).members["File"][0]["MD5"] for one in ("1.0.0", "1.1.0"))
    assert (old, new) == (hashlib.md5(b"text").hexdigest(), hashlib.md5(b"better").hexdigest())
    assert catalog.lookup_dataset(pets).version == "1.1.0"
    assert [one.version for one in catalog.dataset_versions(pets)] == [
        "1.1.0",
        "1.1.0.dev2",
        "1.1.0.dev1",
        "1.0.0",
    ]


def test_a_file_may_be_at_two_paths_of_a_dataset(catalog: EmbeddedCatalog, put: Put) -> None:
    one, other = put("a/__init__.py", ""), put("b/__init__.py", "")
    assert one.file == other.file
    dataset = catalog.lookup_dataset(catalog.add_dataset("Code", [one, other]))
    assert paths(dataset) == ["a/__init__.py", "b/__init__.py"]


def test_a_nested_dataset_stays_at_the_version_that_was_nested(catalog: EmbeddedCatalog, put: Put) -> None:
    inner = catalog.add_dataset("Inner", [put("x.csv")], version="1.0.0", name="inner")
    outer = catalog.add_dataset("Outer", [], version="1.0.0", nested=[inner])
    catalog.change_dataset(inner, [put("y.csv")])
    catalog.delete_dataset(outer)
    [child] = catalog.lookup_dataset(outer, "1.0.0").nested
    assert (child.version, child.folder, paths(child)) == ("1.0.0", "inner", ["x.csv"])
    with pytest.raises(DerivaMLRequestError, match=f"dataset {outer} has been deleted"):
        catalog.lookup_dataset(outer)


def test_the_numbers_count_up_from_the_last_release_and_none_comes_twice(
    catalog: EmbeddedCatalog, put: Put
) -> None:
    data = catalog.add_dataset("Data", [put("a")])
    assert catalog.dataset_versions(data)[0].version == "0.1.0"
    assert catalog.change_dataset(data, [put("b")]) == "0.2.0.dev1"
    assert catalog.release_dataset(data, "patch") == "0.1.1"
    assert catalog.change_dataset(data, [put("c")]) == "0.2.0.dev2"
    assert catalog.release_dataset(data, "major") == "1.0.0"
    with pytest.raises(DerivaMLRequestError, match=r"nothing has changed .* since 1\.0\.0"):
        catalog.release_dataset(data)
    with pytest.raises(
        DerivaMLRequestError, match="'huge' is no part of a version: give major, minor or patch"
    ):
        catalog.release_dataset(data, "huge")


def test_equal_contents_have_equal_digests_in_every_catalog(catalog: EmbeddedCatalog, put: Put) -> None:
    """A manifest names what lies at each path, and nothing else."""
    inner = catalog.add_dataset("Inner", [put("é.csv", "12")], version="1.0.0", name="inner")
    outer = catalog.add_dataset("Outer", [put("a.txt", "")], version="2.0.0", nested=[inner])
    [state] = catalog.dataset_versions(outer)
    text = "".join(catalog.manifest(state.rid))
    assert text == (
        '{"length":0,"md5":"d41d8cd98f00b204e9800998ecf8427e","path":"a.txt"}\n'
        f'{{"dataset":"{catalog.lookup_dataset(inner).digest}","path":"inner","version":"1.0.0"}}\n'
    )
    assert state.digest == hashlib.md5(text.encode()).hexdigest()
    assert (state.files, state.bytes) == (2, 2)
    assert [(entry.path, entry.version) for entry in parse(text)] == [("a.txt", ""), ("inner", "1.0.0")]
    assert catalog.find_dataset_by_digest(state.digest, "2.0.0") == (outer, "2.0.0")
    again = catalog.add_dataset("The same", [put("a.txt", "")], version="1.0.0", nested=[inner])
    assert catalog.lookup_dataset(again).digest == state.digest


@pytest.mark.parametrize(
    ("add", "remove", "refusal"),
    [
        (["a/b.txt/c"], [], r"a/b\.txt would be a member of dataset \S+, and a folder"),
        (["a"], [], "a would be a member of dataset"),
        (["../x"], [], r"'\.\./x' cannot be a path in a dataset"),
        (["/x"], [], "'/x' cannot be a path"),
        ([], ["nope"], "there is no nope in dataset"),
        (["a/b.txt"], [], "nothing changes in dataset"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    catalog: EmbeddedCatalog, put: Put, add: list[str], remove: list[str], refusal: str
) -> None:
    member = put("a/b.txt")
    data = catalog.add_dataset("Data", [member], version="1.0.0")
    with pytest.raises(DerivaMLRequestError, match=refusal):
        catalog.change_dataset(data, [Member(path, member.file) for path in add], remove)
    assert [one.version for one in catalog.dataset_versions(data)] == ["1.0.0"]
    assert paths(catalog.lookup_dataset(data)) == ["a/b.txt"]


def test_a_dataset_never_contains_itself(catalog: EmbeddedCatalog) -> None:
    inner = catalog.add_dataset("Inner", [], name="inner")
    outer = catalog.add_dataset("Outer", [], nested=[inner])
    [state] = catalog.dataset_versions(outer)
    with pytest.raises(
        DerivaMLRequestError, match=f"dataset {inner} would contain itself, by way of {outer}"
    ):
        catalog.change_dataset(inner, [Member("outer", nested=state.rid)])
    with pytest.raises(DerivaMLRequestError, match=f"dataset {inner} is part of {outer}"):
        catalog.delete_dataset(inner)


def test_a_name_is_taken_once(catalog: EmbeddedCatalog) -> None:
    pets = catalog.add_dataset("Pets", [], name="pets")
    with pytest.raises(DerivaMLRequestError, match=rf"there is a dataset pets already \({pets}\)"):
        catalog.add_dataset("Others", [], name="pets")
    assert len(catalog.find_datasets()) == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"length":1,"md5":"d41d8cd98f00b204e9800998ecf8427e","path":"../x"}\n',
        '{"md5":"d41d8cd98f00b204e9800998ecf8427e","length":1,"path":"x"}\n',
        '{"length":1,"md5":"../../../../../../../../etc/passwd","path":"x"}\n',
        '{"length":-1,"md5":"d41d8cd98f00b204e9800998ecf8427e","path":"x"}\n',
        '{"length":1,"md5":"d41d8cd98f00b204e9800998ecf8427e","path":"x"}\n' * 2,
        "[]\n",
        "{",
    ],
)
def test_a_manifest_from_elsewhere_is_read_with_care(text: str) -> None:
    with pytest.raises(ValueError, match="no manifest"):
        parse(text)
