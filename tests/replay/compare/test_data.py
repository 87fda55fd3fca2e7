"""What counts as the same in a file of data: numbers within the tolerance, all else exactly."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from scipy import sparse

from deriva_ml.replay.verdict import Own
from replay.compare.conftest import KNOWN_TIMES, START, WEEK, Compare

JSON = [
    ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', "equivalent"),
    ('{"a": 1}', '{\n  "a": 1\n}', "equivalent"),
    ('{"run": "2-ABCD"}', '{"run": "3-WXYZ"}', "identical"),
    ('{"2-ABCD": 1, "x": 0.5}', '{"3-WXYZ": 1, "x": 0.50000000000001}', "equivalent"),
    ('{"a": [0.1, NaN]}', '{"a": [0.1000000000000001, NaN]}', "equivalent"),
    ('{"a": 1}', '{"a": 1.0}', "equivalent"),
    ('{"a": 0.1}', '{"a": 0.100001}', "different"),
    ('{"a": 1}', '{"a": 2}', "different"),
    ('{"a": 1}', '{"a": true}', "different"),
    ('{"a": null}', '{"a": 0}', "different"),
    ('{"a": 0}', '{"a": false}', "different"),
    ('{"a": "1"}', '{"a": 1}', "different"),
    ('{"a": 12345678901234567890}', '{"a": 12345678901234567891}', "different"),
    ('{"a": 12345678901234567890}', '{"a": 12345678901234567890.5}', "different"),
    ('{"a": [1, 2]}', '{"a": [2, 1]}', "different"),
    ('{"a": [1, 2]}', '{"a": [1, 2, 3]}', "different"),
    ('{"a": {}}', '{"a": []}', "different"),
    ('{"a": 1}', '{"a": 1, "b": null}', "different"),
    ('{"a": 1, "a": 2}', '{"a": 3, "a": 2}', "different"),
    ('{"at": "12:20:01"}', '{"at": "12:21:01"}', "different"),
    ('{"took": "1.2 s"}', '{"took": "1.3 s"}', "different"),
    ('{"fit_time": 0.12}', '{"fit_time": 0.31}', "equivalent"),
    ('{"time": 0.12}', '{"time": 0.31}', "different"),
    ('{"cut', '{"cuf', "different"),
    ('{"a": 1%s}' % ("0" * 400), '{"a": 2%s}' % ("0" * 400), "different"),
]


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), JSON)
def test_json(recorded: str, repeated: str, verdict: str, compare: Compare) -> None:
    """The order of keys and how it is written mean little; types, texts and integers are exact."""
    assert str(compare(recorded, repeated, "scores.json").verdict) == verdict


def test_json_says_where_it_differs(compare: Compare) -> None:
    """By the path of the value, with both values; the similarity is the share of equal ones."""
    document = {"model": {"depth": 3, "layers": [1, 2, 3]}, "two words": 1}
    other = {"model": {"depth": 4, "layers": [1, 2, 5]}, "two words": 1}
    found = compare(json.dumps(document), json.dumps(other), "a.json")
    assert [(one.where, one.recorded, one.repeated) for one in found.differences] == [
        ("$.model.depth", "3", "4"),
        ("$.model.layers[2]", "3", "5"),
    ]
    assert found.similarity == 0.6


def test_moments_of_each_run_are_equivalent_in_data(compare: Compare) -> None:
    """Where it is known when the runs ran; a moment out of that time is data."""
    pairs = [(START + 5.5, START + WEEK + 7.25), (int(START) + 3, int(START + WEEK) + 4)]
    pairs += [(int((START + 1) * 1000), int((START + WEEK + 2) * 1000))]
    for one, other in pairs:
        texts = json.dumps({"saved": one}), json.dumps({"saved": other})
        assert str(compare(*texts, "a.json", KNOWN_TIMES).verdict) == "equivalent"
        assert str(compare(*texts, "a.json").verdict) == "different"
    texts = '{"at": "2026-11-27T17:20:30Z"}', '{"at": "2026-12-04T17:20:20Z"}'
    assert str(compare(*texts, "a.json", KNOWN_TIMES).verdict) == "equivalent"
    assert str(compare(*texts, "a.json").verdict) == "different"
    old = '{"at": "2024-11-27T17:20:30Z"}', '{"at": "2024-12-04T17:20:20Z"}'
    assert str(compare(*old, "a.json", KNOWN_TIMES).verdict) == "different"


LINES = [
    ('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n', '{"step": 1, "loss": 0.5}\n{"loss": 0.4, "step": 2}\n', "equivalent"),
    ('{"step": 1, "loss": 0.5}\n', '{"step": 1, "loss": 0.5000000000001}\n', "equivalent"),
    ('{"step": 1, "loss": 0.5}\n', '{"step": 1, "loss": 0.6}\n', "different"),
    ('{"step": 1}\n', '{"step": 1}\n{"step": 2}\n', "different"),
    ('{"step": 1}\n', '{"step": 1}', "equivalent"),
    ("no json 1.2 s\n", "no json 1.3 s\n", "different"),
]  # fmt: skip


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), LINES)
def test_json_lines(recorded: str, repeated: str, verdict: str, compare: Compare) -> None:
    """A file of metrics, for example, line by line."""
    assert str(compare(recorded, repeated, "metrics.jsonl").verdict) == verdict


def test_a_line_of_metrics_is_named(compare: Compare) -> None:
    """With the metric that differs in it."""
    found = compare('{"a": 1}\n{"loss": 0.5}\n', '{"a": 1}\n{"loss": 0.7}\n', "metrics.jsonl")
    assert [(one.where, one.recorded, one.repeated) for one in found.differences] == [
        ("line 2, $.loss", "0.5", "0.7")
    ]


TABLES = [
    ("a,b\n1,0.5\n", "a,b\n1,0.50000000000001\n", "equivalent"),
    ("a,b\n1,0.5\n", 'a,b\n"1",0.50\n', "equivalent"),
    ("a,b\n1,nan\n", "a,b\n1,NaN\n", "equivalent"),
    ("a,b\n1,0.5\n", "a,b\r\n1,0.5\r\n", "equivalent"),
    ("a,run\n1,2-ABCD\n", "a,run\n1,3-WXYZ\n", "identical"),
    ("a,b\n1,0.5\n", "a,b\n1,0.500001\n", "different"),
    ("a,b\n1,0.5\n", "a,b\n2,0.5\n", "different"),
    ("a,b\n007,x\n", "a,b\n7,x\n", "different"),
    ("a,b\n1,\n", "a,b\n1,nan\n", "different"),
    ("a,b\n1,x\n", "a,b\n1,X\n", "different"),
    ("a,b\n1,2\n3,4\n", "a,b\n3,4\n1,2\n", "different"),
    ("a,b\n1,2\n", "b,a\n2,1\n", "different"),
    ("a,b\n1,2\n", "a,b\n1,2\n1,2\n", "different"),
    ("a,b\n1,2\n", "a,b,c\n1,2,3\n", "different"),
    ("a,took\n1,1.2 s\n", "a,took\n1,1.3 s\n", "different"),
    ("a,at\n1,12:20:01\n", "a,at\n1,12:21:01\n", "different"),
    ("mean_fit_time,score\n0.12,0.9\n", "mean_fit_time,score\n0.31,0.9\n", "equivalent"),
    ("mean_fit_time,score\n0.12,0.9\n", "mean_fit_time,score\n0.31,0.8\n", "different"),
    ("a,big\n1,9007199254740993\n", "a,big\n1,9007199254740992\n", "different"),
    ("a,big\n1,9007199254740993\n", "a,big\n1,9007199254740992.0\n", "different"),
    ('a,b\n1,"open\n', 'a,b\n1,"opem\n', "different"),
    ('a,b\n1,"took 1.2 s\n', 'a,b\n1,"took 1.3 s\n', "different"),
    ('a,b\n1,"x 0.5\n', 'a,b\n1,"x 0.50000000000001\n', "equivalent"),
]


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), TABLES)
def test_tables(recorded: str, repeated: str, verdict: str, compare: Compare) -> None:
    """Floating point numbers within the tolerance; integers, texts, rows' and columns' order exactly."""
    assert str(compare(recorded, repeated, "scores.csv").verdict) == verdict
    tabs = recorded.replace(",", "\t"), repeated.replace(",", "\t")
    assert str(compare(*tabs, "scores.tsv").verdict) == verdict


def test_a_cell_is_named_by_row_and_column(compare: Compare) -> None:
    """And the number of rows is said first."""
    ours, theirs = (
        ["name,loss", *(f"run{n},{value}" for n, value in enumerate(column))]
        for column in ([0.5, 0.4, 0.3], [0.5, 0.7])
    )
    found = compare("\n".join(ours), "\n".join(theirs), "scores.csv")
    assert [(one.where, one.recorded, one.repeated) for one in found.differences] == [
        ("number of rows", "3", "2"),
        ('row 2, column "loss"', "0.4", "0.7"),
    ]
    assert "another order" in compare("a\n1\n2\n", "a\n2\n1\n", "scores.csv").note


def array(value: Any, dtype: Any = None, order: Any = "C") -> bytes:
    """An array as a file."""
    stream = io.BytesIO()
    numpy.save(stream, numpy.array(value, dtype=dtype, order=order))
    return stream.getvalue()


RECORD = [("n", "i4"), ("x", "f8")]

ARRAYS = [
    (array([1.0, 2.0]), array([1.0, 2.0 + 1e-13]), "equivalent"),
    (array([1.0, numpy.nan, numpy.inf]), array([1.0 + 1e-13, numpy.nan, numpy.inf]), "equivalent"),
    (array([1 + 2j]), array([1 + 2j + 1e-13j]), "equivalent"),
    (array([[1.0, 2.0], [3.0, 4.0]]), array([[1.0, 2.0], [3.0, 4.0]], order="F"), "equivalent"),
    (array([(1, 0.5)], RECORD), array([(1, 0.5 + 1e-13)], RECORD), "equivalent"),
    (array(0.5), array(0.5 + 1e-13), "equivalent"),
    (array([0.0]), array([-0.0]), "equivalent"),
    (array([1.0, 2.0]), array([1.0, 2.000001]), "different"),
    (array([complex(numpy.nan, 1.0)]), array([complex(numpy.nan, 2.0)]), "different"),
    (array([complex(numpy.nan, 1.0)]), array([complex(numpy.nan, 1.0 + 1e-13)]), "equivalent"),
    (array([1.0, numpy.nan]), array([1.0, 2.0]), "different"),
    (array([numpy.inf]), array([-numpy.inf]), "different"),
    (array([numpy.inf]), array([1e308]), "different"),
    (array([1, 2]), array([1, 3]), "different"),
    (array([2**60]), array([2**60 + 1]), "different"),
    (array([1, 2]), array([1.0, 2.0]), "different"),
    (array([1.0], "f4"), array([1.0], "f8"), "different"),
    (array([1.0, 2.0]), array([[1.0, 2.0]]), "different"),
    (array([True]), array([False]), "different"),
    (array(["a"]), array(["b"]), "different"),
    (array([(1, 0.5)], RECORD), array([(2, 0.5)], RECORD), "different"),
    (array(["2026-01-01", "NaT"], "M8[D]"), array(["2026-01-02", "NaT"], "M8[D]"), "different"),
    (array([]), array([[]]), "different"),
]


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), ARRAYS)
def test_arrays(recorded: bytes, repeated: bytes, verdict: str, compare: Compare) -> None:
    """Type and shape exactly, then the elements."""
    assert str(compare(recorded, repeated, "weights.npy").verdict) == verdict


def test_an_element_is_named_by_its_place(compare: Compare) -> None:
    """The similarity is the share of equal elements."""
    ours = numpy.arange(12.0).reshape(3, 4)
    theirs = ours.copy()
    theirs[2, 1] = 7.5
    found = compare(array(ours), array(theirs), "weights.npy")
    assert [(one.where, one.recorded, one.repeated) for one in found.differences] == [
        ("element [2, 1]", "9.0", "7.5")
    ]
    assert found.similarity == pytest.approx(11 / 12, abs=1e-4)


def objects(value: object) -> bytes:
    """An array of objects as a file."""
    stream = io.BytesIO()
    numpy.save(stream, numpy.array([value], dtype=object), allow_pickle=True)
    return stream.getvalue()


class Trap:
    """An object that makes a file where it is loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def test_objects_are_not_loaded(compare: Compare, tmp_path: Path) -> None:
    """Only their bytes are compared, as loading could run anything."""
    trap = tmp_path / "sprung"
    found = compare(objects(Trap(str(trap))), objects(Trap(str(trap) + "2")), "a.npy")
    assert (str(found.verdict), "not loaded" in found.note) == ("different", True)
    assert str(compare(objects(1), objects(2), "a.pkl").verdict) == "different"
    assert not trap.exists()


def saved(**arrays: Any) -> bytes:
    """Arrays as a compressed archive."""
    stream = io.BytesIO()
    numpy.savez_compressed(stream, **arrays)
    return stream.getvalue()


def test_archives_of_arrays(compare: Compare) -> None:
    """Array by array, by name."""
    one, noise = numpy.arange(5.0), numpy.arange(5.0) + 1e-14
    assert str(compare(saved(a=one, b=one), saved(a=one, b=noise), "w.npz").verdict) == "equivalent"
    found = compare(saved(a=one, b=one), saved(a=one, b=one[::-1]), "w.npz")
    assert (str(found.verdict), found.differences[0].where) == ("different", "b.npy, element [0]")
    assert str(compare(saved(a=one), saved(b=one), "w.npz").verdict) == "different"
    stored = io.BytesIO()
    numpy.savez(stored, a=one)
    assert str(compare(saved(a=one), stored.getvalue(), "w.npz").verdict) == "identical"


def matrix(rows: list[int], columns: list[int], values: list[float], form: str = "csr") -> bytes:
    """A sparse matrix as SciPy saves it."""
    stream = io.BytesIO()
    sparse.save_npz(stream, sparse.coo_array((values, (rows, columns)), shape=(4, 5)).asformat(form))
    return stream.getvalue()


def test_sparse_matrices(compare: Compare) -> None:
    """By the places of their values, whose order in the file means nothing."""
    one = matrix([0, 1, 3], [2, 0, 4], [1.0, 2.0, 3.0])
    assert (
        str(compare(one, matrix([0, 1, 3], [2, 0, 4], [1.0, 2.0, 3.0 + 1e-13]), "m.npz").verdict)
        == "equivalent"
    )
    assert (
        str(compare(one, matrix([0, 1, 3], [2, 0, 4], [1.0, 2.0, 3.0], "csc"), "m.npz").verdict)
        == "equivalent"
    )
    found = compare(one, matrix([0, 1, 3], [2, 0, 4], [1.0, 2.5, 3.0]), "m.npz")
    assert (str(found.verdict), found.differences[0].where) == ("different", "row 1, column 0")
    found = compare(one, matrix([0, 1, 3], [2, 1, 4], [1.0, 2.0, 3.0]), "m.npz")
    assert (str(found.verdict), found.differences[0].where) == ("different", "row 1, column 0")


def test_parquet_without_its_library(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes decide, and the note says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    found = compare(b"PAR1aPAR1", b"PAR1bPAR1", "t.parquet")
    assert (str(found.verdict), found.note) == ("different", "install pyarrow to compare values")


def test_parquet(compare: Compare) -> None:
    """Column by column, where pyarrow is installed."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def table(columns: dict[str, Any], **options: Any) -> bytes:
        stream = io.BytesIO()
        parquet.write_table(arrow.table(columns), stream, **options)
        return stream.getvalue()

    one = {"n": [1, 2, 3], "x": [0.5, None, 0.25], "run": ["2-ABCD", "b", "c"], "at": [[1.0], [], [2.0]]}
    noise = {**one, "x": [0.5 + 1e-13, None, 0.25], "run": ["3-WXYZ", "b", "c"]}
    assert str(compare(table(one), table(noise), "t.parquet").verdict) == "equivalent"
    assert (
        str(compare(table(one), table(one, row_group_size=1, compression="NONE"), "t.parquet").verdict)
        == "equivalent"
    )
    found = compare(table(one), table({**one, "n": [1, 2, 4]}), "t.parquet")
    assert (str(found.verdict), found.differences[0].where) == ("different", 'row 3, column "n"')
    for changed in (
        {**one, "n": [1.0, 2.0, 3.0]},
        {"n": [1, 2, 3]},
        {name: some[:2] for name, some in one.items()},
    ):
        assert str(compare(table(one), table(changed), "t.parquet").verdict) == "different"


def test_what_is_unknown_is_compared_by_its_bytes(compare: Compare) -> None:
    """Such as HDF5."""
    found = compare(b"\x89HDF\r\n\x1a\n\0abc", b"\x89HDF\r\n\x1a\n\0abd", "model.h5", Own())
    assert (str(found.verdict), found.differences[0].where) == ("different", "byte 11")
    assert str(compare(b"", b"a", "empty.bin").verdict) == "different"
