"""What the tests of how a Deriva server is spoken to ask of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from deriva_double import DerivaDouble, Fault
from deriva_ml.deriva.answers import ServerRefused
from deriva_ml.deriva.hatrac import Upload, put_object
from deriva_ml.deriva.retry import RetryPolicy
from deriva_ml.deriva.server import Server

QUICK = RetryPolicy(pause=0.001)
PASSING = (Fault.ABORTED, Fault.ERROR, Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.TRUNCATED)
ASSETS = "deriva-ml:Execution_Asset"


def asset_rows(remote: Server, count: int = 3) -> list[dict[str, Any]]:
    """Rows for Execution_Asset, under leased RIDs."""
    return [
        {"RID": rid, "URL": f"/hatrac/x/{rid}", "Filename": "x", "Length": 1, "MD5": "0" * 32}
        for rid in remote.lease(count)
    ]


def refused(double: DerivaDouble, call: Any) -> ServerRefused:
    """The error of a call that the server refuses: raised after one request, in one line that holds no login."""
    double.log.clear()
    with pytest.raises(ServerRefused) as caught:
        call()
    assert len(double.log) == 1
    assert "\n" not in str(caught.value) and "\n" not in caught.value.detail
    assert "webauthn" not in str(caught.value)
    return caught.value


def digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def put(remote: Server, name: str, file: Path, filename: str = "", **options: Any) -> str:
    item = Upload(file, name, digest(file), file.stat().st_size, filename or file.name)
    return put_object(remote, item, **options)


def versions(remote: Server, name: str) -> list[str]:
    found: list[str] = remote.request("get", f"{name};versions").json()
    return found
