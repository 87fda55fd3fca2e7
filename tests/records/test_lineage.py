"""What a record came from and what came of it, in the project's own catalog: followed, shown, and as upstream returns it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination, Remote
from deriva_ml.catalog.links import Joined, Links, Start
from deriva_ml.cli import catalog, showing
from deriva_ml.cli import lineage as command
from deriva_ml.cli.arguments import CommandParser
from deriva_ml.definitions import RID, Asset, AssetRole, Member, Status, Workflow
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.records.finding import Finding
from deriva_ml.records.lineage import beyond, described, tree, walk
from deriva_ml.records.lineage_result import lineage_result

SERVER = Destination("deriva.example.org", "7")


class Recording:
    """A catalog, and short ways to record in it; a file is known by its name."""

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        self.catalog = catalog
        self.names: dict[RID, str] = {}

    def file(self, name: str, table: str = "Execution_Asset") -> Asset:
        """The file of a name."""
        source = self.catalog.project.root / "content"
        source.write_text(name)
        asset = self.catalog.add_asset(source, table, name)
        self.names[asset.rid] = name
        return asset

    def run(
        self,
        name: str,
        reads: Sequence[Asset] = (),
        makes: Sequence[Asset] = (),
        datasets: Sequence[RID] = (),
    ) -> RID:
        """A run that read and made files and read datasets."""
        rid = self.catalog.add_execution(Workflow(name, checksum=name), f"about {name}", Owner.of())
        self.names[rid] = name
        for asset in reads:
            self.catalog.link_asset(rid, asset, AssetRole.input)
        for dataset in datasets:
            self.catalog.link_dataset(rid, self.catalog.lookup_dataset(dataset))
        for asset in makes:
            self.catalog.link_asset(rid, asset, AssetRole.output)
        self.catalog.update_execution(rid, Status.uploaded, "")
        return rid

    def dataset(self, name: str, files: Sequence[Asset] = (), **others: Any) -> RID:
        """A dataset of files."""
        rid = self.catalog.add_dataset(name, [one.rid for one in files], **others)
        self.names[rid] = name
        return rid

    def lines(self, rid: RID, up: bool, depth: int | None = None) -> list[str]:
        """The tree, with names for RIDs and without what they are."""
        start = self.catalog.links_from(rid)
        found = walk(start, up, depth)
        lines = tree(found, described(start, [found]), beyond(start, found))
        said = []
        for line in lines:
            margin = line[: len(line) - len(line.lstrip())]
            first, _, rest = line.strip().partition(" ")
            mark = rest if rest == "(above)" else "..." if rest.endswith("...") else ""
            said.append(f"{margin[2:]}{self.names.get(first, first)} {mark}".rstrip())
        return said


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Recording]:
    (tmp_path / "pyproject.toml").touch()
    with closing(EmbeddedCatalog(Project(tmp_path))) as catalog:
        yield Recording(catalog)


class ML(Finding):
    """The look-ups of a connection, without one."""

    def __init__(self, catalog: EmbeddedCatalog) -> None:
        self._catalog = catalog

    @property
    def catalog(self) -> EmbeddedCatalog:
        return self._catalog


def show(catalog: EmbeddedCatalog, *words: str) -> int:
    """Run the command with these arguments."""
    parser = CommandParser("deriva-ml-catalog", "SUBCOMMAND [options]", "Look.")
    command.add_to(parser.add_subparsers(required=True))
    args: argparse.Namespace = parser.parse_args(["lineage", *words])
    status: int = args.run(catalog, args)
    return status


# ------------------------------------------------------------------------------------------------------------ following
def test_a_file_came_from_what_the_run_that_made_it_read_and_led_to_what_its_readers_made(
    records: Recording,
) -> None:
    raw, model, figure = (
        records.file("raw.csv", "File"),
        records.file("model.npz"),
        records.file("figure.png"),
    )
    data = records.dataset("data", [raw])
    train = records.run("train", makes=[model], datasets=[data])
    records.run("evaluate", reads=[model], makes=[figure])
    assert records.lines(model.rid, up=True) == ["train", "  data"]
    assert records.lines(model.rid, up=False) == ["evaluate", "  figure.png"]
    assert records.lines(figure.rid, up=True) == ["evaluate", "  model.npz", "    train", "      data"]
    assert records.lines(data, up=False) == ["train", "  model.npz", "    evaluate", "      figure.png"]
    assert records.lines(train, up=True) == ["data"]
    # The file of a dataset is no step up, as nobody made it; asked for itself, it leads to the dataset.
    assert records.lines(raw.rid, up=False)[:2] == ["data", "  train"]
    assert records.lines(raw.rid, up=True) == []


def test_what_is_reached_on_two_ways_is_shown_in_full_once(records: Recording) -> None:
    source, left, right, end = (records.file(name) for name in ("source", "left", "right", "end"))
    records.run("start", makes=[source])
    records.run("split left", reads=[source], makes=[left])
    records.run("split right", reads=[source], makes=[right])
    join = records.run("join", reads=[left, right], makes=[end])
    assert records.lines(end.rid, up=True) == [
        "join",
        "  left",
        "    split left",
        "      source",
        "        start",
        "  right",
        "    split right",
        "      source (above)",
    ]
    result = ML(records.catalog).lookup_lineage(join)
    assert result.lineage is not None and not result.cycle_detected
    [first, second] = result.lineage.parents
    assert [one.already_shown for one in (*first.parents, *second.parents)] == [False, True]
    assert result.executions_visited == 4


def test_a_loop_ends_where_it_began(records: Recording) -> None:
    """Two runs that made what the other read, as with files of one content."""
    one, two = records.file("one"), records.file("two")
    first = records.run("first", reads=[one], makes=[two])
    records.run("second", reads=[two], makes=[one])
    assert records.lines(first, up=True) == ["one", "  second", "    two", "      first (above)"]
    assert records.lines(one.rid, up=False) == ["first", "  two", "    second", "      one (above)"]
    result = ML(records.catalog).lookup_lineage(two.rid)
    assert result.cycle_detected and result.walked_complete and result.executions_visited == 2


def test_depth_is_a_number_of_steps_and_what_was_not_followed_is_marked(records: Recording) -> None:
    files = [records.file(f"file {number}") for number in range(4)]
    for number in range(3):
        records.run(f"run {number}", reads=[files[number]], makes=[files[number + 1]])
    last = files[3].rid
    assert records.lines(last, up=True, depth=0) == []
    assert records.lines(last, up=True, depth=2) == ["run 2", "  file 2 ..."]
    assert records.lines(last, up=True, depth=6)[-1].strip() == "file 0", "and nothing beyond"
    ml = ML(records.catalog)
    for depth, seen, capped in ((0, 1, True), (1, 2, True), (2, 3, False), (None, 3, False)):
        result = ml.lookup_lineage(last, depth=depth)
        assert (result.executions_visited, result.depth_capped) == (seen, capped)
        assert result.walked_complete
    result = ml.lookup_lineage(last, max_executions=2)
    assert (result.executions_visited, result.walked_complete) == (2, False)


def test_datasets_lead_to_those_that_they_are_part_of_and_come_from_files_that_a_run_made(
    records: Recording,
) -> None:
    given, made = records.file("given.csv", "File"), records.file("made.csv", "File")
    records.run("prepare", makes=[made])
    part = records.dataset("part", [given, made])
    whole = records.dataset("whole", nested=[part])
    records.run("train", datasets=[whole])
    assert records.lines(whole, up=True) == ["part", "  made.csv", "    prepare"]
    assert records.lines(made.rid, up=False) == ["part", "  whole", "    train"]
    consumed = ML(records.catalog).find_executions_consuming(whole)
    assert [records.names[one.rid] for one in consumed] == ["train"]
    assert ML(records.catalog).find_executions_consuming(part) == []


def test_a_dataset_comes_from_the_run_that_made_its_version(records: Recording) -> None:
    maker = records.run("assemble")
    data = records.dataset("data", execution=maker)
    user = records.run("train", datasets=[data])
    assert records.lines(data, up=True) == ["assemble"]
    assert records.lines(maker, up=False) == ["data", "  train"]
    facts = showing._dataset_facts(records.catalog, data)
    assert (facts["made by"], facts["read by"]) == ([maker], [user])
    assert showing._execution_facts(records.catalog, user)["made its inputs"] == [
        {"execution": maker, "status": "Uploaded", "workflow": "assemble", "made": data, "name": "data"}
    ]


def test_a_maker_of_a_later_version_is_no_source_of_what_read_an_earlier_one(records: Recording) -> None:
    first, user, second = records.run("first"), records.run("user"), records.run("second")
    data = records.dataset("data", execution=first)
    records.catalog.link_dataset(user, records.catalog.lookup_dataset(data))
    records.catalog.project.root.joinpath("more.csv").write_text("more")
    more = Member("more.csv", records.catalog.add_file(records.catalog.project.root / "more.csv").rid)
    version = records.catalog.change_dataset(data, [more], execution=second)
    assert records.lines(user, up=True) == ["data", "  first"]
    assert records.lines(data, up=True) == ["first", "second"]
    assert records.lines(first, up=False) == ["data", "  user"]
    assert records.lines(second, up=False) == ["data"]
    later = records.run("later")
    records.catalog.link_dataset(later, records.catalog.lookup_dataset(data, version))
    both = records.file("both")
    records.catalog.link_asset(user, both, AssetRole.output)
    records.catalog.link_asset(later, both, AssetRole.input)
    # Reached at the later version first, and at the earlier one by way of a file.
    assert records.lines(later, up=True) == [
        "data",
        "  first",
        "  second",
        "both",
        "  user",
        "    data (above)",
    ]
    early = records.file("early")
    records.catalog.link_asset(later, early, AssetRole.output)
    end = records.run("end", reads=[early], datasets=[])
    records.catalog.link_dataset(end, records.catalog.lookup_dataset(data, "0.1.0"))
    assert "  second" in records.lines(end, up=True), "reached at 0.1.0 first, and then at 0.10.0"


def test_what_describes_a_run_is_left_out_unless_another_run_read_it(records: Recording) -> None:
    lock = records.file("uv.lock", "Execution_Metadata")
    metrics = records.file("metrics.jsonl", "Execution_Metadata")
    run = records.run("run", makes=[lock, metrics])
    records.run("compare", reads=[metrics])
    assert records.lines(run, up=False) == ["metrics.jsonl", "  compare"]
    assert records.lines(lock.rid, up=True) == ["run"]


def test_a_sweep_and_its_runs_do_not_come_from_each_other(records: Recording) -> None:
    sweep, job = records.run("sweep"), records.run("job")
    records.catalog.nest(sweep, job, 0)
    for rid in (sweep, job):
        assert records.lines(rid, up=True) == records.lines(rid, up=False) == []


def test_a_record_that_was_pushed_and_read_from_the_server_again_is_the_one_here(records: Recording) -> None:
    model = records.file("model")
    train = records.run("train", makes=[model])
    records.catalog.journal.note({model.rid: Remote("2-ABCD", stored=True)}, SERVER)
    evaluate = records.run("evaluate")
    for rid, table in (("2-ABCD", "Execution_Asset"), ("9-ZZZZ", "File")):
        read = Asset(rid, table, "there", 1, "0" * 32, "/hatrac/there")
        records.catalog.journal.add_input(evaluate, SERVER, read)
    assert records.lines(train, up=False) == ["model", "  evaluate"]
    there = "https://deriva.example.org/id/7/9-ZZZZ"
    assert records.lines(evaluate, up=True) == ["model", "  train", there]


def test_a_thousand_records_cost_queries_by_level_and_table(
    records: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three levels of 100 records each: as many queries as with one run each."""
    asked: list[str] = []
    query = records.catalog._db.query
    monkeypatch.setattr(
        records.catalog._db, "query", lambda text, *values: asked.append(text) or query(text, *values)
    )

    def counted(width: int) -> int:
        root = records.file(f"root {width}")
        with records.catalog.transaction():
            for number in range(width):
                made = records.file(f"{width} {number}")
                records.run(f"a{width} {number}", reads=[root], makes=[made])
                records.run(f"b{width} {number}", reads=[made])
        asked.clear()
        start = records.catalog.links_from(root.rid)
        found = walk(start, up=False)
        assert len(described(start, [found])) == 1 + 3 * width
        return len(asked)

    assert counted(1) == counted(100)


def test_a_very_long_line_of_runs_needs_no_recursion_and_no_wide_lines() -> None:
    """5,000 records one after the other, shown, as JSON, and as a result."""

    def fetch(table: str, column: str, values: Any) -> list[dict[str, Any]]:
        rows = []
        for value in values:
            number = int(value)
            if table == "Execution_Asset_Execution" and column == "Execution" and number:
                rows.append({"Execution": value, "Execution_Asset": str(number - 1), "Asset_Role": "Input"})
            if table == "Execution_Asset_Execution" and column == "Execution_Asset" and number:
                rows.append({"Execution": str(number - 1), "Execution_Asset": value, "Asset_Role": "Output"})
        return rows

    uses = {"Execution_Asset": Joined("Execution_Asset_Execution", "Execution_Asset", "Execution")}
    start = Start("5000", "Execution", Links(fetch, uses, {}))
    found = walk(start, up=True)
    lines = list(tree(found, described(start, [found])))
    assert len(lines) == 5000
    assert max(map(len, lines)) < 100
    assert lines[-1].strip().startswith("[5000] 0 ")
    result = lineage_result(start, max_executions=5000)
    assert result.executions_visited == 2501 and repr(result)


# -------------------------------------------------------------------------------------------------------- the command
def test_the_command_shows_what_each_record_is(
    records: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    model = records.file("model\x1b[2J.npz")
    data = records.dataset("digits\nand more")
    train = records.run("train", makes=[model], datasets=[data])
    assert show(records.catalog, train) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{train}  execution Uploaded: train",
        "came from:",
        f"  {data}  dataset 0.1.0: digits",
        "led to:",
        f"  {model.rid}  file model\\x1b[2J.npz",
    ]
    assert show(records.catalog, data, "--up") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["came from: nothing that is recorded"]
    assert show(records.catalog, data, "--depth", "0") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["came from: nothing that is recorded", "led to: ..."]


def test_json_is_one_graph_of_both_directions(records: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    model = records.file("model.npz")
    data = records.dataset("digits")
    train = records.run("train", makes=[model], datasets=[data])
    show(records.catalog, train, "--json")
    graph = json.loads(capsys.readouterr().out)
    assert graph["root"] == train
    assert {node["rid"]: node["kind"] for node in graph["nodes"]} == {
        train: "execution",
        data: "dataset",
        model.rid: "file",
    }
    assert graph["edges"] == [
        {"from": data, "to": train, "version": "0.1.0"},
        {"from": train, "to": model.rid},
    ]
    assert graph["nodes"][0]["status"] == "Uploaded" and graph["nodes"][0]["name"] == "train"


def test_an_rid_of_nothing_and_of_something_else_is_refused(records: Recording) -> None:
    run = records.run("run")
    workflow = records.catalog.lookup_execution(run).workflow.rid
    with pytest.raises(NotFound, match="there is no execution, dataset or file 9-ZZZZ in this project's"):
        show(records.catalog, "9-ZZZZ")
    with pytest.raises(NotFound, match="names no execution, dataset or file: .* of kind workflow"):
        show(records.catalog, str(workflow))
    with pytest.raises(
        DerivaMLRequestError, match="is an execution, and what is read is a dataset or a file"
    ):
        ML(records.catalog).find_executions_consuming(run)


def test_the_command_takes_names_and_records_that_are_not_whole(
    records: Recording, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By RID here, by that on a server, or by name; a dataset that was deleted or contains itself has a lineage too."""
    model = records.file("model.npz")
    first, second = records.dataset("first"), records.dataset("second")
    train = records.run("train", makes=[model], datasets=[first])
    records.catalog.journal.note({train: Remote("2-ABCD", stored=True)}, SERVER)
    with records.catalog.transaction():
        for one, other in ((first, second), (second, first)):
            nested = records.catalog.dataset_versions(other)[0].rid
            row = {"dataset": one, "path": "other", "nested": nested, "since": 1}
            records.catalog._db.add("local_member", row)
        records.catalog._db.update("Dataset", first, {"Deleted": 1})
    monkeypatch.chdir(records.catalog.project.root)

    def said(*words: str) -> list[str]:
        assert catalog.main(["lineage", *words]) == 0
        return capsys.readouterr().out.splitlines()

    assert said("2-ABCD") == said(train)
    assert said("model.npz", "--up", "--depth", "1")[2:] == [f"  {train}  execution Uploaded: train ..."]
    assert said(first, "--up") == [
        f"{first}  dataset 0.1.0: first (deleted)",
        "came from:",
        f"  {second}  dataset 0.1.0: second",
        f"    {first} (above)",
    ]
    assert catalog.main(["lineage", "9-ZZZZ"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: there is no execution, dataset or file 9-ZZZZ in this project's catalog")


@pytest.mark.parametrize("words", [["--depth", "-1"], ["--up", "--down"], ["--depth", "x"]])
def test_arguments_that_mean_nothing_are_refused(records: Recording, words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        show(records.catalog, "9-ZZZZ", *words)
    assert ended.value.code == 2
