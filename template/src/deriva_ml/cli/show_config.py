"""What ``--list-configs``, ``--cfg`` and ``--info`` show of a project's configurations, without running anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deriva_ml.execution import hydra_config
from deriva_ml.project import Project


def show(args: argparse.Namespace, project: Project, name: str, overrides: Sequence[str]) -> None:
    """Print what was asked for about the configuration ``name``.

    Raises:
        DerivaMLRequestError: there is no such configuration, or an override does not fit it.
    """
    hydra_config.find_configs(project)
    if args.list_configs:
        print(menu())
        return
    hydra_config.compose(name, overrides)  # refuses in one line what Hydra would refuse in many
    import hydra

    sys.argv = [sys.argv[0], *overrides, *(["--cfg", args.cfg] if args.cfg else ["--info", args.info])]

    @hydra.main(version_base="1.3", config_name=name, config_path=None)
    def nothing(config: object) -> None:
        """Hydra prints before it would call this."""

    nothing()


def menu() -> str:
    """Every ``group=value`` that can be chosen, with its description where it has one."""
    from hydra_zen import store

    store.add_to_hydra_store(overwrite_ok=True)
    entries = [
        (group, name, _description(store[group, name]))
        for group, name in sorted((str(group or ""), name) for group, name in store)
        if group and not group.startswith("hydra")
    ]
    width = max((len(f"{group}={name}") for group, name, _ in entries), default=0) + 2
    lines = []
    for group in sorted({group for group, _, _ in entries}):
        lines += [f"{group}:"]
        lines += [f"  {f'{group}={name}':{width}}{text}".rstrip() for g, name, text in entries if g == group]
    notebooks = ", ".join(sorted(hydra_config.notebook_configs))
    lines += [
        f"notebooks: {notebooks or 'none'}",
        f"multirun: {', '.join(sorted(hydra_config.multiruns)) or 'none'}",
    ]
    return "\n".join(lines)


def _description(entry: object) -> str:
    text = getattr(entry, "description", "") or ""
    return str(text).strip().split("\n")[0] if isinstance(text, str) else ""
