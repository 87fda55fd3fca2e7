"""Which pages are guides, and what of them a test types."""

from __future__ import annotations

import re

from pages import PAGES, Page, Step, read

LOGIN = "uv run deriva-globus-auth-utils login --host www.example.org"
BROWSER = "opens a browser at the server; the reader of this test is logged in already"
MEASURES = "measures for minutes; the numbers are for a person to read"
TEMPLATE = "is for who works on the template: the suite would run itself, or make every environment anew"
GITHUB = "fetches from GitHub"
PYTEST = "tests/test_update_released.py does it after an update, and the README of a project without the example does it"
REPLAYS = "replays what the page has run; docs/reproducing.md does that with less"
SLURM = "needs Slurm's commands; tests/sweep does it with a double of them"
RAY = "installs Ray; tests/sweep runs jobs with it"
SWEEP = "uv run deriva-ml-run-notebook"
NOT_TYPED: dict[str, dict[str, str]] = {
    "README.md": {
        "make demo": TEMPLATE,
        "make test": TEMPLATE,
        "make lint": TEMPLATE,
        'make test ARGS="-k docs"': TEMPLATE,
        LOGIN: BROWSER,
    },
    "benchmarks/README.md": {
        "make .venv": TEMPLATE,
        ".venv/bin/python benchmarks/notebook_run.py": MEASURES,
        ".venv/bin/python benchmarks/commands.py": MEASURES,
        ".venv/bin/python benchmarks/catalog_size.py": MEASURES,
        ".venv/bin/python benchmarks/lineage.py": MEASURES,
        ".venv/bin/python benchmarks/rendering.py": MEASURES,
        ".venv/bin/python benchmarks/transfer.py": MEASURES,
        ".venv/bin/python benchmarks/push.py": MEASURES,
        ".venv/bin/python benchmarks/datasets.py": MEASURES,
        ".venv/bin/python benchmarks/check.py": MEASURES,
        ".venv/bin/python benchmarks/sweeps.py": MEASURES,
        ".venv/bin/python benchmarks/site.py": MEASURES,
        ".venv/bin/python benchmarks/replay.py": MEASURES,
    },
    "docs/architecture.md": {
        'DERIVA_TEST_HOST=www.example.org make test ARGS="tests/conformance"': TEMPLATE,
    },
    "docs/cli-reference.md": {
        "uv run deriva-ml-replay --all --since v0.1.0 --jobs 2 --junit replay.xml": REPLAYS,
    },
    "docs/deriva-catalog.md": {LOGIN: BROWSER},
    "docs/moving.md": {"uv sync": GITHUB},
    "docs/sweeps.md": {
        f"{SWEEP} notebooks/neighbours.ipynb --sweep k=1,3 hydra/launcher=cluster": SLURM,
        f"{SWEEP} --collect S9-ASS6-TSZB": SLURM,
        f"{SWEEP} notebooks/neighbours.ipynb --sweep k=1,3 hydra/launcher=ray": RAY,
        "uv run deriva-ml-replay 4H-K885-FE0R": REPLAYS,
    },
    "docs/updating.md": {"uv run pytest": PYTEST},
}
"""Lines that no test types, by page, and why. Every other line of every page is typed."""

OWN_ENVIRONMENT = {"README.md"}
"""Pages that show what comes when the project is not installed yet, nor its kernel."""

MOVING = "docs/moving.md"
"""The page that is read in a project of the upstream template."""


YOUR_DATA = "docs/your-data.md"
"""The page with a test of its own."""


def command(line: str) -> str:
    """A line of a shell without a comment at its end."""
    return re.sub(r"\s+#.*", "", line).strip()


def typed_lines(page: Page) -> set[str]:
    """Every line that a page tells its reader to type."""
    return {command(line) for block in page.steps() for step in block for line in step.typed.splitlines()}


def to_type(page: Page) -> list[list[Step]]:
    """A page's blocks without the lines that are not typed."""
    left_out = NOT_TYPED.get(page.name, {})
    blocks = []
    for block in page.steps():
        steps = []
        for step in block:
            lines = [line for line in step.typed.splitlines() if command(line) not in left_out]
            if any(map(command, lines)):
                steps.append(Step("\n".join(lines), step.shown, step.session))
        if steps:
            blocks.append(steps)
    return blocks


def says(page: Page, pattern: str) -> re.Match[str] | None:
    """Where what is typed of a page has this in it, if it has."""
    typed = "\n".join(step.typed for block in to_type(page) for step in block)
    return re.search(pattern, typed, re.MULTILINE)


def changes_its_environment(page: Page) -> bool:
    """True for a page that cannot share what is installed with others."""
    return page.name in OWN_ENVIRONMENT or bool(says(page, r"\buv (add|remove|sync)\b"))


def begins_with_nothing(page: Page) -> bool:
    """True for a page that makes a project or its environment; the others are read in a project that is set up."""
    return bool(says(page, "copier copy")) or changes_its_environment(page)


def in_order(page: Page) -> list[str]:
    """What is typed of a page, line by line."""
    return [line for block in to_type(page) for step in block for line in step.typed.splitlines()]


def begins_another(page: Page) -> bool:
    """True for a page that shows no answers, and types no more than what another one begins with."""
    lines = in_order(page)
    shown = any(step.shown for block in to_type(page) for step in block)
    others = (other for other in GUIDES if len(in_order(other)) > len(lines))
    return not shown and any(in_order(other)[: len(lines)] == lines for other in others)


GUIDES = [page for page in map(read, PAGES) if to_type(page)]
FROM_NOTHING = [page for page in GUIDES if begins_with_nothing(page) and not begins_another(page)]
IN_A_PROJECT = [page for page in GUIDES if not begins_with_nothing(page) and page.name != YOUR_DATA]
