"""Who is not logged in, or may not record, is told before anything is done; who may is not asked for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import catalog_kinds as kinds
from catalog_kinds import Place
from deriva_double import DerivaDouble
from deriva_ml import DerivaML
from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.catalog.criteria import Criteria
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import Workflow
from deriva_ml.deriva.push import Push, destination_of
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import ExecutionConfiguration
from recorder import connect

GENERATIONS = ("head", "1.17.10")
LOGS_IN = "uv run deriva-globus-auth-utils login --host {host}"
RIGHTS = "{host} does not allow you to do this ("
STRANGERS = {"nobody logged in": LOGS_IN, "expired": LOGS_IN, "nobody": RIGHTS, "reader": RIGHTS}


def login(double: DerivaDouble, user: str) -> Any:
    """What a user has of a login."""
    if user == "nobody logged in":
        return {}
    return {"cookie": "webauthn=of-last-year"} if user == "expired" else double.credential(user)


@pytest.fixture(params=GENERATIONS)
def place(request: pytest.FixtureRequest, double: DerivaDouble, tmp_path: Path) -> Place:
    return kinds.on_double(tmp_path / "project", double, request.param)


def as_user(place: Place, user: str) -> DerivaMLConfig:
    assert place.double is not None
    return DerivaMLConfig(place.config.hostname, place.config.catalog_id, login(place.double, user))


def run(place: Place, user: str, dry_run: bool = False, **inputs: Any) -> Execution:
    config = as_user(place, user)
    ml = DerivaML(config.hostname, config.catalog_id, config.credential, place.project)
    workflow = Workflow("Analysis", "Training", url="https://example.org/a", checksum="1" * 40)
    return Execution(ml, ExecutionConfiguration(**inputs), workflow, dry_run)


@pytest.mark.parametrize(("user", "words"), STRANGERS.items(), ids=STRANGERS)
def test_who_may_not_record_is_refused_before_anything_runs(
    place: Place, double: DerivaDouble, user: str, words: str
) -> None:
    """In one line that says what to do; nothing is recorded here or there, and nothing is asked but who that is."""
    asset = place.add_file("a.txt", b"a")
    before = double.dump(str(place.config.catalog_id))
    double.log.clear()
    with pytest.raises(DerivaMLRequestError) as caught:
        run(place, user, assets=[asset])
    assert words.format(host=double.host) in str(caught.value)
    assert "\n" not in str(caught.value) and "webauthn" not in str(caught.value)
    paths = [one.path.rpartition("/")[2] for one in double.log]
    assert paths[0] == "schema" and set(paths[1:]) <= {"session"} and len(paths) <= 3
    assert double.dump(str(place.config.catalog_id)) == before
    with closing(EmbeddedCatalog(place.project)) as local:
        assert local.select_executions(Criteria()) == []


@pytest.mark.parametrize(("user", "words"), STRANGERS.items(), ids=STRANGERS)
def test_a_push_says_the_same(place: Place, double: DerivaDouble, user: str, words: str) -> None:
    config = as_user(place, user)
    with closing(EmbeddedCatalog(place.project)) as local:
        with pytest.raises(DerivaMLRequestError) as caught:
            Push.open(local, destination_of(config)[0], config.credential)
    assert words.format(host=double.host) in str(caught.value)


@pytest.mark.parametrize("user", ["admin", "writer"])
def test_who_may_record_is_not_asked_for_it(place: Place, double: DerivaDouble, user: str) -> None:
    """The schema document, which is read anyway, says it."""
    double.log.clear()
    with closing(connect(as_user(place, user), place.project)) as catalog:
        catalog.check_recording()
    assert [one.path.rpartition("/")[2] for one in double.log] == ["schema"]


@pytest.mark.parametrize("user", ["nobody logged in", "expired"])
def test_a_dry_run_without_a_login_is_refused_where_it_takes_one(
    place: Place, double: DerivaDouble, user: str
) -> None:
    """A current catalog would say that there is no such asset, which is not the truth."""
    asset = place.add_file("a.txt", b"a")
    with pytest.raises(DerivaMLRequestError, match="not logged in to"):
        run(place, user, dry_run=True, assets=[asset])
    public = double.create_catalog("head", public=True)
    config = DerivaMLConfig(place.config.hostname, public, {})
    with closing(connect(config, place.project)) as catalog:
        with pytest.raises(DerivaMLRequestError, match="there is no asset 9-ZZZZ"):
            catalog.lookup_asset("9-ZZZZ")


def test_offline_nothing_is_asked(place: Place, double: DerivaDouble) -> None:
    double.log.clear()
    config = DerivaMLConfig(place.config.hostname, place.config.catalog_id, {}, offline=True)
    with closing(connect(config, place.project)) as catalog:
        catalog.check_recording()
    assert len(double.log) == 0


LOOK_UPS: dict[str, Callable[[Any, str, str, str], object]] = {
    "asset": lambda catalog, asset, dataset, execution: catalog.lookup_asset(asset),
    "dataset": lambda catalog, asset, dataset, execution: catalog.lookup_dataset(dataset),
    "execution": lambda catalog, asset, dataset, execution: catalog.lookup_execution(execution),
}


@pytest.mark.parametrize("look_up", LOOK_UPS.values(), ids=LOOK_UPS)
def test_what_is_not_shown_any_more_is_not_called_missing(
    place: Place, double: DerivaDouble, tmp_path: Path, look_up: Callable[..., object]
) -> None:
    """Where the login has expired since, it is told; where somebody has logged in again, it is found."""
    assert place.curator is not None
    asset = place.add_file("a.txt", b"a")
    dataset = place.add_dataset("d", [asset])
    kind = {"Workflow_Type": "Training"} if place.generation == "1.17.10" else {}
    if kind:
        terms = [{"Name": "Training", "Description": "x"}]
        place.curator.insert("deriva-ml:Workflow_Type", terms, given=(), generated=("ID", "URI"))
    workflow = [{"Name": "w", "URL": "w", "Checksum": "w", **kind}]
    [made] = place.curator.insert("deriva-ml:Workflow", workflow, given=())
    [row] = place.curator.insert("deriva-ml:Execution", [{"Workflow": made["RID"]}], given=())
    file = tmp_path / "login.json"
    file.write_text(json.dumps({double.host: double.credential("writer")}))
    config = DerivaMLConfig(place.config.hostname, place.config.catalog_id, str(file))
    with closing(connect(config, place.project)) as catalog:
        look_up(catalog, asset, dataset, row["RID"])
        double.sessions.expire()
        with pytest.raises(Exception, match="not logged in to"):
            look_up(catalog, asset, dataset, row["RID"])
        file.write_text(json.dumps({double.host: double.credential("writer")}))
        look_up(catalog, asset, dataset, row["RID"])


def test_who_may_not_read_a_record_is_not_told_that_it_is_missing(
    double: DerivaDouble, tmp_path: Path
) -> None:
    """Somebody in no group, at a current catalog: it shows no row, and says which RIDs there are."""
    place = kinds.on_double(tmp_path / "project", double, "head")
    asset = place.add_file("a.txt", b"a")
    dataset = place.add_dataset("d", [asset])
    with closing(connect(as_user(place, "nobody"), place.project)) as catalog:
        for look_up, what in ((catalog.lookup_asset, asset), (catalog.lookup_dataset, dataset)):
            with pytest.raises(DerivaMLRequestError, match=f"does not let you read the .* {what}"):
                look_up(what)
