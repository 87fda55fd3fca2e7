"""What two runs of the same code give, and how much that is the same: written down before any tool has said so.

Code of a cell writes ``put(content)`` or ``write(content)``, or saves at ``path``; ``either(a, b)`` is one thing in the run
that is recorded, and the other in the one that repeats it.
"""

from __future__ import annotations

from typing import NamedTuple

SAME, ALIKE, OTHER = "identical", "equivalent", "different"


class Truth(NamedTuple):
    """What is written into a file, or shown by a cell, and the verdict on it."""

    name: str
    verdict: str
    code: str


BEFORE = """
import datetime, getpass, gzip, importlib.util, io, json, locale, logging, os, pickle, random, sys, tarfile, tempfile, threading, time
import traceback, uuid, warnings, zipfile
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import HTML, JSON, Latex, Markdown, display
from IPython.utils.capture import capture_output
from PIL import Image, PngImagePlugin

turn = int(os.environ["TRUTH_TURN"])
begun = time.time()
now = datetime.datetime.now()
words = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay", "kite", "lynx"]
rounded, other = 1 + turn * 1e-13, 1 + turn * 1e-6


def either(recorded, repeated):
    return repeated if turn else recorded


def put(content):
    path.write_bytes(content if isinstance(content, bytes) else str(content).encode())


def figure(factor=1.0, **options):
    axes = plt.figure(figsize=(2, 1)).gca()
    axes.plot([0, 1, 2], [0, factor, 3])
    axes.set_title("a title")
    plt.savefig(path, **options)
    plt.close()


def pixels(value=7, size=(5, 4)):
    array = np.arange(size[0] * size[1] * 3, dtype="uint8").reshape(size[1], size[0], 3)
    array[1, 2] = value
    return Image.fromarray(array)


def packed(names, level=9):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name, now.timetuple()[:6]), name * 100)


@contextmanager
def shown(path, again):
    with capture_output() as seen:
        yield
    data = [{"output_type": "display_data", "data": one.data, "metadata": one.metadata or {}} for one in seen.outputs]
    printed = [
        {"output_type": "stream", "name": name, "text": text}
        for name, text in (("stdout", seen.stdout), ("stderr", seen.stderr)) if text
    ]
    cell = {"cell_type": "code", "source": "", "metadata": {}, "execution_count": 1, "outputs": printed + data}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}))
    if again:
        seen.show()
"""

FILES = [
    # The same each time
    Truth("steady.txt", SAME, "put(sum(n * n for n in range(1000)) / 7)"),
    Truth("seeded.csv", SAME, "pd.DataFrame({'x': np.random.default_rng(7).normal(size=9), 'y': random.Random(7).random()}).to_csv(path)"),
    Truth("sorted.txt", SAME, "put(sorted(set(words)))"),
    Truth("inserted.json", SAME, "put(json.dumps({word: len(word) for word in words}))"),
    Truth("thread-setting.txt", SAME, "put(os.environ['OMP_NUM_THREADS'])"),
    Truth("locale.txt", SAME, "put([locale.setlocale(locale.LC_ALL, ''), time.strftime('%H %Z', time.localtime(0))])"),
    Truth("my-folders.txt", SAME, "put([execution.working_dir, Path.cwd(), Path('notebooks').resolve()])"),
    Truth("my-rid.csv", SAME, "put(f'execution,loss\\n{execution.execution_rid},0.5\\n')"),
    Truth("empty.txt", SAME, "put('')"),
    Truth("no-numbers.json", SAME, "put(json.dumps([float('nan'), float('inf'), -0.0]))"),
    Truth("figure.png", SAME, "figure(metadata={'Creation Time': str(now)})"),
    Truth("figure.svg", SAME, "figure()"),
    Truth("figure.pdf", SAME, "figure()"),
    Truth("figure-rounded.svg", SAME, "figure(rounded)"),
    Truth("array.npy", SAME, "np.save(path, np.arange(1_000_000) / 3)"),
    Truth("arrays.npz", SAME, "np.savez_compressed(path, a=np.arange(9.0), b=np.array(['x', 'y']))"),
    Truth("objects.npy", SAME, "np.save(path, np.array([None, 'a', 2], dtype=object), allow_pickle=True)"),
    Truth("frame.pkl", SAME, "pickle.dump({'words': words, 'values': [1, 2.5, None]}, path.open('wb'))"),
    Truth("times.csv.gz", SAME, "path.write_bytes(gzip.compress(b'x\\n1\\n', mtime=begun))"),
    Truth("times.zip", SAME, "packed(words)"),
    # But for what must differ
    Truth("now.txt", ALIKE, "put(f'begun at {now}, ended {now:%d %b %Y %H:%M:%S}')"),
    Truth("now.md", ALIKE, "put(f'# Report\\n\\n*Made on {now:%B %d, %Y %H:%M:%S}*\\n\\nloss 0.5\\n')"),
    Truth("now.json", ALIKE, "put(json.dumps({'created': now.isoformat(), 'unix': time.time(), 'loss': 0.5}))"),
    Truth("now.csv", ALIKE, "put(f'step,at\\n1,{now.isoformat()}\\n')"),
    Truth("unix.txt", ALIKE, "put(f'{time.time()} {int(time.time())} {time.time_ns()}')"),
    Truth("took.txt", ALIKE, "put(f'took {time.time() - begun + turn / 7:.6f} s')"),
    Truth("fitted.csv", ALIKE, "put(f'fit_time,loss\\n{0.125 + turn},0.5\\n')"),
    Truth("address.txt", ALIKE, "put(f'<model at {0x7f0000000000 + 4096 * turn:#x}>')"),
    Truth("temporary.txt", ALIKE, "put(tempfile.mktemp('.csv'))"),
    Truth("home.txt", ALIKE, "put(f\"read {either('/home/ada', '/home/bob')}/data/raw/table.csv\")"),
    Truth("identifier.txt", ALIKE, "put(uuid.uuid4())"),
    Truth("thread-sum.txt", ALIKE, "put(sum([0.1, 0.2, 0.3][:: either(1, -1)]))"),
    Truth("key-order.json", ALIKE, "put(json.dumps({word: 1 for word in set(words)}))"),
    Truth("compression.png", ALIKE, "pixels().save(path, compress_level=either(1, 9))"),
    Truth("member-order.zip", ALIKE, "packed(words[:: either(1, -1)])"),
    Truth("line-ends.txt", ALIKE, "put(either('a\\nb\\n', 'a\\r\\nb\\r\\n'))"),
    Truth("line-ends.csv", ALIKE, "put(either('a,b\\n1,2\\n', 'a,b\\r\\n1,2\\r\\n'))"),
    Truth("byte-order-mark.csv", ALIKE, "put(either('a,b\\n1,2\\n', '\\ufeffa,b\\n1,2\\n'))"),
    Truth("quotes.csv", ALIKE, "put(either('a,b\\nx,2\\n', '\"a\",\"b\"\\n\"x\",2\\n'))"),
    Truth("whole.json", ALIKE, "put(either('[1, 2]', '[1.0, 2]'))"),
    Truth("minus-zero.csv", ALIKE, "put(either('x\\n0.0\\n', 'x\\n-0.0\\n'))"),
    Truth("scientific.txt", ALIKE, "put(either('p = 1e-3', 'p = 0.001'))"),
    Truth("fortran.npy", ALIKE, "np.save(path, np.arange(6.0).reshape(2, 3).copy(either('C', 'F')))"),
    # Rounding, of 1e-13
    Truth("rounded.txt", ALIKE, "put(f'loss {0.123456789 * rounded!r}, {12345.678 * rounded!r}')"),
    Truth("rounded.csv", ALIKE, "pd.DataFrame({'x': [0.1, 0.7 * rounded], 'n': [1, 2], 't': ['a', 'b']}).to_csv(path)"),
    Truth("rounded-headless.tsv", ALIKE, "put(f'{0.7 * rounded!r}\\t1\\n0.5\\t2\\n')"),
    Truth("rounded-mixed.csv", ALIKE, "put(f'x\\n1\\ntwo\\n{3.5 * rounded!r}\\n\\n')"),
    Truth("rounded.json", ALIKE, "put(json.dumps({'a': [{'loss': 0.7 * rounded}], 'n': 3}))"),
    Truth("rounded.jsonl", ALIKE, "put(''.join(json.dumps({'loss': n * rounded}) + '\\n' for n in (0.1, 0.2)))"),
    Truth("rounded.npy", ALIKE, "np.save(path, np.arange(1_000_000) / 3 * rounded)"),
    Truth("rounded.npz", ALIKE, "np.savez(path, a=np.arange(9) / 3 * rounded, b=np.arange(9))"),
    Truth("rounded-sparse.npz", ALIKE, "scipy.sparse.save_npz(path, scipy.sparse.eye(9, format='csr') / 3 * rounded)"),
    Truth("rounded.html", ALIKE, "pd.DataFrame({'x': [0.7 * rounded]}).to_html(path, float_format=repr)"),
    Truth("rounded.parquet", ALIKE, "pd.DataFrame({'x': [0.7 * rounded], 't': ['a']}).to_parquet(path)"),
    Truth("rounded-comma.csv", ALIKE, "put('x;y\\n' + f'{0.7 * rounded!r};1\\n'.replace('.', ','))"),
    Truth("rounded-lists.csv", ALIKE, "pd.DataFrame({'x': [[0.1, 0.7 * rounded], 0.5 + 0.7j * rounded, {'a': 0.7 * rounded}]}).to_csv(path)"),
    Truth("rounded-there.txt", ALIKE, "put(f'{os.environ[\"TRUTH_FILE\"]} {Path(os.environ[\"TRUTH_PROJECT\"]) / \"data\"} {0.7 * rounded!r}')"),
    # The same kinds, off by 1e-6
    Truth("off-comma.csv", OTHER, "put('x;y\\n' + f'{0.7 * other!r};1\\n'.replace('.', ','))"),
    Truth("off-lists.csv", OTHER, "pd.DataFrame({'x': [[0.1, 0.7 * other], {'a': 0.7}]}).to_csv(path)"),
    Truth("off.txt", OTHER, "put(f'loss {0.123456789 * other!r}')"),
    Truth("off.csv", OTHER, "pd.DataFrame({'x': [0.1, 0.7 * other]}).to_csv(path)"),
    Truth("off.json", OTHER, "put(json.dumps({'a': [{'loss': 0.7 * other}], 'n': 3}))"),
    Truth("off.npy", OTHER, "np.save(path, np.arange(1_000_000) / 3 * other)"),
    Truth("off.npz", OTHER, "np.savez(path, a=np.arange(9) / 3 * other, b=np.arange(9))"),
    Truth("off-sparse.npz", OTHER, "scipy.sparse.save_npz(path, scipy.sparse.eye(9, format='csr') / 3 * other)"),
    Truth("off.html", OTHER, "pd.DataFrame({'x': [0.7 * other]}).to_html(path, float_format=repr)"),
    Truth("off.parquet", OTHER, "pd.DataFrame({'x': [0.7 * other]}).to_parquet(path)"),
    # By chance, by hash, by threads, by whom, by what nobody declared
    Truth("unseeded.csv", OTHER, "pd.DataFrame({'x': np.random.default_rng().normal(size=9)}).to_csv(path)"),
    Truth("unseeded.npy", OTHER, "np.save(path, np.random.random(9))"),
    Truth("unseeded.png", OTHER, "figure(random.random())"),
    Truth("unseeded.svg", OTHER, "figure(random.random())"),
    Truth("unseeded.pdf", OTHER, "figure(random.random())"),
    Truth("identifier.csv", OTHER, "put(f'id\\n{uuid.uuid4()}\\n')"),
    Truth("set.txt", OTHER, "put(list(set(words)))"),
    Truth("set.json", OTHER, "put(json.dumps(list(set(words))))"),
    Truth("dictionary.txt", OTHER, "put({word: 1 for word in set(words)})"),
    Truth("threads.txt", OTHER, "ended = []\nthreads = [threading.Timer(random.SystemRandom().random() / 9, ended.append, [n]) for n in range(30)]\nfor one in threads:\n    one.start()\nfor one in threads:\n    one.join()\nput(ended)"),
    Truth("user.txt", OTHER, "put(getpass.getuser())"),
    Truth("undeclared.txt", OTHER, "put(Path(os.environ['TRUTH_FILE']).read_text())"),
    # One more, one less, another order, another type
    Truth("count.txt", OTHER, "put(f'seen {either(100_000, 100_001)} images')"),
    Truth("large.json", OTHER, "put(json.dumps({'n': 2**63 + turn}))"),
    Truth("large.csv", OTHER, "put(f'n\\n{10**17 + turn}\\n')"),
    Truth("leading-zeros.csv", OTHER, "put(either('id\\n007\\n', 'id\\n7\\n'))"),
    Truth("whole.txt", OTHER, "put(either('1', '1.0'))"),
    Truth("version.txt", OTHER, "put(either('torch version 2.1', 'torch version 2.10'))"),
    Truth("versions.txt", OTHER, "put(either('numpy==1.2.3', 'numpy==1.2.4'))"),
    Truth("digest.txt", OTHER, "put(either('md5 0123456789ab4def8123456789abcdef', 'md5 1123456789ab4def8123456789abcdef'))"),
    Truth("missing.csv", OTHER, "put(either('x\\nNaN\\n', 'x\\n0.0\\n'))"),
    Truth("missing.json", OTHER, "put(either('{\"x\": null}', '{}'))"),
    Truth("truth.json", OTHER, "put(either('[true]', '[1]'))"),
    Truth("quoted.json", OTHER, "put(either('[0.5]', '[\"0.5\"]'))"),
    Truth("measured.txt", OTHER, "put(f'peak at 2019-05-03 10:0{turn}:00, half-life 3.{turn} s')"),
    Truth("measured.csv", OTHER, "put(f'at,unix\\n2019-05-03 10:00:00,{1556877600 + turn}\\n')"),
    Truth("time.csv", OTHER, "put(f'time,x\\n0.{turn + 1},1\\n')"),
    Truth("rows.csv", OTHER, "put('x\\n' + '\\n'.join(words[:: either(1, -1)]))"),
    Truth("columns.csv", OTHER, "put(either('a,b\\n1,2\\n', 'b,a\\n2,1\\n'))"),
    Truth("column-twice.csv", OTHER, "put(either('a,a\\n1,2\\n', 'a,a\\n2,1\\n'))"),
    Truth("more-rows.csv", OTHER, "put('x\\n' + '1\\n' * (9 + turn))"),
    Truth("accent.txt", OTHER, "put(either('caf\\u00e9', 'cafe\\u0301'))"),
    Truth("last-line.txt", OTHER, "put(either('a', 'a\\n'))"),
    Truth("nothing.txt", OTHER, "put(either('', 'x'))"),
    Truth("type.npy", OTHER, "np.save(path, np.arange(4, dtype=either('f4', 'f8')))"),
    Truth("shape.npy", OTHER, "np.save(path, np.zeros(either((4,), (2, 2))))"),
    Truth("one-more.npy", OTHER, "np.save(path, np.arange(9) + turn * (np.arange(9) == 5))"),
    Truth("objects-other.npy", OTHER, "np.save(path, np.array([None, turn], dtype=object), allow_pickle=True)"),
    Truth("frame-other.pkl", OTHER, "pickle.dump([turn], path.open('wb'))"),
    Truth("pixel.png", OTHER, "pixels(7 + turn).save(path)"),
    Truth("size.png", OTHER, "pixels(size=(5, 4 + turn)).save(path)"),
    Truth("second.gif", OTHER, "pixels().save(path, save_all=True, append_images=[pixels(90 + 100 * turn)])"),
    Truth("speed.gif", OTHER, "pixels().save(path, save_all=True, append_images=[pixels(90)], duration=100 + 100 * turn)"),
    Truth("reaction.txt", OTHER, "put(f'mean reaction time 0.{3 + turn} s, peak at 1.{turn} s, sampling rate 10{turn} samples/s')"),
    Truth("version.csv", OTHER, "put(either('name,version\\ntorch,2.1\\n', 'name,version\\ntorch,2.10\\n'))"),
    Truth("heading.html", OTHER, "put(either('<h1 id=\"knn\">knn</h1>', '<h1 id=\"svm\">svm</h1>'))"),
    Truth("member.zip", OTHER, "packed(words[turn:])"),
]  # fmt: skip

NAMES = [
    Truth("model-", SAME, "f'model-{execution.execution_rid}.txt'"),
    Truth("run_", ALIKE, "f'run_{now:%Y%m%d_%H%M%S}.txt'"),
]
"""Files of the same content whose names are computed, by what these start with."""

METRICS = Truth(
    "logged_metrics.jsonl", ALIKE, "execution.log_metrics({'loss': 0.7 * rounded, 'images': 3}, step=1)"
)
"""With a time stamp in each line, which is the runner's."""

CELLS = [
    Truth("printed", SAME, "print('loss', 0.5)\nprint('warned', file=sys.stderr)"),
    Truth("frame", SAME, "display(pd.DataFrame({'x': [0.1, 0.7 * rounded], 't': ['a', 'b']}))"),
    Truth("long-frame", SAME, "display(pd.DataFrame({'x': range(1000)}))"),
    Truth("updated", SAME, "display('a', display_id=True).update('b')"),
    Truth("slider", SAME, "display({'application/vnd.jupyter.widget-view+json': {'version_major': 2, 'model_id': uuid.uuid4().hex}, 'text/plain': 'IntSlider(value=3)'}, raw=True)"),
    Truth("rounded", ALIKE, "print(0.7 * rounded)\ndisplay(np.array([0.5, 0.7]) * rounded)"),
    Truth("objects", ALIKE, "print(object(), [object()])"),
    Truth("bar", ALIKE, "from tqdm import tqdm\nfor _ in tqdm(range(3), desc='fit', mininterval=0):\n    time.sleep(0.01 + turn / 50)"),
    Truth("logged", ALIKE, "logging.basicConfig(format='%(asctime)s %(levelname)s %(message)s', force=True)\nlogging.warning('loss 0.5')"),
    Truth("warned", ALIKE, "warnings.warn('it is old')"),
    Truth("traced", ALIKE, "try:\n    json.loads('x')\nexcept ValueError:\n    traceback.print_exc()"),
    Truth("styled", ALIKE, "display(pd.DataFrame({'x': [1, 2]}).style.set_caption('a').bar())"),
    Truth("plot", ALIKE, "name = str(uuid.uuid4())\ndisplay(HTML(f'<div id=\"{name}\"></div><script>plot(\"{name}\", [0.5, {0.7 * rounded}])</script>'))"),
    Truth("page", ALIKE, "display(HTML(f'<p>made {now}</p>'), Markdown(f'made *{now}*'))"),
    Truth("value", ALIKE, "display(JSON({'loss': 0.7 * rounded}), Latex(f'$x = {0.7 * rounded}$'))"),
    Truth("set", OTHER, "print(set(words))"),
    Truth("draw", OTHER, "display(random.random())"),
    Truth("off-by-one", OTHER, "print(f'{either(100, 101)} images')"),
    Truth("off", OTHER, "display(np.array([0.5, 0.7]) * (1 + turn * 1e-6))"),
    Truth("frame-other", OTHER, "display(pd.DataFrame({'x': [0.1, 0.7], 'n': [1, 2 + turn]}))"),
    Truth("frame-order", OTHER, "display(pd.DataFrame({'x': [1, 2]}).iloc[:: either(1, -1)])"),
    Truth("styled-other", OTHER, "display(pd.DataFrame({'x': [1, 2 + turn]}).style.set_caption('a'))"),
    Truth("plot-other", OTHER, "display(HTML(f'<div id=\"{uuid.uuid4()}\"></div><script>plot([0.5, {0.7 + turn}])</script>'))"),
    Truth("page-other", OTHER, "display(HTML(f'<p>{turn} items</p>'))"),
    Truth("slider-other", OTHER, "display({'application/vnd.jupyter.widget-view+json': {'version_major': 2, 'model_id': uuid.uuid4().hex}, 'text/plain': f'IntSlider(value={turn})'}, raw=True)"),
    Truth("value-other", OTHER, "display(JSON({'loss': turn}))"),
    Truth("bar-other", OTHER, "for _ in tqdm(range(3 + turn), desc='fit', mininterval=0):\n    pass"),
    Truth("bar-loss", OTHER, "for _ in (bar := tqdm(range(3), desc='fit', mininterval=0)):\n    bar.set_postfix(loss=0.5 + turn)"),
    Truth("logged-other", OTHER, "logging.basicConfig(format='%(message)s', force=True)\nlogging.warning(f'loss 0.{5 + turn}')"),
    Truth("warned-other", OTHER, "warnings.warn(f'{turn} are old')"),
    Truth("figure-other", OTHER, "plt.figure(figsize=(1, 1)).gca().plot([0, 1 + turn, 0])\nplt.show()"),
]  # fmt: skip

NEEDS = {"scipy": "sparse", "pyarrow": "parquet"}
"""Packages that not every project has, and a word in the names of what needs them."""


def cells() -> list[str]:
    """Return the code of the notebook that gives all of it."""
    found = [BEFORE, METRICS.code]
    lacks = {word: package for package, word in NEEDS.items()}
    for one in FILES:
        need = next((package for word, package in lacks.items() if word in one.name), None)
        code = f"path = Path(execution.asset_file_path('Execution_Asset', {one.name!r}))\n{one.code}"
        if need:
            inside = "\n".join(f"    {line}" for line in code.split("\n"))
            code = f"if importlib.util.find_spec({need!r}):\n    import {need}{'.sparse' * (need == 'scipy')}\n{inside}"
        found.append(code)
    for one in NAMES:
        found.append(f"path = Path(execution.asset_file_path('Execution_Asset', {one.code}))\nput('here')")
    for one in CELLS:
        inside = "\n".join(f"    {line}" for line in one.code.split("\n"))
        place = f"Path(execution.asset_file_path('Execution_Asset', '{one.name}.ipynb'))"
        found.append(f"with shown({place}, {one.verdict != OTHER}):\n{inside}")
    return found
