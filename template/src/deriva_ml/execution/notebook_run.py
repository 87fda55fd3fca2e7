"""``run_notebook``: what a notebook calls to become an execution, under the runner or in a person's JupyterLab."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.run_folder import NotebookRun
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.core import DerivaML
    from deriva_ml.execution.execution import Execution


def run_notebook(
    name: str | None = None,
    overrides: Sequence[str] | None = None,
    workflow_name: str | None = None,
    workflow_type: str | list[str] = "Analysis Notebook",
    ml_class: type[DerivaML] | None = None,
    config_package: str = "configs",
    config_name: str | None = None,
) -> tuple[DerivaML, Execution, Any]:
    """Compose the notebook's configuration, connect, and start an execution with its inputs fetched.

    Args:
        name: of a configuration registered with ``notebook_config``; by default the notebook's file name.
        overrides: Hydra's; those of the command line come before them.
        workflow_name: by default made from ``name``.
        workflow_type: one or more terms of the ``Workflow_Type`` vocabulary.
        ml_class: a subclass of ``DerivaML``.
        config_package: where the configuration modules are.
        config_name: the same as ``name``, as upstream calls it.

    Returns:
        The connection, the execution (``Running``), and the configuration.

    Raises:
        DerivaMLRequestError: the configuration, an input or the repository's state does not allow a run;
            nothing has been recorded.
    """
    run = NotebookRun.current()
    try:
        return _start(
            run,
            name or config_name,
            list(overrides or ()),
            workflow_name,
            workflow_type,
            ml_class,
            config_package,
        )
    except DerivaMLRequestError as error:
        if run:
            run.report(refused=str(error))
        raise


def _start(
    run: NotebookRun | None,
    name: str | None,
    overrides: list[str],
    workflow_name: str | None,
    workflow_type: str | list[str],
    ml_class: type[DerivaML] | None,
    config_package: str,
) -> tuple[DerivaML, Execution, Any]:
    from deriva_ml.core import open_connection
    from deriva_ml.definitions import Workflow
    from deriva_ml.execution import hydra_config
    from deriva_ml.execution.config_modules import find_configs
    from deriva_ml.execution.environment import redact_override
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration
    from deriva_ml.execution.provenance import current_provenance

    notebook = run.notebook if run else _open_notebook()
    name = name or (notebook.stem.replace("-", "_") if notebook else None)
    if not name:
        raise DerivaMLRequestError(
            "this notebook's file is not known here: name its configuration, run_notebook(NAME)"
        )
    project = Project.find(notebook.parent if notebook else None)
    find_configs(project, config_package)
    if name not in hydra_config.notebook_configs:
        raise DerivaMLRequestError(
            f'no notebook configuration is named {name}: register it with notebook_config("{name}") in'
            f" src/{config_package}/{name}.py; registered are {', '.join(sorted(hydra_config.notebook_configs))}"
        )
    overrides = [*(run.overrides if run else ()), *overrides]
    composed = hydra_config.compose(name, overrides)
    config = composed.instantiate()
    config.config_choices = composed.choices
    provenance = run.provenance if run else current_provenance(project).to_json()
    ml = open_connection(config.deriva_ml, project, ml_class)
    if not run:  # the runner has done it for its own
        from deriva_ml.execution.recovery import recover_project

        recover_project(project)
    shown = [redact_override(override) for override in overrides]
    description = config.description or f"Execution of {name}"
    given = [redact_override(f"{key}={value}") for key, value in (run.parameters if run else {}).items()]
    told = ", ".join([*given, *shown])
    workflow = config.workflow if isinstance(config.workflow, Workflow) else None
    execution = Execution(
        ml,
        ExecutionConfiguration(
            datasets=config.datasets,
            assets=config.assets,
            description=f"{description} [{told}]" if told else description,
            argv=run.argv if run else sys.argv,
            config_choices=composed.choices,
            parameters=run.parameters if run else {},
            overrides=shown,
        ),
        Workflow(
            name=workflow_name or (workflow.name if workflow else name.replace("_", " ").title()),
            workflow_type=workflow.workflow_type if workflow else workflow_type,
            description=workflow.description if workflow else config.description,
            url=provenance["url"],
            checksum=provenance["checksum"],
            version=provenance["version"],
        ),
        dry_run=config.dry_run,
        run=run,
    )
    if run:
        execution.record_circumstances(provenance, composed.yaml)
    else:
        from deriva_ml.execution.circumstances import record_own_start

        record_own_start(execution, provenance, composed.yaml)
    execution.execution_start()
    return ml, execution, config


def _open_notebook() -> Path | None:
    from deriva_ml.execution.started import open_notebook  # of no use in a run by the command

    return open_notebook()
