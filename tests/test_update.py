"""`copier update` brings what is new in the template, and leaves to the user what is the user's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import copier
import pytest

from conftest import ProjectFolder


@pytest.fixture
def versioned(plain: Path, tmp_path: Path, clean_env: dict[str, str]) -> Callable[..., ProjectFolder]:
    """``versioned(changes)``: the template in a repository of its own, at v1.0.0 and then, with changes, at v1.1.0."""

    def make(changes: dict[str, str]) -> ProjectFolder:
        template = ProjectFolder(tmp_path / "released", clean_env)
        subprocess.run(["cp", "-R", str(plain), str(template.path)], check=True)
        template.git("init", "--quiet")
        template.git("add", "--all")
        template.git("commit", "--quiet", "--message", "First")
        template.git("tag", "v1.0.0")
        for name, line in changes.items():
            with (template / "template" / name).open("a", encoding="utf-8") as file:
                file.write(line)
        template.git("add", "--all")
        template.git("commit", "--quiet", "--message", "Second")
        template.git("tag", "v1.1.0")
        return template

    return make


def test_an_update_brings_fixes_and_leaves_starter_content_to_the_user(
    versioned: Callable[..., ProjectFolder], clean_env: dict[str, str], tmp_path: Path
) -> None:
    """What the user changed stays, what the user deleted stays away, and the runner and the set-up are merged."""
    template = versioned(
        {
            "src/deriva_ml/exceptions.py": "\n# newer\n",
            ".gitignore": "/newer/\n",
            "src/configs/workflow.py": "\n# newer\n",
            "src/configs/my_notebook.py": "\n# newer\n",
            "src/configs/added.py": "# newer\n",
            "notebooks/my-notebook.ipynb": "\n",
        }
    )
    path = tmp_path / "my-project"
    copier.run_copy(str(template.path), path, vcs_ref="v1.0.0", defaults=True, quiet=True)
    project = ProjectFolder(path, clean_env)
    project.git("init", "--quiet")
    (project / "src/configs/workflow.py").write_text("# mine\n")
    (project / "src/configs/my_notebook.py").unlink()
    for deleted in list((project / "notebooks").iterdir()):
        deleted.unlink()
    (project / "notebooks").rmdir()
    (project / "src/configs/own.py").write_text("# mine\n")
    ignored = (project / ".gitignore").read_text()
    (project / ".gitignore").write_text("/mine/\n" + ignored)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "Mine")

    copier.run_update(path, defaults=True, overwrite=True, quiet=True)

    assert project.git("status", "--porcelain").splitlines() == [
        "M .copier-answers.yml",
        " M .gitignore",
        " M src/deriva_ml/exceptions.py",
    ]
    assert (project / ".gitignore").read_text() == "/mine/\n" + ignored + "/newer/\n"
    assert (project / "src/deriva_ml/exceptions.py").read_text().endswith("# newer\n")
    assert (project / "src/configs/workflow.py").read_text() == "# mine\n"
    assert (project / "src/configs/own.py").exists()
    assert not (project / "src/configs/my_notebook.py").exists() and not (project / "notebooks").exists()
