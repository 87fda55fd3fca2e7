"""What every kind of catalog tells of many executions: parameters, choices, metrics, and which meet a condition."""

from __future__ import annotations

import json
import math
from contextlib import closing
from typing import Any

import pytest

from catalog_kinds import Place, begin, record, uploaded, write
from deriva_ml.catalog.summaries import Result
from deriva_ml.definitions import RID, Status
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.records.results import criteria, tabulate
from recorder import Recorder


def run(place: Place, catalog: Recorder, number: int, metrics: str, **parameters: Any) -> RID:
    """A recorded run of a model with these settings and lines of metrics."""
    rid = begin(place, catalog, f"run {number}", number % 2)
    configuration = {
        "started_by": "deriva-ml-run",
        "parameters": {"tag": f"{place.tag} {number}", **parameters},
        "config_choices": {"model_config": "wide" if number else "quick", "assets": ""},
    }
    write(
        catalog,
        rid,
        "Execution_Metadata",
        "configuration.json",
        json.dumps(configuration).encode(),
        ["Deriva_Config"],
    )
    write(catalog, rid, "Execution_Metadata", "metrics.jsonl", metrics.encode(), ["Metrics_File"])
    record(catalog, rid)
    uploaded(catalog, rid)
    return rid


def found(place: Place, **words: Any) -> list[Result]:
    """The results that words mean, as a new process reads them."""
    with closing(place.open()) as catalog:
        results: list[Result] = catalog.results(criteria(**words))
        return results


def test_runs_are_told_apart_by_what_they_were_given_and_came_to(place: Place, catalog: Recorder) -> None:
    """A condition finds them, an order sorts them, and a name that no run has is refused with those that are alike."""
    steps = "".join(f'{{"step": {n}, "accuracy": {n / 10}}}\n' for n in (1, 3, 2))
    one = run(place, catalog, 0, steps, l2=1.0, layers={"first": 8})
    other = run(
        place,
        catalog,
        1,
        f'{{"accuracy": 0.9, "loss": NaN, "tag": "{place.tag}"}}\n',
        l2=0.1,
        layers={"first": 16},
    )
    for _ in range(2):  # read from the files, and kept
        results = found(place, rids=[one, other])
        assert [result.record.rid for result in results] == [one, other]
        first, second = (result.summary for result in results)
        accuracy = first.metrics["accuracy"]
        assert (accuracy.last, accuracy.last_step) == (0.2, 2)
        assert (accuracy.greatest, accuracy.greatest_step) == (0.3, 3)
        assert (accuracy.least, accuracy.least_step) == (0.1, 1)
        assert math.isnan(second.metrics["loss"].last)
        assert (
            first.parameters["model_config.l2"] == 1.0
            and second.parameters["model_config.layers.first"] == 16
        )
        assert (first.choices, second.choices) == ({"model_config": "quick"}, {"model_config": "wide"})

    mine = f'tag = "{place.tag} 0"'
    both = [one, other]
    for where, expected in {
        "accuracy > 0.25": [other],
        "accuracy > 0.1 and l2 >= 1": [one],
        "model_config.l2 < 1": [other],
        "choices.model_config = quick": [one],
        "`model_config.layers.first` != 8": [other],
        mine: [one],
        "loss > 0": [],
        "loss = nan": [other],
        "when > 2020-01-01": both,
        "status = nothing": [],
    }.items():
        assert [result.record.rid for result in found(place, rids=both, where=where)] == expected, where
    assert [
        result.record.rid for result in found(place, rids=both, where="accuracy > 0.25", best="max")
    ] == both
    for sort, expected in {
        "accuracy": both,
        "-accuracy": [other, one],
        "l2": [other, one],
        "-loss": [other, one],
    }.items():
        assert [result.record.rid for result in found(place, rids=both, sort=sort)] == expected, sort

    with pytest.raises(DerivaMLRequestError, match=r"called acuracy; there is accuracy"):
        found(place, where="acuracy > 1")
    table = tabulate(found(place, rids=both))
    assert table.columns[:2] == ["RID", "when"]
    assert {"model_config.l2", "model_config.layers.first", "model_config", "accuracy", "loss"} <= {
        *table.columns
    }


def test_runs_are_found_by_workflow_sweep_status_and_time(place: Place, catalog: Recorder) -> None:
    """Where the catalog has no place for sweeps, no run is part of one there."""
    rids = [run(place, catalog, number, '{"a": 1}\n') for number in range(2)]
    failed = begin(place, catalog, "fails", 3)
    catalog.update_execution(failed, Status.failed, "no")
    sweep = begin(place, catalog, "sweep", 4)
    for place_in_it, rid in enumerate(reversed(rids)):
        catalog.nest(sweep, rid, place_in_it)
    for rid in (failed, sweep, *rids):
        catalog.send(rid)

    def named(**words: Any) -> list[RID]:
        mine = {*rids, failed, sweep}
        return [result.record.rid for result in found(place, **words) if result.record.rid in mine]

    nested = [] if place.generation == "1.17.10" else rids
    assert named() == [sweep, failed, *rids[::-1]]
    assert named(sweep=sweep) == nested[::-1]
    assert named(status="Failed") == [failed]
    assert named(since="1h") == named() and named(since="2999-01-01") == []
    assert named(workflow="Analysis") == named() and named(workflow="none") == []
    without = [failed, *rids[::-1]]
    assert named(runs_only=True) == (without if nested else [sweep, *without])
    with closing(place.open()) as opened:
        workflow = opened.lookup_execution(rids[0]).workflow
        assert workflow.rid in [one.rid for one in opened.find_workflows()]
    assert named(workflow=workflow.rid) == [rids[0]]
    assert named(workflow_type=f"Analysis {place.tag}") == named()


def test_a_damaged_file_of_metrics_is_warned_of(
    place: Place, catalog: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    rid = run(place, catalog, 0, '{"a": 1}\n[2]\nno JSON\n{"a": 3, "text": "x", "nested": {"b": 2}}\n')
    [result] = found(place, rids=[rid])
    assert {name: metric.last for name, metric in result.summary.metrics.items()} == {"a": 3, "nested.b": 2}
    assert "metrics.jsonl of execution" in (said := capsys.readouterr().err)
    assert "line 2 is no JSON object, as 1 more" in said


def test_files_and_datasets_are_found_by_what_they_are(place: Place, catalog: Recorder) -> None:
    rid = begin(place, catalog)
    for name, kind in ((f"a{place.tag}.csv", "Output_File"), (f"b{place.tag}.npz", "Model_File")):
        write(catalog, rid, "Execution_Asset", name, f"{place.tag} {name}".encode(), [kind])
    record(catalog, rid)
    uploaded(catalog, rid)
    file = place.add_file(f"c{place.tag}.csv", place.tag.encode())
    dataset = place.add_dataset(f"about {place.tag}", [file], ["Training"])

    with closing(place.open()) as opened:

        def names(**words: Any) -> list[str]:
            return [one.filename for one in opened.find_assets(**words) if place.tag in one.filename]

        assert names(name=f"*{place.tag}.csv") == [f"c{place.tag}.csv", f"a{place.tag}.csv"]
        assert names(asset_type="Model_File") == [f"b{place.tag}.npz"]
        assert names(table="File", name="*") == [f"c{place.tag}.csv"]
        with pytest.raises(DerivaMLRequestError, match="no asset table Nope"):
            opened.find_assets("Nope")
        [newest] = opened.find_datasets(1)
    assert (newest.rid, newest.version, newest.description) == (dataset, "1.0.0", f"about {place.tag}")
    assert newest.types == ("Training",)
