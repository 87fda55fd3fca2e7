"""Write a page for each rule of ``deriva-ml-check`` from its docstring, and where they are listed (`make reference`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deriva_ml.check.rule import Rule

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "template" / "src"
FOLDER = Path("docs") / "checks"
INDEX = FOLDER / "index.md"
NAVIGATION = Path("zensical.toml")
GROUPS = {
    "DML1": "The parameters cell",
    "DML2": "What ties a notebook to one place",
    "DML3": "The committed file",
    "DML4": "The order of cells",
    "DML5": "The run",
    "DML6": "What may differ next time",
    "DML7": "Configurations",
    "DML9": "The file itself",
}
"""What rules are about, by what their codes begin with."""


def pages() -> dict[Path, str]:
    """The text of each file that is made, or has a part that is, by its path in the repository."""
    from deriva_ml.check.catalogue import RULES

    written = {FOLDER / f"{code}.md": page(code) for code in RULES}
    for path, (begin, end), text in (
        (INDEX, ("<!-- rules -->\n\n", "\n\n<!-- end -->"), tables()),
        (NAVIGATION, ("      # rules: scripts/check_pages.py\n", "\n      # end of rules"), navigation()),
    ):
        whole = (ROOT / path).read_text(encoding="utf-8")
        before, _, rest = whole.partition(begin)
        written[path] = f"{before}{begin}{text}{end}{rest.partition(end)[2]}"
    return written


def page(code: str) -> str:
    """A rule's page."""
    from deriva_ml.check.catalogue import RULES

    rule = RULES[code]
    notes = [
        f"It reads {rule.reads.value}{', if they are of a project with the runner' if rule.own else ''}."
    ]
    notes += (
        ["It is advice: the check does not fail for it unless it is selected by its code."]
        if rule.advice
        else []
    )
    notes += ["`uv run deriva-ml-check --fix` mends it."] if rule.fixable else []
    return f"# {code} {rule.name}\n\n{rule.page}\n\n{' '.join(notes)} [All rules](index.md#the-rules)\n"


def tables() -> str:
    """The rules of each group with what they find."""
    from deriva_ml.check.formats import summary_of

    parts = []
    for prefix, title in GROUPS.items():
        if not rules_of(prefix):
            continue
        lines = [f"### {title}", "", f"| {prefix} | finds |", "|---|---|"]
        for rule in rules_of(prefix):
            mark = " (advice)" if rule.advice else ""
            what = summary_of(rule.page).replace("|", r"\|")
            lines.append(f"| [{rule.code}]({rule.code}.md) `{rule.name}` | {what}{mark} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def navigation() -> str:
    """The lines of the site's navigation that name these pages."""
    lines = []
    for prefix, title in GROUPS.items():
        if not rules_of(prefix):
            continue
        named = ", ".join(f'{{ "{one.code}" = "checks/{one.code}.md" }}' for one in rules_of(prefix))
        lines.append(f'      {{ "{title}" = [{named}] }},')
    return "\n".join(lines)


def rules_of(prefix: str) -> list[Rule]:
    """The rules of a group."""
    from deriva_ml.check.catalogue import RULES

    return [RULES[code] for code in sorted(RULES) if code.startswith(prefix)]


def main() -> None:
    """Write them, and remove pages of rules that are gone."""
    written = pages()
    for path in (ROOT / FOLDER).glob("DML*.md"):
        if path.relative_to(ROOT) not in written:
            path.unlink()
    for path, text in written.items():
        (ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(SOURCE))
    main()
