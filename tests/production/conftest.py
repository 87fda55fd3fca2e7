"""The project and the server that the tests with `deriva_ml=production` share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import catalog_kinds as kinds
from conftest import ProjectFolder
from deriva_double import DerivaDouble
from notebooks import COMMIT, START
from production.site import (
    EXPIRED,
    KEPT,
    SETTINGS,
    TINY,
    Site,
    login,
    name_production,
)


@pytest.fixture(scope="package")
def site(
    copy_to: Callable[[Path], ProjectFolder],
    clean_env: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """A project whose `production` is a catalog of the current generation; its owner is logged in."""
    folder = tmp_path_factory.mktemp("production")
    with DerivaDouble() as double, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERIVA_ML_RETRY_PAUSE", "0.001")
        production = kinds.on_double(folder / "production", double, "head")
        older = kinds.on_double(folder / "older", double, "1.17.10")
        public = str(double.create_catalog("head", public=True))
        double.ermrest.aliases["digits"] = str(production.config.catalog_id)
        asset = production.add_file("there.txt", b"it was there", ["Input_File"])
        other = production.add_file("other.txt", b"it was there as well", ["Input_File"])
        dataset = production.add_dataset("Files", [asset], ["Complete"])

        home = folder / "home"
        login(home, double.host, double.credential("admin"))
        for user in ("writer", "reader"):
            (home / f"{user}.json").write_text(json.dumps({double.host: double.credential(user)}))
        entries: dict[str, dict[str, Any]] = {
            "older": {"catalog_id": older.config.catalog_id},
            "curator": {"catalog_id": older.config.catalog_id, "credential": str(home / "writer.json")},
            "reader": {"catalog_id": public, "credential": str(home / "reader.json")},
            "stranger": {"credential": str(home / "expired.json")},
            "nobody": {"credential": str(home / "elsewhere.json")},
            "nowhere": {"catalog_id": "4711"},
            "alias": {"catalog_id": "digits"},
        }
        for name, host in {"expired": double.host, "elsewhere": "www.example.org"}.items():
            (home / f"{name}.json").write_text(json.dumps({host: EXPIRED}))
        connection: dict[str, Any] = {"hostname": double.url, "catalog_id": production.config.catalog_id}

        cache = f"{clean_env['HOME']}/.cache/matplotlib"
        variables = {"HOME": str(home), "MPLCONFIGDIR": cache, "DERIVA_ML_RETRY_PAUSE": "0.01"}
        copied = copy_to(folder / "my-project")
        project = ProjectFolder(copied.path, {**copied.env, **variables})
        name_production(project / "pyproject.toml", double.url, connection["catalog_id"])
        (project / "src/models/tiny.py").write_text(TINY)
        (project / "src/configs/tiny.py").write_text(
            SETTINGS.format(
                asset=asset,
                other=other,
                dataset=dataset,
                host=double.url,
                head=connection["catalog_id"],
                entries={name: {**connection, **values} for name, values in entries.items()},
            )
        )
        made = Site(project, double, {"production": production, "older": older}, asset, dataset)
        made.notebook("small.ipynb", START, KEPT.format("kept"), COMMIT)
        yield made


@pytest.fixture(autouse=True)
def up(site: Site) -> Iterator[None]:
    """Whatever a test does to the server, the next one finds it up."""
    yield
    site.double.faults.clear()
    if not site.double.running:
        site.double.start()
