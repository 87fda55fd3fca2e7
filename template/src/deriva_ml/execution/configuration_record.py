"""What a record says of how its execution came about: `configuration.json` and the patch, whoever writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from deriva_ml.configuration_file import CONFIGURATION
from deriva_ml.definitions import ExecMetadataType, Workflow
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.provenance import UNCOMMITTED
from deriva_ml.redaction import redact, redact_diff, redact_override

Texts = dict[str, tuple[str, ExecMetadataType]]
"""The content and kind of metadata files, by name."""


def texts_of(
    configuration: ExecutionConfiguration,
    workflow: Workflow,
    provenance: Mapping[str, Any],
    started_by: str,
    hydra_config: str = "",
    created: str = "",
) -> Texts:
    """Return the files that say how an execution came about, without credentials.

    Args:
        provenance: of the code, as JSON types; its ``diff`` is a file of its own.
        started_by: the command or program that started it.
        hydra_config: the composed configuration as YAML, if there is one.
        created: when the execution began. A server may give its row the time at which it came there.
    """
    code = {"differences": [UNCOMMITTED] if provenance.get("dirty") else [], **provenance}
    diff = code.pop("diff", "")
    code |= {name: "not known" for name in ("path", "checksum") if code.get(name) == ""}
    record = {
        **configuration.to_json(),
        "started_by": started_by,
        **({"created": created} if created else {}),
        "workflow": asdict(workflow),
        "provenance": code,
    }
    text = json.dumps(redact(record), indent=2, default=str, ensure_ascii=False)
    texts: Texts = {CONFIGURATION: (text, ExecMetadataType.deriva_config)}
    if hydra_config:
        import yaml  # not at the top: Hydra has loaded it

        texts["hydra-config.yaml"] = (hydra_config, ExecMetadataType.hydra_config)
        # Upstream's lookup_experiment() goes by these ends of the names, and names a run by its choices.
        chosen = configuration.config_choices.items()
        choices = {
            group: entry if isinstance(entry, str) else list(entry) for group, entry in chosen if entry
        }
        text = yaml.safe_dump({"hydra": {"runtime": {"choices": choices}}}, allow_unicode=True)
        texts["choices-hydra.yaml"] = (text, ExecMetadataType.hydra_config)
    if diff:
        texts["uncommitted.diff"] = (redact_diff(diff), ExecMetadataType.source_diff)
    return texts


def described(description: str, given: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """Return a description with the parameters and overrides that were given, without credentials."""
    told = [redact_override(f"{name}={value}") for name, value in given.items()]
    told += map(redact_override, overrides)
    return f"{description} [{', '.join(told)}]" if told else description
