"""What a sweep is to run is plain data, which survives being written and read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deriva_ml.sweep.folder import SweepFolder
from deriva_ml.sweep.plan import NOTEBOOK, Job, Plan, Swept

PLAN = Plan(
    NOTEBOOK,
    notebook="notebooks/a.ipynb",
    base=("assets=mine",),
    given=(("beta", "x y"),),
    from_file={"gamma": [1, None]},
    swept=(Swept("model_config.l2", "1,2"), Swept("alpha", "0.1,0.2", parameter=True)),
    jobs=(
        Job(0, ("assets=mine", "model_config.l2=1"), (("beta", "x y"), ("alpha", "0.1"))),
        Job(1, ("assets=mine", "model_config.l2=2"), (("beta", "x y"), ("alpha", "0.2"))),
    ),
    engine=("hydra/launcher=joblib",),
    done={"0": "1-ABC"},
    command=("deriva-ml-run-notebook", "notebooks/a.ipynb"),
)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path / "sweep")
    sweep.make(PLAN)
    assert sweep.plan() == PLAN


@pytest.mark.parametrize(
    "change",
    [
        {"kind": 3},
        {"jobs": [{"number": "0"}]},
        {"swept": [{"key": 1, "text": ""}]},
        {"base": [1]},
        {"more": 1},
    ],
)
def test_what_is_no_plan_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    sweep = SweepFolder(tmp_path / "sweep")
    sweep.make(PLAN)
    (sweep.path / "plan.json").write_text(json.dumps(PLAN.to_json() | change))
    assert sweep.plan() is None


def test_a_job_is_told_by_what_is_swept() -> None:
    assert PLAN.label(PLAN.jobs[1]) == "model_config.l2=2 alpha=0.2"


def test_a_job_that_a_sweeper_makes_has_the_values_that_it_chose() -> None:
    made = PLAN.trial(7, {0: "3", 1: "0.5"})
    assert made == Job(7, ("assets=mine", "model_config.l2=3"), (("beta", "x y"), ("alpha", "0.5")))


def test_what_is_recorded_and_said_of_a_plan_has_no_credentials() -> None:
    """Neither of what all jobs are given, nor of what is swept; such a sweep says that it cannot be gone on with."""
    secret = "s3cr3t-w0rd"
    given = (("api_token", secret), ("name", "a b"))
    job = Job(0, ("model_config.password=" + secret,), given)
    plan = Plan(
        NOTEBOOK,
        base=("model_config.password=" + secret,),
        given=given,
        swept=(
            Swept("api_token", f"{secret},{secret}", parameter=True),
            Swept("name", "a b,c", parameter=True),
        ),
        jobs=(job,),
        engine=(f"hydra.launcher.password={secret}",),
    )
    assert plan.label(job) == "'api_token=***' 'name=a b'"
    assert secret not in json.dumps(plan.masked().to_json()) and plan.masked().is_masked
    assert not PLAN.is_masked and PLAN.masked() == PLAN
