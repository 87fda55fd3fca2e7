"""Building a site: all of it, or what has changed; whatever is in the folder already, and however a build ends."""

from __future__ import annotations

import errno
import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination, Remote
from deriva_ml.cli import catalog as command
from deriva_ml.definitions import RID, Asset, Dataset, Status
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError
from deriva_ml.project import Project
from deriva_ml.records import replays
from deriva_ml.site import building
from deriva_ml.site.building import Built, build
from deriva_ml.site.details import Details
from deriva_ml.site.folder import SiteFolder
from git_repository import isolate_git
from site_pages.corpus import _Recorder as Recorder


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """An empty project, inside of which the test is, and what records runs there."""
    isolate_git(monkeypatch, tmp_path)
    root = tmp_path / "home-of-ada" / "digits"
    root.mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "digits"\n')
    monkeypatch.chdir(root)
    monkeypatch.setattr(building, "write_vega", lambda assets: False)  # it takes a second
    with closing(EmbeddedCatalog(Project(root))) as catalog:
        yield Recorder(catalog, "c0ffee")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where the site is to be."""
    return tmp_path / "site"


def train(recorder: Recorder, seed: int = 1, **others: Any) -> RID:
    """A run of a model."""
    files = {"weights.csv": f"name,value\nseed,{seed}\n"} | others.pop("files", {})
    metrics = others.pop("metrics", [{"accuracy": seed / 10}])
    parameters = {"seed": seed} | others.pop("parameters_too", {})
    return recorder.run("Train", parameters=parameters, metrics=metrics, files=files, **others)


def taken(path: Path) -> Any:
    """What a page takes of a script, as JavaScript reads it."""
    found = re.fullmatch(r"site\.take\((\"[\w/-]+\"), '((?:[^'\\\n]|\\['\\])*)'\)\n", path.read_text("ascii"))
    assert found, path
    return json.loads(re.sub(r"\\(.)", r"\1", found[2]), parse_constant=pytest.fail)


def of(site: Path, rid: RID) -> dict[str, Any]:
    """What a run's page is told."""
    found: dict[str, Any] = taken(site / f"data/runs/{rid}.js")
    return found


def contents(site: Path) -> dict[str, Any]:
    """All that is in a site, but for when it was made and what the next build goes on from."""
    files = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    found: dict[str, Any] = {name: path.read_bytes() for name, path in files.items()}
    found.pop("data/built.json")
    found.pop("data/.lock")
    info = taken(site / "data/info.js")
    found["data/info.js"] = {name: value for name, value in info.items() if name != "made"}
    return found


# ---------------------------------------------------------------------------------------------- all of it, and again
def test_a_project_without_records_has_a_site(recorder: Recorder, site: Path) -> None:
    built = build(recorder.catalog, site)
    assert (built.runs, built.page) == (0, site / "index.html") and built.page.is_file()
    assert taken(site / "data/runs.js")["rid"] == [] and taken(site / "data/graph.js")["nodes"] == []
    assert taken(site / "data/info.js")["project"] == "digits"


def test_records_on_a_disk_that_takes_nothing_have_a_site_elsewhere(recorder: Recorder, site: Path) -> None:
    rid = train(recorder)
    with closing(EmbeddedCatalog(recorder.catalog.project, read_only=True)) as catalog:
        assert build(catalog, site).runs == 1
    assert of(site, rid)["parameters"]


def test_a_run_is_told_in_full(recorder: Recorder, site: Path) -> None:
    rid = train(
        recorder, metrics=[{"loss": 1.0}, {"loss": math.nan}], status=Status.failed, reason="no memory"
    )
    build(recorder.catalog, site)
    told = of(site, rid)
    assert (told["kind"], told["status"], told["reason"], told["seconds"]) == (
        "model",
        "Failed",
        "no memory",
        2.5,
    )
    assert told["parameters"] == [["model_config.seed", 1, False]]
    [[name, metric]] = told["metrics"]
    assert (name, metric["last"], metric["least"], metric["series"]) == (
        "loss",
        "NaN",
        1.0,
        [[0, 1], [1.0, "NaN"]],
    )
    assert [["numpy", "2.3.1"], ["scikit-learn", "1.7.0"]] == told["packages"]
    by_name = {one["name"]: one for one in told["outputs"]}
    assert by_name["weights.csv"]["preview"]["rows"] == [["seed", "1"]]
    assert str(recorder.catalog.project.root) not in (site / f"data/runs/{rid}.js").read_text()


def test_a_site_that_is_built_again_is_left_as_it_is(recorder: Recorder, site: Path) -> None:
    """No file is written, and of no run is the record read."""
    for seed in range(3):
        train(recorder, seed)
    build(recorder.catalog, site)
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    again = build(recorder.catalog, site)
    assert (again.runs, again.read, again.written, again.removed) == (3, 0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()} == before


def _replayed(recorder: Recorder, rid: RID) -> None:
    note = replays.Note(rid, "2026-11-28T12:00:00+00:00", "different", 0.96, recorded_as="9-ABCD")
    replays.note(recorder.catalog.project.state, note)


def _pushed(recorder: Recorder, rid: RID) -> None:
    destination = Destination("www.example.org", "1")
    recorder.catalog.journal.note({rid: Remote("2-ABCD", None, True)}, destination)


def _nested(recorder: Recorder, rid: RID) -> None:
    recorder.catalog.nest(recorder.run("Sweep"), rid, 1)


def _described(recorder: Recorder, rid: RID) -> None:
    recorder.catalog.update_execution(rid, Status.failed, "it does not converge")


def _typed(recorder: Recorder, rid: RID) -> None:
    recorder.catalog._insert_types(
        "Execution_Asset", recorder.output(rid, "weights.csv").rid, "Asset_Type", ["Model_File"]
    )


def _read_data(recorder: Recorder, rid: RID) -> None:
    dataset = recorder.catalog.add_dataset("Digits", [recorder.member("a.csv", "1")], name="digits")
    recorder.catalog.link_dataset(rid, recorder.catalog.lookup_dataset(dataset))


def _read_there(recorder: Recorder, rid: RID) -> None:
    """It read a file and a dataset on a server, and there a file that another run here had made."""
    catalog, destination = recorder.catalog, Destination("www.example.org", "1")
    own = recorder.output(train(recorder, 3), "weights.csv")
    catalog.journal.note({own.rid: Remote("2-OWNS", None, True)}, destination)
    for table, there in (("Image", "2-FILE"), ("Execution_Asset", "2-OWNS")):
        file = Asset(there, table, "image.png", 3, "0" * 32, "/hatrac/x")
        catalog.journal.add_input(rid, destination, file)
    catalog.journal.add_input(rid, destination, Dataset("2-DATA", "1.0.0", version_rid="2-VERS"))


@pytest.mark.parametrize("change", [_replayed, _pushed, _nested, _described, _typed, _read_data, _read_there])
def test_what_has_changed_of_a_run_is_in_the_site_that_is_built_again(
    recorder: Recorder, site: Path, tmp_path: Path, change: Callable[[Recorder, RID], None]
) -> None:
    """It is the same as one that is built anew; the other runs are not read."""
    rid = train(recorder, 1)
    train(recorder, 2)
    build(recorder.catalog, site)
    change(recorder, rid)
    before = of(site, rid)
    again = build(recorder.catalog, site)
    assert of(site, rid) != before and again.read < again.runs
    build(recorder.catalog, tmp_path / "anew")
    assert contents(site) == contents(tmp_path / "anew")


def test_what_a_run_read_on_a_server_is_among_its_inputs(recorder: Recorder, site: Path) -> None:
    """Under its address there, or as the record that it is here."""
    rid = train(recorder, 1)
    _read_there(recorder, rid)
    build(recorder.catalog, site)
    told, address = of(site, rid), "https://www.example.org/id/1"
    assert {one["name"] for one in told["inputs"]} == {"weights.csv", f"{address}/2-FILE"}
    assert [one["name"] for one in told["datasets"]] == [f"{address}/2-DATA"]


def test_a_dataset_that_changes_is_in_the_site_that_is_built_again(recorder: Recorder, site: Path) -> None:
    catalog = recorder.catalog
    rid = catalog.add_dataset("Digits", [recorder.member("a.csv", "1")], name="digits")
    build(catalog, site)
    catalog.change_dataset(rid, [recorder.member("b.csv", "2")], [], "More of them", train(recorder))
    catalog.release_dataset(rid, description="More of them")
    build(catalog, site)
    [dataset] = taken(site / "data/datasets.js")
    assert [one["files"] for one in dataset["versions"]] == [2, 1] and not dataset["deleted"]
    catalog.delete_dataset(rid)
    build(catalog, site)
    [dataset] = taken(site / "data/datasets.js")
    assert dataset["deleted"]


def test_a_content_that_is_brought_back_is_shown(recorder: Recorder, site: Path) -> None:
    """Nothing of the record's rows says that it was missing."""
    rid = train(recorder)
    asset = recorder.output(rid, "weights.csv")
    content = recorder.catalog.objects.path(asset.md5)
    kept = content.read_bytes()
    content.unlink()

    def preview() -> Any:
        build(recorder.catalog, site)
        return next(one["preview"] for one in of(site, rid)["outputs"] if one["rid"] == asset.rid)

    assert preview() is None
    assert build(recorder.catalog, site).read == 0
    content.write_bytes(kept)
    assert preview()["kind"] == "table"


def test_a_value_is_told_in_full_by_its_run_and_in_short_in_the_table(recorder: Recorder, site: Path) -> None:
    rids = [
        train(recorder, seed, parameters_too={"text": f"{seed}" * 1000, "list": [seed] * 1000})
        for seed in (1, 2)
    ]
    build(recorder.catalog, site)
    columns = {one["name"]: one["values"] for one in taken(site / "data/runs.js")["columns"]}
    assert columns["model_config.text"][1] == "1" * 300 + "…" and len(columns["model_config.list"][1]) == 301
    given = {name: value for name, value, _ in of(site, rids[0])["parameters"]}
    assert (given["model_config.text"], given["model_config.list"]) == ("1" * 1000, [1] * 1000)


def test_a_file_that_somebody_removed_is_written_again(recorder: Recorder, site: Path) -> None:
    rid = train(recorder, files={"drawing.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>"})
    build(recorder.catalog, site)
    whole = contents(site)
    for name in ("index.html", "data/graph.js", f"data/runs/{rid}.js"):
        (site / name).unlink()
    [preview] = (site / "previews").iterdir()
    preview.unlink()
    build(recorder.catalog, site)
    assert contents(site) == whole


# ------------------------------------------------------------------------------------------------------ part of it
def test_a_site_of_some_runs_has_what_belongs_to_them_only(recorder: Recorder, site: Path) -> None:
    """What an earlier build wrote of the others goes; what somebody put beside it stays."""
    other, sweep = (
        train(recorder, 1, files={"a.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>"}),
        recorder.run("S"),
    )
    jobs = [train(recorder, seed) for seed in (2, 3)]
    for place, job in enumerate(jobs):
        recorder.catalog.nest(sweep, job, place)
    build(recorder.catalog, site)
    assert len([*(site / "previews").iterdir()]) == 1
    (site / "data" / "notes.txt").write_text("mine")
    built = build(recorder.catalog, site, [sweep])
    assert built.runs == 3 and {path.stem for path in (site / "data/runs").iterdir()} == {sweep, *jobs}
    assert not [*(site / "previews").iterdir()] and (site / "data" / "notes.txt").exists()
    assert other not in (site / "data/graph.js").read_text() + (site / "data/files.js").read_text()
    info = taken(site / "data/info.js")
    assert (info["count"], info["of"]) == (3, 4)


def test_a_picture_that_two_runs_have_stays_as_long_as_one_of_them(recorder: Recorder, site: Path) -> None:
    runs = [
        train(recorder, seed, files={"a.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>"}) for seed in (1, 2)
    ]
    for chosen, pictures in ((runs, 1), (runs[:1], 1), (runs[1:], 1), ([recorder.run("S")], 0)):
        build(recorder.catalog, site, chosen)
        assert len([*(site / "previews").iterdir()]) == pictures, chosen


def test_a_site_since_a_time_has_the_runs_since_then(recorder: Recorder, site: Path) -> None:
    old, new = train(recorder, 1), train(recorder, 2)
    recorder.catalog.database.change("Execution", {"RCT": "2020-01-01T00:00:00+00:00"}, RID=old)
    build(recorder.catalog, site, since="2h")
    assert taken(site / "data/runs.js")["rid"] == [new] and taken(site / "data/info.js")["since"] == "2h"
    with pytest.raises(DerivaMLRequestError, match="no time"):
        build(recorder.catalog, site, since="soon")


def test_a_notebook_is_shown_in_full_for_the_runs_that_are_named(recorder: Recorder, site: Path) -> None:
    from nbformat import writes
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = writes(new_notebook(cells=[new_code_cell("print(1)", id="a")]))
    files = {"study.ipynb": notebook, "study.md": "# Study\n"}
    rid = recorder.run("Study", "deriva-ml-run-notebook", "notebooks/study.ipynb", files=files)
    build(recorder.catalog, site)
    shown = of(site, rid)["notebook"]
    assert (shown["src"], shown["from"]) == (f"notebooks/{rid}.html", "markdown")
    build(recorder.catalog, site, [rid])
    assert of(site, rid)["notebook"]["from"] == "notebook" and of(site, rid)["kind"] == "notebook"


def test_the_notebooks_of_the_newest_runs_are_shown(
    recorder: Recorder, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a newer one comes, the page of the oldest goes."""
    monkeypatch.setattr(building, "NOTEBOOKS", 1)

    def study(number: int) -> RID:
        return recorder.run("Study", "deriva-ml-run-notebook", files={"study.md": f"# Study {number}\n"})

    old = study(1)
    train(recorder)
    build(recorder.catalog, site)
    assert (site / f"notebooks/{old}.html").exists()
    new = study(2)
    assert build(recorder.catalog, site).read == 2
    assert of(site, old)["notebook"] is None and of(site, new)["notebook"]
    assert [path.stem for path in (site / "notebooks").iterdir()] == [new]


def test_what_ran_is_told_also_of_runs_of_old(recorder: Recorder, site: Path) -> None:
    """Older runners did not note by which command a run was started."""
    model, notebook = train(recorder), recorder.run("Study", "deriva-ml-run-notebook")
    program = recorder.run("Collect", "script.py", url="https://git.example.org/script.py")
    sweep = recorder.run("Sweep", files={"sweep.json": "{}"})
    for rid in (model, notebook, program):
        recorder.catalog.database.change("local_run", {"started_by": None}, execution=rid)
    build(recorder.catalog, site)
    told = taken(site / "data/runs.js")
    kinds = dict(zip(told["rid"], told["kind"], strict=True))
    assert kinds == {model: "model", notebook: "notebook", program: "program", sweep: "sweep"}
    assert {rid: of(site, rid)["kind"] for rid in kinds} == kinds


# ------------------------------------------------------------------------------------------------------- its folder
def test_a_folder_with_other_files_is_refused(recorder: Recorder, site: Path) -> None:
    site.mkdir()
    (site / "thesis.tex").write_text("mine")
    with pytest.raises(DerivaMLRequestError, match="is no site that was built"):
        build(recorder.catalog, site)
    assert [path.name for path in site.iterdir()] == ["thesis.tex"]
    with pytest.raises(DerivaMLRequestError, match="is no folder"):
        build(recorder.catalog, site / "thesis.tex")
    with pytest.raises(DerivaMLRequestError, match="no folder .* can be made"):
        build(recorder.catalog, site / "thesis.tex" / "site")


@pytest.mark.parametrize("name", ["data", "data/runs", "assets", "index.html", "data/built.json"])
def test_no_link_in_a_site_is_followed(recorder: Recorder, site: Path, tmp_path: Path, name: str) -> None:
    """Nothing is written where one leads."""
    train(recorder)
    build(recorder.catalog, site)
    (site / name).rename(tmp_path / "elsewhere")
    (site / name).symlink_to(tmp_path / "elsewhere")
    elsewhere = [tmp_path / "elsewhere", *(tmp_path / "elsewhere").rglob("*")]
    before = {path: path.stat().st_mtime_ns for path in elsewhere}
    train(recorder)
    with pytest.raises(DerivaMLException):
        build(recorder.catalog, site)
    assert {path: path.stat().st_mtime_ns for path in [before.keys()][0]} == before
    assert [tmp_path / "elsewhere", *(tmp_path / "elsewhere").rglob("*")] == elsewhere


def test_what_a_list_names_elsewhere_is_not_removed(recorder: Recorder, site: Path, tmp_path: Path) -> None:
    build(recorder.catalog, site)
    mine = [tmp_path / "mine.txt", site / ".hidden", site / "data" / "a b.txt"]
    for path in mine:
        path.write_text("mine")
    listed = json.loads((site / "data/built.json").read_text())
    listed["files"] += ["../mine.txt", str(mine[0]), ".hidden", "data/a b.txt", "data", 7]
    (site / "data/built.json").write_text(json.dumps(listed))
    build(recorder.catalog, site)
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize(
    "damage", ["", "{", '{"form": "deriva-ml-site"}', '{"form": "deriva-ml-site", "files": 3}']
)
def test_a_damaged_list_is_made_anew(recorder: Recorder, site: Path, damage: str) -> None:
    """If it says that it is one; a folder with anything else is no site."""
    rid = train(recorder)
    build(recorder.catalog, site)
    whole = contents(site)
    (site / "data/built.json").write_text(damage)
    if "form" not in damage:
        with pytest.raises(DerivaMLRequestError):
            build(recorder.catalog, site)
        return
    assert build(recorder.catalog, site).read == 1 and contents(site) == whole
    assert of(site, rid)["rid"] == rid


def test_a_run_whose_rid_is_no_name_is_left_out(recorder: Recorder, site: Path) -> None:
    """It would be a path elsewhere."""
    rid = train(recorder)
    for table, column in (
        ("local_run", "execution"),
        ("local_setting", "execution"),
        ("local_metric", "execution"),
    ):
        recorder.catalog.database.delete(table, **{column: rid})
    recorder.catalog.database.query("PRAGMA foreign_keys = OFF")
    recorder.catalog.database.change("Execution", {"RID": "../../escaped"}, RID=rid)
    assert build(recorder.catalog, site).runs == 0
    assert not [*site.parent.rglob("escaped*")]


# --------------------------------------------------------------------------------------------- however a build ends
@pytest.mark.parametrize("ending", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_a_build_that_was_stopped_goes_on(
    recorder: Recorder, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    """What it had written is not read again."""
    for seed in range(5):
        train(recorder, seed)
    told, count = Details.of, iter(range(5))

    def stopped(*args: Any, **named: Any) -> Any:
        if next(count) == 3:
            raise ending
        return told(*args, **named)

    monkeypatch.setattr(Details, "of", stopped)
    with pytest.raises(type(ending)):
        build(recorder.catalog, site)
    monkeypatch.setattr(Details, "of", told)
    assert build(recorder.catalog, site).read == 2
    build(recorder.catalog, tmp_path / "anew")
    assert contents(site) == contents(tmp_path / "anew")


def test_a_build_of_some_runs_that_was_stopped_leaves_nothing_behind(
    recorder: Recorder, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had written of them is not taken for what a build of all runs had."""
    rid, _ = train(recorder, 1), train(recorder, 2)
    build(recorder.catalog, site)
    write = SiteFolder.write

    def stopped(folder: SiteFolder, name: str, content: bytes) -> None:
        if name == "data/files.js":
            raise KeyboardInterrupt
        write(folder, name, content)

    monkeypatch.setattr(SiteFolder, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        build(recorder.catalog, site, [rid])
    monkeypatch.setattr(SiteFolder, "write", write)
    build(recorder.catalog, site)
    build(recorder.catalog, tmp_path / "anew")
    assert contents(site) == contents(tmp_path / "anew")


def test_a_build_that_was_killed_at_once_is_repeated(recorder: Recorder, site: Path) -> None:
    """It had locked the folder, and written nothing yet."""
    (site / "data").mkdir(parents=True)
    (site / "data" / ".lock").touch()
    assert build(recorder.catalog, site).written


def test_two_builds_at_once_leave_a_whole_site(recorder: Recorder, site: Path, tmp_path: Path) -> None:
    for seed in range(5):
        train(recorder, seed)
    built: list[Built] = []

    def one() -> None:
        with closing(EmbeddedCatalog(recorder.catalog.project)) as catalog:
            built.append(build(catalog, site))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.read for one in built) == [0, 5]
    build(recorder.catalog, tmp_path / "anew")
    assert contents(site) == contents(tmp_path / "anew")


# ------------------------------------------------------------------------------------------------------ the command
def test_the_command_says_where_the_site_is_and_opens_it(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    rid = train(recorder)
    assert command.main(["site"]) == 0
    said = capsys.readouterr()
    assert said.out == "a site of 1 run is in outputs/site: open outputs/site/index.html\n"
    assert not said.err and not opened
    assert command.main(["site", "--open", "--out", "shown", rid]) == 0
    assert capsys.readouterr().out.endswith("is in shown: open shown/index.html\n")
    assert opened == [(Path.cwd() / "shown" / "index.html").as_uri()]
    assert command.main(["site", "--since", "2099-01-01"]) == 0
    assert capsys.readouterr().out.startswith("no run meets that\na site of 0 runs")


def test_the_command_refuses_what_is_no_run(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    rid = recorder.output(train(recorder), "weights.csv").rid
    for words in (["9-NONE"], [rid], ["--since", "soon"]):
        assert command.main(["site", *words]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (Path.cwd() / "outputs" / "site").exists()


def test_a_disk_that_takes_nothing_is_said_in_one_line(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train(recorder)

    def refused(path: Path, *args: Any, **named: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "write_bytes", refused)
    assert command.main(["site", "--out", "shown"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "it is read-only" in said
