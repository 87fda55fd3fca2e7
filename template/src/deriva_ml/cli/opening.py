"""``deriva-ml-catalog open``: an execution's notebook, or an asset, with the desktop's program."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from deriva_ml.cli.arguments import subcommand
from deriva_ml.exceptions import DerivaMLRequestError, NotFound
from deriva_ml.terminal import print
from deriva_ml.untrusted import check_inside, plain_name

if TYPE_CHECKING:
    import argparse

    from deriva_ml.catalog.embedded import EmbeddedCatalog
    from deriva_ml.definitions import Asset


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    parser = subcommand(
        commands,
        open_record,
        "open",
        "RID",
        "open an execution's notebook, or an asset",
        "Open an execution's notebook, or an asset, with the desktop's program. Copies of the execution's outputs, or of"
        " the asset, are put into outputs/ under their own names.",
    )
    parser.add_argument(
        "rid",
        metavar="RID",
        help="the execution or asset, by its RID here or where it was pushed to, or by its name",
    )


def open_record(catalog: EmbeddedCatalog, args: argparse.Namespace) -> None:
    """Put named copies of what was asked for under ``outputs/`` and open the one a person would read."""
    import webbrowser

    rid = args.rid

    try:
        catalog.lookup_execution(rid)
        assets = [asset for asset in catalog.assets_of(rid) if asset.role == "Output"]
    except NotFound:
        try:
            assets = [catalog.lookup_asset(rid)]
        except NotFound:
            with suppress(NotFound):
                catalog.lookup_dataset(rid)  # of one that was deleted this says so
            raise
    folder = catalog.project.make_outputs() / plain_name(rid)
    names = Counter(asset.filename for asset in assets)
    paths = []
    for asset in assets:
        # Of several with one name, each has a folder of its own.
        own = folder if names[asset.filename] == 1 else folder / plain_name(asset.rid)
        path = check_inside(own / plain_name(asset.filename), catalog.project.outputs)
        if not path.exists():
            catalog.fetch(asset, path)
        paths.append((_rank(asset), path))
    if not paths:
        raise DerivaMLRequestError(f"execution {rid} has no outputs to open")
    best = min(paths, key=lambda pair: pair[0])[1]
    print(best)
    if sys.stdout.isatty():
        webbrowser.open(best.as_uri())


def _rank(asset: Asset) -> int:
    """Return an output's place among those to read: the notebook's Markdown, a report, a picture, a text, the rest."""
    import mimetypes

    from deriva_ml.definitions import ExecAssetType, ExecMetadataType, MLAsset

    kind = mimetypes.guess_type(asset.filename)[0] or ""
    own = ExecAssetType.notebook_output.value in asset.types
    text = kind.startswith("text/") or kind == "application/json"
    if asset.table == MLAsset.execution_metadata:
        if ExecMetadataType.metrics_file.value in asset.types:
            return 3
        return 6 if ExecMetadataType.log_file.value in asset.types else 7
    if own and asset.filename.endswith(".md"):
        return 0
    if kind in {"text/markdown", "text/html", "application/pdf"}:
        return 1
    if kind.startswith("image/"):
        return 2
    return 3 if text else 4 if own else 5
