"""What the project's configurations say of a sweep, and whether they take its values: asked before anything starts.

Not every combination is composed: the first one, and each further value of a key with the others' first. Of a key that
is no group, a further value is only put into what was composed; it is composed with as well if it does not fit there,
for then Hydra says why.
"""

from __future__ import annotations

import copy
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deriva_ml.catalog.catalog_config import checked
from deriva_ml.definitions import Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.precheck import composition_of
from deriva_ml.notebook.calls import Call
from deriva_ml.project import Project

if TYPE_CHECKING:
    from deriva_ml.config.compose import Choice, Composition

MOST_UNASKED, MOST = 1_000, 1_000_000
"""How many jobs a sweep has at the most, without ``--yes`` and with it."""


@dataclass(frozen=True)
class Asked:
    """What is typed of a sweep's configuration.

    Attributes:
        words: Hydra's overrides, without those of the engine.
        description: of a named sweep, if that is asked for.
        others: how many values parameters have: all their combinations.
        yes: whether it may have more than ``MOST_UNASKED`` jobs.
        continuous: whether a sweeper chooses the values, and may be given an ``interval()``.
    """

    words: list[str]
    description: str = ""
    others: int = 1
    yes: bool = False
    continuous: bool = False


@dataclass(frozen=True)
class Seen:
    """What the configurations say of it.

    Attributes:
        choices: the overrides of its jobs, key by key.
        description: of a named sweep, else the one that was given as an override; empty if there is none.
        workflow: name, type and description of the jobs'.
        deriva_ml: the catalog that they are for, as ``Plan.deriva_ml`` has it.
        dry_run: whether none of its jobs is to be recorded.
    """

    choices: list[Choice]
    description: str = ""
    workflow: dict[str, Any] = field(default_factory=dict)
    deriva_ml: dict[str, Any] = field(default_factory=dict)
    dry_run: bool = False


Composer = Callable[[Sequence[str]], "Composition"]
"""Composes what a job runs with; raises a ``DerivaMLRequestError`` where that cannot be."""
Seer = Callable[["Composition", str], None]
"""Sees to the part of a composed configuration that has another value now; raises likewise."""


class _LeftToKernel(Exception):
    """Only the kernel can compose it."""


def look_at_model(project: Project, config_name: str, asked: Asked) -> Seen:
    """Look at a sweep of models; the project's configurations have been imported.

    Raises:
        DerivaMLRequestError: there is no such sweep, it has no jobs or too many, or some cannot be composed.
    """
    from deriva_ml.execution.model_run import check_settings, compose_model

    def see(composed: Composition, part: str) -> None:
        argument = composed.argument(part)
        if part in {"model_config", "script_config"}:
            check_settings(argument)

    choices = choices_asked(asked)
    composed = _composed(choices, lambda words: compose_model(config_name, words)[0], see)
    return _seen(project, choices, asked.description, composed, Workflow(config_name))


def ask_about_notebook(notebook: Path, call: Call | None, asked: Asked, *, refuse: bool) -> Seen:
    """Look at a sweep of a notebook, in a process of its own, in its folder and with the modules that it imports.

    Args:
        notebook: its absolute path.
        call: of ``run_notebook``, as far as the text tells.
        refuse: whether what cannot be composed here cannot be in the kernel either.

    Raises:
        DerivaMLRequestError: as for ``look_at_model``.
    """
    from deriva_ml.config.compose import Choice

    request = {"notebook": str(notebook), "asked": asdict(asked), "refuse": refuse}
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        cwd=notebook.parent,
        input=json.dumps({**request, "call": asdict(call) if call else None}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    try:
        answer = json.loads(done.stdout.rpartition("\n")[2])  # modules of configurations may print
    except ValueError as error:
        last = done.stderr.strip().rpartition("\n")[2]
        raise DerivaMLRequestError(
            f"the configurations that {notebook.name} may have cannot be looked at: {last}"
        ) from error
    if "refused" in answer:
        raise DerivaMLRequestError(answer["refused"])
    return Seen(**answer | {"choices": [Choice(**one) for one in answer["choices"]]})


def _look_at_notebook(notebook: Path, call: Call | None, asked: Asked, refuse: bool) -> Seen:
    from deriva_ml.config.compose import compose
    from deriva_ml.config.modules import find_configs

    project, known = Project.find(notebook.parent), call or Call()
    try:
        find_configs(project, known.package)
    except DerivaMLRequestError:
        if refuse:
            raise
    choices = choices_asked(asked)

    def composing(words: Sequence[str]) -> Composition:
        if found := composition_of(known, notebook, [*words, *known.overrides]):
            return found
        raise _LeftToKernel

    composed: list[Composition] = []
    first = [choice.words[0] for choice in choices]
    if refuse:
        with suppress(_LeftToKernel):
            composed = _composed(choices, composing, lambda *_: None)
    else:
        with suppress(Exception):
            composed = [composing(first)]
    if not composed:  # which catalog it is for is told by these
        from omegaconf import OmegaConf

        with suppress(DerivaMLRequestError):
            base = compose("deriva_base", [word for word in first if word.startswith("deriva_ml")])
            # Nothing else that it says, such as its workflow, is the notebook's.
            composed = [replace(base, node=OmegaConf.masked_copy(base.node, "deriva_ml"))]
    title = notebook.stem.replace("-", " ").replace("_", " ").title()
    return _seen(project, choices, asked.description, composed, Workflow(title))


def named(words: Sequence[str]) -> tuple[list[str], str]:
    """Return overrides with those of the named sweeps in place of each ``+multirun=NAME``, and the description of these.

    The project's configurations have been imported.

    Raises:
        DerivaMLRequestError: there is no sweep of that name, or what is swept is given twice.
    """
    from deriva_ml.config.entries import multiruns

    names = [word.partition("=")[2] for word in words if word.startswith("+multirun=")]
    for name in names:
        if name not in multiruns:
            raise DerivaMLRequestError(
                f"no sweep is named {name}; there are: {', '.join(sorted(multiruns)) or 'none'}"
            )
    typed = [word for word in words if not word.startswith("+multirun=")]
    _refuse_twice(typed)
    specs = [multiruns[name] for name in names]
    return (
        [*(word for spec in specs for word in spec.overrides), *typed],
        "\n\n".join(spec.description for spec in specs if spec.description),
    )


def choices_asked(asked: Asked) -> list[Choice]:
    """Return what the words of a sweep say, key by key.

    Raises:
        DerivaMLRequestError: values are not what can be swept, or there are too many.
    """
    from deriva_ml.config.compose import choices_of

    choices = choices_of(asked.words, asked.continuous)
    for choice in choices:
        part = choice.key.lstrip("+").partition("@")[0].partition(".")[0]
        if choice.swept and part == "deriva_ml":
            raise DerivaMLRequestError(ONE_CATALOG)
    if not asked.continuous:
        refuse_many(math.prod(len(choice.words) for choice in choices) * asked.others, yes=asked.yes)
    return choices


ONE_CATALOG = "a sweep is recorded in one catalog: leave deriva_ml out of its values"


def refuse_many(count: int, *, yes: bool) -> None:
    """See that a sweep has no more jobs than were meant.

    Raises:
        DerivaMLRequestError: it has.
    """
    if count > MOST:
        raise DerivaMLRequestError(
            f"this is a sweep of {count:,} jobs, and {MOST:,} are the most: sweep less at once"
        )
    if count > MOST_UNASKED and not yes:
        raise DerivaMLRequestError(
            f"this is a sweep of {count:,} jobs: --yes runs it, as any of more than {MOST_UNASKED:,}"
        )


def _refuse_twice(typed: Sequence[str]) -> None:
    """See that the command line says once what a key is to be, if it is swept; a named sweep's may be said anew."""
    from deriva_ml.config.refusals import read, shorten

    said: dict[str, Any] = {}
    for item in read(typed, several=True):
        key = item.get_key_element().lstrip("+")
        before = said.setdefault(key, item)
        if before is not item and (before.is_sweep_override() or item.is_sweep_override()):
            raise DerivaMLRequestError(
                f"{key} is given twice: {shorten(before.input_line)} and {shorten(item.input_line)}"
            )


def _composed(choices: Sequence[Choice], composing: Composer, see: Seer) -> list[Composition]:
    """Compose the first job, and each further value with the others' first.

    Returns:
        what was composed: all that may differ in more than that value.
    """
    first = [choice.words[0] for choice in choices]
    composed = [composing(first)]
    for place, choice in enumerate(choices):
        trial = (
            replace(composed[0], node=copy.deepcopy(composed[0].node)) if choice.words[1:] else composed[0]
        )
        for word in choice.words[1:]:
            if not _fits(trial, choice, word, see):
                composed.append(composing([*first[:place], word, *first[place + 1 :]]))
    return composed


def _fits(trial: Composition, choice: Choice, word: str, see: Seer) -> bool:
    """Whether a value can stand where another one of its key does; False if that has to be asked of Hydra."""
    from omegaconf import OmegaConf

    from deriva_ml.config.refusals import read

    if choice.is_group or choice.key == "dry_run" or "@" in choice.key or "${" in word:
        return False
    [item] = read([word])
    with suppress(Exception):  # what an entry names can raise anything
        OmegaConf.update(trial.node, item.key_or_group, item.value(), merge=True)
        see(trial, item.key_or_group.partition(".")[0])
        return True
    return False


def _seen(
    project: Project,
    choices: list[Choice],
    description: str,
    composed: Sequence[Composition],
    workflow: Workflow,
) -> Seen:
    """Return what all of the composed configurations say.

    Raises:
        DerivaMLRequestError: they are for several catalogs.
    """
    catalogs = [_catalog_of(one, project) for one in composed]
    if any(one != catalogs[0] for one in catalogs):
        raise DerivaMLRequestError(ONE_CATALOG)
    dry = bool(composed) and all(_value(one, "dry_run") for one in composed)
    if composed:
        if any(choice.key == "description" for choice in choices):
            description = description or str(_value(composed[0], "description") or "")
        with suppress(DerivaMLRequestError):
            found = composed[0].argument("workflow")
            workflow = found if isinstance(found, Workflow) else workflow
    about = {name: getattr(workflow, name) for name in ("name", "workflow_type", "description")}
    return Seen(choices, description, about, catalogs[0] if catalogs else {}, dry)


def _value(composed: Composition, key: str) -> Any:
    """Return what a configuration has there; None if that is left to the kernel."""
    with suppress(Exception):
        return composed.node.get(key)
    return None


def _catalog_of(composed: Composition, project: Project) -> dict[str, Any]:
    """Return the fields that name a catalog, with the path of a file of credentials, but no credentials."""
    try:
        found = composed.argument("deriva_ml")
    except DerivaMLRequestError:  # such as a variable that a cell sets: its kernel will tell
        return {}
    config = checked(found)
    said = {name: getattr(config, name, None) for name in ("hostname", "catalog_id", "offline")}
    given = getattr(config, "credential", None)
    is_file = isinstance(given, str | Path) and (project.root / os.path.expanduser(given)).is_file()
    return said | ({"credential": str(given)} if is_file else {})


if __name__ == "__main__":
    request = json.load(sys.stdin)
    try:
        call = Call(**request["call"]) if request["call"] else None
        seen = _look_at_notebook(
            Path(request["notebook"]), call, Asked(**request["asked"]), request["refuse"]
        )
        answer = asdict(seen)
    except DerivaMLRequestError as error:
        answer = {"refused": str(error)}
    print(f"\n{json.dumps(answer)}", end="", flush=True)
