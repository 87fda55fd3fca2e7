"""``run_model``: runs a model function as an execution, once or as each job of a sweep."""

# Annotations are not postponed here: hydra-zen reads those of ``run_model`` to check what a configuration sets.

import functools
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deriva_ml.disk as disk
from deriva_ml.configuration_file import MODEL_COMMAND
from deriva_ml.definitions import RID, ExecMetadataType, Status, Workflow
from deriva_ml.exceptions import DerivaMLException, DerivaMLRequestError, DerivaMLRunError
from deriva_ml.execution.closing import close_execution
from deriva_ml.execution.execution import Execution
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.provenance import Provenance, collect, workflow_of
from deriva_ml.project import Project
from deriva_ml.redaction import redact, redact_override
from deriva_ml.signals import Terminated, raise_on_signals, signals_ignored

if TYPE_CHECKING:
    from deriva_ml.config.compose import Composer, Composition


@dataclass(frozen=True)
class RunContext:
    """What a model's configuration does not say about its run.

    Attributes:
        project: whose model it is; by default the one that the working directory is in.
        overrides: Hydra's.
        choices: the entry chosen in each configuration group.
        config: the composed configuration as YAML.
        allow_dirty: record uncommitted changes instead of refusing them.
        settings: the part of it that is ``model_config``, in plain types.
        parent: the sweep's execution, by its RID here, and this one's place in it.
        config_name: the configuration that is composed.
        argv: the command line; by default this process's.
        begun: called with the execution once it is recorded.
    """

    project: Project | None = None
    overrides: Sequence[str] = ()
    choices: dict[str, str] = field(default_factory=dict)
    config: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    allow_dirty: bool = False
    parent: tuple[RID, int] | None = None
    config_name: str = ""
    argv: Sequence[str] | None = None
    begun: Callable[[Execution], None] = lambda execution: None


_INJECTED = {"ml_instance", "execution"}  # what the run puts in
_UNKNOWN = RunContext()
run_context: ContextVar[RunContext] = ContextVar("run_context", default=_UNKNOWN)
"""Those of the run that is going on, set by the command that started it."""


def run_model(
    deriva_ml: Any,
    datasets: Any,
    assets: Any,
    description: str,
    workflow: Any,
    model_config: Any,
    dry_run: bool = False,
    ml_class: Any = None,
    script_config: Any = None,
) -> Execution:
    """Run a model function with ``ml_instance`` and ``execution`` injected, and record the execution.

    Args:
        deriva_ml: a ``DerivaMLConfig``, which names the catalog.
        datasets: specifications of those that the model reads.
        assets: specifications of those that the model reads.
        description: Markdown.
        workflow: a ``Workflow`` with name, type and description; where the code stands is filled in.
        model_config: the function with its parameters bound, as ``builds(..., zen_partial=True)`` makes it.
        dry_run: fetch the inputs and run, and record nothing.
        ml_class: a subclass of ``DerivaML``.
        script_config: a function to run instead of the model, with its parameters bound.

    Raises:
        DerivaMLRequestError: an input or the repository's state does not allow a run; nothing was recorded.
        DerivaMLRunError: the model failed; the execution is recorded as ``Failed`` with what it had written.
    """
    from deriva_ml.core import open_connection
    from deriva_ml.execution.configuration_record import described
    from deriva_ml.execution.own_start import record_start

    model_config = script_config or model_config
    context = run_context.get()
    project = context.project or Project.find()
    check_settings(model_config)
    source = _source_of(model_config)
    provenance = collect(source, allow_dirty=context.allow_dirty or dry_run)
    settings = settings_of(model_config, context.settings)
    configuration = ExecutionConfiguration(
        datasets=list(datasets or ()),
        assets=list(assets or ()),
        description=described(description, {}, context.overrides),
        config_choices=context.choices,
        parameters=settings,
        overrides=[redact_override(override) for override in context.overrides],
        parameters_given={name: settings[name] for name in set_by(context.overrides) if name in settings},
    )
    if context.argv:
        configuration.argv = list(context.argv)

    def begun(execution: Execution) -> None:
        context.begun(execution)
        if context.parent and not dry_run:
            execution.ml.connection.local.nest(context.parent[0], execution.local_rid, context.parent[1])
        record_start(execution, provenance, context.config)

    with raise_on_signals():
        ml = open_connection(deriva_ml, project, ml_class)
        located = _located(workflow, provenance)
        started_by = MODEL_COMMAND if context.project else ""
        execution = Execution(
            ml, configuration, located, dry_run, source=source, begun=begun, started_by=started_by
        )
        with execution.execute():
            _call(model_config, execution)
        _commit(execution)
    return execution


def compose_model(
    name: str, overrides: Sequence[str], composer: "Composer | None" = None
) -> "tuple[Composition, dict[str, Any]]":
    """Return the composition of a model's configuration, and the arguments for ``run_model`` that it describes.

    Args:
        composer: has composed it before, for another job of a sweep.

    Raises:
        DerivaMLRequestError: it has something that no model run takes, such as an experiment of a project without any,
            or that this model does not take.
    """
    from deriva_ml.config.compose import compose

    composed = composer.compose(overrides) if composer else compose(name, overrides)
    arguments = composed.arguments()
    parameters = inspect.signature(run_model).parameters
    if unknown := sorted(arguments.keys() - parameters.keys()):
        raise DerivaMLRequestError(
            f"a model run takes no {', '.join(unknown)}: --list-configs shows what can be chosen, --cfg job what can be set"
        )
    needed = [name for name, one in parameters.items() if one.default is one.empty and name not in arguments]
    if needed:
        raise DerivaMLRequestError(f"a model run needs {', '.join(needed)}: leave ~{' ~'.join(needed)} out")
    check_settings(arguments.get("script_config") or arguments.get("model_config"))
    return composed, arguments


def run_composed(context: RunContext, composer: "Composer | None" = None) -> Execution:
    """Compose a model's configuration as the context says, and run it; see ``compose_model`` and ``run_model``."""
    composed, arguments = compose_model(context.config_name, context.overrides, composer)
    token = run_context.set(
        replace(
            context,
            choices=composed.choices,
            config=composed.yaml,
            settings=composed.part("script_config") or composed.part("model_config") or {},
        )
    )
    try:
        return run_model(**arguments)
    finally:
        run_context.reset(token)


def create_model_config(
    ml_class: type | None = None, description: str = "Model run", hydra_defaults: Sequence[Any] | None = None
) -> Any:
    """Return the configuration of ``deriva-ml-run``: ``run_model`` with the default entry of every group.

    Args:
        ml_class: a subclass of ``DerivaML`` to hand to the model instead.
        description: Markdown, recorded with the execution.
        hydra_defaults: a defaults list to use instead of ``base_defaults``.
    """
    from hydra_zen import builds

    from deriva_ml.config.entries import base_defaults

    return builds(
        run_model,
        populate_full_signature=True,
        description=description,
        ml_class=ml_class,
        hydra_defaults=list(hydra_defaults or base_defaults),
    )


def _call(model: Any, execution: Execution) -> None:
    try:
        model(ml_instance=execution.ml, execution=execution)
    except Terminated:
        raise
    except SystemExit as error:
        raise DerivaMLRunError(f"the model called sys.exit({error.code!r})", *_names(execution)) from error
    except DerivaMLException as error:
        # Whatever it was that the model asked for, this run has begun, and failed.
        raise DerivaMLRunError(str(error), *_names(execution)) from error
    except Exception as error:
        # The frames from here up are the runner's; the person needs those of the model.
        shown = "".join(
            traceback.format_exception(
                error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
            )
        )
        sys.stderr.write(shown)  # the model's, as Python shows it
        with disk.unless_refused(execution.ml.project.state):
            execution.add_metadata("traceback.txt", redact(shown), ExecMetadataType.log_file)
        why = disk.fault(error, execution.ml.project.state) or f"{type(error).__name__}: {error}"
        raise DerivaMLRunError(why, *_names(execution)) from error


def _commit(execution: Execution) -> None:
    """Record the outputs; an execution that lacks one, or room on the disk, ends as ``Failed``."""
    ml = execution.ml
    try:
        execution.commit_output_assets()
    except Exception as error:
        why = disk.fault(error, ml.project.state)
        if not why and not isinstance(error, DerivaMLRunError):
            raise
        if not execution.dry_run:
            with signals_ignored():
                close_execution(ml.connection.local, ml.project, execution.local_rid, Status.failed, why)
            execution.deliver()
        raise DerivaMLRunError(why or str(error), *_names(execution)) from error


def _names(execution: Execution) -> tuple[RID, RID] | tuple[None, None]:
    """Return the RIDs that an error gives of the execution that failed: none, if it is not recorded."""
    return (None, None) if execution.dry_run else (execution.execution_rid, execution.local_rid)


def check_settings(model: Any) -> None:
    """See that the model function takes every setting that its configuration gives it.

    Raises:
        DerivaMLRequestError: it does not; the message names those that it takes.
    """
    function = _function_of(model)
    try:
        # Of the function that is called: a decorator may take settings of its own.
        taken = inspect.signature(function, follow_wrapped=False).parameters
    except (TypeError, ValueError):  # no function, which is refused elsewhere, or one that does not tell
        return
    unknown = [name for name in _bound_by(model) if name not in taken]
    if unknown and not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        known = ", ".join(name for name in taken if name not in _INJECTED) or "none"
        raise DerivaMLRequestError(
            f"model_config: {function.__name__}() takes no {', '.join(unknown)}; it has {known}"
        )
    keywords = {**getattr(model, "keywords", {}), "ml_instance": None, "execution": None}
    try:
        inspect.signature(function, follow_wrapped=False).bind(*getattr(model, "args", ()), **keywords)
    except TypeError as error:
        raise DerivaMLRequestError(
            f"model_config: {function.__name__}() cannot be called with these settings: {error}"
        ) from error


def _function_of(model: Any) -> Any:
    """Return the model function without what is bound to it."""
    while isinstance(model, functools.partial):
        model = model.func
    return model


def _source_of(model: Any) -> Path:
    """Return the file that defines the model function."""
    try:
        return Path(inspect.getfile(_function_of(model))).resolve()
    except TypeError as error:
        raise DerivaMLRequestError(
            f"model_config is {model!r}, not a function: store builds(FUNCTION, zen_partial=True) in that group"
        ) from error


def _bound_by(model: Any) -> dict[str, Any]:
    return {name: value for name, value in getattr(model, "keywords", {}).items() if name not in _INJECTED}


def settings_of(model: Any, composed: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting that the model function is called with, in JSON's types: those bound, else its defaults.

    Args:
        composed: the composed configuration's, for a setting that is an object: that says how it was made.
    """
    from deriva_ml.execution.values import as_json

    function, bound = _function_of(model), _bound_by(model)
    values: dict[str, Any] = {}
    with suppress(TypeError, ValueError):  # a function that does not tell
        places = inspect.signature(function).parameters.values()
        values = {each.name: each.default for each in places if each.default is not each.empty}
        values |= inspect.signature(function).bind_partial(*getattr(model, "args", ())).arguments
    values = {name: value for name, value in (values | bound).items() if name not in _INJECTED}
    made = {name: as_json(value, whole=True) for name, value in composed.items()}
    return {
        name: as_json(value, whole=name in bound, instead=made.get(name) if name in bound else None)
        for name, value in values.items()
    }


def set_by(overrides: Sequence[str]) -> list[str]:
    """Return the names of the settings that overrides of ``model_config`` or ``script_config`` set, and do not take away again."""
    given: dict[str, bool] = {}
    setting = re.compile(r"(~?)\+*(?:model|script)_config\.(\w+)(\.?)")
    for match in filter(None, map(setting.match, overrides)):
        deleted, name, part = match.groups()
        given[name] = not deleted or bool(part)
    return [name for name, is_set in given.items() if is_set]


def _located(workflow: Any, provenance: Provenance) -> Workflow:
    """Return the workflow with the place where its code stands filled in."""
    if not isinstance(workflow, Workflow):
        raise DerivaMLRequestError("the configuration has no workflow: choose one, as --list-configs shows")
    return workflow_of(provenance.to_json(), workflow.name, workflow.workflow_type, workflow.description)
