"""The script of Vega, which draws the charts of a site: taken from vl-convert, if that is installed, and written once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
from contextlib import suppress
from pathlib import Path

from deriva_ml.project import replacing

PACKAGE, SCRIPT = "vl-convert-python", "vega.js"
GIVEN = "window.vega = vega; window.vegaEmbed = vegaEmbed;"
"""What the pages take of it; all else stays inside of a function, away from what they declare themselves."""

# Another digest than that of the rest, in a file that was cut short or altered, or another version: it is written anew.
# Its licence asks for the notice.
_HEAD = """\
/*! {package} {version} sha256:{digest}
Vega {vega}, Vega-Lite {lite} and Vega-Embed {embed}, https://vega.github.io
Copyright University of Washington Interactive Data Lab and others: BSD 3-Clause License,
https://github.com/vega/vega/blob/main/LICENSE */
"""
_STAMP = re.compile(rb"/\*! \S+ (\S+) sha256:([0-9a-f]{64})\n.*?\*/\n(.*)", re.DOTALL)


def write_vega(assets: Path) -> bool:
    """Write the script into a site's folder of assets, unless it is there; return whether it is, for charts to be drawn.

    One that an earlier build wrote serves also where vl-convert is not installed any more.

    Raises:
        OSError: the disk did not take it.
    """
    path = assets / SCRIPT
    there, wanted = _version_of(path), version()
    if wanted in {"", there}:
        return bool(there)
    try:
        import vl_convert
    except ImportError:  # made for another machine
        return bool(there)
    script = f"(() => {{\n{vl_convert.javascript_bundle(GIVEN)}\n}})();\n".encode()
    head = _HEAD.format(
        package=PACKAGE,
        version=wanted,
        digest=hashlib.sha256(script).hexdigest(),
        vega=vl_convert.get_vega_version(),
        lite=vl_convert.get_vegalite_versions()[-1],
        embed=vl_convert.get_vega_embed_version(),
    )
    with replacing(path) as part:
        part.write_bytes(head.encode() + script)
    return True


def version() -> str:
    """Return the version of vl-convert that is installed, or none; asking it itself would load all of it."""
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(PACKAGE)
    return ""


def _version_of(path: Path) -> str:
    """Return of what version a script is that was written whole; none for any other file."""
    with suppress(OSError):
        stamp = _STAMP.fullmatch(path.read_bytes())
        if stamp and hashlib.sha256(stamp[3]).hexdigest() == stamp[2].decode():
            return stamp[1].decode()
    return ""
