"""A file of records that is damaged, or made to do harm, leaves nothing behind and says why in one line."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import deriva_ml.archive.container as container
from archive.conftest import Make, Recorded, projects, record, state_of
from deriva_ml.archive.exporting import export
from deriva_ml.archive.importing import take_in
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.cli.catalog import main
from deriva_ml.exceptions import DerivaMLException
from git_repository import Repository

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Makes projects that serve all of these tests: what is refused leaves them as they are."""
    with projects(tmp_path_factory.mktemp("projects")) as make:
        yield make


@pytest.fixture(scope="module")
def recorded(make: Make) -> Recorded:
    """A project with records of every kind."""
    return record(make("here"))


@pytest.fixture(scope="module")
def there(make: Make) -> EmbeddedCatalog:
    """The catalog of the project that is to be harmed."""
    return make("there")


@pytest.fixture(scope="module")
def whole(recorded: Recorded, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """All records of a project in a file, with the code."""
    export(recorded.catalog, None, path := tmp_path_factory.mktemp("file") / "all.zip", code=True)
    return path.read_bytes()


@pytest.fixture
def file(whole: bytes, tmp_path: Path) -> Path:
    """That file, to be changed."""
    (tmp_path / "all.zip").write_bytes(whole)
    return tmp_path / "all.zip"


def refused(there: EmbeddedCatalog, path: Path) -> str:
    """The line that a file is refused with, which has left everything as it was."""
    before = state_of(there)
    with pytest.raises(DerivaMLException) as error:
        take_in(there, path)
    assert state_of(there) == before
    said = str(error.value)
    assert len(said.splitlines()) == 1
    return said


def unpacked(path: Path) -> Files:
    """The files of a bag by their names in it."""
    with zipfile.ZipFile(path) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def sealed(files: Files) -> Files:
    """The files with right digests, as whoever wants to do harm makes them."""
    payload = {name: text for name, text in files.items() if name.startswith("data/")}
    files["manifest-sha256.txt"] = listed(payload)
    tags = ("bagit.txt", "bag-info.txt", "manifest-sha256.txt")
    files["tagmanifest-sha256.txt"] = listed({name: files[name] for name in tags})
    return files


def listed(files: Files) -> bytes:
    return "".join(f"{hashlib.sha256(text).hexdigest()}  {name}\n" for name, text in files.items()).encode()


def pack(path: Path, files: Files, **attributes: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in files.items():
            entry = zipfile.ZipInfo(f"all/{name}")
            for attribute, value in attributes.items():
                if name == "data/code.bundle":
                    setattr(entry, attribute, value)
            made.writestr(entry, text, compress_type=zipfile.ZIP_DEFLATED)


def test_a_file_that_was_packed_anew_is_taken_in(make: Make, file: Path) -> None:
    """What these tests make of a file is right, but for what each of them changes."""
    pack(file, sealed(unpacked(file)))
    assert take_in(make("packed"), file).merged.new["Execution"] == 6


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")
def test_what_is_no_file(there: EmbeddedCatalog, tmp_path: Path) -> None:
    """A pipe would be waited for, and a device has no end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        assert f"{path} is no file" in refused(there, path)


# ------------------------------------------------------------------------------------------------------ the ZIP file
NAMES = [
    "../outside.txt",
    "/etc/passwd",
    "data/../../outside.txt",
    "data/objects/../../../x",
    "data/objects/aa/../../x",
    "data\\objects\\x",
    "data/objects/ab/" + "c" * 32,
    "data/objects/ab/ab",
    "data/records/Execution.jsonl/x",
    "data/run.sh",
    "fetch.txt",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_has_no_place(there: EmbeddedCatalog, file: Path, name: str) -> None:
    pack(file, {**unpacked(file), name: b"x"})
    assert "there is no place for" in refused(there, file)


def test_folders_above_and_beside(there: EmbeddedCatalog, file: Path) -> None:
    for top in ("..", "", "other"):
        path = file.with_name("beside.zip")
        path.write_bytes(file.read_bytes())
        with zipfile.ZipFile(path, "a") as opened:
            opened.writestr(f"{top}/data/code.bundle", b"x")
        assert (
            "there is no place for" in (said := refused(there, path)) or "twice" in said or "folder" in said
        )


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFDIR])
def test_a_link_or_a_device(there: EmbeddedCatalog, file: Path, kind: int) -> None:
    pack(file, sealed(unpacked(file)), external_attr=(kind | 0o777) << 16)
    assert "is no plain file" in refused(there, file)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_in_it_twice(there: EmbeddedCatalog, file: Path) -> None:
    with zipfile.ZipFile(file, "a") as opened:
        opened.writestr("all/data/records/Execution.jsonl", b"")
    assert "data/records/Execution.jsonl is in it twice" in refused(there, file)


def test_a_file_without_a_name(there: EmbeddedCatalog, file: Path) -> None:
    with zipfile.ZipFile(file, "a") as made:
        made.writestr(entry := zipfile.ZipInfo("x"), b"")
        entry.filename = ""
    assert "there is no place for ''" in refused(there, file)


def test_a_file_that_begins_before_the_first(there: EmbeddedCatalog, file: Path) -> None:
    """As where all of them are said to begin later than they do."""
    with zipfile.ZipFile(file) as opened:
        [entry] = [one for one in opened.infolist() if one.filename.endswith("/tagmanifest-sha256.txt")]
    raw = bytearray(file.read_bytes())
    listed = raw.rindex(entry.filename.encode())
    end = raw.rindex(b"PK\5\6")
    raw[listed - 4 : listed] = b"\0" * 4
    place = int.from_bytes(raw[end + 16 : end + 20], "little")
    raw[end + 16 : end + 20] = (place + 100).to_bytes(4, "little")
    file.write_bytes(raw)
    assert "is damaged" in refused(there, file)


def test_a_bomb(there: EmbeddedCatalog, file: Path) -> None:
    """Little that would come to much is refused before it is read."""
    files = unpacked(file)
    files["data/records/Execution.jsonl"] = b" " * (container.UNCOUNTED + 1)
    pack(file, sealed(files))
    assert "data/records/Execution.jsonl would come to more than 200 times its size" in refused(there, file)


@pytest.mark.parametrize("name", ["manifest-sha256.txt", "bag-info.txt", "data/records/format.json"])
def test_a_list_that_is_larger_than_what_it_lists(there: EmbeddedCatalog, file: Path, name: str) -> None:
    """These are read as a whole."""
    files = unpacked(file)
    files[name] += "".join(f"{number:08}\n" for number in range(1_900_000)).encode()
    pack(file, files)
    assert "is larger than it can be" in refused(there, file)


def test_files_that_lie_one_over_the_other(there: EmbeddedCatalog, file: Path) -> None:
    """Many names for one piece of the file, each of which would be read."""
    with zipfile.ZipFile(file, "a") as opened:
        first = next(one for one in opened.infolist() if "/objects/" in one.filename)
        for number in range(3000):
            again = zipfile.ZipInfo(f"all/data/objects/00/{number:032x}")
            again.header_offset, again.external_attr, again.CRC = first.header_offset, 0, first.CRC
            again.compress_size = again.file_size = first.file_size + 10_000
            opened.filelist.append(again)
            opened.NameToInfo[again.filename] = again
        opened._didModify = True  # type: ignore[attr-defined]
    assert "one over the other" in refused(there, file)


def test_a_line_without_end(there: EmbeddedCatalog, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "LONGEST", 100)
    monkeypatch.setattr(container, "CHUNK", 50)
    assert "a line of records/" in refused(there, file)


def test_no_such_file_and_no_zip_file(there: EmbeddedCatalog, tmp_path: Path) -> None:
    assert refused(there, tmp_path / "none.zip") == f"there is no file {tmp_path / 'none.zip'}"
    for content in (b"", b"PK\x05\x06", b"#!/bin/sh\n" * 100):
        (tmp_path / "no.zip").write_bytes(content)
        assert "it is no ZIP file" in refused(there, tmp_path / "no.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    assert "is not in it" in refused(there, tmp_path / "empty.zip")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0), bit=st.none() | st.integers(0, 7))
def test_a_file_that_is_cut_or_has_another_byte(
    make: Make, there: EmbeddedCatalog, file: Path, place: int, bit: int | None
) -> None:
    """It is refused, or it says the same: what no digest covers, such as a time in the ZIP file, means nothing."""
    content = bytearray(file.read_bytes())
    place %= len(content)
    broken = file.with_name("broken.zip")
    broken.write_bytes(content[:place])
    if bit is not None:
        content[place] ^= 1 << bit
        broken.write_bytes(content)
        try:
            says_the_same = unpacked(broken) == unpacked(file)
        except Exception:
            says_the_same = False
        if says_the_same:
            with suppress(DerivaMLException):
                take_in(make(f"byte {place} {bit}"), broken)
            return
    refused(there, broken)


@pytest.mark.parametrize("name", ["data/ro-crate-metadata.json", "data/code.bundle", "bag-info.txt"])
def test_a_file_that_is_not_what_its_digest_says(there: EmbeddedCatalog, file: Path, name: str) -> None:
    files = unpacked(file)
    files[name] += b"\n"
    pack(file, files)
    assert f"{name.removeprefix('data/')} " in (said := refused(there, file))
    assert "not what its digest says" in said


def test_a_content_that_is_not_the_one_of_its_name(there: EmbeddedCatalog, file: Path) -> None:
    files = unpacked(file)
    name = next(one for one in files if "/objects/" in one)
    files[name] = files[name][:-1] + b"!"
    pack(file, sealed(files))
    assert "is not the content of its name" in refused(there, file)
    files[name] += b"more"
    pack(file, sealed(files))
    assert "a content that no row of it names, or of another length" in refused(there, file)


# ---------------------------------------------------------------------------------------------------------- the rows
def _first(rows: list[dict[str, Any]], **changes: Any) -> None:
    rows[0].update(changes)


def _drop(rows: list[dict[str, Any]]) -> None:
    del rows[0]


def _again(rows: list[dict[str, Any]], **changes: Any) -> None:
    """Add a member beside the nested dataset."""
    rows.append({**next(row for row in rows if row["path"] == "toys"), **changes})


OTHER = "7-AAAA-AAAA"
ROWS: dict[str, tuple[str, Callable[[list[Any]], None], str]] = {
    "no object": ("Execution", lambda rows: rows.append([1]), "its columns are not"),
    "a number": ("Execution", lambda rows: rows.append(3), "its columns are not"),
    "an unknown column": ("Execution", lambda rows: _first(rows, Password="x"), "its columns are not"),
    "a column less": ("Execution", lambda rows: rows[0].pop("Status"), "its columns are not"),
    "a column of SQL": ("Dataset", lambda rows: _first(rows, **{'x" FROM': 1}), "its columns are not"),
    "another type": ("Execution", lambda rows: _first(rows, Description=[1]), "Description cannot be"),
    "a truth value": ("Asset", lambda rows: _first(rows, Length=True), "Length cannot be"),
    "a negative length": ("Asset", lambda rows: _first(rows, Length=-1), "Length cannot be"),
    "a number too large": ("Asset", lambda rows: _first(rows, Length=2**70), "Length cannot be"),
    "half a character": (
        "Execution",
        lambda rows: _first(rows, Description="\ud800"),
        "a row of Execution is none",
    ),
    "an RID that is none": (
        "Execution",
        lambda rows: _first(rows, RID="x'; DROP TABLE Execution"),
        "RID cannot be",
    ),
    "a status that is open": ("Execution", lambda rows: _first(rows, Status="Running"), "Status cannot be"),
    "a status that waits": (
        "Execution",
        lambda rows: _first(rows, Status="Pending_Upload"),
        "Status cannot be",
    ),
    "a digest that is a path": (
        "Asset",
        lambda rows: _first(rows, MD5="../../../../etc/passwd/aaaaaaaaa"),
        "MD5 cannot",
    ),
    "another digest": ("Asset", lambda rows: _first(rows, MD5="a" * 32), "a content that no row of it names"),
    "a table of SQL": (
        "Asset",
        lambda rows: _first(rows, table='x" (y); --'),
        "cannot be kept in this project",
    ),
    "a table with half a name": ("Asset", lambda rows: _first(rows, table="x\0y"), "table cannot be"),
    "a table that is a path": ("Asset", lambda rows: _first(rows, table="../x"), "table cannot be"),
    "a day that is none": (
        "Execution",
        lambda rows: _first(rows, RCT="2026-99-99T10:00:00"),
        "month must be",
    ),
    "a time that is none": ("Asset", lambda rows: _first(rows, RMT="2026-11-28 ."), "Invalid isoformat"),
    "a time nowhere": (
        "Execution",
        lambda rows: _first(rows, RCT="2026-11-28T10:00+99:99"),
        "offset must be",
    ),
    "a time before all others": (
        "Execution",
        lambda rows: _first(rows, RCT="0001-01-01T00:00:00+05:00"),
        "RCT cannot be",
    ),
    "a metric too large": ("Metric", lambda rows: _first(rows, last=2**63), "last cannot be"),
    "a file without a name": ("Asset", lambda rows: _first(rows, Filename=None), "Filename cannot be"),
    "a table of the runner": (
        "Asset",
        lambda rows: _first(rows, table="local_run"),
        "cannot be kept in this project",
    ),
    "a table of executions": (
        "Asset",
        lambda rows: _first(rows, table="Execution"),
        "cannot be kept in this project",
    ),
    "a table that would hide": (
        "Asset",
        lambda rows: _first(rows, table="X_Asset_Type"),
        "cannot be kept in this",
    ),
    "a path that leads out": ("Member", lambda rows: _first(rows, path="../x"), "a row of Member is none"),
    "an absolute path": ("Member", lambda rows: _first(rows, path="/etc/passwd"), "a row of Member is none"),
    "another path": ("Member", lambda rows: _first(rows, path="other.txt"), "is not what its digest says"),
    "a file in a file": (
        "Member",
        lambda rows: _again(rows, path="toys/x", since=1),
        "cannot lie where it is said",
    ),
    "two at one path": (
        "Member",
        lambda rows: _again(rows, path="toys", since=2),
        "cannot lie where it is said",
    ),
    "one that never was": (
        "Member",
        lambda rows: _first(rows, since=9, until=None),
        "cannot lie where it is said",
    ),
    "neither file nor dataset": (
        "Member",
        lambda rows: _first(rows, file=None, nested=None),
        "contradict one another",
    ),
    "a member less": ("Member", _drop, "is not what its digest says"),
    "a member of nothing": (
        "Member",
        lambda rows: _first(rows, file=OTHER),
        "refers to 7-AAAA-AAAA, which is no asset",
    ),
    "a version with another digest": (
        "Dataset_Version",
        lambda rows: _first(rows, digest="0" * 32),
        "is not what its digest says",
    ),
    "a version of another size": (
        "Dataset_Version",
        lambda rows: _first(rows, bytes=1),
        "is not what its digest says",
    ),
    "a version less": ("Dataset_Version", _drop, "which is no dataset_version in it"),
    "a version of another number": (
        "Dataset_Version",
        lambda rows: _first(rows, number=7),
        "are not complete",
    ),
    "a version without an order": (
        "Dataset_Version",
        lambda rows: _first(rows, Version="1.0.0.foo1"),
        "Version cannot be",
    ),
    "no version": ("Dataset_Version", lambda rows: _first(rows, Version="v1'--"), "Version cannot be"),
    "a workflow less": ("Workflow", _drop, "which is no workflow in it"),
    "an execution less": ("Execution", _drop, "which is no execution in it"),
    "one RID for two": (
        "Execution",
        lambda rows: _first(rows, RID=rows[1]["RID"]),
        "two records in it have the RID",
    ),
    "one file twice": (
        "Asset",
        lambda rows: rows.append({**rows[0], "RID": OTHER}),
        "is in it twice",
    ),
    "a role that is none": (
        "Asset_Execution",
        lambda rows: _first(rows, Asset_Role="Owner"),
        "Asset_Role cannot be",
    ),
    "a kind that is none": ("Setting", lambda rows: _first(rows, kind="secret"), "kind cannot be"),
    "JSON that is none": ("Setting", lambda rows: _first(rows, json="{"), "a row of Setting is none"),
    "JSON without end": ("Setting", lambda rows: _first(rows, json="[" * 200 + "]" * 200), "json cannot be"),
    "a setting twice": ("Setting", lambda rows: rows.append(rows[0]), "contradict one another"),
    "a remote of nothing": (
        "Remote",
        lambda rows: rows.append({"local": OTHER, "host": "h", "catalog": "1", "remote": "2", "url": None}),
        "which is no record in it",
    ),
}


def changed(file: Path, name: str, change: Callable[[list[Any]], None]) -> None:
    """Change the rows of a kind in a file, whose digests are right again."""
    files = unpacked(file)
    place = f"data/records/{name}.jsonl"
    rows = [json.loads(line) for line in files[place].splitlines()]
    change(rows)
    files[place] = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    pack(file, sealed(files))


@pytest.mark.parametrize("case", ROWS)
def test_rows_that_are_not_as_they_have_to_be(there: EmbeddedCatalog, file: Path, case: str) -> None:
    name, change, why = ROWS[case]
    changed(file, name, change)
    assert why in refused(there, file)


@pytest.mark.parametrize("lasted", [f"0H 0min {'9' * 30}sec", f"{'9' * 30}H 0min 0sec", "1H 1min 1.1.1sec"])
def test_a_duration_that_is_none_can_be_exported_again(
    make: Make, file: Path, tmp_path: Path, lasted: str
) -> None:
    changed(file, "Execution", lambda rows: _first(rows, Execution_Duration=lasted))
    there = make(lasted)
    take_in(there, file)
    assert export(there, None, tmp_path / "again.zip").records["Execution"] == 6


def test_rows_that_are_not_json(there: EmbeddedCatalog, file: Path) -> None:
    for text in (b"\xff\xfe", b"{", b"[" * 100_000, b'{"RID": ' + b"9" * 5000 + b"}"):
        files = unpacked(file)
        files["data/records/Execution.jsonl"] = text
        pack(file, sealed(files))
        assert "a row of Execution is none" in refused(there, file)


def test_nothing_is_said_of_what_is_here(make: Make, file: Path, recorded: Recorded) -> None:
    """A file's rows refer to its own records only: it cannot give an output to an execution that it does not have."""
    there = make("there that has it")
    take_in(there, file)
    light = file.with_name("light.zip")
    export(recorded.catalog, [recorded.toys], light)
    row = {"Dataset": recorded.toys, "Execution": recorded.first, "Dataset_Version": None}
    stamps = {"RCT": "2026-01-01T00:00:00+00:00", "RMT": "2026-01-01T00:00:00+00:00", "RCB": "", "RMB": ""}
    changed(light, "Dataset_Execution", lambda rows: rows.append({**stamps, **row}))
    assert "which is no execution in it" in refused(there, light)


def test_an_execution_that_is_here_gets_no_other_outputs(make: Make, file: Path) -> None:
    """What a file says of records that are here is not taken in."""
    there = make("there with it")
    take_in(there, file)
    before = state_of(there)
    changed(file, "Execution", lambda rows: _first(rows, Description="another"))
    changed(file, "Metric", lambda rows: _first(rows, last=1.0))
    changed(file, "Asset_Type", lambda rows: _first(rows, Asset_Type="Deriva_Config"))
    take_in(there, file)
    assert state_of(there) == before


@pytest.mark.parametrize("name", ["../../x", "7-ABCD-EFGH", "CON", "x" * 201, "ö" * 101, "a\n", ".x"])
def test_a_name_that_none_can_have_is_no_name(
    make: Make, file: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A nested dataset lies in a folder of its name; what goes into the project's file has to be read again."""
    changed(file, "Dataset", lambda rows: [row.update(name=name) for row in rows])
    there = make(f"unnamed-{len(name)}-{name[1:4].strip()}".replace("/", "-"))
    assert take_in(there, file).merged.unnamed == dict.fromkeys([recorded.pets, recorded.toys], name)
    assert there.name_of_dataset(recorded.pets) == ""
    monkeypatch.chdir(there.project.root)
    assert [main(["import", str(file)]) for _ in range(2)] == [0, 0]


def test_a_file_of_a_newer_runner(there: EmbeddedCatalog, file: Path) -> None:
    files = unpacked(file)
    files["data/records/format.json"] = b'{"format": 2}'
    files["data/records/Sample.jsonl"] = b""
    pack(file, sealed(files))
    assert "was written by a newer runner (form 2, this one knows 1)" in refused(there, file)
    for wrong in (b"[]", b"{}", b'{"format": "1"}', b'{"format": true}'):
        files["data/records/format.json"] = wrong
        pack(file, sealed(files))
        refused(there, file)


@pytest.mark.parametrize("table", ["Sample", "sqlite_master"])
def test_a_table_that_is_not_known(there: EmbeddedCatalog, file: Path, table: str) -> None:
    pack(file, sealed({**unpacked(file), f"data/records/{table}.jsonl": b"{}\n"}))
    assert f"records/{table}.jsonl is missing, or not known here" in refused(there, file)


def test_a_table_that_is_missing(there: EmbeddedCatalog, file: Path) -> None:
    files = unpacked(file)
    del files["data/records/Metric.jsonl"]
    pack(file, sealed(files))
    assert "records/Metric.jsonl is missing" in refused(there, file)


# ---------------------------------------------------------------------------------------------------------- the code
def test_a_bundle_with_another_ref(there: EmbeddedCatalog, file: Path, recorded: Recorded) -> None:
    """It cannot move a branch."""
    here = Repository(recorded.catalog.project.root)
    here.git("bundle", "create", "--quiet", str(file.with_name("b")), "main")
    files = unpacked(file)
    files["data/code.bundle"] = file.with_name("b").read_bytes()
    pack(file, sealed(files))
    assert "it has the ref refs/heads/main" in refused(there, file)


def test_a_bundle_with_objects_that_git_refuses(
    there: EmbeddedCatalog, file: Path, recorded: Recorded
) -> None:
    here = Repository(recorded.catalog.project.root)
    crafted = here.write(
        "crafted", here.git("cat-file", "commit", "HEAD").replace(" <ada@example.org>", "") + "\n"
    )
    commit = here.git("hash-object", "-t", "commit", "-w", "--literally", str(crafted))
    here.git("update-ref", f"refs/deriva-ml/{commit}", commit)
    here.git("bundle", "create", "--quiet", str(file.with_name("b")), f"refs/deriva-ml/{commit}")
    here.git("update-ref", "-d", f"refs/deriva-ml/{commit}")
    files = unpacked(file)
    files["data/code.bundle"] = file.with_name("b").read_bytes()
    pack(file, sealed(files))
    assert "the commits in it are not taken into this repository" in refused(there, file)


def test_a_bundle_that_is_none(there: EmbeddedCatalog, file: Path) -> None:
    files = unpacked(file)
    files["data/code.bundle"] = b"#!/bin/sh\n"
    pack(file, sealed(files))
    assert "the commits in it are not taken into this repository" in refused(there, file)


def test_commits_go_again_where_rows_are_refused(there: EmbeddedCatalog, file: Path) -> None:
    """The refs that keep them were the last to come, and are the first to go."""
    changed(file, "Member", _drop)
    refused(there, file)
    assert "refs/deriva-ml" not in Repository(there.project.root).refs()


# ------------------------------------------------------------------------------------------------------- the command
def test_the_command_says_it_in_one_line(
    there: EmbeddedCatalog, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(there.project.root)
    file.write_bytes(file.read_bytes()[:-100])
    assert main(["import", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"error: {file} is not taken in: it is no ZIP file, or only a part of one\n"
