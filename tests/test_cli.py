"""What the commands have in common, and the look at the catalog, called as functions."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from hydra_zen import builds, store

from conftest import SOURCE
from deriva_ml import DerivaML, DerivaMLConfig
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.catalog.journal import Destination, Remote
from deriva_ml.cli import catalog
from deriva_ml.cli.arguments import overrides_from_flags
from deriva_ml.cli.run import parser
from deriva_ml.config.compose import choices_of, compose
from deriva_ml.definitions import ExecMetadataType, Workflow
from deriva_ml.execution import (
    BaseConfig,
    Execution,
    ExecutionConfiguration,
    get_notebook_configuration,
)
from deriva_ml.table import aligned


@pytest.fixture
def ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DerivaML:
    """A connection to the catalog of an empty project, from inside it."""
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    monkeypatch.chdir(tmp_path)
    return DerivaML()


def executed(ml: DerivaML) -> Execution:
    return ml.create_execution(ExecutionConfiguration(), Workflow("Test", "Training", url="u", checksum="c"))


# ------------------------------------------------------------------------------------------------------- a closed pipe
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("print('x' * 100_000); return 1", 1),
        ("print('x'); return 1", 1),
        ("print('x'); return 0", 0),
        ("print('x'); raise DerivaMLRequestError('no')", 2),
    ],
)
def test_a_reader_that_goes_away_does_not_change_the_exit_status(body: str, status: int) -> None:
    """``deriva-ml-run ... 2>&1 | head -1`` under ``pipefail`` still says whether the run failed."""
    code = (
        "import sys\nfrom deriva_ml.cli.command import command\n"
        "from deriva_ml.exceptions import DerivaMLRequestError\n\n"
        f"@command\ndef main(argv):\n    {body}\n\nsys.stdin.read()\nsys.exit(main([]))\n"
    )
    for streams in ({"stderr": subprocess.PIPE}, {"stderr": subprocess.STDOUT}):
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": str(SOURCE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **streams,
        )
        assert process.stdin and process.stdout
        process.stdout.close()
        process.stdin.close()  # only now does it write
        said = process.stderr.read() if process.stderr else ""
        assert process.wait(60) == status
        assert "Broken pipe" not in said and "Traceback" not in said


# ------------------------------------------------------------------------------------------------- --host and --catalog
connected = builds(DerivaMLConfig, populate_full_signature=True)
store(builds(BaseConfig, populate_full_signature=True, deriva_ml=connected), name="test_cli")


@pytest.mark.parametrize(
    ("host", "number"),
    [
        ("www.example.org", "1"),
        ("localhost:8080", "eye-ai.v2"),
        ("http://localhost:8080", "1@2YK-ABC"),
        ("[::1]:80", "007"),
        ("null", "it's"),
        ("a,b", "a\\"),
        ("x=y", "1.0"),
    ],
)
def test_a_host_and_a_catalog_arrive_as_they_were_typed(host: str, number: str) -> None:
    overrides = overrides_from_flags(parser().parse_args(["--host", host, "--catalog", number]))
    config = compose("test_cli", overrides).instantiate()
    assert (config.deriva_ml.hostname, config.deriva_ml.catalog_id) == (host, number)
    assert [one.words for one in choices_of([*overrides, "a=1,2"])] == [
        *([word] for word in overrides),
        ["a=1", "a=2"],
    ]


def test_a_configuration_can_be_looked_at_any_number_of_times() -> None:
    looked = builds(BaseConfig, populate_full_signature=True, description="Looked at")
    for _ in range(2):
        assert get_notebook_configuration(looked, "test_cli_looked").description == "Looked at"


def test_a_configuration_that_was_stored_is_looked_at_with_upstreams_arguments() -> None:
    """It is the one that is stored, also where the class itself is given, and overrides are of it."""
    plain = builds(BaseConfig, populate_full_signature=True, description="Stored")
    store(plain, name="test_cli_stored")
    for given in (plain, BaseConfig, None):
        made = get_notebook_configuration(
            given, config_name="test_cli_stored", overrides=["dry_run=true"], job_name="x", version_base="1.3"
        )
        assert (made.description, made.dry_run) == ("Stored", True)


# -------------------------------------------------------------------------------------------------- deriva-ml-catalog
def test_a_listing_that_is_cut_off_says_so(ml: DerivaML, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        executed(ml)

    def listed(*arguments: str) -> list[str]:
        assert catalog.main(["list", *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    assert listed("-n", "3")[-1] == "... and more; -n 0 shows all"
    assert listed("-n", "3", "--status", "Created")[-1] == "... and more; -n 0 shows all"
    for everything in ((), ("-n", "0"), ("-n", "5")):
        assert len(listed(*everything)) == 6
    assert len(json.loads("\n".join(listed("-n", "3", "--json")))) == 3


def test_a_listing_names_an_execution_as_it_is_named_where_it_was_pushed(
    ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder in ``outputs/`` and the address that a colleague sends have the server's RID: it can be found here."""
    here, pushed = executed(ml).execution_rid, executed(ml).execution_rid
    assert catalog.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split()[:2] == ["RID", "status"]

    production = Destination("www.example.org", "1")
    begun = Destination("www.example.org", "2")
    with closing(EmbeddedCatalog(ml.project)) as own:
        own.journal.note({pushed: Remote("3QP", stored=True)}, production)
        own.journal.note({pushed: Remote("9ZZ")}, begun)  # reserved, and nothing is there yet
    assert catalog.main(["list"]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head[:3] == ["RID", "there", "status"]
    assert rows[0][:3] == [pushed, "3QP", "Created"] and rows[1][:2] == [here, "Created"]

    assert catalog.main(["list", "--json"]) == 0
    links = {record["rid"]: record["pushed_to"] for record in json.loads(capsys.readouterr().out)}
    assert links == {pushed: ["https://www.example.org/id/1/3QP"], here: []}


@pytest.mark.parametrize("what", ["show", "open"])
def test_what_is_wrong_with_a_record_is_said_whatever_kind_it_is_looked_for_as(
    what: str, ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset that was deleted is not "no execution": it is there, and the reason that it cannot be read is told."""
    with closing(EmbeddedCatalog(ml.project)) as own:
        dataset = own.add_dataset("numbers", [])
    with closing(sqlite3.connect(ml.project.database)) as database, database:
        database.execute('UPDATE "Dataset" SET "Deleted" = 1 WHERE "RID" = ?', (dataset,))
    assert catalog.main([what, dataset]) == 2
    assert f"dataset {dataset} has been deleted" in capsys.readouterr().err
    assert catalog.main([what, "9-ZZZZ"]) == 2
    assert "there is no" in capsys.readouterr().err


LONG = "A description that goes on " + "and on " * 40 + "to its end"


@pytest.mark.parametrize("room", [200, 100, 80, 70])
def test_a_listing_fits_the_terminal(
    room: int, ml: DerivaML, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each execution has its line, of whose texts something is left; RID, status and time are never cut."""
    for description in (LONG, "日本語の説明" * 30, "short"):
        ml.create_execution(
            ExecutionConfiguration(description=description),
            Workflow("A workflow of a long name", "Training", url="u", checksum="c"),
        )
    monkeypatch.setenv("COLUMNS", str(room))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert catalog.main(["list"]) == 0
    head, short, wide, long = capsys.readouterr().out.splitlines()
    columns = [len(line) + sum(ord(one) > 0x3000 for one in line) for line in (head, short, wide, long)]
    assert max(columns) <= room and columns[2] >= room - 1 and columns[3] == room
    assert long.endswith("…") and wide.endswith("…") and "Created" in long and ":" in long
    assert "  another" in long and "  A workf" in long and "  A descr" in long
    monkeypatch.undo()


def test_a_listing_for_a_program_is_complete(ml: DerivaML, capsys: pytest.CaptureFixture[str]) -> None:
    """To a pipe or a file nothing is cut, whatever the terminal is like."""
    ml.create_execution(
        ExecutionConfiguration(description=f"{LONG}\nand more"),
        Workflow("Test", "Training", url="u", checksum="c"),
    )
    assert catalog.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(" " + LONG)


def test_columns_are_aligned_whatever_the_letters() -> None:
    """A character of East Asia takes two columns of a terminal, an accent of its own none."""
    rows = [("name", "n"), ("日本", 1), ("cafe\u0301", 2), ("ascii", 3)]
    assert aligned(rows).splitlines() == ["name   n", "日本   1", "cafe\u0301   2", "ascii  3"]
    assert (
        aligned([("a", "b"), ("x" * 30, "y" * 30)], 30, ["a", "b"]).splitlines()[1]
        == "xxxxxxxxxxxxx…  yyyyyyyyyyyyy…"
    )
    assert aligned([("a", "b"), ("x" * 30, "y" * 30)], 10, ["b"]).splitlines()[1] == "xxxxxxxxx…"


@pytest.mark.parametrize("number", ["-1", "many"])
def test_a_limit_that_is_no_number_of_executions_is_refused(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        catalog.main(["list", "-n", number])
    assert ended.value.code == 2
    assert f"{number!r} is not a number of executions (0 or more)" in capsys.readouterr().err


def test_a_record_whose_configuration_is_damaged_is_shown_all_the_same(
    ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    """One content that is lost or damaged does not hide the rest of the record."""
    execution = executed(ml)
    execution.record_circumstances({})
    [path] = execution.commit_output_assets()["Execution_Metadata"]
    path.chmod(0o644)
    for damage in (lambda: path.write_text("{"), path.unlink):
        damage()
        assert catalog.main(["show", execution.execution_rid]) == 0
        shown = capsys.readouterr()
        assert "status:      Uploaded" in shown.out and "configuration.json" in shown.out
        assert f"warning: the configuration of {execution.execution_rid} cannot be shown: " in shown.err


def test_opening_an_execution_brings_every_output_even_of_one_name(
    ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    execution = executed(ml)
    for content in ("first", "second"):
        execution.asset_file_path("Execution_Asset", "plot.txt").write_text(content)
    execution.asset_file_path("Execution_Asset", "alone.txt").write_text("alone")
    execution.commit_output_assets()
    for _ in range(2):
        assert catalog.main(["open", execution.execution_rid]) == 0
        assert Path(capsys.readouterr().out.strip()).is_file()
    folder = ml.project.outputs / execution.execution_rid
    assert sorted(path.read_text() for path in folder.rglob("plot.txt")) == ["first", "second"]
    assert (folder / "alone.txt").read_text() == "alone"


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["weights.npz", "table.csv", "plot.png", "report.html"], "report.html"),
        (["weights.npz", "table.csv", "plot.png"], "plot.png"),
        (["weights.npz", "table.csv"], "table.csv"),
        (["weights.npz"], "weights.npz"),
        (["NOTES.MD", "plot.svg"], "NOTES.MD"),
        ([], "metrics.jsonl"),
    ],
)
def test_opening_an_execution_prefers_what_a_person_reads(
    names: list[str], best: str, ml: DerivaML, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not what describes the run, unless there is nothing else."""
    execution = executed(ml)
    execution.add_metadata("environment.json", "{}", ExecMetadataType.runtime_env)
    execution.add_metadata("readme.md", "", ExecMetadataType.runtime_env)
    if not names:
        execution.metrics_file().write_text("{}")
    for name in names:
        execution.asset_file_path("Execution_Asset", name).write_text(name)
    execution.commit_output_assets()
    assert catalog.main(["open", execution.execution_rid]) == 0
    assert Path(capsys.readouterr().out.strip()).name == best
