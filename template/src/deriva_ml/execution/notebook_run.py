"""``run_notebook``: what a notebook calls to become an execution, under the runner or in a person's JupyterLab."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.process import Owner
from deriva_ml.project import Project, write_atomically

if TYPE_CHECKING:
    from deriva_ml.core import DerivaML
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.provenance import Provenance

RUN_VARIABLE = "DERIVA_ML_RUN"
"""The environment variable by which the runner tells its kernel the run's folder."""


@dataclass(frozen=True)
class NotebookRun:
    """A run of a notebook by the runner, as its kernel and a later recovery find it in the run's folder.

    Attributes:
        folder: the run's own.
        notebook: the file that is executed.
        owner: the runner's process.
        kernel: the kernel's process.
        parameters: values that were injected.
        overrides: Hydra's.
        provenance: of the notebook, as JSON types.
        argv: the command line.
    """

    folder: Path
    notebook: Path
    owner: Owner
    kernel: Owner
    parameters: dict[str, Any] = field(default_factory=dict)
    overrides: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    argv: list[str] = field(default_factory=list)

    def save(self) -> None:
        """Write it into the folder."""
        record = {**asdict(self), "folder": str(self.folder), "notebook": str(self.notebook)}
        write_atomically(self.folder / "run.json", json.dumps(record))

    @classmethod
    def load(cls, folder: Path) -> NotebookRun:
        """Read it from the folder."""
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        record["folder"], record["notebook"] = Path(record["folder"]), Path(record["notebook"])
        record["owner"], record["kernel"] = Owner(**record["owner"]), Owner(**record["kernel"])
        return cls(**record)

    @classmethod
    def found(cls, folder: Path) -> NotebookRun | None:
        """What a folder holds; None if that is nothing, damaged, or of another version of the runner."""
        try:
            return replace(cls.load(folder), folder=folder)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @classmethod
    def current(cls) -> NotebookRun | None:
        """The run that this kernel was started for, if the runner started it."""
        folder = os.environ.get(RUN_VARIABLE)
        return cls.load(Path(folder)) if folder else None

    @property
    def executed(self) -> Path:
        """Where the executed notebook is saved, cell by cell."""
        return self.folder / "executed" / self.notebook.name

    @property
    def dry_run(self) -> bool:
        """Whether the command line asks for a dry run; the last word on it counts."""
        return asks_for_dry_run(self.overrides)

    def report(self, **facts: Any) -> None:
        """Leave facts for the runner: ``refused`` (why nothing was recorded) or ``dry_run``."""
        write_atomically(self.folder / "report.json", json.dumps(facts))

    def reported(self) -> dict[str, Any]:
        """What the kernel left."""
        try:
            return dict(json.loads((self.folder / "report.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}


def asks_for_dry_run(overrides: Sequence[str]) -> bool:
    """Whether Hydra overrides ask for a dry run, as far as can be told before they are composed."""
    said = [word.lower() for word in overrides if word.lower().lstrip("+").startswith("dry_run=")]
    return bool(said) and said[-1].endswith("=true")


def run_notebook(
    name: str | None = None,
    overrides: Sequence[str] | None = None,
    workflow_name: str | None = None,
    workflow_type: str | list[str] = "Analysis Notebook",
    ml_class: type[DerivaML] | None = None,
    config_package: str = "configs",
) -> tuple[DerivaML, Execution, Any]:
    """Compose the notebook's configuration, connect, and start an execution with its inputs fetched.

    Args:
        name: of a configuration registered with ``notebook_config``; by default the notebook's file name.
        overrides: Hydra's; those of the command line come before them.
        workflow_name: by default made from ``name``.
        workflow_type: one or more terms of the ``Workflow_Type`` vocabulary.
        ml_class: a subclass of ``DerivaML``.
        config_package: where the configuration modules are.

    Returns:
        The connection, the execution (``Running``), and the configuration.

    Raises:
        DerivaMLRequestError: the configuration, an input or the repository's state does not allow a run;
            nothing has been recorded.
    """
    run = NotebookRun.current()
    try:
        return _start(
            run, name, list(overrides or ()), workflow_name, workflow_type, ml_class, config_package
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
    from deriva_ml.core import DerivaML
    from deriva_ml.definitions import Workflow
    from deriva_ml.execution import hydra_config
    from deriva_ml.execution.closing import recover
    from deriva_ml.execution.environment import redact_override
    from deriva_ml.execution.execution import Execution
    from deriva_ml.execution.inputs import ExecutionConfiguration

    notebook = run.notebook if run else _open_notebook()
    name = name or (notebook.stem.replace("-", "_") if notebook else None)
    if not name:
        raise DerivaMLRequestError(
            "this notebook's file is not known here: name its configuration, run_notebook(NAME)"
        )
    project = Project.find(notebook.parent if notebook else None)
    hydra_config.find_configs(project, config_package)
    if name not in hydra_config.notebook_configs:
        raise DerivaMLRequestError(
            f'no notebook configuration is named {name}: register it with notebook_config("{name}") in'
            f" src/{config_package}/{name}.py; registered are {', '.join(sorted(hydra_config.notebook_configs))}"
        )
    overrides = [*(run.overrides if run else ()), *overrides]
    composed = hydra_config.compose(name, overrides)
    config = composed.instantiate()
    config.config_choices = composed.choices
    provenance = run.provenance if run else _interactive_provenance(project, notebook, name)
    ml = (ml_class or DerivaML)(
        config.deriva_ml.hostname, config.deriva_ml.catalog_id, config.deriva_ml.credential, project=project
    )
    if not run:
        recover(ml.catalog, project)  # the runner has done it for its own
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
    execution.record_circumstances(provenance, composed.yaml)
    execution.execution_start()
    return ml, execution, config


def _open_notebook() -> Path | None:
    """The file of the notebook whose kernel this is, as JupyterLab and VS Code let on."""
    # Jupyter Server 2 puts the notebook's path into its kernels' environment; VS Code puts it into the namespace.
    named = os.environ.get("JPY_SESSION_NAME") or getattr(sys.modules["__main__"], "__vsc_ipynb_file__", None)
    return Path(named).absolute() if named and str(named).endswith(".ipynb") else None


def _interactive_provenance(project: Project, notebook: Path | None, name: str) -> dict[str, Any]:
    """The notebook's provenance; while one works on it, changes are recorded rather than refused."""
    usual = [project.root / "notebooks" / f"{stem}.ipynb" for stem in (name, name.replace("_", "-"))]
    found = next((path for path in (notebook, *usual) if path and path.is_file()), None)
    provenance = current_provenance(project, found)
    for line in provenance.warnings:
        print(f"warning: {line}", file=sys.stderr)
    return provenance.to_json()


def current_provenance(project: Project, path: Path | None = None) -> Provenance:
    """Where the code comes from that is running now: the runner's notebook, ``path``, or the main script."""
    from deriva_ml.execution.provenance import Provenance, collect

    run = NotebookRun.current()
    if run:
        return Provenance.from_json(run.provenance)
    main = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    found = path or _open_notebook() or main.absolute()
    own = found.is_file() and found.is_relative_to(project.root) and "site-packages" not in found.parts
    # A console script or a REPL is nobody's code: the project's commit says it all.
    return collect(
        found if own and ".venv" not in found.parts else project.root / "pyproject.toml", allow_dirty=True
    )
