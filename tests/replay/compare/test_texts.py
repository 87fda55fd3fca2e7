"""What counts as the same in a text: nothing that a result could be."""

from __future__ import annotations

import pytest

from deriva_ml.replay.verdict import Own, Tolerance
from replay.compare.conftest import KNOWN_TIMES, Compare

IDENTICAL = [
    ("execution 2-ABCD is done", "execution 3-WXYZ is done"),
    ("saved model_2-ABCD.npz", "saved model_3-WXYZ.npz"),
    ("/home/ada/digits/outputs/2-ABCD/x.csv", "/tmp/replay-x/worktree/outputs/3-WXYZ/x.csv"),
    ("loss 0.5", "loss 0.5"),
]

EQUIVALENT = [
    # Times
    ("2026-11-27 17:20:01,123 INFO start", "2026-12-04 17:20:02,456 INFO start"),
    ("at 2026-11-27T17:20:01.5+00:00.", "at 2026-12-04T18:20:01+01:00."),
    ("Fri Nov 27 17:20:01 2026", "Fri Dec  4 17:20:01 2026"),
    ("Fri, 27 Nov 2026 17:20:01 GMT", "Fri, 04 Dec 2026 17:20:01 GMT"),
    ("run 20261127_172001", "run 20261204-172011"),
    ("November 27, 2026 17:20", "December 4, 2026 17:20"),
    ("[17:20:01] loss 0.5", "[17:20:33] loss 0.5"),
    ("E1127 17:20:01.123456   12345 cuda.cc:7] no device", "E1204 17:20:02.5   99 cuda.cc:7] no device"),
    ("-rw-r--r-- 1 ada ada 12 Nov 27 17:20 x.csv", "-rw-r--r-- 1 ada ada 12 Dec  4 17:20 x.csv"),
    ("saved run_20261127_172001.npz", "saved run_20261204_172011.npz"),
    ("in outputs/2026-11-27/17-20-01", "in outputs/2026-12-04/17-20-09"),
    ("in /home/ada/digits/runs/20261127-172001/a.pt", "in /tmp/replay-x/worktree/runs/20261204-172011/a.pt"),
    # Durations
    ("{'train_runtime': 12.3, 'train_loss': 0.5}", "{'train_runtime': 14.1, 'train_loss': 0.5}"),
    ("finished in 1.2 s", "finished in 340 ms"),
    ("finished in 1 min 3 s", "finished in 59.3 s"),
    ("took 0:00:12.5", "took 0:00:09.1"),
    ("Elapsed time: 1.234", "Elapsed time: 2.5"),
    ("fit_time=0.12", "fit_time=0.1"),
    (
        "CPU times: user 3 µs, sys: 1 µs, total: 4 µs\nWall time: 8.8 µs",
        "CPU times: user 2 ms, sys: 0 ns, total: 2 ms\nWall time: 4.29 s",
    ),
    (
        "3.2 ms ± 45 µs per loop (mean ± std. dev. of 7 runs, 100 loops each)",
        "312 µs ± 4.5 µs per loop (mean ± std. dev. of 7 runs, 1,000 loops each)",
    ),
    (
        "The slowest run took 4.31 times longer than the fastest. This could be cached.\n1 µs ± 2 ns per loop",
        "1 µs ± 3 ns per loop",
    ),
    ("1875/1875 - 3s - 2ms/step - loss: 0.25", "1875/1875 - 4s - 3ms/step - loss: 0.25"),
    ("epoch 1 (2m 3s): loss 0.5", "epoch 1 (1m 59s): loss 0.5"),
    ("read 3 files at 12.5 MB/s", "read 3 files at 9 MB/s"),
    # Addresses, paths, processes
    ("<function f at 0x7f0011223344>", "<function f at 0x7f0099887766>"),
    ("<M object at 0x10f2a3b40>", "<M object at 0x10e2a3b40>"),
    ("[<matplotlib.lines.Line2D at 0x7f0011223344>]", "[<matplotlib.lines.Line2D at 0x7f001122aaaa>]"),
    ("wrote /tmp/tmpab12cd34/x.csv", "wrote /tmp/tmpzz98yy76/x.csv"),
    ("wrote /scratch/me/tmpabcdefgh/x.csv", "wrote /scratch/me/tmpzz98yy76/x.csv"),
    ("{'fit_time': array([0.1, 0.2]), 'n': 2}", "{'fit_time': array([0.11, 0.3]), 'n': 2}"),
    ("wrote /tmp/tmpab12cd34.csv", "wrote /var/tmp/tmpzz98yy76.csv"),
    ("/usr/lib/python3.11/json/decoder.py", "/home/x/.cache/uv/python/lib/python3.11/json/decoder.py"),
    ("/home/ada/data/raw/x.csv", "/home/bob/data/raw/x.csv"),
    (
        "/opt/venv/lib/python3.11/site-packages/a/b.py:3: FutureWarning: old",
        "/x/lib/python3.11/site-packages/a/b.py:3: FutureWarning: old",
    ),
    ("/tmp/ipykernel_812/2041.py:3: UserWarning: w", "/tmp/ipykernel_99/73.py:3: UserWarning: w"),
    ("worker pid=123 is up", "worker pid=9 is up"),
    ("serving on http://127.0.0.1:41231", "serving on http://127.0.0.1:38111"),
    ("id 0b0f3ae4-61c1-4b83-9b52-b9f9a1f2a3c4", "id 9b0f3ae4-61c1-4b83-8b52-b9f9a1f2a3c5"),
    (
        "/home/ada/digits/.venv/lib/python3.11/site-packages/a/b.py:3: FutureWarning: old",
        "/srv/state/environments/0ab1/lib/python3.11/site-packages/a/b.py:3: FutureWarning: old",
    ),
    ("prefix /home/ada/digits/.venv", "prefix /srv/state/environments/0ab1"),
    ("python /home/ada/digits/.venv/bin/python", "python /srv/state/environments/0ab1/bin/python"),
    ("140234567890123", "139834567890456"),
    # Rounding
    ("accuracy 0.1234567890123", "accuracy 0.1234567890124"),
    ("x = -1.3e-17", "x = 2e-17"),
    ("[0. 1.]", "[1.e-17 1.e+00]"),
    ("-0.0", "0.0"),
    ("[1.  2.5]\n", "[1.0000000000001 2.5            ]\n"),
    # How it was shown
    ("\x1b[31mred\x1b[0m", "red"),
    ("a\r\nb\r\n", "a\nb\n"),
    (
        "\r  0%|          | 0/10 [00:00<?, ?it/s]\r100%|██████████| 10/10 [00:01<00:00, 9.5it/s]\n",
        "\r  0%|          | 0/10 [00:00<?, ?it/s]\r 50%|█████     | 5/10 [00:00<00:00, 8it/s]"
        "\r100%|██████████| 10/10 [00:02<00:00, 8.5it/s]\n",
    ),
    (
        "fit:  50%|█████     | 1/2 [00:01<00:01, 1.0s/it]\nfit: 100%|██████████| 2/2 [00:02<00:00, 1.0s/it]\ndone\n",
        "fit: 100%|██████████| 2/2 [00:03<00:00, 1.5s/it]\ndone\n",
    ),
    ("12it [00:01, 9.5it/s]", "12it [00:02, 7.5it/s]"),
    # Two bars, one below the other
    (
        "a:  50%|█ | 1/2 [00:00<00:00, 1it/s]\n\rb: 100%|██| 2/2 [00:00<00:00, 1it/s]\x1b[A\n"
        "\rb: 100%|██| 2/2 [00:00<00:00, 1it/s]\x1b[A\na: 100%|██| 2/2 [00:01<00:00, 1it/s]\nend\n",
        "a:  50%|█ | 1/2 [00:00<00:00, 1it/s]\n\rb: 100%|██| 2/2 [00:00<00:00, 2it/s]\x1b[A\n"
        "a: 100%|██| 2/2 [00:01<00:00, 1it/s]\nend\n",
    ),
    # One that is cleared in the end, however far it was seen to come
    (
        "a:   0%|  | 0/1 [00:00<?, ?it/s]\n\rb:  75%|█ | 15/20 [00:00<00:00, 9it/s]\x1b[A\n"
        "\r             \x1b[A\n\ra: 100%|██| 1/1 [00:00<00:00, 9it/s]\n",
        "a:   0%|  | 0/1 [00:00<?, ?it/s]\n\rb:  55%|█ | 11/20 [00:00<00:00, 9it/s]\x1b[A\n"
        "\r             \x1b[A\n\ra: 100%|██| 1/1 [00:00<00:00, 9it/s]\n",
    ),
    # Columns that are as wide as a duration is long
    ("name    time\n----------\na       1.25 s\n", "name   time\n---------\na      0.5 s\n"),
]

DIFFERENT = [
    ("loss 0.5", "loss 0.6"),
    ("accuracy 0.123456", "accuracy 0.123457"),
    ("3 items", "4 items"),
    ("seen 1000000000000", "seen 1000000000001"),
    ("counted 1000000000000.", "counted 1000000000001."),
    ("version 1.2.3", "version 1.2.4"),
    ("numpy 2.1", "numpy 2.2"),
    ("version 2.1", "version 2.10"),
    ("numpy==2.1", "numpy==2.10"),
    ("md5: 0123456789ab4def8123456789abcdef", "md5: 1123456789ab4def8123456789abcdef"),
    ("input 5-AAAA", "input 5-BBBB"),
    ("12-ABCD", "13-WXYZ"),
    ("{'a', 'b'}", "{'b', 'a'}"),
    ("{'x': 1, 'y': 2}", "{'y': 2, 'x': 1}"),
    ("a\nb\n", "b\na\n"),
    ("a", "a\n"),
    ("a b", "a  b"),
    ("hello", "Hello"),
    ("1", "1.0"),
    ("nan", "inf"),
    ("", "warning: something\n"),
    ("1\r2\r3", "9\r2\r3"),
    # What is cut, too long or no such thing
    ("data:image/png;base64,AAAAA", "data:image/png;base64,AAAAB"),
    ("1.2.3 s", "1.2.4 s"),
    ("9" * 5000 + ".", "9" * 4999 + "8."),
    ("2026-13-45 99:99", "2026-13-46 99:99"),
    # A duration that was found or set, and not measured
    ("half-life: 3.5 s", "half-life: 3.6 s"),
    ("timeout of 30 s", "timeout of 60 s"),
    ("best lag = 12 s", "best lag = 13 s"),
    ("sampled every 10 ms", "sampled every 20 ms"),
    ("speed 9.81 m/s", "speed 9.82 m/s"),
    ("acceleration 9.81 m/s^2", "acceleration 9.82 m/s^2"),
    ("loss 0.5 at 3 s", "loss 0.6 at 3 s"),
    ("12:20:01 loss 0.5", "12:21:01 loss 0.6"),
    ("best date: 2024-03-05", "best date: 2024-03-06"),
    ("ratio 1:20", "ratio 1:30"),
    # Something beside what is masked
    ("<function f at 0x7f0011223344>", "<function g at 0x7f0099887766>"),
    ("flags 0x1f", "flags 0x2f"),
    ("checksum 0xdeadbeef", "checksum 0xdeadbeee"),
    ("sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709", "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80700"),
    ("wrote /tmp/tmpab12cd34/x.csv", "wrote /tmp/tmpzz98yy76/y.csv"),
    ("read /data/train/a.csv", "read /data/test/a.csv"),
    ("read /home/ada/data/train/a.csv", "read /home/ada/data/test/a.csv"),
    ("read /home/ada/digits/data/train/a.csv", "read /tmp/replay-x/worktree/other/deep/a.csv"),
    ("/usr/lib/python3.11/json/decoder.py", "/usr/lib/python3.12/json/decoder.py"),
    ("/home/ada/digits/.venv/lib/python3.11/a.py", "/srv/environments/0ab1/lib/python3.11/b.py"),
    ("read /home/ada/digits/data/train/a.csv", "read /tmp/replay-x/worktree/data/test/a.csv"),
    ("read /home/ada/digits/data/train/a.csv", "read /srv/other/data/train/a.csv"),
    (
        "id 0b0f3ae4-61c1-5b83-9b52-b9f9a1f2a3c4",
        "id 9b0f3ae4-61c1-5b83-8b52-b9f9a1f2a3c5",
    ),  # of a name, by SHA-1
    ("/tmp/ipykernel_812/2041.py:3: UserWarning: w", "/tmp/ipykernel_812/2041.py:3: UserWarning: v"),
    (
        "\r100%|██████████| 10/10 [00:01<00:00, 9.5it/s]\n",
        "\r 90%|█████████ | 9/10 [00:01<00:00, 9.5it/s]\n",
    ),
    (
        "\r100%|██████████| 10/10 [00:01<00:00, 9.5it/s, loss=0.5]\n",
        "\r100%|██████████| 10/10 [00:01<00:00, 9.5it/s, loss=0.6]\n",
    ),
    ("12it [00:01, 9.5it/s]", "13it [00:01, 9.5it/s]"),
    (
        "".join(f"fit: 100%|██| 2/2 [00:01<00:00, 9.5it/s, loss={loss}]\n" for loss in (0.5, 0.4)),
        "".join(f"fit: 100%|██| 2/2 [00:01<00:00, 9.5it/s, loss={loss}]\n" for loss in (0.6, 0.4)),
    ),
    ("1: 50%|█ | 1/2 [00:01<00:01, 1it/s]\n", "2: 50%|█ | 1/2 [00:01<00:01, 1it/s]\n"),
    ("{'train_runtime': 12.3, 'train_loss': 0.5}", "{'train_runtime': 12.3, 'train_loss': 0.6}"),
    ("140234567890123", "840234567890123"),
    ("{'fit_time': array([0.1, 0.2]), 'n': 2}", "{'fit_time': array([0.11]), 'n': 2}"),
    ("{'test_score': array([0.1, 0.2])}", "{'test_score': array([0.1, 0.3])}"),
    ("at 1795800010", "at 1796404815"),
    ("number 20261127172001", "number 20261204172001"),
]


@pytest.mark.parametrize(("recorded", "repeated"), IDENTICAL)
def test_what_is_each_runs_own_is_identical(recorded: str, repeated: str, compare: Compare) -> None:
    """RIDs and folders that stand for the same are set equal."""
    assert str(compare(recorded, repeated, "a.txt").verdict) == "identical"


@pytest.mark.parametrize(("recorded", "repeated"), EQUIVALENT)
def test_what_must_differ_is_equivalent(recorded: str, repeated: str, compare: Compare) -> None:
    """And is said in the note."""
    found = compare(recorded, repeated, "a.txt")
    assert (str(found.verdict), found.similarity) == ("equivalent", 1.0)
    assert found.note


@pytest.mark.parametrize(("recorded", "repeated"), DIFFERENT)
def test_what_may_be_a_result_is_different(recorded: str, repeated: str, compare: Compare) -> None:
    """Each with its first difference."""
    found = compare(recorded, repeated, "a.txt")
    assert str(found.verdict) == "different"
    assert found.similarity < 1
    first = found.differences[0]
    assert first.where == "line 1"
    assert first.recorded != first.repeated or recorded.strip() == repeated.strip()


KNOWN = [
    ("2026-11-27 17:20:30", "2026-12-04 17:20:20", "equivalent"),
    ("2026-11-27 18:20:30", "2026-12-04 12:50:20", "equivalent"),  # of other zones
    ("2026-11-27", "2026-12-04", "equivalent"),
    ("2026-11-27T17:20:30Z", "2026-12-04T17:20:20Z", "equivalent"),
    ("27 Nov 2026", "4 Dec 2026", "equivalent"),
    ("17:20:30 start", "17:20:10 start", "equivalent"),
    ("took 12 s", "took 50 s", "equivalent"),
    ("2026-11-20 and 2026-11-27 17:20:30", "2026-11-20 and 2026-12-04 17:20:20", "equivalent"),
    ("saved run_20261127_172021.npz", "saved run_20261204_172031.npz", "equivalent"),
    ("saved run_20241127_172021.npz", "saved run_20241204_172031.npz", "different"),
    ("ada 12 Nov 27 17:20 x.csv", "ada 12 Dec  4 17:20 x.csv", "equivalent"),
    ("ada 12 Jan 27 17:20 x.csv", "ada 12 Feb  4 17:20 x.csv", "different"),
    ("at 1795800010.25", "at 1796404815.5", "equivalent"),
    ("at 1795800010", "at 1796404815", "equivalent"),
    ("at 1795800010", "at 1796504815", "different"),
    ("at 1695800010.25", "at 1696404815.5", "different"),
    ("as of 2026-11-27", "as of 2026-11-28", "different"),
    ("2024-03-05 10:00:00 peak", "2024-03-06 10:00:00 peak", "different"),
    ("2026-11-27T18:20:30Z", "2026-12-04T17:20:20Z", "different"),
    ("an orbit of 5400 s", "an orbit of 5500 s", "different"),
    ("it lasts 2 hours", "it lasts 3 hours", "different"),
    (
        "CPU times: user 10min 2s, sys: 3 s, total: 10min 5s",
        "CPU times: user 9min 2s, sys: 3 s, total: 9min 5s",
        "equivalent",
    ),
    ("the time is 05:07:11", "the time is 05:02:11", "different"),
]


@pytest.mark.parametrize(("recorded", "repeated", "verdict"), KNOWN)
def test_only_a_runs_own_time_may_differ(
    recorded: str, repeated: str, verdict: str, compare: Compare
) -> None:
    """Where it is known when the runs ran, a date out of that time is something that was worked with."""
    assert str(compare(recorded, repeated, "a.log", KNOWN_TIMES).verdict) == verdict


def test_a_difference_is_told_by_its_line(compare: Compare) -> None:
    """Lines that were put in are not taken for changed ones, and nothing in them acts on a terminal."""
    lines = [f"{n} of many" for n in range(1000)]
    changed = [*lines[:500], "put in \x07 here", *lines[500:700], "a word", *lines[701:]]
    found = compare("\n".join(lines), "\n".join(changed), "a.log")
    assert [(one.where, one.recorded, one.repeated) for one in found.differences[:1]] == [
        ("line 501", "", "put in \\x07 here")
    ]
    assert 0.99 < found.similarity < 1


def test_similarity_is_the_share_in_common(compare: Compare) -> None:
    """Of words in short texts, of lines in long ones."""
    assert compare("a b c d", "a b c e", "a.txt").similarity == 0.75
    lines = [f"line {n} says something" for n in range(4000)]
    other = [*lines[:3000], *(f"other {n}" for n in range(1000))]
    assert compare("\n".join(lines), "\n".join(other), "a.txt").similarity == pytest.approx(0.75, abs=0.01)


def test_no_text_is_taken_for_a_name(compare: Compare) -> None:
    """A text may hold what stands for an RID."""
    assert str(compare("<execution> is done", "3-WXYZ is done", "a.txt").verdict) == "different"


def test_a_wider_tolerance_takes_more(compare: Compare) -> None:
    """And none at all takes numbers as they are written."""
    verdicts = [
        compare("x 0.5", "x 0.50001", "a.txt", Own(), Tolerance(rtol, 0.0)).verdict
        for rtol in (0, 1e-6, 1e-4)
    ]
    assert [*map(str, verdicts)] == ["different", "different", "equivalent"]


def test_text_that_is_none_is_compared_by_its_bytes(compare: Compare) -> None:
    """With the place of the first one."""
    found = compare(b"\xff\xfea", b"\xff\xfeb", "a.txt")
    assert (str(found.verdict), found.differences[0].where) == ("different", "byte 2")
