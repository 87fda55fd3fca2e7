"""What draws a site's charts: its script is written once, whole, and needs not be there."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from deriva_ml.site import vega


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A vl-convert that counts how often it is asked for the script."""
    made = SimpleNamespace(
        version="1.9.0",
        asked=0,
        get_vega_version=lambda: "6.2.0",
        get_vegalite_versions=lambda: ["5.8", "6.4"],
        get_vega_embed_version=lambda: "7.0.2",
    )

    def bundle(snippet: str) -> str:
        made.asked += 1
        return f"const n = '{made.version} ÿ';"

    made.javascript_bundle = bundle
    monkeypatch.setitem(sys.modules, "vl_convert", made)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: made.version)
    return made


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let vl-convert not be installed."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)


def test_written_once(converter: SimpleNamespace, tmp_path: Path) -> None:
    """A second build leaves the script as it is, and does not pay for it."""
    assert vega.write_vega(tmp_path)
    script = tmp_path / "vega.js"
    before = script.stat()
    assert vega.write_vega(tmp_path) and converter.asked == 1
    assert script.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in tmp_path.iterdir()] == ["vega.js"]
    text = script.read_text(encoding="utf-8")
    assert "const n = '1.9.0 ÿ';" in text and "BSD 3-Clause" in text


@pytest.mark.parametrize(
    "harm",
    [
        lambda script: script.write_bytes(script.read_bytes()[:-9]),
        lambda script: script.write_bytes(script.read_bytes().replace(b"const", b"let")),
        lambda script: script.write_bytes(b""),
        lambda script: script.write_bytes(b"\xff\x00"),
    ],
)
def test_written_again_where_it_is_damaged(converter: SimpleNamespace, tmp_path: Path, harm: object) -> None:
    """What is not what was written is replaced."""
    vega.write_vega(tmp_path)
    whole = (tmp_path / "vega.js").read_bytes()
    harm(tmp_path / "vega.js")  # type: ignore[operator]
    assert vega.write_vega(tmp_path) and (tmp_path / "vega.js").read_bytes() == whole


def test_written_again_of_another_version(converter: SimpleNamespace, tmp_path: Path) -> None:
    """An update of the package arrives in the site."""
    vega.write_vega(tmp_path)
    converter.version = "2.0.0"
    assert vega.write_vega(tmp_path) and "'2.0.0 ÿ'" in (tmp_path / "vega.js").read_text(encoding="utf-8")


def test_not_installed(converter: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no charts without the package, unless an earlier build wrote the script."""
    without(monkeypatch)
    assert not vega.write_vega(tmp_path) and not list(tmp_path.iterdir())
    monkeypatch.setattr(importlib.metadata, "version", lambda _: converter.version)
    vega.write_vega(tmp_path)
    without(monkeypatch)
    assert vega.write_vega(tmp_path) and converter.asked == 1


def test_made_for_another_machine(
    converter: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that cannot be loaded here does not keep the site from being built."""
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert not vega.write_vega(tmp_path) and not list(tmp_path.iterdir())


def test_the_script_is_that_of_the_library(tmp_path: Path) -> None:
    """What vl-convert has is a script that gives the pages what they call."""
    pytest.importorskip("vl_convert")
    assert vega.write_vega(tmp_path)
    text = (tmp_path / "vega.js").read_text(encoding="utf-8")
    assert all(f"window.{name}=" in text for name in ("vegaEmbed", "vega"))
    assert len(text) > 500_000
