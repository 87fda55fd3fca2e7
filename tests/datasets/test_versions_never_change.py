"""Whatever is done to datasets and to the files that they came from, a version that was ever named stays as it is."""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deriva_ml.archive import exporting, importing
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.datasets import changes
from deriva_ml.datasets.files import take_in
from deriva_ml.definitions import RID, Member
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.inputs import fetch_dataset
from deriva_ml.project import Project

NAMES = ("a.txt", "a/b.txt", "b.txt", "b", "b/d.txt", "ü/c.txt")
CONTENTS = (b"", b"one", b"other")

put = st.tuples(st.just("put"), st.integers(0, 2), st.sampled_from(NAMES), st.sampled_from(CONTENTS))
remove = st.tuples(st.just("remove"), st.integers(0, 2), st.sampled_from([*NAMES, "a"]))
nest = st.tuples(st.just("nest"), st.integers(0, 2), st.integers(0, 2))
unnest = st.tuples(st.just("unnest"), st.integers(0, 2), st.integers(0, 2))
release = st.tuples(st.just("release"), st.integers(0, 2), st.sampled_from(("major", "minor", "patch")))
others = st.tuples(
    st.sampled_from(("delete", "mark", "describe", "rename", "name", "reopen")), st.integers(0, 2)
)
steps = st.lists(st.one_of(put, put, remove, nest, unnest, release, release, others), max_size=30)


@dataclass
class Seen:
    """What a version was when it was made, and what is to be found in its bag."""

    dataset: RID
    version: str
    digest: str
    manifest: str
    contents: dict[str, bytes]


@dataclass
class World:
    """A project, a colleague's, and what the datasets of the first hold now as a model of them says."""

    folder: Path
    catalog: EmbeddedCatalog
    there: EmbeddedCatalog
    rids: list[RID] = field(default_factory=list)
    now: dict[RID, dict[str, bytes]] = field(default_factory=dict)
    """The files of each dataset itself, by path."""
    parts: dict[RID, dict[RID, dict[str, bytes]]] = field(default_factory=dict)
    """The files of the datasets that are nested in each, as they were then."""
    seen: dict[RID, Seen] = field(default_factory=dict)
    """By the RID of the version."""
    seen_there: dict[RID, str] = field(default_factory=dict)
    """The manifests of the versions in a colleague's project, by the RID of the version there."""

    @property
    def source(self) -> Path:
        """The person's own folder."""
        return self.folder / "source"

    def whole(self, rid: RID) -> dict[str, bytes]:
        """All that is in a dataset now, with what is nested in it."""
        inner = {
            f"{part}/{path}": text for part, held in self.parts[rid].items() for path, text in held.items()
        }
        return {**self.now[rid], **inner}

    def do(self, execution: RID, what: str, rid: RID, *how: object) -> None:
        """Take one step, in the catalog first, which may refuse it; then in the model."""
        catalog = self.catalog
        if what == "put":
            path, content = Path(str(how[0])), how[1]
            assert isinstance(content, bytes)
            shutil.rmtree(self.source, ignore_errors=True)
            (self.source / path).parent.mkdir(parents=True)
            (self.source / path).write_bytes(content)
            changes.add(catalog, execution, rid, take_in(catalog, [self.source]).members)
            self.now[rid] = {**self.now[rid], path.as_posix(): content}
        elif what == "remove":
            changes.remove(catalog, execution, rid, [str(how[0])])
            self.now[rid] = {
                path: text
                for path, text in self.now[rid].items()
                if path != how[0] and not path.startswith(f"{how[0]}/")
            }
        elif what == "nest":
            inner = self.rids[int(str(how[0]))]
            changes.add(catalog, execution, rid, [changes.part(catalog, rid, inner, into=inner)])
            self.parts[rid] = {**self.parts[rid], inner: self.whole(inner)}
        elif what == "unnest":
            inner = self.rids[int(str(how[0]))]
            changes.remove(catalog, execution, rid, [inner])
            self.parts[rid] = {part: held for part, held in self.parts[rid].items() if part != inner}
        elif what == "release":
            changes.release(catalog, execution, rid, str(how[0]))
        elif what == "delete":
            changes.delete(catalog, rid)
        elif what == "mark":
            catalog.mark_dataset(rid, "", execution)
        elif what == "describe":
            catalog.describe_dataset(rid, "Another description", ["Testing"])
        elif what == "name":
            catalog.name_dataset(rid, f"name-{rid.lower()}")
        elif what == "rename":
            if self.source.is_dir():
                self.source.rename(self.folder / f"renamed-{random.random()}")
        elif what == "carry":
            file = self.folder / f"{random.random()}.zip"
            exporting.export(catalog, None, file)
            importing.take_in(self.there, file)
            before = self.catalog.find_datasets(deleted=True)
            importing.take_in(catalog, file)  # twice changes nothing
            assert self.catalog.find_datasets(deleted=True) == before
        elif what == "colleague":
            file = self.folder / "theirs.txt"
            file.write_text(str(random.random()))
            with changes.recorded(self.there, "deriva-ml-dataset", "") as theirs:
                changes.add(self.there, theirs, rid, take_in(self.there, [file]).members)
                changes.release(self.there, theirs, rid)
        elif what == "reopen":
            catalog.close()
            self.catalog = EmbeddedCatalog(catalog.project)

    def note(self) -> None:
        """Remember the state that each dataset is in, the first time that it is seen."""
        for rid in self.rids:
            state = self.catalog.dataset_versions(rid)[0]
            if state.rid not in self.seen:
                manifest = "".join(self.catalog.manifest(state.rid))
                held = Seen(rid, state.version, state.digest, manifest, self.whole(rid))
                self.seen[state.rid] = held
                assert state.digest == hashlib.md5(manifest.encode()).hexdigest()
                assert (state.files, state.bytes) == (
                    len(held.contents),
                    sum(map(len, held.contents.values())),
                )

        for dataset in self.there.find_datasets(deleted=True):
            for one in self.there.dataset_versions(dataset.rid):
                manifest = "".join(self.there.manifest(one.rid))
                assert self.seen_there.setdefault(one.rid, manifest) == manifest
                assert one.digest == hashlib.md5(manifest.encode()).hexdigest()
                if one.rid in self.seen:  # it came from here
                    assert manifest == self.seen[one.rid].manifest

    def check(self) -> None:
        """Every version that was ever seen is as it was: manifest, digest, members, and the files of its bag."""
        for version, held in self.seen.items():
            assert "".join(self.catalog.manifest(version)) == held.manifest
            dataset = self.catalog.lookup_dataset(held.dataset, held.version)
            assert (dataset.digest, dataset.version_rid) == (held.digest, version)
            bag = fetch_dataset(self.catalog, dataset, self.folder / "bags")
            files = {
                path.relative_to(bag.path).as_posix(): path.read_bytes()
                for path in bag.path.rglob("*")
                if path.is_file()
            }
            assert files == held.contents
            places = {str(path.relative_to(bag.path)) for paths in bag.asset_paths.values() for path in paths}
            assert places == files.keys()


@contextmanager
def world() -> Iterator[World]:
    """A project with three empty datasets."""
    with tempfile.TemporaryDirectory() as folder:
        catalogs = []
        for name in ("project", "colleague"):
            (Path(folder) / name).mkdir()
            (Path(folder) / name / "pyproject.toml").write_text("[project]\n")
            catalogs.append(EmbeddedCatalog(Project(Path(folder) / name)))
        made = World(Path(folder), *catalogs)
        with changes.recorded(made.catalog, "deriva-ml-dataset", "") as execution:
            for _ in range(3):
                rid = changes.create(made.catalog, execution)
                made.rids.append(rid)
                made.now[rid], made.parts[rid] = {}, {}
        try:
            yield made
        finally:
            made.catalog.close()
            made.there.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_a_version_stays_as_it_was_whatever_is_done(todo: list[tuple[object, ...]]) -> None:
    """Also where a step is refused: then nothing of it is done."""
    with world() as made:
        with changes.recorded(made.catalog, "deriva-ml-dataset", "") as execution:
            pass
        made.note()
        for what, number, *how in todo:
            before = len(made.seen)
            try:
                made.do(execution, str(what), made.rids[int(str(number))], *how)
            except DerivaMLRequestError as refused:
                assert "\n" not in str(refused)
                made.note()
                assert len(made.seen) == before
            made.note()
        made.check()


def test_the_steps_can_tell_a_change(tmp_path: Path) -> None:
    """The check above is one that fails: here a member of an old version is exchanged behind the catalog's back."""
    with world() as made, closing(made.catalog):
        with changes.recorded(made.catalog, "deriva-ml-dataset", "") as execution:
            made.do(execution, "put", made.rids[0], "a.txt", b"one")
            made.note()
            made.do(execution, "release", made.rids[0], "minor")
            made.note()
        made.check()
        other = tmp_path / "a.txt"
        other.write_bytes(b"other")
        [member] = [Member("a.txt", made.catalog.add_file(other).rid)]
        made.catalog._db.query('UPDATE "local_member" SET "file" = ?', member.file)
        with pytest.raises(AssertionError):
            made.check()
