"""What executions differ in is told of every kind of catalog alike."""

from __future__ import annotations

import json
from contextlib import closing

from catalog_kinds import Place, begin, record, uploaded, write
from deriva_ml.definitions import RID, AssetRole
from deriva_ml.records.comparison import compare
from recorder import Recorder


def run(place: Place, catalog: Recorder, number: int, read: RID) -> RID:
    """A recorded run that differs from others by its number."""
    rid = begin(place, catalog, f"run {number}", number)
    catalog.link_asset(rid, catalog.lookup_asset(read), AssetRole.input)
    configuration = {
        "parameters": {"l2": number, "tag": place.tag},
        "provenance": {"commit": str(number) * 40, "path": "m.py"},
    }
    metadata = {
        "configuration.json": (json.dumps(configuration), "Deriva_Config"),
        "environment.json": (json.dumps({"packages": {"numpy": f"2.{number}"}}), "Runtime_Env"),
        "metrics.jsonl": (f'{{"accuracy": {number}}}', "Metrics_File"),
    }
    for name, (text, kind) in metadata.items():
        write(catalog, rid, "Execution_Metadata", name, text.encode(), [kind])
    table = f"{place.tag}\nsame\n{number}\n".encode()
    write(catalog, rid, "Execution_Asset", "table.csv", table, ["Output_File"])
    record(catalog, rid)
    uploaded(catalog, rid)
    return rid


def test_executions_are_compared(place: Place, catalog: Recorder) -> None:
    """By their rows, and by their files, which a server has to be asked for."""
    inputs = [place.add_file(f"{name}.csv", f"{place.tag} {name}".encode()) for name in ("a", "b")]
    one, other = (run(place, catalog, number, read) for number, read in enumerate(inputs))
    with closing(place.open()) as opened:
        found = compare(opened.source, [one, other])
    told = {
        section: {item.name: (item.values.get(one), item.values.get(other)) for item in differences}
        for section, differences in found.sections.items()
    }
    assert told["parameters"] == {"l2": (0, 1)}
    assert told["code"]["commit"] == ("0" * 40, "1" * 40)
    assert told["packages"] == {"numpy": ("2.0", "2.1")}
    assert told["metrics"] == {"accuracy": (0, 1)}
    assert {item.name: item.change for item in found.sections["inputs"]} == {
        "a.csv": "removed",
        "b.csv": "added",
    }
    lines = {
        item.name: [tuple(vars(line).values()) for line in item.lines[0].lines]
        for item in found.sections["outputs"]
    }
    assert lines["table.csv"] == [(3, "0", 3, "1")]
    assert set(lines) == {"metrics.jsonl", "table.csv"}
    assert found.warnings == []
