"""``deriva-ml-catalog site``: pages that show what was recorded, in a folder that a browser opens."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import subcommand
from deriva_ml.cli.summary import relative
from deriva_ml.progress import Report, progress
from deriva_ml.signals import raise_on_signals
from deriva_ml.terminal import counted, print

if TYPE_CHECKING:
    from deriva_ml.catalog.embedded import EmbeddedCatalog


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = subcommand(
        commands,
        build_site,
        "site",
        "[RID ...]",
        "build pages that show what was recorded",
        "Build a folder of pages that show runs, their files, datasets and lineage, in any browser and without a network."
        " Built again, only what has changed is written.",
    )
    parser.add_argument(
        "rids",
        nargs="*",
        metavar="RID",
        help="only these runs, and those of these sweeps; their notebooks are shown in full",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the folder: a new one, or a site (default: outputs/site)"
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="only those since 2w, 3d, 12h or 30m ago, or since a date such as 2026-11-28",
    )
    parser.add_argument("--open", action="store_true", help="open it in the browser")


def build_site(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Build the site that the arguments ask for."""
    from deriva_ml.site.building import build

    def shown(count: int) -> AbstractContextManager[Report]:
        return progress("building", count, count, unit=" runs")

    out = args.out or catalog.project.make_outputs() / "site"
    with raise_on_signals():
        built = build(catalog, out.absolute(), args.rids, args.since or "", shown)
    if not built.runs:
        print("no run meets that" if args.rids or args.since else "no run has been recorded yet")
    anew = "" if built.read == built.runs else f", {built.read:,} of them read anew,"
    print(
        f"a site of {counted(built.runs, 'run')}{anew} is in {relative(built.page.parent)}: open {relative(built.page)}"
    )
    if args.open:
        import webbrowser

        webbrowser.open(built.page.as_uri())
