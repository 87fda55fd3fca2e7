"""Gives the addresses of pages on the web: a repository's, and a file's at a commit, by the form of its Git host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True)
class GitHost:
    """A kind of Git host. Another is one more among `HOSTS`.

    Attributes:
        names: a server is of this kind if one of these is in its name.
        file_page: what stands between the repository's page and the commit in the address of a file's page.
        ssh_servers: those that take SSH at the port of HTTPS, with the server that has the pages.
    """

    names: tuple[str, ...]
    file_page: str
    ssh_servers: Mapping[str, str] = field(default_factory=dict)


HOSTS = (
    GitHost(("gitlab",), "/-/blob/", {"altssh.gitlab.com": "gitlab.com"}),
    GitHost(("bitbucket",), "/src/", {"altssh.bitbucket.org": "bitbucket.org"}),
    GitHost(("codeberg", "forgejo", "gitea"), "/src/commit/"),
    GitHost(("",), "/blob/", {"ssh.github.com": "github.com"}),  # GitHub, and any other
)
"""The kinds that are known; the first one that fits is taken."""

_SSH_SERVERS = {name: page for host in HOSTS for name, page in host.ssh_servers.items()}


def workflow_url(remotes: Mapping[str, str], commit: str, path: str) -> str:
    """Return the address of `path` at `commit`: at the remote `origin`, or else the first that has a web page.

    It has the form of its host (GitHub's, unless the name says otherwise), and no user, password or query;
    `git:<commit>:<path>` when no remote has a web page. `remotes` holds fetch URLs by name.
    """
    pages = (web_url(remotes[name]) for name in sorted(remotes, key=lambda name: name != "origin"))
    page = next(filter(None, pages), None)
    if page is None:
        return f"git:{commit}:{quote(path)}"
    server = urlsplit(page).netloc
    host = next(host for host in HOSTS if any(name in server for name in host.names))
    return f"{page}{host.file_page}{commit}/{quote(path)}"


def commit_url(file_url: str, commit: str) -> str:
    """Return the address of a commit, from what `workflow_url` gave for one of its files."""
    page = file_url.rpartition(commit)[0]
    return (page.removesuffix("blob/") + "tree/" if page.endswith("/blob/") else page) + commit


def web_url(remote: str) -> str | None:
    """Return the web page of the repository for a git remote in any of git's forms (git-fetch(1), "GIT URLS").

    It is None for a path on this machine, and for a form that cannot be read with certainty: a credential
    that was not encoded must never pass for a part of the path.
    """
    if "://" not in remote:
        # user@host:path; a slash before the colon makes it a path, a single letter a Windows drive.
        match = re.fullmatch(r"(?:[^@/:]+@)?(\[[^\]/]+\]|[^@/:\[\]]{2,}):(?!:)(.+)", remote)
        if match is None:
            return None
        remote = f"ssh://{match[1]}/{match[2].lstrip('/')}"
    try:
        parts = urlsplit(remote)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.removeprefix("git+").removesuffix("+git")
    if scheme not in {"https", "http", "ssh", "git"} or not parts.hostname or "@" in parts.path:
        return None
    host = _SSH_SERVERS.get(parts.hostname, parts.hostname)
    host = f"[{host}]" if ":" in host else host
    if scheme not in {"https", "http"}:  # their ports are not the web server's
        scheme, port = "https", None
    path = quote(unquote(parts.path).strip("/").removesuffix(".git"))
    return f"{scheme}://{host}{f':{port}' if port else ''}/{path}" if path else None
