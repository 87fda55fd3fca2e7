"""Which server is meant, and who asks: hostnames and credentials as people give them, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from deriva_ml.exceptions import DerivaMLRequestError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
DEFAULT_PORTS = {"http": 80, "https": 443}
CATALOG = r"[A-Za-z0-9][A-Za-z0-9_.~-]*"
"""A catalog's number or alias."""


def address(hostname: str) -> tuple[str, str, str]:
    """Scheme, host with its port unless that is the scheme's own, and host alone: one server has one address.

    Raises:
        DerivaMLRequestError: it is not just a server's name, or the login would travel unencrypted.
    """
    wrong = DerivaMLRequestError(f"{hostname!r} is no server's name such as www.example.org")
    try:
        parts = urlsplit(hostname if "://" in hostname else f"https://{hostname}")
        name, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or parts.path.strip("/") or parts.query or parts.fragment:
        raise wrong
    if "@" in parts.netloc or not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*|[0-9a-f:]+", name):
        raise wrong
    if parts.scheme == "http" and name not in LOOPBACK:
        raise DerivaMLRequestError(f"http:// would send the login to {name} unencrypted: leave it out")
    host = f"[{name}]" if ":" in name else name
    standard = port in (None, DEFAULT_PORTS[parts.scheme])
    return parts.scheme, host if standard else f"{host}:{port}", name


def server_name(hostname: str) -> str:
    """The name under which a server is noted: without ``https://``. Raises as ``address`` does."""
    scheme, host, _ = address(hostname)
    return f"http://{host}" if scheme == "http" else host


def catalog_name(catalog_id: str | int) -> str:
    """A catalog's number or alias as paths have it.

    Raises:
        DerivaMLRequestError: it can be neither.
    """
    if not re.fullmatch(CATALOG, str(catalog_id)):
        raise DerivaMLRequestError(f"{str(catalog_id)!r} is no catalog's number or alias")
    return str(catalog_id)


def checked_credential(given: Mapping[str, str] | str | Path | None, host: str) -> Mapping[str, str] | None:
    """A credential as deriva takes it, checked for its form; None stays. A file's may be for the host without its port.

    Raises:
        DerivaMLRequestError: the file holds no credentials, or none for the host. No message shows what it holds.
    """
    found: Any = given
    if isinstance(given, (str, Path)):
        from deriva.core import read_credential

        if not Path(given).is_file():
            raise DerivaMLRequestError(f"there is no credential file {given}")
        try:
            entries = {name.lower(): entry for name, entry in read_credential(str(given)).items()}
        except (AttributeError, OSError, ValueError):
            raise DerivaMLRequestError(
                f"{given} is no credential file of deriva: it maps hosts to logins, as JSON"
            ) from None
        found = entries.get(host) or entries.get(re.sub(r":\d+$", "", host))
        if found is None:
            raise DerivaMLRequestError(f"the credential file {given} has none for {host}")
    usable = not found or (
        isinstance(found, Mapping)
        and (
            "bearer-token" in found
            or "=" in str(found.get("cookie", ""))
            or {"username", "password"} <= found.keys()
        )
    )
    if not usable:
        raise DerivaMLRequestError(
            f"the credential for {host} is not as deriva takes it, which is"
            ' {"cookie": "webauthn=..."} or {"bearer-token": "..."}'
        )
    return found  # type: ignore[no-any-return]


def stored_credential(host: str) -> Mapping[str, str]:
    """What logging in stored; nothing if nobody did. It may ask the server, to have a token renewed.

    Raises:
        DerivaMLRequestError: deriva's files are damaged.
    """
    from deriva.core import get_credential

    try:
        return get_credential(host) or {}
    except ValueError as error:
        raise DerivaMLRequestError(
            f"the logins in ~/.deriva cannot be read: remove the damaged file there and log in again ({error})"
        ) from None
