"""Real git repositories for the tests, cut off from the settings of whoever runs them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

IDENTITY = "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n"


def isolate_git(monkeypatch: pytest.MonkeyPatch, folder: Path, identity: str = IDENTITY) -> Path:
    """Give git a configuration file of the test's own; returns it. Nothing of the machine's is read."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "BUMPVERSION_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("EMAIL", raising=False)
    config = folder / "gitconfig"
    config.write_text(identity + "[init]\n\tdefaultBranch = main\n", encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return config


class Repository:
    """A working tree under test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, *options: str) -> Repository:
        path.mkdir(parents=True, exist_ok=True)
        repository = cls(path)
        repository.git("init", "--quiet", *options)
        return repository

    def git(self, *args: str) -> str:
        """What the command prints; a failure fails the test with git's message."""
        done = subprocess.run(["git", *args], cwd=self.path, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
        return done.stdout.strip()

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def commit(self, name: str = "a.txt", text: str = "text\n") -> str:
        """Commit one file; returns the commit's hash."""
        self.write(name, text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Change {name}")
        return self.git("rev-parse", "HEAD")

    def tags(self) -> list[str]:
        return self.git("tag", "--list").split()

    def refs(self) -> str:
        """Every branch and tag with what it points at, so that a test can say that nothing changed."""
        return self.git("for-each-ref")
