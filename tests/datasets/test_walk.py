"""Which files are found below what a person gives, at which paths, and what is refused before anything is read."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml.datasets.walk import Files, found
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.project import Project

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files at paths below a folder, and returns the folder."""

    def write(folder: str, *paths: str) -> Path:
        for path in paths:
            (tmp_path / folder / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / path).write_text(path)
        return tmp_path / folder

    return write


def paths(files: Files) -> list[str]:
    """Where the files are to be in the dataset."""
    return [one.path for one in files]


def refusal(*args: object, **options: object) -> str:
    """The one line that is said of what cannot be taken."""
    with pytest.raises(DerivaMLRequestError) as error:
        paths(found(*args, **options))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_gives_its_contents_and_a_file_its_name(write: Write) -> None:
    pets = write("pets", "cat/1.png", "cat/deep/2.png", "labels.csv", ".hidden")
    given = found([pets])
    assert paths(given) == [".hidden", "cat/1.png", "cat/deep/2.png", "labels.csv"]
    assert [Path(one.source).read_text() for one in given][1] == "cat/1.png"  # gone through once more
    assert given.roots == [(pets, "")]
    assert paths(found([pets / "labels.csv"])) == ["labels.csv"]


def test_into_puts_all_below_a_folder(write: Write) -> None:
    pets = write("pets", "1.png")
    labels = write("other", "labels.csv") / "labels.csv"
    assert paths(found([pets], into="train/x/")) == ["train/x/1.png"]
    assert paths(found([pets, labels], into="train/x/")) == ["train/x/labels.csv", "train/x/pets/1.png"]
    for folder in ("../x", "a//b", "a/./b", "\udcff"):
        assert "cannot be a folder in a dataset" in refusal([pets], into=folder)


def test_paths_come_in_the_order_of_a_manifest(write: Write) -> None:
    """That of whole paths, in which ``a.b`` comes before what is in ``a``; also where folders lie in each other's place."""
    one, other = write("one", "a/x", "a.b", "a0", "é"), write("other", "a/b", "a-")
    everything = paths(found([one, other], [(one, ""), (other, "")]))
    assert everything == sorted(everything) == ["a-", "a.b", "a/b", "a/x", "a0", "é"]


def test_what_lies_in_a_folder_that_was_given_before_has_the_path_that_it_had(write: Write) -> None:
    pets = write("pets", "cat/1.png", "dog/1.png")
    roots = [(pets, ""), (pets / "dog", "dogs")]
    assert paths(found([pets / "cat" / "1.png", pets / "dog"], roots)) == ["cat/1.png", "dogs/1.png"]
    assert paths(found([pets / "cat"], roots, into="new")) == ["new/1.png"]
    assert paths(found([write("pets2", "cat/1.png") / "cat"], [(pets, "")])) == ["1.png"]
    assert found([pets / "cat"], [(pets, "a/b")]).roots == [(pets / "cat", "a/b/cat")]


def test_the_projects_own_folders_are_left_out_and_nothing_else(write: Write) -> None:
    root = write(
        "project", ".git/config", ".deriva-ml/catalog.db", "outputs/x", "data/.git/config", "data/outputs/y"
    )
    assert paths(found([root], project=Project(root))) == ["data/.git/config", "data/outputs/y"]
    assert paths(found([root / "outputs"], project=Project(root))) == ["x"], "asked for by its name"


def test_the_projects_own_records_are_no_data_even_if_they_are_asked_for(write: Write) -> None:
    root = write("project", ".git/config", ".deriva-ml/catalog.db", ".deriva-ml/executions/1-ABC/made.csv")
    for own in (".git", ".git/config", ".deriva-ml", ".deriva-ml/catalog.db"):
        with pytest.raises(DerivaMLRequestError, match=f"{own} is among this project's own records"):
            found([root / own], project=Project(root))
    made = root / ".deriva-ml" / "executions" / "1-ABC"
    assert paths(found([made], project=Project(root))) == ["made.csv"], "what an execution wrote"
    (root / "link").symlink_to(".deriva-ml")
    with pytest.raises(DerivaMLRequestError, match="link is among this project's own records"):
        found([root / "link"], project=Project(root))


def test_the_same_file_given_twice_is_there_once(write: Write) -> None:
    pets = write("pets", "1.png")
    assert paths(found([pets, pets / "1.png", pets])) == ["pets/1.png"]


def test_two_files_of_one_path_are_refused(write: Write) -> None:
    one, other = write("one", "cat/1.png"), write("other", "cat/1.png")
    said = refusal([one, other], [(one, ""), (other, "")])
    assert "two files would be cat/1.png" in said and str(one) in said and str(other) in said
    assert "two files would be 1.png" in refusal([one / "cat" / "1.png", other / "cat" / "1.png"])
    assert "cat would be a file and a folder" in refusal([one, write("third", "cat") / "cat"], [(one, "")])


def test_a_path_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("missing", "gone", "missing/x"):
        with pytest.raises(DerivaMLRequestError, match=f"{name} is not there"):
            found([tmp_path / name])


def test_a_link_is_followed_while_it_stays_in_the_folder(write: Write, tmp_path: Path) -> None:
    pets = write("pets", "cat/1.png")
    (pets / "best.png").symlink_to("cat/1.png")
    (pets / "cats").symlink_to("cat")
    write("pets-secret", "x")
    assert paths(found([pets])) == ["best.png", "cat/1.png", "cats/1.png"]
    (tmp_path / "link").symlink_to(pets)
    assert paths(found([tmp_path / "link"]))[0] == "best.png", "the given path may be a link itself"
    (tmp_path / "my.png").symlink_to(pets / "cat" / "1.png")
    assert paths(found([tmp_path / "my.png"])) == ["my.png"]
    for target in ("../pets-secret/x", "/etc", ".."):
        (pets / "out").symlink_to(target)
        assert "leads out of" in refusal([pets])
        (pets / "out").unlink()
    (pets / "out").symlink_to("nowhere")
    assert "cannot be found" in refusal([pets])


def test_a_link_to_a_folder_that_it_lies_in_is_refused(write: Write) -> None:
    pets = write("pets", "cat/1.png", "dog/2.png")
    (pets / "cat" / "all").symlink_to("..")
    assert "is a link to a folder that it lies in" in refusal([pets])
    (pets / "cat" / "all").unlink()
    (pets / "cat" / "dogs").symlink_to("../dog")
    (pets / "dog" / "cats").symlink_to("../cat")
    assert "is a link to a folder that it lies in" in refusal([pets])


def test_what_is_no_file_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    pets = write("pets", "1.png")
    os.mkfifo(pets / "pipe")
    assert "pipe is a pipe" in refusal([pets])
    assert "pipe is a pipe" in refusal([pets / "pipe"])
    (pets / "pipe").unlink()
    monkeypatch.chdir(pets)  # the name of a socket has to be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert "socket is a socket" in refusal([pets])
    assert "null is a device" in refusal(["/dev/null"])


def test_a_name_that_is_no_utf_8_is_refused(write: Write) -> None:
    pets = write("pets", "1.png")
    os.mkdir(os.fsencode(pets) + b"/caf\xe9")
    assert "is not valid UTF-8" in refusal([pets])


def test_a_file_that_cannot_be_read_is_refused_before_others_are(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    pets = write("pets", "1.png", "2.png")
    (pets / "2.png").chmod(0)
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for anyone but root
    assert "2.png cannot be read: its mode is ----------" in refusal([pets])


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert paths(found([tmp_path / "a"])) == []
