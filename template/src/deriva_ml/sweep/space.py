"""What a sweep's command line stands for: the values of each thing that is swept, and the jobs that they make."""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.declarations import Parameter, Value
from deriva_ml.notebook.parameters import resolve
from deriva_ml.sweep.plan import Job, Swept

if TYPE_CHECKING:
    from deriva_ml.config.compose import Choice

Pairs = Sequence[tuple[str, str]]
"""Names of parameters, and what they are given, as typed after ``-p``."""


def swept_parameters(sweeps: Sequence[str], continuous: bool = False) -> dict[str, tuple[str, list[str]]]:
    """Return what each ``--sweep NAME=VALUES`` says: the values as typed, and each as it would be after ``-p NAME``.

    Args:
        sweeps: in Hydra's grammar of values.
        continuous: whether a sweeper chooses the values, and may be given an ``interval()``: then these are its ends
            and a point between them.

    Raises:
        DerivaMLRequestError: one cannot be read, or comes twice.
    """
    from deriva_ml.config.compose import typed_values
    from deriva_ml.config.refusals import read

    found: dict[str, tuple[str, list[str]]] = {}
    for word in sweeps:
        name, equals, text = word.partition("=")
        name = unicodedata.normalize("NFKC", name.strip())
        if not equals or not name.isidentifier():
            raise DerivaMLRequestError(
                f"--sweep {word}: it takes a parameter's name and its values, as in --sweep alpha=0.1,0.2"
            )
        if name in found:
            raise DerivaMLRequestError(f"--sweep gives {name} twice: {found[name][0]} and {text}")
        [item] = read([f"{name if name.isascii() else 'values'}={text}"], several=True)
        found[name] = text, typed_values(item, continuous)
    return found


def given_to_all(
    declared: Sequence[Parameter] | None,
    from_file: Mapping[str, Any],
    pairs: Pairs,
    swept: Mapping[str, tuple[str, list[str]]],
) -> tuple[list[tuple[str, str]], dict[str, Value]]:
    """See that the notebook takes all values, and return those that every job is given, and what the first job has.

    Values from a file are returned as the texts that stand for the same ones after ``-p``.

    Raises:
        DerivaMLRequestError: a parameter is given and swept, or its type refuses a value; see ``resolve``.
    """
    given = {unicodedata.normalize("NFKC", name): text for name, text in pairs}
    for name in swept:
        if name in given:
            raise DerivaMLRequestError(f"{name} is given by -p and by --sweep: leave one of them out")
    first = {name: values[0] for name, (_, values) in swept.items()}
    flags = dict.fromkeys(swept, "--sweep")
    resolved = resolve(declared, from_file, [*given.items(), *first.items()], flags)
    rest = {name: value for name, value in resolved.items() if name not in given and name not in first}
    for name, value in rest.items():
        given[name] = _typed(declared, name, value)
    for name, (_, values) in swept.items():
        for text in values[1:]:
            resolve(declared, {}, [*(given | first | {name: text}).items()], flags)
    return [*given.items()], resolved


def _typed(declared: Sequence[Parameter] | None, name: str, value: Value) -> str:
    """Return what is typed after ``-p`` for a value that a file gives."""
    plain = value.plain if isinstance(value.plain, str) else json.dumps(value.plain)
    known = [one for one in declared or () if one.name == name]
    for text in (plain, value.source):
        try:
            if resolve(known, {}, [(name, text)])[name] == value:
                return text
        except DerivaMLRequestError:
            continue
    raise DerivaMLRequestError(
        f"the jobs of a sweep cannot be given {name} as the file has it: give it with -p"
    )


def jobs_of(
    choices: Sequence[Choice], given: Pairs, swept: Mapping[str, tuple[str, list[str]]], sweeper: bool = False
) -> dict[str, Any]:
    """Return the fields of a plan that say what its jobs are run with: every combination of the values, in the order typed.

    Args:
        choices: what overrides say, key by key.
        given: parameters of all jobs.
        swept: values by parameter.
        sweeper: whether the jobs are made by another one, as they go.

    Raises:
        DerivaMLRequestError: a parameter is called as a field of the configuration that is swept, too.
    """
    keys = [choice for choice in choices if choice.swept]
    if both := [choice.key for choice in keys if choice.key in swept]:
        raise DerivaMLRequestError(
            f"{both[0]} is swept as a parameter and in the configuration: sweep one of them"
        )
    return {
        "base": tuple(choice.words[0] for choice in choices if not choice.swept),
        "given": tuple(given),
        "swept": (
            *(Swept(choice.key, choice.text) for choice in keys),
            *(Swept(name, text, parameter=True) for name, (text, _) in swept.items()),
        ),
        "jobs": () if sweeper else tuple(_jobs(choices, given, swept)),
    }


def _jobs(
    choices: Sequence[Choice], given: Pairs, swept: Mapping[str, tuple[str, list[str]]]
) -> Iterator[Job]:
    texts = (values for _, values in swept.values())
    words = (choice.words for choice in choices)
    for number, values in enumerate(itertools.product(*words, *texts)):
        overrides, own = values[: len(choices)], values[len(choices) :]
        yield Job(number, tuple(overrides), (*given, *zip(swept, own, strict=True)))
