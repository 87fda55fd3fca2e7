"""A command line's values become jobs: each combination once, each value as the person wrote it."""

from __future__ import annotations

import math
import shlex

import pytest

from deriva_ml.config.compose import Choice, choices_of
from deriva_ml.config.quoting import apart, unquoted
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.notebook.parameters import parameters_of
from deriva_ml.sweep.plan import MODEL, NOTEBOOK, Job, Plan, command_of
from deriva_ml.sweep.space import given_to_all, jobs_of, swept_parameters


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("0.10,1e-3, 2", ["0.10", "1e-3", "2"]),
        ("001,1_000,1.10", ["001", "1_000", "1.10"]),
        ("'a, b',\"it's\",c d", ["a, b", "it's", "c d"]),
        (r"a\,b,'x\'y'", ["a,b", "x'y"]),
        ("true,null,None", ["true", "null", "None"]),
        ("[1,2],[]", ["[1, 2]", "[]"]),
        ("[a,'b,c'],{k:1}", ['["a", "b,c"]', '{"k": 1}']),
        ("choice(a,'b c',3)", ["a", "b c", "3"]),
        ("range(1,4)", ["1", "2", "3"]),
        ("range(0,1,0.25)", ["0.0", "0.25", "0.5", "0.75"]),
        ("sort(3,1,2)", ["1", "2", "3"]),
        ("one", ["one"]),
        ("int(1.5)", ["1"]),
        ("'1,2'", ["1,2"]),
        ("", [""]),
    ],
)
def test_values_of_a_parameter_are_what_one_types_after_p(typed: str, values: list[str]) -> None:
    assert swept_parameters([f"alpha={typed}"]) == {"alpha": (typed, values)}


def test_shuffled_values_are_all_there_once() -> None:
    [(_, values)] = swept_parameters(["alpha=shuffle(range(1,6))"]).values()
    assert sorted(values) == ["1", "2", "3", "4", "5"]


def test_an_interval_is_looked_at_at_its_ends_and_between() -> None:
    """Between the ends of one that is to be whole numbers are whole numbers; otherwise there are others."""
    assert swept_parameters(["alpha=interval(0,3)"], continuous=True)["alpha"][1] == [
        "0.0",
        str(3 / math.e),
        "3.0",
    ]
    assert swept_parameters(["alpha=int(interval(1,5))"], continuous=True)["alpha"][1] == ["1", "2", "5"]
    assert swept_parameters(["alpha=interval(1,5)"], continuous=True)["alpha"][1][1] == str(1 + 4 / math.e)


def test_a_name_may_have_letters_that_hydra_does_not_take() -> None:
    assert swept_parameters(["größe=1,2"]) == {"größe": ("1,2", ["1", "2"])}


@pytest.mark.parametrize(
    "text", ["a", "a, b", "it's", 'say "no"', "[1,2]", "x=y", "1.10", "", "${a}", "tab\tend"]
)
def test_what_is_quoted_for_hydra_comes_back_as_it_was(text: str) -> None:
    from deriva_ml.config.quoting import quoted

    assert unquoted(quoted(text)) == text
    assert [unquoted(one) for one in apart(",".join(map(quoted, ["x", text, "y"])))] == ["x", text, "y"]


DECLARED = parameters_of(
    {
        "cells": [
            {
                "cell_type": "code",
                "metadata": {"tags": ["parameters"]},
                "source": "import datetime\nalpha: float = 1.0\nn: int\nname: str = 'x'\nanything = None\n"
                "day: datetime.date = datetime.date(2026, 1, 1)\nflags: dict[str, bool] = {}\n",
            }
        ]
    }
)


def test_a_file_s_values_are_given_to_each_job_as_one_types_them() -> None:
    """What is typed means the same value again, by the type of its parameter."""
    from_file = {
        "n": 3,
        "name": "1.10",
        "anything": "3",
        "day": "2026-02-03",
        "flags": {"a": True},
        "alpha": 7,
    }
    given, first = given_to_all(DECLARED, from_file, [("name", "typed")], swept_parameters(["alpha=0.1,0.2"]))
    assert dict(given) == {
        "name": "typed",
        "n": "3",
        "anything": '"3"',
        "day": "2026-02-03",
        "flags": '{"a": true}',
    }
    assert first["alpha"].plain == 0.1 and first["anything"].plain == "3"


def test_every_value_is_of_the_parameter_s_type() -> None:
    with pytest.raises(DerivaMLRequestError, match="'alpha' takes float, not 'x'"):
        given_to_all(DECLARED, {"n": 1}, [], swept_parameters(["alpha=1,2,x"]))
    with pytest.raises(DerivaMLRequestError, match="parameter 'n' .* has no default"):
        given_to_all(DECLARED, {}, [], swept_parameters(["alpha=1,2"]))


def test_jobs_are_every_combination_in_the_order_typed() -> None:
    choices = [
        Choice("a", "1,2", ["a=1", "a=2"], swept=True),
        Choice("b", "x", ["b=x"]),
        Choice("+c", "y", ["+c=y"], swept=True),
    ]
    fields = jobs_of(choices, [("p", "0")], swept_parameters(["q=3,4"]))
    plan = Plan(NOTEBOOK, **fields)
    assert plan.base == ("b=x",) and plan.given == (("p", "0"),)
    assert [job.overrides for job in plan.jobs] == [("a=1", "b=x", "+c=y")] * 2 + [("a=2", "b=x", "+c=y")] * 2
    assert [dict(job.given)["q"] for job in plan.jobs] == ["3", "4", "3", "4"]
    assert [plan.label(job) for job in plan.jobs][::3] == ["a=1 +c=y q=3", "a=2 +c=y q=4"]
    chosen = Plan(NOTEBOOK, **jobs_of(choices, [("p", "0")], swept_parameters(["q=3,4"]), sweeper=True))
    assert chosen.jobs == () and chosen.swept == plan.swept


def test_a_name_stands_for_one_thing_that_is_swept() -> None:
    choices = [Choice("threshold", "1,2", ["threshold=1", "threshold=2"], swept=True)]
    with pytest.raises(
        DerivaMLRequestError, match="threshold is swept as a parameter and in the configuration"
    ):
        jobs_of(choices, [], swept_parameters(["threshold=1,2"]))


def test_what_is_typed_twice_counts_once() -> None:
    assert [one.words for one in choices_of(["a=1,2", "b=0", "++a=3"])] == [["a=3"], ["b=0"]]
    assert [(one.key, one.swept) for one in choices_of(["~b", "a=choice(1)"])] == [("~b", False), ("a", True)]


def test_a_job_s_command_runs_it_alone() -> None:
    """With all that it is run with, and without values of credentials."""
    job = Job(0, ("assets=a", "x='1, 2'"), (("alpha", "-0.1"), ("api_token", "abc"), ("name", "it's")))
    plan = Plan(NOTEBOOK, notebook="notebooks/a b.ipynb", kernel="python3", timeout=9, allow_dirty=True)
    words = command_of(plan, job)
    assert shlex.join(words) == (
        "deriva-ml-run-notebook 'notebooks/a b.ipynb' --kernel python3 --timeout 9 --allow-dirty"
        " -p alpha -0.1 -p api_token '***' -p name 'it'\"'\"'s' assets=a 'x='\"'\"'1, 2'\"'\"''"
    )
    model = Plan(MODEL, config_name="other", config_package="studies")
    assert command_of(model, Job(0, ("a=1", "model_config.api_key=abc"))) == [
        "deriva-ml-run",
        *("--config-name", "other", "--config-dir", "src/studies"),
        *("a=1", "model_config.api_key=***"),
    ]
    assert command_of(Plan(MODEL, config_name="deriva_model"), Job(0)) == ["deriva-ml-run"]
