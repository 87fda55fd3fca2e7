"""Shows a configuration instead of running with it: ``--list-configs``, ``--cfg`` and ``--info``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from deriva_ml.terminal import print_lines


def show_configuration(args: argparse.Namespace, chosen: Callable[[], tuple[str, Sequence[str]]]) -> None:
    """Print what ``--list-configs``, ``--cfg`` or ``--info`` ask of a configuration; run nothing.

    Args:
        chosen: tells which one, and with which overrides; the project's configurations have been loaded.

    Raises:
        DerivaMLRequestError: there is no such configuration, or an override does not fit it.
    """
    import hydra

    from deriva_ml.config.compose import compose, list_choices

    if args.list_configs:
        print_lines(list_choices())
        return
    name, overrides = chosen()
    compose(name, overrides)  # refuses in one line what Hydra would refuse in many
    asked = ["--cfg", args.cfg] if args.cfg else ["--info", args.info]
    asked += ["--resolve"] * args.resolve + (["--package", args.package] if args.package else [])
    sys.argv = [sys.argv[0], *overrides, *asked]

    @hydra.main(version_base="1.3", config_name=name, config_path=None)
    def nothing(config: object) -> None:
        """Hydra prints before it would call this."""

    nothing()
