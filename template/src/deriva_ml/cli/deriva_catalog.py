"""The Deriva catalog that a command's flags name, if they name one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from deriva_ml.cli.arguments import add_server_flags
from deriva_ml.exceptions import DerivaMLRequestError

if TYPE_CHECKING:
    from deriva_ml.catalog.catalog_config import DerivaMLConfig
    from deriva_ml.project import Project


def add_reading_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that let a command look at a Deriva catalog instead of the project's own."""
    group = parser.add_argument_group("Deriva catalog")
    group.add_argument(
        "--from",
        dest="named",
        metavar="NAME",
        help="look at the catalog of an entry in src/configs/deriva.py, such as 'production' (default: the project's own)",
    )
    add_server_flags(
        group,
        host="the server of the Deriva catalog, instead of --from",
        catalog="the number or alias of the catalog on --host",
    )


def named_catalog(args: argparse.Namespace, flag: str, project: Project) -> DerivaMLConfig | None:
    """Return the catalog that ``flag`` (as ``args.named``), or ``--host`` with ``--catalog``, names; None without them.

    Raises:
        DerivaMLRequestError: they do not go together, or name none.
    """
    from deriva_ml.catalog.catalog_config import DerivaMLConfig, located
    from deriva_ml.execution.configured_catalogs import connection

    if args.named and (args.host or args.catalog):
        raise DerivaMLRequestError(f"give either {flag}, or --host and --catalog")
    if args.catalog and not args.host:
        raise DerivaMLRequestError(f"--catalog is one on --host: give both, or {flag}")
    if args.named:
        return located(connection(project, args.named), project)
    if not args.host:
        return None
    return located(DerivaMLConfig(args.host, args.catalog), project)
