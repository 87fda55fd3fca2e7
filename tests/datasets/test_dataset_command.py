"""``deriva-ml-dataset`` does what it says: datasets of a person's files, their versions, and what is wrong in one line."""

from __future__ import annotations

import json
import os
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.cli.dataset import main
from deriva_ml.definitions import Status
from deriva_ml.project import Project


class Said(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


Type = Callable[..., Said]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder, which is the current one, with pictures beside it."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pyproject.toml").touch()
    monkeypatch.chdir(root)
    rows = ["picture,species,animal"]
    for species in ("cat", "dog"):
        (root / "pictures" / species).mkdir(parents=True)
        for n in range(8):
            (root / "pictures" / species / f"{n}.png").write_bytes(f"{species}{n}".encode())
            rows.append(f"{species}/{n}.png,{species},{species}{n // 2}")
    (root / "pictures" / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def type_(project: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    """Type a command; a line of the text is its arguments, parted by blanks."""

    def type_(text: str, *others: str) -> Said:
        try:
            status = main([*text.split(), *others])
        except SystemExit as end:  # argparse's
            status = int(str(end.code))
        return Said(status, *capsys.readouterr())

    return type_


@pytest.fixture
def pets(type_: Type) -> Said:
    """The dataset ``pets`` of the pictures."""
    said = type_("create pets pictures --type Training --description", "Pictures of pets")
    assert said.status == 0, said.err
    return said


def catalog_of(project: Path) -> EmbeddedCatalog:
    return EmbeddedCatalog(Project(project))


def paths(type_: Type, name: str) -> list[str]:
    return [one["path"] for one in json.loads(type_(f"show {name} --json").out)["members"]]


def refused(said: Said, words: str) -> None:
    """One line says what is wrong, and nothing else was said."""
    assert said.status == 2
    assert said.out == ""
    [line] = said.err.splitlines()
    assert line.startswith("error: ")
    assert words in line


# ------------------------------------------------------------------------------------------------ making and changing
def test_a_folder_becomes_a_dataset(type_: Type, pets: Said, project: Path) -> None:
    """Its files at their paths, released as 1.0.0, named in the file that is committed; the end says what came of it."""
    line, commit = pets.out.splitlines()
    assert line.startswith("pets 1.0.0: 17 files, ")
    assert commit == "commit datasets.toml"
    shown = json.loads(type_("show pets --json").out)
    assert {"labels.csv", "cat/0.png", "dog/7.png"} < {one["path"] for one in shown["members"]}
    assert shown["types"] == ["Training"]
    assert shown["tables"] == ["labels.csv"]
    assert shown["dataset"] == line.rpartition(" ")[2]
    entry = tomllib.loads((project / "datasets.toml").read_text())["pets"]
    assert entry == {"rid": shown["dataset"], "versions": {"1.0.0": shown["digest"]}}


def test_a_change_makes_a_working_state_and_a_release_a_version(
    type_: Type, pets: Said, project: Path
) -> None:
    """What 1.0.0 has stays; what is added lies where the folder has it."""
    (project / "pictures" / "labels.csv").write_text("picture,species,animal\n")
    (project / "pictures" / "cat" / "new.png").write_text("new")
    said = type_("add pets pictures/labels.csv pictures/cat/new.png -m Correction")
    assert said.out.startswith("pets 1.1.0.dev1: 18 files")
    assert "commit" not in said.out
    assert type_("remove pets cat/0.png dog").out.startswith("pets 1.1.0.dev2: 9 files")
    said = type_("release pets -m", "A correction")
    assert said.out.startswith("pets 1.1.0: 9 files")
    assert said.out.endswith("commit datasets.toml\n")
    assert type_("release pets major -m again").status == 2
    assert len(paths(type_, "pets@1.0.0")) == 17
    assert "cat/new.png" in paths(type_, "pets")
    history = json.loads(type_("history pets --json").out)
    assert [one["version"] for one in history] == ["1.1.0", "1.1.0.dev2", "1.1.0.dev1", "1.0.0"]
    assert [one["description"] for one in history][::2] == ["A correction", "Correction"]
    versions = tomllib.loads((project / "datasets.toml").read_text())["pets"]["versions"]
    assert versions == {one["version"]: one["digest"] for one in history if one["released"]}


def test_each_change_is_an_execution(type_: Type, pets: Said, project: Path) -> None:
    """By which command, and that it came to its end."""
    type_("remove pets dog")
    type_("delete pets --yes")
    with closing(catalog_of(project)) as catalog:
        [*records] = catalog.select_executions(Criteria())
    assert [one.description for one in records] == [
        "Delete the dataset pets",
        "Remove from pets",
        "Make the dataset pets",
    ]
    assert {one.status for one in records} == {Status.uploaded}
    assert {one.started_by for one in records} == {"deriva-ml-dataset"}


def test_what_is_removed_may_be_a_pattern(type_: Type, pets: Said) -> None:
    """Of files, or of folders."""
    for patterns, left in [
        ("dog/[0-3].png labels.csv", 12),
        ("**/7.png", 10),
        ("*/6.png", 8),
        ("cat/ dog/5.png", 1),
        ("d*", 0),
    ]:
        assert type_(f"remove pets {patterns}").status == 0
        assert len(paths(type_, "pets")) == left


def test_datasets_are_parts_of_others_at_a_version(type_: Type, pets: Said) -> None:
    """In a folder of their name; another version takes its place."""
    assert type_("create all").out.startswith("all 0.1.0: 0 files")
    type_("remove pets dog")
    assert type_("nest all pets@1.0.0").out.startswith("all 0.2.0.dev1: 17 files")
    assert "pets/dog/0.png" in paths(type_, "all")
    assert type_("nest all pets").out.startswith("all 0.2.0.dev2: 9 files")
    assert json.loads(type_("show all --json").out)["nested"][0]["version"] == "1.1.0.dev1"
    refused(type_("nest pets all"), "would contain itself")
    refused(type_("delete pets --yes"), "is part of")


def test_a_deleted_dataset_stays_readable(type_: Type, pets: Said) -> None:
    """By its RID, since records name it; delete asks first."""
    rid = pets.out.splitlines()[0].rpartition(" ")[2]
    refused(type_("delete pets"), "there is no terminal: give --yes")
    assert type_("delete pets --yes").out == f"pets is deleted; its versions stay readable as {rid}@VERSION\n"
    assert type_("list").out.startswith("no dataset is here yet")
    assert len(paths(type_, f"{rid}@1.0.0")) == 17
    assert [one["rid"] for one in json.loads(type_("list --all --json").out)] == [rid]
    refused(type_(f"add {rid} pictures"), "has been deleted")


def test_a_wrong_request_is_one_line_and_leaves_nothing(type_: Type, pets: Said, project: Path) -> None:
    """Neither a dataset, nor a state of one, nor an execution, nor a line of the file of names."""
    (project / "empty").mkdir()
    (project / "leads").mkdir()
    (project / "leads" / "out").symlink_to("/etc/passwd")

    def recorded() -> object:
        with closing(catalog_of(project)) as catalog:
            states = [catalog.dataset_versions(one.rid) for one in catalog.find_datasets(deleted=True)]
            return (
                states,
                [one.rid for one in catalog.select_executions(Criteria())],
                (project / "datasets.toml").read_text(),
            )

    before = recorded()
    for typed, words in WRONG:
        refused(type_(typed), words)
        assert recorded() == before, typed


WRONG = [
    ("create pets pictures", "already"),
    ("create a/b pictures", "cannot name a dataset"),
    ("create PETS pictures", "cannot name a dataset"),
    ("create others nowhere", "nowhere is not there"),
    ("create others pictures/cat/0.png pictures/dog/0.png", "two files would be 0.png"),
    ("create others pictures --into ../a", "cannot be a folder in a dataset"),
    ("create others empty", "there is no file in empty"),
    ("create others leads", "leads out of"),
    ("add nothing pictures", "no dataset is called nothing"),
    ("add pets pictures", "nothing changes"),
    ("add pets@1.0.0 pictures", "a version never changes"),
    ("remove pets nothing", "there is no nothing"),
    ("remove pets *.jpg", "no path in the dataset fits *.jpg"),
    ("nest pets pets", "would contain itself"),
    ("release pets -m text", "nothing has changed"),
    ("show pets@9.0.0", "pets has no version 9.0.0; it has 1.0.0"),
    ("show 1-AAAA-AAAA", "there is no dataset 1-AAAA-AAAA"),
    ("diff pets 2.0.0", "pets has no version 2.0.0"),
    ("split pets --fractions 0.8,0.3", "sum to 1.1"),
    ("split pets --fractions 0.99,0.01", "would be empty"),
    (
        "split pets --fractions 0.5,0.5 --by colour",
        "no table of pets 1.0.0 has a column colour; labels.csv has",
    ),
    ("split pets --fractions 0.5,0.5 --names pets,others", "already"),
    ("split pets --fractions 0.5,0.5 --names one", "2 different names"),
]


def test_an_incomplete_line_is_refused(type_: Type) -> None:
    """With the usage."""
    for typed in ("", "create", "add pets", "release pets", "split pets", "release pets huge -m x"):
        said = type_(typed)
        assert said.status == 2
        assert "usage: deriva-ml-dataset" in said.err


def test_an_interruption_loses_nothing(type_: Type, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with its status and one line; no dataset is there, and a second call makes it."""
    from deriva_ml.datasets import changes

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(changes, "create", interrupted)
        said = type_("create pets pictures")
    assert (said.status, said.out, said.err.splitlines()[-1]) == (130, "", "interrupted")
    assert not (project / "datasets.toml").exists()
    assert type_("create pets pictures").status == 0


# ------------------------------------------------------------------------------------------------------------- looking
def test_list_and_show_say_what_there_is(type_: Type, pets: Said) -> None:
    """As tables, and as JSON for programs."""
    type_("create others pictures/labels.csv")
    names = [line.split()[0] for line in type_("list").out.splitlines()]
    assert names == ["name", "others", "pets"]
    assert type_("list -n 1").out.endswith("... and more; -n 0 shows all\n")
    shown = type_("show pets -n 2").out
    assert "files:       17 files" in shown
    assert "tables:      labels.csv" in shown
    assert "cat/1.png" in shown
    assert "cat/2.png" not in shown
    assert shown.endswith("... and more; -n 0 shows all\n")
    assert "Pictures of pets" in type_("history pets").out


def test_diff_says_what_differs(type_: Type, pets: Said, project: Path) -> None:
    """Which files came, went and changed, their sizes, and the first lines that differ."""
    labels = project / "pictures" / "labels.csv"
    labels.write_text(labels.read_text().replace("cat/3.png,cat", "cat/3.png,dog"))
    (project / "pictures" / "cat" / "new.png").write_text("new")
    type_("add pets pictures")
    type_("remove pets dog/0.png")
    type_("release pets -m Correction")
    said = type_("diff pets 1.0.0 1.1.0").out.splitlines()
    assert [line.split()[:2] for line in said[1:4]] == [
        ["added", "cat/new.png"],
        ["removed", "dog/0.png"],
        ["changed", "labels.csv"],
    ]
    assert said[4:] == ["labels.csv:", "  5 - cat/3.png,cat,cat1", "  5 + cat/3.png,dog,cat1"]
    found = json.loads(type_("diff pets 1.0.0 --json").out)
    assert found["versions"] == ["1.0.0", "1.1.0"]
    assert [one["what"] for one in found["changes"]] == ["added", "removed", "changed"]
    assert type_("diff pets 1.1.0").out == "pets 1.1.0 and 1.1.0 have the same files\n"


def test_export_writes_the_files(type_: Type, pets: Said, project: Path) -> None:
    """At their paths, into a folder or a ZIP file; never over something."""
    assert type_("export pets@1.0.0 copy").out.startswith("pets 1.0.0: 17 files")
    assert (project / "copy" / "cat" / "0.png").read_bytes() == b"cat0"
    assert type_("export pets pets.zip").status == 0
    with zipfile.ZipFile("pets.zip") as file:
        assert "dog/7.png" in file.namelist()
    refused(type_("export pets copy"), "copy")


def test_verify_finds_what_is_lost_or_damaged(type_: Type, pets: Said, project: Path) -> None:
    """Contents and what a version says; the status is 1."""
    said = type_("verify")
    assert said.status == 0
    assert said.out.startswith("17 contents (")
    members = {one["path"]: one["md5"] for one in json.loads(type_("show pets --json").out)["members"]}
    with closing(catalog_of(project)) as catalog:
        lost, damaged = (catalog.objects.path(members[one]) for one in ("cat/0.png", "cat/1.png"))
    lost.unlink()
    os.chmod(damaged, 0o600)
    damaged.write_text("dog1")
    said = type_("verify pets")
    assert said.status == 1
    assert [line.split()[2:4] for line in said.out.splitlines()[2:]] == [
        ["cat/0.png", "missing"],
        ["cat/1.png", "damaged"],
    ]
    assert said.err.startswith("error: not all is as it was recorded")
    with closing(catalog_of(project)) as catalog:
        catalog.database.query(
            'UPDATE "local_member" SET "path" = ? WHERE "path" = ?', "cat/x.png", "cat/2.png"
        )
    found = json.loads(type_("verify --json").out)
    assert "the digest of what is in it is" in found["problems"][0]["how"]


# ------------------------------------------------------------------------------------------------------------ dividing
def rows_of(type_: Type, name: str, project: Path) -> list[str]:
    """The rows of the table of labels that a dataset has."""
    [row] = [
        one for one in json.loads(type_(f"show {name} --json").out)["members"] if one["path"] == "labels.csv"
    ]
    with closing(catalog_of(project)) as catalog:
        return catalog.objects.path(row["md5"]).read_text().splitlines()[1:]


def test_a_split_has_its_files_and_their_rows(type_: Type, pets: Said, project: Path) -> None:
    """Each part is a dataset, released, of a type; the table that names the files has in each the rows of its files."""
    said = type_("split pets --fractions 0.75,0.25 --by species").out.splitlines()
    assert [line.split(",")[0] for line in said] == [
        "pets-train 1.0.0: 13 files",
        "pets-test 1.0.0: 5 files",
        "commit datasets.toml",
    ]
    files = {
        name: [one for one in paths(type_, name) if one != "labels.csv"]
        for name in ("pets-train", "pets-test")
    }
    assert sorted([*files["pets-train"], *files["pets-test"]]) == sorted(
        {*paths(type_, "pets")} - {"labels.csv"}
    )
    assert [one[:3] for one in files["pets-test"]] == ["cat", "cat", "dog", "dog"]
    for name, chosen in files.items():
        assert [row.split(",")[0] for row in rows_of(type_, name, project)] == chosen
    shown = json.loads(type_("show pets-test --json").out)
    assert shown["types"] == ["Testing"]
    assert shown["description"] == "0.25 of pets 1.0.0: fractions 0.75, 0.25; seed 0; by the column species"
    [maker] = shown["made by"]
    assert json.loads(type_("show pets --json").out)["read by"] == [maker]


@pytest.mark.parametrize("how", ["--by-folder", "--by species --group animal", ""])
def test_one_split_is_one_split(type_: Type, pets: Said, how: str) -> None:
    """The same seed gives the same parts again, whatever they are called; another gives others."""
    for names, seed in (("a,b", 0), ("c,d", 0), ("e,f", 3)):
        assert type_(f"split pets --fractions 0.5,0.5 --names {names} --seed {seed} {how}").status == 0
    digests = {one["name"]: one["digest"] for one in json.loads(type_("list --json").out)}
    assert digests["a"] == digests["c"]
    assert digests["b"] == digests["d"]
    assert digests["a"] != digests["e"]
    if "group" in how:
        pairs = [
            {path[:4] + str(int(path[4]) // 2) for path in paths(type_, name) if path != "labels.csv"}
            for name in "ab"
        ]
        assert not pairs[0] & pairs[1]


def test_the_rows_of_a_lone_table_are_divided(type_: Type, project: Path) -> None:
    """As they are written, also over several lines, and alike ones together."""
    rows = [f'{n},"a\nb {n}",{n % 3}' for n in range(20)] + ["99,twice,1"] * 2
    (project / "table.csv").write_text("\ufeffn,text,group\r\n" + "\n".join(rows))
    assert type_("create numbers table.csv").status == 0
    said = type_("split numbers --fractions 0.5,0.25,0.25 --by group --names a,b,c")
    assert said.status == 0, said.err
    texts = []
    for name in "abc":
        [member] = json.loads(type_(f"show {name} --json").out)["members"]
        assert member["path"] == "table.csv"
        with closing(catalog_of(project)) as catalog:
            texts.append(catalog.objects.path(member["md5"]).read_bytes().decode())
    assert all(text.startswith("\ufeffn,text,group\r\n") for text in texts)
    bodies = [text.split("\r\n", 1)[1] for text in texts]
    assert sorted(map(len, bodies)) != [0, 0, 0]
    assert sum(map(len, bodies)) == len("\n".join(rows)) + 1
    assert [body.count("twice") for body in bodies].count(2) == 1
    refused(type_("split numbers --fractions 0.5,0.5 --by colour"), "has a column colour")


@pytest.mark.parametrize("first", ["\ufeff", "sep=;\r\n"])
def test_a_table_that_a_spreadsheet_wrote_is_divided(type_: Type, project: Path, first: str) -> None:
    head = f"{first}picture;species\r\n"
    (project / "x").mkdir()
    for n in range(8):
        (project / "x" / f"{n}.png").write_text(f"{n}")
    (project / "x" / "labels.csv").write_text(
        head + "".join(f"{n}.png;{'cat' if n % 2 else 'dog'}\r\n" for n in range(8)), newline=""
    )
    assert type_("create animals x").status == 0
    said = type_("split animals --fractions 0.5,0.5 --by species --names a,b")
    assert said.status == 0, said.err
    for name in "ab":
        members = json.loads(type_(f"show {name} --json").out)["members"]
        [table] = [one["md5"] for one in members if one["path"] == "labels.csv"]
        with closing(catalog_of(project)) as catalog:
            text = catalog.objects.path(table).read_bytes().decode()
        assert text.startswith(head)
        rows = text.removeprefix(head).splitlines()
        assert sorted(row.split(";")[0] for row in rows) == sorted(
            one["path"] for one in members if one["path"] != "labels.csv"
        )
        assert [row.split(";")[1] for row in rows].count("cat") == 2


def test_a_file_that_no_row_names_cannot_be_split_by_a_column(type_: Type, pets: Said, project: Path) -> None:
    """What its value is nobody knows; without a column it is divided like the others."""
    (project / "pictures" / "cat" / "new.png").write_text("new")
    type_("add pets pictures")
    refused(type_("split pets --fractions 0.5,0.5 --by species"), "no row of labels.csv names cat/new.png")
    assert type_("split pets --fractions 0.5,0.5").status == 0


def test_a_file_of_two_groups_is_refused(type_: Type, pets: Said, project: Path) -> None:
    """It cannot be kept with both."""
    with (project / "pictures" / "labels.csv").open("a") as file:
        file.write("cat/0.png,cat,dog3\n")
    type_("add pets pictures/labels.csv")
    refused(
        type_("split pets --fractions 0.5,0.5 --group animal"), "cat/0.png is in several groups in labels.csv"
    )


def test_what_a_name_of_the_file_means_is_called_so_when_it_is_changed(
    type_: Type, pets: Said, project: Path
) -> None:
    """It may have been imported when another dataset had the name."""
    with closing(catalog_of(project)) as catalog:
        [rid] = catalog._db.get_all("local_dataset", "dataset")
        catalog._db.delete("local_dataset", dataset=rid)
    (project / "new.txt").write_text("new")
    assert type_("add pets new.txt").out.startswith("pets 1.1.0.dev1: ")
    assert type_("release pets -m New").out.endswith("commit datasets.toml\n")
    assert "1.1.0" in (project / "datasets.toml").read_text()
    type_("delete pets -y")
    refused(type_("add pets new.txt"), f"dataset {rid} has been deleted")
    with closing(catalog_of(project)) as catalog:
        assert catalog.dataset_named("pets") is None, "the name is free"
