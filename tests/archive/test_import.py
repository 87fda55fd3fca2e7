from __future__ import annotations
from pathlib import Path
from archive.conftest import Make, Recorded
from deriva_ml.archive.exporting import export
from deriva_ml.archive.importing import take_in

def test_x(recorded: Recorded, make: Make, tmp_path: Path) -> None:
    done = export(recorded.catalog, None, tmp_path / "a.zip", code=True)
    print(done)
    there = make("there")
    print(take_in(there, tmp_path / "a.zip"))
    print(take_in(there, tmp_path / "a.zip"))
    export(there, None, tmp_path / "b.zip", code=True)
    import subprocess
    subprocess.run(f"cd {tmp_path}; mkdir a b; unzip -q a.zip -d a; unzip -q b.zip -d b; diff -r a/a b/b | cut -c 1-400; cp a.zip /tmp/archive14-tmp/a.zip; find a", shell=True)
