"""Gives the addresses of pages on the web: a repository's, and a file's at a commit, by the form of its Git host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit


def workflow_url(remotes: Mapping[str, str], commit: str, path: str) -> str:
    """The address of `path` at `commit`: at the remote `origin`, or else the first that has a web page.

    It has the form of its host (GitHub's, unless the name says otherwise), and no user, password or query;
    `git:<commit>:<path>` when no remote has a web page. `remotes` holds fetch URLs by name.
    """
    pages = (web_url(remotes[name]) for name in sorted(remotes, key=lambda name: name != "origin"))
    page = next(filter(None, pages), None)
    if page is None:
        return f"git:{commit}:{quote(path)}"
    host = urlsplit(page).netloc
    infix = next((infix for part, infix in _FILE_PAGES.items() if part in host), "/blob/")
    return f"{page}{infix}{commit}/{quote(path)}"


_FILE_PAGES = {
    "gitlab": "/-/blob/",
    "bitbucket": "/src/",
    **dict.fromkeys(("codeberg", "forgejo", "gitea"), "/src/commit/"),
}

_SSH_OVER_HTTPS = {
    "ssh.github.com": "github.com",
    "altssh.gitlab.com": "gitlab.com",
    "altssh.bitbucket.org": "bitbucket.org",
}


def web_url(remote: str) -> str | None:
    """The repository's web page for a git remote in any of git's forms (git-fetch(1), "GIT URLS").

    Returns None for a path on this machine, and for a form that cannot be read with certainty: a credential
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
    host = _SSH_OVER_HTTPS.get(parts.hostname, parts.hostname)
    host = f"[{host}]" if ":" in host else host
    if scheme not in {"https", "http"}:  # their ports are not the web server's
        scheme, port = "https", None
    path = quote(unquote(parts.path).strip("/").removesuffix(".git"))
    return f"{scheme}://{host}{f':{port}' if port else ''}/{path}" if path else None
