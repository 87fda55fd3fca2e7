"""Write the runner's digests, which `deriva-ml-init --check` compares with, into the template. Called by make."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNNER = ROOT / "template" / "src" / "deriva_ml"
sys.path.insert(0, str(RUNNER.parent))

from deriva_ml import integrity  # noqa: E402

LIST = RUNNER / f"{integrity.DIGESTS}.jinja"
EXAMPLE = ("demo.py", "demo_files/")
"""What the names of files begin with that only a project with the worked example gets."""


def content() -> str:
    """The list as the template should have it."""
    lines = []
    for name, digest in integrity.digests(RUNNER).items():
        line = f"{digest}  {name}\n"
        if name != LIST.name:
            lines.append(
                f"{{% if include_example -%}}\n{line}{{% endif -%}}\n" if name.startswith(EXAMPLE) else line
            )
    return "".join(lines)


def main() -> int:
    """Write the list; with `--check`, only say whether that is due."""
    parser = argparse.ArgumentParser(prog="digests.py", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and exit with 1 if the list is stale"
    )
    options = parser.parse_args()
    wanted = content()
    if LIST.exists() and LIST.read_text(encoding="utf-8") == wanted:
        return 0
    if options.check:
        print(f"{LIST.relative_to(ROOT)} is stale: run make digests", file=sys.stderr)
        return 1
    LIST.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
