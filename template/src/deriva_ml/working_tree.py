"""Tells which git working tree a folder is in, and which is that repository's main one, from git's own files.

No git is started: every command asks this. Said in gitrepository-layout(5) and git-worktree(1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deriva_ml.exceptions import DerivaMLRequestError


@dataclass(frozen=True)
class WorkingTree:
    """A working tree and its repository.

    Attributes:
        top: the working tree's top folder.
        own: what git keeps for this working tree.
        common: what it keeps for all of them; the same as ``own`` but in a linked one.
    """

    top: Path
    own: Path
    common: Path

    @classmethod
    def around(cls, folder: Path) -> WorkingTree | None:
        """Return the working tree that a folder is in; None if it is in none.

        Raises:
            DerivaMLRequestError: it is in one whose repository is not where it was.
        """
        folder = folder.resolve()
        for top in (folder, *folder.parents):
            own = top / ".git"
            if own.is_file():  # of a linked working tree, a submodule, or `git init --separate-git-dir`
                own = top / _read(own).removeprefix("gitdir:").strip()
                if not own.exists():
                    raise DerivaMLRequestError(
                        f"the git repository of {top} is not at {own}: bring it back, or type"
                        f" git worktree repair {top} in the place that it was moved to"
                    )
            if (own / "HEAD").exists():
                common = own / "commondir"
                return cls(top, own, own / _read(common).strip() if common.is_file() else own)
        return None

    @property
    def is_linked(self) -> bool:
        """Made by `git worktree add`."""
        return self.own != self.common

    def main(self) -> Path | None:
        """Return the top folder of the repository's main working tree.

        None where it has none (it is bare), or nothing says where that is (`git init --separate-git-dir`).
        """
        if not self.is_linked:
            return self.top
        common = self.common.resolve()
        files = (common / "config", common / "config.worktree")
        text = "\n".join(_read(path) for path in files if path.is_file())
        core = "\n".join(re.findall(r"(?ims)^\s*\[core\](.*?)(?=^\s*\[|\Z)", text))
        settings = re.finditer(r"(?im)^\s*(bare|worktree)\b\s*=?\s*(.*?)\s*$", core)
        said = {setting[1].lower(): setting[2].strip('"') for setting in settings}
        if said.get("bare", "false").lower() in {"", "1", "on", "true", "yes"}:
            return None
        if "worktree" in said:  # of a submodule
            return (common / said["worktree"]).resolve()
        return common.parent if common.name == ".git" else None


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")  # a path may have any bytes
