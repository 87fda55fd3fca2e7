"""The double of a Deriva server answers as the real one did, serves the deriva package, and fails as it is told to."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deriva_double import DerivaDouble, Fault
from deriva_double.auth import User
from deriva_double.replay import EXCHANGES, ROLES, Replay, RolesReplay
from deriva_double.seed import DATA
from deriva_double.transcript import Correspondence, Mismatch, Recorded

GENERATIONS = ("head", "1.17.10")
ADMIN = User("admin")


@pytest.fixture
def double() -> Iterator[DerivaDouble]:
    with DerivaDouble() as running:
        yield running


@pytest.fixture
def session(double: DerivaDouble) -> requests.Session:
    """Plain HTTP as the admin."""
    client = requests.Session()
    client.headers["Cookie"] = double.credential()["cookie"]
    return client


@pytest.fixture
def core() -> Any:
    """The deriva package's main module."""
    return pytest.importorskip("deriva.core", reason="the deriva package is not installed")


@pytest.fixture(params=GENERATIONS)
def catalog(request: pytest.FixtureRequest, core: Any, double: DerivaDouble) -> Any:
    """The deriva package's binding to a catalog of each generation."""
    server = core.DerivaServer("http", double.host, double.credential())
    return server.connect_ermrest(double.create_catalog(request.param))


def tables(binding: Any) -> Any:
    return binding.getPathBuilder().schemas["deriva-ml"].tables


def entity_url(double: DerivaDouble, catalog: str, path: str) -> str:
    return f"{double.url}/ermrest/catalog/{catalog}/entity/{path}"


# ------------------------------------------------------------------ fidelity


@pytest.mark.parametrize(
    ("exchanges", "replay", "count"),
    [(EXCHANGES, Replay, 161), (ROLES, RolesReplay, 105)],
    ids=["owner", "roles"],
)
def test_the_double_answers_every_recorded_request_as_the_real_server_did(
    exchanges: list[Recorded], replay: type[Replay], count: int
) -> None:
    """All exchanges, in their order; identifiers, times and digests may be others, but always the same others."""
    failures = []
    with DerivaDouble() as double:
        session = replay(double)
        for one in exchanges:
            try:
                session.check(one)
            except Mismatch as mismatch:
                failures.append(f"{one.title}: {one.method} {one.target}\n{mismatch}")
    assert len(exchanges) == count
    assert not failures, f"{len(failures)} of {count}\n" + "\n\n".join(failures)


def recorded(name: str) -> Any:
    return json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))


def shown_model(double: DerivaDouble, catalog: str, user: str) -> Any:
    """The schema document as a user gets it; "expired" and "anonymous" have no session."""
    headers = {"Cookie": double.credential(user)["cookie"]} if user not in ("expired", "anonymous") else {}
    if user == "expired":
        headers = {"Cookie": "webauthn=of-a-session-that-ended"}
    return requests.get(f"{double.url}/ermrest/catalog/{catalog}/schema", headers=headers).json()


def rights_in(document: Any) -> dict[str, Any]:
    """What a schema document says of rights, and which parts of the model it shows; not of the domain's schema."""
    found: dict[str, Any] = {"": document["rights"], "acls": "acls" in document}
    for name, schema in document["schemas"].items():
        if name == "lab":
            continue
        found[name] = schema["rights"]
        for table, shown in schema["tables"].items():
            found[f"{name}:{table}"] = shown["rights"]
            for column in shown["column_definitions"]:
                found[f"{name}:{table}:{column['name']}"] = column["rights"]
            for key in shown["keys"]:
                found[f"{name}:{table} {sorted(key['unique_columns'])}"] = "acls" in key
            for reference in shown["foreign_keys"]:
                found[f"{name}:{table} {reference['names']}"] = reference["rights"]
    return found


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("user", ["admin", "writer", "anonymous"])
def test_the_model_shows_who_may_do_what_as_the_real_server_does(
    double: DerivaDouble, generation: str, user: str
) -> None:
    document = recorded(f"schema-{generation}" + ("" if user == "admin" else f"-{user}"))
    shown = rights_in(shown_model(double, double.create_catalog(generation), user))
    assert len(shown) > 200
    assert shown == rights_in(document)


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("user", ["reader", "other", "nobody", "expired"])
def test_the_rights_of_other_users_are_those_that_were_recorded(
    double: DerivaDouble, generation: str, user: str
) -> None:
    wanted = recorded("rights")[f"{generation} {user if user != 'other' else 'writer'}"]
    schemas = shown_model(double, double.create_catalog(generation), user)["schemas"]
    assert set(schemas) == set(wanted) - {"lab"}
    for schema, tables in wanted.items():
        for name, table in tables.items():
            shown = schemas[schema]["tables"][name]
            rights = {column["name"]: column["rights"] for column in shown["column_definitions"]}
            parts = {"rights": shown["rights"], "RID": rights["RID"], "RCT": rights["RCT"]}
            assert parts == {key: table[key] for key in parts}, name
            assert (len(shown["keys"]), len(shown["foreign_keys"])) == (table["keys"], table["foreign_keys"])


@pytest.mark.parametrize(
    ("recorded", "answered"),
    [
        ('{"RID":"1T8","Site":null}', '{"RID":"3QP","Site":"home"}'),
        ("1T8 then 1T8", "3QP then 3QR"),
        ("1T8 then 1TA", "3QP then 3QP"),
        (
            "2026-11-22T11:33:19.5+00:00 2026-11-22 11:33:19.500000",
            "2026-11-23T01:02:03+00:00 2026-11-23 01:02:04",
        ),
        ("361-PYR2-DEH4 361-PYR2-DEH4", "361-PYR2-DEH4 361-PYR2-AFMR"),
    ],
)
def test_a_replayed_answer_that_means_something_else_is_noticed(recorded: str, answered: str) -> None:
    with pytest.raises(Mismatch):
        Correspondence().check(recorded, answered)


def test_what_the_double_was_not_taught_is_refused(double: DerivaDouble, session: requests.Session) -> None:
    catalog = double.create_catalog()
    for method, path in [
        ("GET", f"/ermrest/catalog/{catalog}/entity/deriva-ml:Workflow/*::ts::x"),
        ("GET", f"/ermrest/catalog/{catalog}/entity/deriva-ml:Workflow?unheard=of"),
        ("GET", f"/ermrest/catalog/{catalog}/attributegroup/deriva-ml:File/b:=bin(Length;9;0;9);n:=cnt(*)"),
        ("POST", f"/ermrest/catalog/{catalog}/schema/deriva-ml/table/Workflow/column"),
        ("POST", "/hatrac/a;rename"),
        ("GET", "/chaise/record/"),
    ]:
        assert session.request(method, double.url + path).status_code == 501, path


def test_a_failure_of_the_double_itself_is_not_taken_for_an_answer(
    monkeypatch: pytest.MonkeyPatch, session: requests.Session, double: DerivaDouble
) -> None:
    monkeypatch.setattr(double.ermrest, "answer", lambda request: 1 / 0)
    assert session.get(f"{double.url}/ermrest/").status_code == 501
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        double.close()
    double.crashes.clear()


def test_a_url_that_is_too_long_is_refused(double: DerivaDouble, session: requests.Session) -> None:
    identifiers = ",".join(f"{number:04}" for number in range(2000))
    url = entity_url(double, double.create_catalog(), f"deriva-ml:File/RID=any({identifiers})")
    assert session.get(url).status_code == 414


# -------------------------------------------------------- the deriva package


def test_a_catalog_has_the_tables_and_terms_of_its_generation(catalog: Any) -> None:
    names = set(catalog.getCatalogModel().schemas["deriva-ml"].tables)
    is_head = "Execution_Execution" in names
    assert ("Execution_Status" in names) == ("Directory_Dataset" in names) == is_head
    assert len(names) == (26 if is_head else 22)
    terms = {row["Name"]: row for row in tables(catalog)["Asset_Type"].entities()}
    assert {"Model_File", "Notebook_Output"} <= terms.keys()
    assert terms["Model_File"]["ID"] == f"ml-lab:{terms['Model_File']['RID']}"
    assert terms["Model_File"]["Synonyms"] == []
    assert ("Metrics_File" in terms) == is_head


def test_rows_are_inserted_updated_joined_and_deleted(core: Any, catalog: Any) -> None:
    ml = tables(catalog)
    kind = ml["Workflow_Type"].insert([{"Name": "Sweep", "Description": "x"}], defaults={"ID", "URI"})[0]
    workflow = {"Name": "fit", "Checksum": "c0ffee"}
    if "Workflow_Type" in ml["Workflow"].columns:
        workflow["Workflow_Type"] = kind["Name"]
    workflow = ml["Workflow"].insert([workflow])[0]
    runs = ml["Execution"].insert(
        [{"Workflow": workflow["RID"], "Description": f"run {number}"} for number in range(5)]
    )
    ml["Execution"].update([{"RID": runs[0]["RID"], "Status": "Stopped"}])

    path = ml["Workflow"].path.filter(ml["Workflow"].Checksum == "c0ffee").link(ml["Execution"])
    found = list(path.entities().sort(ml["Execution"].Description.desc).limit(2))
    assert [row["Description"] for row in found] == ["run 4", "run 3"]
    some = ml["Execution"].filter(ml["Execution"].RID == core.datapath.Any(runs[0]["RID"], runs[3]["RID"]))
    assert {row["Status"] for row in some.entities()} == {"Stopped", None}
    count = core.datapath.Cnt(ml["Execution"].RID).alias("n")
    assert list(ml["Execution"].filter(ml["Execution"].Workflow == workflow["RID"]).aggregates(count)) == [
        {"n": 5}
    ]
    grouped = path.groupby(ml["Execution"].Status).attributes(count)
    assert sorted(row["n"] for row in grouped) == [1, 4]
    names = path.Workflow.Name.alias("workflow"), path.Execution.Description
    assert path.attributes(*names).sort(path.Execution.Description)[0] == {
        "workflow": "fit",
        "Description": "run 0",
    }
    ml["Execution"].filter(ml["Execution"].RID == runs[1]["RID"]).delete()
    assert len(ml["Execution"].filter(ml["Execution"].Workflow == workflow["RID"]).entities()) == 4


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_lease_is_used_up_and_belongs_to_its_login(double: DerivaDouble, generation: str) -> None:
    catalog = double.create_catalog(generation)

    def post(user: str, path: str, *rows: dict[str, Any]) -> requests.Response:
        cookie = double.credential(user)["cookie"]
        return requests.post(entity_url(double, catalog, path), json=rows, headers={"Cookie": cookie})

    def lease(user: str) -> requests.Response:
        return post(user, "public:ERMrest_RID_Lease?defaults=RID", {"ID": user})

    if generation == "1.17.10":
        assert lease("writer").status_code == 403
        return
    mine, another = (lease(user).json()[0]["RID"] for user in ("writer", "other"))
    path = "deriva-ml:Dataset?nondefaults=RID&onconflict=skip"
    both = post("writer", path, {"RID": mine}, {"RID": another})
    assert both.text.strip().endswith(f"""insert access on column "RID" with non-leased value '{another}'""")
    assert [row["RID"] for row in post("writer", path, {"RID": mine}).json()] == [mine]
    assert [post(user, path, {"RID": mine}).status_code for user in ("writer", "other")] == [403, 403]
    assert post("admin", path, {"RID": mine}).json() == []
    assert post("admin", path, {"RID": "2-ABCD"}).json()[0]["RID"] == "2-ABCD"


def test_rows_with_leased_identifiers_can_be_inserted_again_by_an_owner(
    catalog: Any, double: DerivaDouble
) -> None:
    lease = "/entity/public:ERMrest_RID_Lease?defaults=RID,RCT,RMT,RCB,RMB"
    leased = [row["RID"] for row in catalog.post(lease, json=[{"ID": "a"}, {"ID": "b"}]).json()]
    rows = [
        {"RID": identifier, "URL": f"/hatrac/{identifier}", "Length": 1, "MD5": "0" * 32}
        for identifier in leased
    ]
    target = tables(catalog)["Execution_Asset"]
    assert [row["RID"] for row in target.insert(rows, nondefaults={"RID"}, on_conflict_skip=True)] == leased
    assert list(target.insert(rows, nondefaults={"RID"}, on_conflict_skip=True)) == []
    assert [row["RID"] for row in double.rows(catalog.catalog_id, "Execution_Asset")] == sorted(leased)


def test_a_snapshot_shows_what_stood_then(catalog: Any) -> None:
    target = tables(catalog)["Dataset"]
    row = target.insert([{"Description": "first", "Deleted": False}])[0]
    before = catalog.latest_snapshot()
    target.update([{"RID": row["RID"], "Description": "second"}])
    after = catalog.latest_snapshot()
    target.filter(target.RID == row["RID"]).delete()
    assert [one["Description"] for one in tables(before)["Dataset"].entities()] == ["first"]
    assert [one["Description"] for one in tables(after)["Dataset"].entities()] == ["second"]
    assert list(target.entities()) == []
    assert before.resolve_rid(row["RID"]).table.name == "Dataset"
    assert "deleted_at" in catalog.get(f"/entity_rid/{row['RID']}").json()


def test_references_follow_or_hold_as_the_model_says(core: Any, catalog: Any) -> None:
    ml = tables(catalog)
    asset = ml["File"].insert([{"URL": "tag:x", "Length": 0, "MD5": "0" * 32}])[0]
    ml["Asset_Type"].insert([{"Name": "Old", "Description": "x"}], defaults={"ID", "URI"})
    ml["File_Asset_Type"].insert([{"File": asset["RID"], "Asset_Type": "Old"}])
    catalog.put("/attributegroup/deriva-ml:Asset_Type/o:=Name;n:=Name", json=[{"o": "Old", "n": "New"}])
    assert [row["Asset_Type"] for row in ml["File_Asset_Type"].entities()] == ["New"]
    ml["File"].filter(ml["File"].RID == asset["RID"]).delete()
    assert list(ml["File_Asset_Type"].entities()) == []
    dataset = ml["Dataset"].insert([{"Description": "held"}])[0]
    ml["Dataset_Version"].insert([{"Dataset": dataset["RID"], "Version": "1.0.0"}])
    with pytest.raises(core.datapath.DataPathException, match="Dataset_Version_Dataset_fkey"):
        ml["Dataset"].filter(ml["Dataset"].RID == dataset["RID"]).delete()


def test_a_domain_schema_with_an_asset_table_can_be_made(catalog: Any) -> None:
    from deriva.core.ermrest_model import Column, Schema, Table, builtin_types

    model = catalog.getCatalogModel()
    schema = model.create_schema(Schema.define("domain"))
    image = schema.create_table(
        Table.define_asset("domain", "Image", column_defs=[Column.define("Width", builtin_types.int4)])
    )
    dataset = model.schemas["deriva-ml"].tables["Dataset"]
    schema.create_table(Table.define_association([("Dataset", dataset), ("Image", image)]))
    built = catalog.getPathBuilder().schemas["domain"]
    row = built.Image.insert([{"URL": "/hatrac/x", "Filename": "x", "Length": 1, "MD5": "0", "Width": 8}])[0]
    owner = tables(catalog)["Dataset"].insert([{"Description": "images"}])[0]
    built.Dataset_Image.insert([{"Dataset": owner["RID"], "Image": row["RID"]}])
    path = built.Dataset_Image.path.link(built.Image)
    assert [one["Width"] for one in path.entities()] == [8]


def test_who_may_read_and_write_is_what_the_acls_say(core: Any, double: DerivaDouble) -> None:
    closed, public = double.create_catalog("1.17.10"), double.create_catalog("1.17.10", public=True)

    def status(user: str, catalog: str, method: str = "GET") -> int:
        headers = {"Cookie": double.credential(user)["cookie"]} if user else {}
        json = [{"Description": "x"}] if method == "POST" else None
        url = entity_url(double, catalog, "deriva-ml:Dataset")
        return requests.request(method, url, json=json, headers=headers).status_code

    users = ("", "nobody", "reader", "writer", "admin")
    assert [status(user, closed) for user in users] == [401, 403, 200, 200, 200]
    assert [status(user, public) for user in users] == [200] * 5
    assert [status(user, public, "POST") for user in users] == [401, 403, 403, 200, 200]
    anonymous = core.ErmrestCatalog("http", double.host, public)
    assert {row["Name"] for row in tables(anonymous)["Asset_Role"].entities()} == {"Input", "Output"}


def test_a_cookie_that_was_logged_out_works_for_a_while_in_ermrest_only(double: DerivaDouble) -> None:
    url = entity_url(double, double.create_catalog("1.17.10"), "deriva-ml:Dataset")
    headers = {"Cookie": double.credential()["cookie"]}
    requests.delete(f"{double.url}/authn/session", headers=headers)
    assert requests.get(url, headers=headers).status_code == 200
    assert requests.get(f"{double.url}/hatrac/", headers=headers).status_code == 401
    double.sessions.linger = 0
    headers = {"Cookie": double.credential()["cookie"]}
    requests.delete(f"{double.url}/authn/session", headers=headers)
    assert requests.get(url, headers=headers).status_code == 401


# --------------------------------------------------------------------- objects


def test_objects_are_put_and_read_whole_in_parts_and_in_chunks(
    core: Any, double: DerivaDouble, tmp_path: Path
) -> None:
    store = core.HatracStore("http", double.host, double.credential())
    small = store.put_obj("/hatrac/a/b/small.txt", io.BytesIO(b"hello"))
    assert store.put_obj("/hatrac/a/b/small.txt", io.BytesIO(b"hello")) == small
    assert store.get_obj(small).content == b"hello"
    assert store.get_obj(small, {"Range": "bytes=-2"}).content == b"lo"

    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(251)) * 8000)
    place = store.put_loc("/hatrac/a/big.bin", str(big), chunked=True, chunk_size=300_000)
    store.get_obj(place, destfilename=str(tmp_path / "again.bin"))
    assert (tmp_path / "again.bin").read_bytes() == big.read_bytes()
    assert double.objects() == {
        "/hatrac/a/b/small.txt": (hashlib.md5(b"hello").hexdigest(), 5),
        "/hatrac/a/big.bin": (hashlib.md5(big.read_bytes()).hexdigest(), big.stat().st_size),
    }
    assert double.log.object_puts == 8


def test_a_chunk_that_comes_again_or_out_of_order_does_not_spoil_the_digest(
    double: DerivaDouble, session: requests.Session
) -> None:
    content = bytes(range(250)) * 2
    job = {
        "chunk-length": 100,
        "content-length": 500,
        "content-md5": base64.b64encode(hashlib.md5(content).digest()).decode(),
    }
    url = session.post(f"{double.url}/hatrac/x;upload", json=job).headers["Location"]
    for chunk, data in [(0, b"\0" * 100), (2, content[200:300]), (1, content[100:200]), (0, content[:100])]:
        session.put(f"{double.url}{url}/{chunk}", data=data)
    assert session.post(double.url + url).status_code == 409
    for chunk in (4, 3):
        session.put(f"{double.url}{url}/{chunk}", data=content[chunk * 100 : chunk * 100 + 100])
    assert session.post(double.url + url).status_code == 201


def test_large_objects_can_be_dropped_but_for_their_digest(
    double: DerivaDouble, session: requests.Session
) -> None:
    double.hatrac.store.drop_over = 1_000_000
    content = b"x" * 2_000_000
    assert session.put(f"{double.url}/hatrac/x.bin", data=content).status_code == 201
    assert double.objects()["/hatrac/x.bin"] == (hashlib.md5(content).hexdigest(), len(content))
    assert session.get(f"{double.url}/hatrac/x.bin").status_code == 501


# ---------------------------------------------------------------------- faults


@pytest.fixture
def insert(double: DerivaDouble, session: requests.Session) -> Any:
    """Insert one dataset; ``stored()`` counts those that stand."""
    catalog = double.create_catalog()
    double.log.clear()

    def post(timeout: float = 10.0) -> requests.Response:
        url = entity_url(double, catalog, "deriva-ml:Dataset")
        return session.post(url, json=[{"Description": "x"}], timeout=timeout)

    post.stored = lambda: len(double.rows(catalog, "Dataset"))  # type: ignore[attr-defined]
    return post


@pytest.mark.parametrize(("fault", "status"), [(Fault.ABORTED, 503), (Fault.ERROR, 500)])
def test_a_refused_request_stores_nothing(
    double: DerivaDouble, insert: Any, fault: Fault, status: int
) -> None:
    double.faults.at(2, fault)
    assert [insert().status_code for _ in range(3)] == [200, status, 200]
    assert insert.stored() == 2
    assert [(one.number, one.status, one.fault) for one in double.log] == [
        (1, 200, None),
        (2, status, fault),
        (3, 200, None),
    ]


@pytest.mark.parametrize(("fault", "stored"), [(Fault.RESET_BEFORE, 0), (Fault.RESET_AFTER, 1)])
def test_a_connection_is_lost_before_or_after_the_commit(
    double: DerivaDouble, insert: Any, fault: Fault, stored: int
) -> None:
    double.faults.on(fault, "POST", "Dataset")
    with pytest.raises(requests.ConnectionError):
        insert()
    assert insert.stored() == stored
    assert insert().status_code == 200


def test_a_slow_answer_comes_after_the_commit(double: DerivaDouble, insert: Any) -> None:
    double.faults.on(Fault.SLOW, "POST", delay=1.0)
    with pytest.raises(requests.Timeout):
        insert(timeout=0.2)
    assert insert.stored() == 1


def test_an_answer_is_cut_short(double: DerivaDouble, insert: Any, session: requests.Session) -> None:
    double.faults.on(Fault.TRUNCATED)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        insert()
    assert insert.stored() == 1
    url = f"{double.url}/hatrac/big.bin"
    session.put(url, data=b"x" * 1_000_000)
    double.faults.on(Fault.TRUNCATED, "GET")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        session.get(url)


def test_a_session_ends_in_the_middle(double: DerivaDouble, insert: Any, session: requests.Session) -> None:
    double.faults.at(2, Fault.EXPIRED)
    assert [insert().status_code for _ in range(3)] == [200, 401, 401]
    session.headers["Cookie"] = double.credential()["cookie"]
    assert insert().status_code == 200


def test_a_server_goes_down_and_comes_back_with_what_it_had(double: DerivaDouble, insert: Any) -> None:
    insert()
    double.faults.at(2, Fault.DOWN)
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            insert()
    host = double.host
    double.start()
    assert double.host == host
    assert insert().status_code == 200
    assert insert.stored() == 2


def test_writes_that_meet_are_aborted_where_wished(double: DerivaDouble, insert: Any) -> None:
    inside = next(iter(double.ermrest.catalogs.values()))
    inside.refuse_concurrent_writes = True
    with inside.transaction(ADMIN):
        assert insert().status_code == 503
    assert insert().status_code == 200


def test_many_clients_at_once_are_served(double: DerivaDouble, session: requests.Session) -> None:
    catalog = double.create_catalog()
    cookie = session.headers["Cookie"]

    def write(worker: int) -> None:
        with requests.Session() as own:
            own.headers["Cookie"] = cookie
            for number in range(20):
                name = f"{worker}-{number}"
                own.put(f"{double.url}/hatrac/many/{name}?parents=true", data=name.encode())
                row = {"URL": f"/hatrac/many/{name}", "Length": len(name), "MD5": "0"}
                own.post(entity_url(double, catalog, "deriva-ml:Execution_Asset"), json=[row])

    workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(double.objects()) == len(double.rows(catalog, "Execution_Asset")) == 80
    assert (double.log.object_puts, double.log.others) == (80, 80)
