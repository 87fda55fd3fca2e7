"""No refusal of a server is a riddle."""

from __future__ import annotations

from typing import Any

import pytest

from catalog_kinds import delete
from deriva_double import DerivaDouble
from deriva_ml.deriva.answers import ServerRefused, ServerUnreachable
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server
from deriva_ml.exceptions import DerivaMLException
from remote_server.calls import ASSETS, QUICK, asset_rows, refused


def test_a_row_that_was_deleted_there_cannot_be_updated(
    double: DerivaDouble, catalog: str, remote: Server
) -> None:
    """The server answers as if nothing were wrong; the others are updated."""
    rows = asset_rows(remote)
    remote.insert(ASSETS, rows)
    gone = rows[1]["RID"]
    delete(remote, f"/entity/{ASSETS}/RID={gone}")
    with pytest.raises(ServerRefused) as caught:
        remote.update(ASSETS, [{"RID": row["RID"], "Description": "new"} for row in rows])
    expected = f"the row {gone} of Execution_Asset on {double.host} is gone: it was deleted there"
    assert (caught.value.status, str(caught.value)) == (404, expected)
    assert [row["Description"] for row in double.rows(catalog, "Execution_Asset")] == ["new", "new"]


def test_a_missing_right_is_told(double: DerivaDouble) -> None:
    """In the server's words: which right, on what."""
    older = double.create_catalog("1.17.10")
    nobody = Server(double.url, older, double.credential("nobody"), QUICK)
    error = refused(double, lambda: nobody.get(f"/entity/{ASSETS}"))
    assert error.status == 403
    assert f"{double.host} does not allow you" in str(error)
    assert "(select access on :deriva-ml:Execution_Asset): ask the catalog's owner" in str(error)


def test_a_catalog_that_is_not_there_is_told(double: DerivaDouble, catalog: str) -> None:
    other = Server(double.url, 99, double.credential(), QUICK)
    error = refused(double, lambda: other.describe("/schema"))
    assert (error.status, str(error)) == (404, f"there is no catalog 99 on {double.host}")


def test_a_conflict_is_told(double: DerivaDouble, catalog: str, remote: Server) -> None:
    """With what the database says, in one line."""
    row = asset_rows(remote, 1)[0]
    wrong = {**row, "MD5": None}
    error = refused(double, lambda: remote.insert(ASSETS, [wrong]))
    assert error.status == 409
    assert error.detail.startswith('null value in column "MD5"')
    assert error.detail in str(error)
    remote.insert(ASSETS, [row])
    error = refused(double, lambda: remote.insert(ASSETS, [row], repeatable=False))
    assert "duplicate key" in str(error)


def test_long_words_are_cut(double: DerivaDouble, remote: Server) -> None:
    error = refused(double, lambda: remote.get(f"/entity/deriva-ml:{'x' * 2000}"))
    assert len(str(error)) < 600


def test_another_web_server_is_told(impostor: Any, pauses: list[float]) -> None:
    """A page instead of rows, or a proxy's page instead of words, is nothing to show."""
    page = {"Content-Type": "text/html"}, b"<html>Welcome</html>"
    other = Server(impostor.url, 1, {}, RetryPolicy(attempts=1))
    impostor.answers += [(200, *page), (502, *page), (404, *page)]
    with pytest.raises(DerivaMLException, match="does not answer as a Deriva server does"):
        other.describe("/schema")
    with pytest.raises(ServerUnreachable, match=r"cannot answer now \(502 Bad Gateway\)"):
        other.describe("/schema")
    with pytest.raises(ServerRefused, match="/ermrest/catalog/1/schema"):
        other.describe("/schema")
