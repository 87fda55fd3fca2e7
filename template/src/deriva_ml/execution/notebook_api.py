"""``run_notebook``: what a notebook calls to become an execution, under the runner or in a person's JupyterLab."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.core import DerivaML, open_connection
from deriva_ml.definitions import Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.configuration_record import described
from deriva_ml.execution.current_code import current_provenance
from deriva_ml.execution.effective import parameters_now
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.provenance import workflow_of
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.project import Project
from deriva_ml.redaction import redact_override

if TYPE_CHECKING:
    from deriva_ml.config.compose import Composition


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
    with _reported_to(run):
        notebook = run.notebook if run else _open_notebook()
        project = Project.find(notebook.parent if notebook else None)
        all_overrides = [*(run.overrides if run else ()), *(overrides or ())]
        name, composed = _compose(project, notebook, name or config_name, all_overrides, config_package)
        config = composed.instantiate()
        config.config_choices = composed.choices
        hydra_config = composed.yaml
        provenance = run.provenance if run else current_provenance(project).to_json()
        ml = open_connection(config.deriva_ml, project, ml_class)
        if not run:  # the runner has done it for its own
            from deriva_ml.execution.recovery import recover_for_run

            recover_for_run(project)

        def begun(execution: Execution) -> None:
            if run:
                if run.sweep and not execution.dry_run:
                    ml.connection.local.nest(run.sweep, execution.local_rid, run.place)
                execution.record_circumstances(provenance, hydra_config)
            else:
                from deriva_ml.execution.own_start import record_own_start

                record_own_start(execution, provenance, hydra_config)

        workflow = config.workflow
        if not isinstance(workflow, Workflow):
            workflow = Workflow(name.replace("_", " ").title(), workflow_type, description=config.description)
        parameters = parameters_now(run, notebook)
        description = config.description or f"Execution of {name}"
        execution = Execution(
            ml,
            ExecutionConfiguration(
                datasets=config.datasets,
                assets=config.assets,
                description=described(description, parameters.parameters_given, all_overrides),
                argv=run.argv if run else sys.argv,
                config_choices=composed.choices,
                overrides=[redact_override(override) for override in all_overrides],
                **vars(parameters),
            ),
            workflow_of(
                provenance, workflow_name or workflow.name, workflow.workflow_type, workflow.description
            ),
            dry_run=config.dry_run,
            run=run,
            source=notebook,
            begun=begun,
        )
        execution.execution_start()
        return ml, execution, config


@contextmanager
def _reported_to(run: NotebookRun | None) -> Iterator[None]:
    """Tell the runner, if there is one, why the notebook's execution is refused."""
    try:
        yield
    except DerivaMLRequestError as error:
        if run:
            run.report(refused=str(error))
        raise


def _open_notebook() -> Path | None:
    from deriva_ml.execution.started import open_notebook  # of no use in a run by the command

    return open_notebook()


def _compose(
    project: Project, notebook: Path | None, name: str | None, overrides: list[str], config_package: str
) -> tuple[str, Composition]:
    """Return the name of the configuration that the notebook asks for, and the configuration."""
    from deriva_ml.config.compose import compose
    from deriva_ml.config.modules import configuration_of, find_configs

    find_configs(project, config_package)
    name = configuration_of(name, notebook, config_package)
    return name, compose(name, overrides)
