"""Make the pictures that show real runs: a session in a terminal, an executed notebook's Markdown, pages of records (`make pictures`).

A project is made from the template as it stands, and the commands are run in it. The other pictures are drawn by hand.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import terminal
from browser import browser

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "docs" / "pictures"

SESSION = [
    ("uv run deriva-ml-init", 10),
    ("uv run deriva-ml-run-notebook notebooks/my_analysis.ipynb", 10),
    ("uv run deriva-ml-catalog list", 10),
    ("uv run deriva-ml-catalog show {rid}", 24),
]
"""Commands, and how many lines of each are shown; ``{rid}`` stands for the execution of the run before."""
DESCRIPTION = (
    "In a project that has just been made, deriva-ml-init sets up the repository, the kernel and the catalog. "
    "deriva-ml-run-notebook executes the example and names the execution and the files to read. "
    "deriva-ml-catalog lists it, and shows its code, choices, inputs and outputs."
)

SWEEP = "uv run deriva-ml-run --multirun model_config=quick,default_model model_config.l2=0.1,1,10"
SITE = "uv run --extra site deriva-ml-catalog site"
"""What is run before the pictures of the pages of records are taken."""

WIDTH = 900
"""Of the notebook's picture, in CSS pixels: as little as the example's code needs."""


def record(project: Path, env: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Run the session in a project that has just been made, and return its commands with what they showed.

    Where the project is on this machine is not shown.
    """
    session, rid = [], ""
    for typed, shown in SESSION:
        command = typed.format(rid=rid)
        lines = terminal.run(shlex.split(command), project, env)
        rid = next((line.split()[1].rstrip(":") for line in lines if line.startswith("Execution ")), rid)
        lines = [line.replace(str(project.parent), "…") for line in lines]
        session.append((command, lines if len(lines) <= shown else [*lines[:shown], terminal.MORE]))
    return session


def render(project: Path, env: Mapping[str, str]) -> None:
    """Make a project from the template, and install its environment."""
    python = f"3.{min(sys.version_info.minor, 13)}"
    copier = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", "--vcs-ref", "HEAD"]
    answers = ["--data", f"python_version={python}", str(ROOT), str(project)]
    subprocess.run([*copier, *answers], check=True, env={**env, "PYTHONWARNINGS": "ignore"})
    subprocess.run(["uv", "sync", "--quiet"], check=True, cwd=project, env=env)


def photograph(markdown: Path, target: Path) -> None:
    """Take a picture of what an executed notebook's Markdown looks like, from its table to the figure after it."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        (site / "docs").mkdir()
        shutil.copy(markdown, site / "docs" / "index.md")
        (site / "zensical.toml").write_text(
            '[project]\nsite_name = "notebook"\n[project.theme]\nfont = false\n'
        )
        subprocess.run([sys.executable, "-m", "zensical", "build"], check=True, cwd=site, capture_output=True)
        with browser() as chromium:
            page = chromium.new_page(viewport={"width": WIDTH, "height": 900}, device_scale_factor=1.25)
            page.goto((site / "site" / "index.html").as_uri())
            first, last = (page.locator(f"article {name}").first.bounding_box() for name in ("table", "img"))
            assert first and last
            top, bottom = first["y"] - 12, last["y"] + last["height"] + 12
            page.screenshot(
                path=target, clip={"x": 0, "y": top, "width": WIDTH, "height": bottom - top}, full_page=True
            )


def look(project: Path, env: Mapping[str, str]) -> None:
    """Run a sweep beside what a project has recorded, build the pages of all, and take pictures of two of them."""
    lines = terminal.run(shlex.split(SWEEP), project, env)
    sweep = next(line.split()[1].rstrip(":") for line in lines if line.startswith("Sweep "))
    terminal.run(shlex.split(SITE), project, env)
    pages = (project / "outputs" / "site").as_uri()
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": 1280, "height": 620}, device_scale_factor=1.2)
        page.goto(f"{pages}/index.html#sort=-heldout_accuracy")
        page.get_by_text("Columns (").click()
        for name in ("Workflow", "Description", "assets"):  # room for the metrics
            page.locator(".menu").get_by_label(name, exact=True).uncheck()
        page.keyboard.press("Escape")
        for box in page.locator("tbody input").all()[:2]:
            box.check()
        page.screenshot(path=PICTURES / "runs.png")
        page.goto(f"{pages}/compare.html#{sweep}")
        page.locator("#parallel svg").wait_for()
        page.locator("#charts").screenshot(path=PICTURES / "comparison.png")


def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        identity = home / "gitconfig"
        identity.write_text(
            "[user]\n\tname = Ada Lovelace\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
        )
        env = {**os.environ, "GIT_CONFIG_GLOBAL": str(identity), "GIT_CONFIG_NOSYSTEM": "1", "LOGNAME": "ada"}
        project = Path(folder) / "myproj"
        render(project, env)
        session = record(project, env)
        text = terminal.picture(session, "A session in a terminal", DESCRIPTION)
        (PICTURES / "session.svg").write_text(text, encoding="utf-8")
        [markdown] = project.glob("outputs/*/my_analysis.md")
        photograph(markdown, PICTURES / "notebook.png")
        look(project, env)


if __name__ == "__main__":
    main()
