"""``run_notebook``: what a notebook calls to become an execution, under the runner or in a person's JupyterLab."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.run_folder import NotebookRun
from deriva_ml.process import shell
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.core import DerivaML
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration


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
    from deriva_ml.execution.config_modules import configuration_of, find_configs
    from deriva_ml.execution.configuration_record import described
    from deriva_ml.execution.current_code import current_provenance
    from deriva_ml.execution.effective import parameters_now
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration
    from deriva_ml.execution.provenance import workflow_of
    from deriva_ml.redaction import redact_override

    notebook = run.notebook if run else _open_notebook()
    project = Project.find(notebook.parent if notebook else None)
    find_configs(project, config_package)
    name = configuration_of(name, notebook, config_package)
    overrides = [*(run.overrides if run else ()), *overrides]
    composed = hydra_config.compose(name, overrides)
    config = composed.instantiate()
    config.config_choices = composed.choices
    shown_config = composed.yaml
    provenance = run.provenance if run else current_provenance(project).to_json()
    ml = open_connection(config.deriva_ml, project, ml_class)
    if not run:  # the runner has done it for its own
        from deriva_ml.execution.recovery import recover_project

        recover_project(project)
    known = parameters_now(run, notebook)

    def begun(execution: Execution) -> None:
        if run:
            execution.record_circumstances(provenance, shown_config)
        else:
            from deriva_ml.execution.circumstances import record_own_start

            record_own_start(execution, provenance, shown_config)

    description = config.description or f"Execution of {name}"
    workflow = config.workflow if isinstance(config.workflow, Workflow) else None
    execution = Execution(
        ml,
        ExecutionConfiguration(
            datasets=config.datasets,
            assets=config.assets,
            description=described(description, known.parameters_given, overrides),
            argv=run.argv if run else sys.argv,
            config_choices=composed.choices,
            overrides=[redact_override(override) for override in overrides],
            **vars(known),
        ),
        workflow_of(
            provenance,
            workflow_name or (workflow.name if workflow else name.replace("_", " ").title()),
            workflow.workflow_type if workflow else workflow_type,
            workflow.description if workflow else config.description,
        ),
        dry_run=config.dry_run,
        run=run,
        source=notebook,
        begun=begun,
    )
    execution.execution_start()
    return ml, execution, config


def with_parameters(configuration: ExecutionConfiguration, run: NotebookRun | None) -> ExecutionConfiguration:
    """A configuration with the parameters of the notebook that starts an execution by itself; else as it is.

    Args:
        run: the runner's, if it started one.
    """
    from deriva_ml.execution.effective import parameters_now

    if not run and shell() is None:
        return configuration
    from deriva_ml.redaction import redact_override

    known = parameters_now(run, None if run else _open_notebook())
    told = {**vars(known), "parameters": {**known.parameters, **configuration.parameters}}
    if run:
        overrides = [redact_override(override) for override in run.overrides]
        told |= {"argv": run.argv, "overrides": configuration.overrides or overrides}
    return replace(configuration, **told)


def _open_notebook() -> Path | None:
    from deriva_ml.execution.started import open_notebook  # of no use in a run by the command

    return open_notebook()
