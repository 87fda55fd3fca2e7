"""Sweeps on Hydra's engines, for real: joblib, submitit here and with Slurm's commands, Ray, Optuna."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from hydra_zen import store
from submitit.slurm.slurm import SlurmJob

from deriva_ml import DerivaML
from deriva_ml.catalog.connection import open_local
from deriva_ml.definitions import OPEN_STATUSES, Status, Workflow
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution import ExecutionConfiguration
from deriva_ml.execution.recovery import recover_for_run, recover_project
from deriva_ml.process import Owner
from deriva_ml.project import Project
from deriva_ml.sweep import engines, equipment, rounds
from deriva_ml.sweep.engines import Engine, engine_of, prepared, see_usable, usable_cpus
from deriva_ml.sweep.folder import Begun, Ended, SweepFolder
from deriva_ml.sweep.job import Task
from deriva_ml.sweep.plan import Swept
from deriva_ml.sweep.resuming import resumed
from deriva_ml.sweep.study import best, listed_values, see_optimizable, space_of, text_of, words_of
from deriva_ml.sweep.threads import share
from git_repository import isolate_git
from sweep import slurm_double
from sweep.sweep_project import SweepProject, eventually, plan_of
from test_disk import as_root, fill, mounted

JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
OPTUNA = ("hydra/sweeper=optuna", "hydra.sweeper.sampler.seed=1")

store(
    {"defaults": ["submitit_slurm", "_self_"], "cpus_per_task": 3}, group="hydra/launcher", name="tests_gpu"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepProject:
    isolate_git(monkeypatch, tmp_path)
    return SweepProject.make(tmp_path)


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(name)


# --------------------------------------------------------------------------------------------------- which engine it is


@pytest.mark.parametrize(
    ("words", "launcher", "sweeper", "elsewhere", "outlives", "side_by_side"),
    [
        ((), "basic", "", False, False, 1),
        (("hydra/launcher=basic",), "basic", "", False, False, 1),
        (JOBLIB, "joblib", "", False, False, 2),
        (("hydra/launcher=joblib", "hydra.launcher.n_jobs=-1"), "joblib", "", False, False, usable_cpus()),
        (("hydra/launcher=submitit_local",), "submitit_local", "", False, True, usable_cpus()),
        (("hydra/launcher=tests_gpu",), "submitit_slurm", "", True, True, 1),
        (OPTUNA, "basic", "optuna", False, False, 1),
    ],
)
def test_overrides_name_an_engine(
    words: tuple[str, ...], launcher: str, sweeper: str, elsewhere: bool, outlives: bool, side_by_side: int
) -> None:
    """An entry that the project stores is known by the class that it names."""
    engine = engine_of(words)
    assert (engine.launcher, engine.sweeper) == (launcher, sweeper)
    assert (engine.elsewhere, engine.outlives) == (elsewhere, outlives)
    assert engine.side_by_side(100) == min(side_by_side, 100) and engine.side_by_side(1) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("hydra/launcher=joblib",),
            "hydra/launcher=joblib is not installed: uv sync --extra parallel installs it",
        ),
        (("hydra/launcher=submitit_slurm",), "uv sync --extra slurm"),
        (("hydra/launcher=ray",), "uv sync --extra ray"),
        (("hydra/sweeper=optuna",), "hydra/sweeper=optuna is not installed: uv sync --extra optuna"),
    ],
)
def test_an_engine_that_is_not_installed_is_one_line_that_says_what_to_install(
    words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(DerivaMLRequestError, match=said) as refused:
        engine_of(words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("hydra/launcher=cluster",),
            "hydra/launcher=cluster: there is none of that name; there are: basic, ",
        ),
        ((*JOBLIB, "hydra.launcher.cores=2"), "Could not override 'hydra.launcher.cores'"),
        (("hydra/launcher=joblib,basic",), "hydra/launcher=joblib,basic: a sweep has one launcher and one"),
        ((*JOBLIB, "hydra.launcher.n_jobs=1,2"), "n_jobs=1,2: a sweep has one launcher and one sweeper"),
        ((*JOBLIB, "hydra.launcher.n_jobs=0"), "hydra.launcher.n_jobs=0: no job could run: give 1 or more"),
        (("hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=-1"), "cpus_per_task=-1: no job"),
        ((*OPTUNA, "hydra.sweeper.n_trials=0"), "hydra.sweeper.n_trials=0: no job could run"),
        ((*OPTUNA, "hydra.sweeper.n_jobs=-1"), "hydra.sweeper.n_jobs=-1: no job could run"),
        ((*OPTUNA, "+hydra.sweeper.params.a=choice(1,2)"), "what is swept is given by itself"),
        ((*OPTUNA, "hydra.sweeper.params={a: 1}"), "what is swept is given by itself"),
        (("hydra/launcher=submitit_local", "hydra.launcher.nodes=2"), "a job is one process"),
        (("hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=2"), "120 s before that time is over"),
        (("hydra/launcher=tests_gpu",), "there is no sbatch and srun here"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_in_one_line(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine may have Slurm: where none is to be, the commands are looked for in an empty folder.
    there = str(tmp_path) if "sbatch" in said else slurm_double.install(tmp_path)["PATH"]
    monkeypatch.setenv("PATH", there)
    with pytest.raises(DerivaMLRequestError, match=said) as refused:
        see_usable(engine_of(words))
    assert "\n" not in str(refused.value)


def test_jobs_side_by_side_share_the_cores(no_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the person has said how many threads there are to be; a job that has the machine to itself takes them all."""
    monkeypatch.setattr(engines, "usable_cpus", lambda: 8)
    joblib = engine_of(("hydra/launcher=joblib", "hydra.launcher.n_jobs=3"))
    assert share(Engine(), 100) == {} and share(joblib, 1) == {}
    assert share(joblib, 100)["OMP_NUM_THREADS"] == "2" and share(joblib, 2)["MKL_NUM_THREADS"] == "4"
    assert share(engine_of(("hydra/launcher=tests_gpu",)), 100)["OPENBLAS_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("MKL_NUM_THREADS", "6")
    found = share(joblib, 100)
    assert found["OPENBLAS_NUM_THREADS"] == "5" and not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & found.keys()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), 1),
        (("hydra/launcher=joblib", "hydra.launcher.n_jobs=3"), 3),
        (("hydra/launcher=joblib", "hydra.launcher.batch_size=2"), 0),
        (("hydra/launcher=joblib", "hydra.launcher.timeout=9"), 0),
        (("hydra/launcher=submitit_local",), 0),
    ],
)
def test_processes_take_turns_unless_a_setting_is_meant_of_each_job(
    words: tuple[str, ...], expected: int
) -> None:
    engine = engine_of(words)
    assert engine.turns(100) == expected and engine.turns(1) == min(expected, 1)


def test_what_a_launcher_needs_is_there_only_while_it_runs(no_threads: None) -> None:
    local = engine_of(("hydra/launcher=submitit_local",))
    with prepared(local, 4, share(local, 4)) as words:
        assert words == (f"hydra.launcher.timeout_min={engines.YEAR}",)
        assert os.environ["OMP_NUM_THREADS"]
    assert "OMP_NUM_THREADS" not in os.environ
    short = engine_of(("hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"))
    with prepared(short, 4, {}) as words:
        assert words == ()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs", "ext4"])
def test_jobs_do_not_write_one_catalog_side_by_side_on_a_network_drive(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what to do instead; jobs one after the other, and those of other machines, are no such jobs."""
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr("deriva_ml.network_drive.mount_of", lambda path: (kind, ["rw"]))
    here, joblib = Project(tmp_path), engine_of(JOBLIB)
    equipment.check_parallel(here, Engine())
    equipment.check_parallel(here, engine_of(("hydra/launcher=tests_gpu",)))
    if kind == "ext4":
        equipment.check_parallel(here, joblib)
        return
    with pytest.raises(DerivaMLRequestError, match=rf"network drive \({kind}\).*DERIVA_ML_STATE.*production"):
        equipment.check_parallel(here, joblib)


def test_two_machines_do_not_write_one_catalog_on_a_network_drive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run waits for that of the other one, unless that machine no longer holds its lock; on a local disk it need not."""
    (tmp_path / "pyproject.toml").touch()
    here = Project(tmp_path)
    ml = DerivaML(project=here)
    execution = ml.create_execution(ExecutionConfiguration(), Workflow("Test", "Test", url="u", checksum="c"))
    execution.execution_start()
    recover_for_run(here)
    with closing(open_local(here)) as catalog:
        mine = catalog.owner_of(execution.execution_rid)
        assert mine
        assert catalog.claim(execution.execution_rid, mine, replace(mine, host="node7"))
    recover_for_run(here)
    monkeypatch.setattr("deriva_ml.network_drive.mount_of", lambda path: ("nfs4", ["rw"]))
    with pytest.raises(
        DerivaMLRequestError, match=r"goes on on node7.*network drive \(nfs4\).*DERIVA_ML_STATE"
    ):
        recover_for_run(here)
    monkeypatch.setattr("deriva_ml.liveness.is_held", lambda state, lock: False)
    recover_for_run(here)
    execution.execution_stop()


# ------------------------------------------------------------------------------------------------------------ optimizing


@pytest.mark.parametrize(
    ("text", "parameter", "values", "space"),
    [
        ("a,b", False, ["a", "b"], "choice(0,1)"),
        ("'x y',\"z,\"", False, ["'x y'", '"z,"'], "choice(0,1)"),
        ("'x y',\"z,\"", True, ["x y", "z,"], "choice(0,1)"),
        ("1.10,[1,2]", True, ["1.10", "[1, 2]"], "choice(0,1)"),
        ("shuffle(range(1,4))", True, ["1", "2", "3"], "choice(0,1,2)"),
        ("shuffle(b,a)", True, ["b", "a"], "choice(0,1)"),
        ("range(1,5)", False, [], "range(1,4,1)"),
        ("range(5,1,-2)", False, [], "range(3,5,2)"),
        ("tag(log,interval(0.1,1))", False, [], "tag(log,interval(0.1,1))"),
    ],
)
def test_a_sweeper_chooses_among_what_was_typed(
    text: str, parameter: bool, values: list[str], space: str
) -> None:
    """Whatever it is, a job gets it as typed; Optuna's ranges are Hydra's, without their end."""
    one = Swept("key", text, parameter)
    engine = engine_of(OPTUNA)
    assert listed_values(one) == values
    assert space_of(replace(plan_of("1", *OPTUNA), swept=(one,)), engine) == [f"+key={space}"]
    assert [text_of(one, str(place)) for place in range(len(values))] == values


@pytest.mark.parametrize(
    ("words", "objective", "direction", "said"),
    [
        ((), "", "", "--objective METRIC"),
        (("hydra.sweeper.direction=maximize",), "loss", "minimize", "contradict each other"),
        (("hydra.sweeper.direction=[maximize,minimize]",), "loss", "", "a sweep goes by one metric"),
        (("hydra.sweeper.storage=sqlite:///a.db",), "loss", "minimize", "--resume RID goes on with them"),
    ],
)
def test_what_a_sweeper_is_to_look_for_is_said_once(
    words: tuple[str, ...], objective: str, direction: str, said: str
) -> None:
    with pytest.raises(DerivaMLRequestError, match=said):
        see_optimizable(engine_of((*OPTUNA, *words)), objective, direction)


def test_the_best_job_has_the_greatest_or_the_least_value() -> None:
    values = {0: None, 1: 2.0, 2: -1.0, 3: 2.0, 4: float("nan"), 5: float("inf")}
    assert best("maximize", values) == 1 and best("minimize", values) == 2
    assert best("minimize", {0: None}) is None


def test_trials_go_side_by_side_as_the_launcher_does() -> None:
    """Unless that is said; and a job that failed ends no search."""
    plan = plan_of("interval(0,1)", *OPTUNA, objective="loss", direction="maximize")
    words = words_of(plan, engine_of((*OPTUNA, *JOBLIB)), 0, None)
    assert words == [
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.n_jobs=2",
        "hydra.sweeper.max_failure_rate=1.0",
    ]
    given = words_of(plan, engine_of((*OPTUNA, "hydra.sweeper.n_jobs=5")), 0, None)
    assert "hydra.sweeper.n_jobs=5" in given


def test_no_job_is_recorded_with_code_that_came_after_it_was_loaded(project: SweepProject) -> None:
    """Not even if the change is committed: what this process runs is what it has loaded."""
    model = project.root / "src/models/trial.py"
    before = model.read_text()
    process = project.popen(plan_of("1,2,3", base=("model_config.seconds=2",)))
    project.wait_for(1)
    model.write_text(before.replace("** 2", "** 3"))
    subprocess.run(["git", "commit", "-qam", "Change the loss"], cwd=project.root, check=True)
    _, err = process.communicate(timeout=150)
    assert process.returncode == 1
    assert "src/models/trial.py has changed since this sweep loaded it" in err
    _, jobs, _ = project.records()
    assert [*jobs] == [0]

    process = project.popen(plan_of("1,2", base=("model_config.seconds=2",)))
    project.wait_for(2)
    model.touch()
    assert process.communicate(timeout=150) and process.returncode == 0


def test_optuna_finds_the_best_value_and_goes_on_with_what_is_recorded(project: SweepProject) -> None:
    """A job without the metric is a trial that failed, and says so; another sweep knows the trials of the first."""
    plan = plan_of(
        "choice(0.1,0.3)",
        *OPTUNA,
        "hydra.sweeper.n_trials=3",
        base=("model_config.fails=0.1",),
        objective="loss",
    )
    status, out, err = project.run(plan)
    assert status == 1, err
    assert "best loss (minimize): 0, job " in out and "model_config.x=0.3" in out
    assert (
        "error: RuntimeError: 0.1 is not for me" in err
        and "Failed experiment" not in err
        and "[I " not in err
    )
    parent, jobs, losses = project.records()
    assert parent.status is Status.failed and len(jobs) == 3 and set(losses.values()) == {0.0}
    good = [held[-1].rid for held in jobs.values() if held[-1].status is Status.uploaded]

    more = resumed(
        Project(project.root), parent.rid, (*OPTUNA, f"hydra.sweeper.n_trials={len(good) + 1}"), new_code=True
    )
    more = replace(more, base=("model_config.metric=false",))
    status, out, err = project.run(more)
    assert "has no value of loss" in err
    again, jobs, _ = project.records()
    assert again.rid != parent.rid and len(jobs) == len(good) + 1
    assert {held[-1].rid for held in jobs.values()} > set(good)
    assert "best loss (minimize): 0, job " in out and "model_config.x=0.3" in out


# -------------------------------------------------------------------------------------------------------- for real


def nothing_left(project: SweepProject) -> None:
    """No folder of a sweep, of a run or of Hydra's stays."""
    state = Project(project.root).state
    assert [*state.glob("sweeps/*"), *state.glob("runs/*"), *state.glob("executions/*")] == []
    assert {path.name for path in project.root.iterdir()} <= {
        ".git",
        ".gitignore",
        ".deriva-ml",
        "outputs",
        "pyproject.toml",
        "src",
    }


def test_what_jobs_print_here_comes_between_what_is_said_of_them(project: SweepProject) -> None:
    """In a pipe, too, however fast they are."""
    values = [str(number) for number in range(12)]
    process = project.popen(
        plan_of(",".join(values), base=("model_config.fails=7",)), stderr=subprocess.STDOUT
    )
    said, _ = process.communicate(timeout=150)
    wanted = [
        line
        for number, value in enumerate(values, 1)
        for line in (
            f"[{number}/12] model_config.x={value}",
            f"this is {value}",
            *(["error: RuntimeError: 7 is not for me"] if value == "7" else []),
            "Execution ",
        )
    ]
    shown = [line for line in said.splitlines() if line.startswith(("[", "this is", "error: ", "Execution "))]
    assert len(shown) == len(wanted) + 1, said  # the last line is of the sweep's own execution
    assert all(line.startswith(start) for line, start in zip(shown[:-1], wanted, strict=True)), said


def test_joblib_runs_jobs_on_several_cores_and_survives_a_worker_that_is_killed(
    project: SweepProject,
) -> None:
    """The pool breaks, and kills what the others run: each job is run in the end, and every record is closed."""
    killed = ("model_config.stop=SIGKILL", "model_config.fails=0.2", "model_config.seconds=0.5")
    status, _, err = project.run(plan_of("0.1,0.2,0.3", *JOBLIB, base=killed))
    assert status == 0, err
    parent, jobs, losses = project.records()
    assert parent.status is Status.uploaded and [*jobs] == [0, 1, 2]
    ends = [sorted(one.status for one in held) for held in jobs.values()]
    assert all(found.pop() == Status.uploaded for found in ends) and len(losses) == 3
    assert {status for found in ends for status in found} == {Status.aborted}
    notes = project.notes()
    assert {one["threads"] for one in notes} == {str(max(1, usable_cpus() // 2))}
    assert len({one["pid"] for one in notes}) > 1
    nothing_left(project)


def test_no_process_of_joblibs_outlives_a_submitter_that_is_killed(project: SweepProject) -> None:
    """Neither one that runs a job, whose record is closed, nor one that waits for its next."""
    plan = plan_of("0.1,0.2", *JOBLIB)
    slow = replace(plan.jobs[1], overrides=(*plan.jobs[1].overrides, "model_config.seconds=60"))
    process = project.popen(replace(plan, jobs=(plan.jobs[0], slow)))
    sweeps = Project(project.root).sweeps
    eventually(lambda: [*sweeps.glob("*/jobs/0/ended.json")])
    project.wait_for(2)
    process.kill()
    eventually(lambda: not processes_of(project), 20)
    process.communicate(timeout=60)
    _, jobs, _ = project.records()
    assert [jobs[place][-1].status for place in (0, 1)] == [Status.uploaded, Status.aborted]


def processes_of(project: SweepProject) -> list[psutil.Process]:
    """Those that live and have been started in a project's sweeps, with whatever these have started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("NOTES") == project.env["NOTES"]:
                found.append(process)
    return found


def test_a_job_whose_process_is_killed_when_all_is_recorded_has_ended_well(project: SweepProject) -> None:
    """Though nobody has written that down: it is not run again, and its metric counts."""
    plan = plan_of("0.1", objective="loss")
    assert project.run(plan)[0] == 0
    parent, _, _ = project.records()
    here = Project(project.root)
    sweep = SweepFolder.of(here, parent.rid)
    sweep.make(plan)
    gone = Begun(Owner("elsewhere", 1, 0.0), str(here.state), 0.0)
    assert sweep.job(0).claim(gone)
    assert rounds.recovered(here, sweep, plan, sweep.jobs()) == []
    ended = sweep.job(0).ended()
    assert ended and ended.status == Status.uploaded and ended.objective == pytest.approx(0.04)


@as_root
def test_a_full_disk_is_one_line_and_lets_no_job_wait(project: SweepProject, tmp_path: Path) -> None:
    """How a job ended is written down all the same; and nothing that was recorded is lost."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=12m", "tmpfs") as folder:
        full = SweepProject.make(folder)
        full.env["NOTES"] = project.env["NOTES"]
        process = full.popen(plan_of("1,2,3", *JOBLIB, base=("model_config.seconds=2",)))
        project.wait_for(1)
        fill(folder / "hog")
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        said = {line for line in err.splitlines() if line.startswith("error: ")}
        assert said and all("the disk is full" in line for line in said)
        assert "Error executing job" not in err and "[1/3]" in err
        (folder / "hog").unlink()
        recover_project(Project(full.root))
        parent, jobs, _ = full.records()
        assert parent.status is Status.failed and "the disk is full" in parent.status_detail
        assert not [one for held in jobs.values() for one in held if one.status in OPEN_STATUSES]


def test_submitit_runs_each_job_in_a_process_of_its_own_and_one_that_is_killed_ends_no_other(
    project: SweepProject,
) -> None:
    killed = ("model_config.stop=SIGKILL", "model_config.fails=0.2", "model_config.seconds=0.5")
    status, out, err = project.run(plan_of("0.1,0.2,0.3", "hydra/launcher=submitit_local", base=killed))
    assert status == 1 and "1 of 3 jobs failed" in out and "--resume" in err
    parent, jobs, losses = project.records()
    ends = {place: [one.status for one in held] for place, held in jobs.items()}
    assert ends == {0: [Status.uploaded], 1: [Status.aborted], 2: [Status.uploaded]}
    assert parent.status is Status.failed and len(losses) == 2
    assert len({one["pid"] for one in project.notes()}) == 3
    nothing_left(project)


def test_a_schedulers_time_limit_is_recorded_as_such(project: SweepProject, tmp_path: Path) -> None:
    """What Slurm is asked for is what was typed; a job is told before its time is over, and closes its record."""
    project.env |= slurm_double.install(tmp_path / "slurm", minute=6)
    slow = ("model_config.seconds=60",)
    words = (
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.timeout_min=3",
        "hydra.launcher.array_parallelism=2",
    )
    status, _, err = project.run(plan_of("0.1,0.2", *words, base=slow))
    assert status == 1 and "terminated by the scheduler's time limit (SIGUSR2)" in err
    _, jobs, _ = project.records()
    assert [one.status for held in jobs.values() for one in held] == [Status.aborted] * 2
    assert all("time limit" in (held[-1].status_detail or "") for held in jobs.values())
    assert str(jobs[1][-1].status_detail).endswith("_1 of Slurm")
    assert {one["threads"] for one in project.notes()} == {"1"}
    nothing_left(project)


def test_a_job_that_a_scheduler_ends_names_it(project: SweepProject, tmp_path: Path) -> None:
    project.env |= slurm_double.install(tmp_path / "slurm")
    process = project.popen(
        plan_of("0.1", "hydra/launcher=submitit_slurm", base=("model_config.seconds=60",))
    )
    project.wait_for(1)
    [job] = slurm_double.states(tmp_path / "slurm")
    subprocess.run(["scancel", job], env=project.env, check=True)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    _, jobs, _ = project.records()
    assert jobs[0][-1].status is Status.aborted
    assert jobs[0][-1].status_detail == f"terminated (SIGTERM) in job {job} of Slurm"


def test_a_job_that_a_queue_no_longer_runs_has_ended_where_no_accounting_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It left no result; without accounting, nobody but the queue can say that none will come."""
    for name, value in slurm_double.install(tmp_path).items():
        monkeypatch.setenv(name, value)
    with prepared(engine_of(("hydra/launcher=submitit_slurm",)), 4, {}):
        watcher = SlurmJob.watcher
    for task, state in enumerate(("RUNNING", "PENDING", "FAILED", "CANCELLED by 0")):
        slurm_double.note(f"4_{task}", state=state)
    jobs = [f"4_{task}" for task in range(5)]
    for job in jobs:
        watcher.register_job(job)
    assert [watcher.is_done(job, mode="force") for job in jobs] == [False, False, True, True, True]
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\nexit 1\n")
    assert not watcher.is_done("4_0", mode="force"), "a controller that does not answer ends no job"


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_ray_runs_jobs_on_this_machine_and_leaves_nothing_behind(project: SweepProject) -> None:
    killed = ("model_config.stop=SIGKILL", "model_config.fails=0.2", "model_config.seconds=0.5")
    words = ("hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2")
    status, out, err = project.run(plan_of("0.1,0.2,0.3", *words, base=killed))
    assert status == 1 and "1 of 3 jobs failed" in out, err
    _, jobs, _ = project.records()
    ends = {place: [one.status for one in held] for place, held in jobs.items()}
    assert ends == {0: [Status.uploaded], 1: [Status.aborted], 2: [Status.uploaded]}
    assert "ray" not in err.lower()
    nothing_left(project)


def test_a_signal_that_is_kept_from_processes_stays_kept_from_joblibs(project: SweepProject) -> None:
    """Ctrl-C on a terminal is for the submitting process; a worker that waits for its next job would end by it."""
    code = """
import signal

import joblib

from deriva_ml.sweep.engines import engine_of, prepared

with prepared(engine_of(["hydra/launcher=joblib"]), 2, {}):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    asked = joblib.delayed(signal.pthread_sigmask)(signal.SIG_BLOCK, [])
    print([int(number) for mask in joblib.Parallel(n_jobs=2)([asked, asked]) for number in mask])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=project.env, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[2, 2]", done.stderr


def test_ctrl_c_on_a_terminal_closes_every_record_though_joblib_would_kill(project: SweepProject) -> None:
    slow = ("model_config.seconds=60",)
    process = project.popen(plan_of("0.1,0.2,0.3", *JOBLIB, base=slow))
    project.wait_for(2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    parent, jobs, _ = project.records()
    assert parent.status is Status.aborted
    assert [one.status for held in jobs.values() for one in held] == [Status.aborted] * 2
    eventually(lambda: not Path(f"/proc/{project.notes()[0]['pid']}").exists())
    recover_project(Project(project.root))  # a second signal may have come between a record and its folder
    nothing_left(project)


def test_what_a_launcher_says_when_all_are_to_stop_is_not_repeated(tmp_path: Path) -> None:
    """A second Ctrl-C may come out of a library as whatever error."""
    sweep = SweepFolder(tmp_path)
    task = Task(tmp_path, tmp_path, "", Owner.of())

    def launch(_: Path) -> None:
        raise AttributeError("of a half-made copy")

    assert rounds._launch(task, sweep, launch) == "AttributeError: of a half-made copy"
    sweep.stop("interrupted")
    assert rounds._launch(task, sweep, launch) == ""


@pytest.mark.parametrize(("words", "times"), [(JOBLIB, 2), ((), 1)])
def test_a_process_that_is_killed_before_it_comes_to_a_job_costs_none(
    words: tuple[str, ...], times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """joblib gives up all for it, once or twice; what another launcher refuses, it would refuse again."""
    (tmp_path / "pyproject.toml").touch()
    plan, sweep, launched = plan_of("1,2", *words), SweepFolder(tmp_path / "sweep"), []
    sweep.make(plan)

    def launch(task: Task, numbers: list[int], *_: Any) -> None:
        launched.append(numbers)
        if len(launched) == 1:
            raise RuntimeError("a worker was killed")
        for number in numbers:
            sweep.job(number).end(Ended(Status.uploaded))

    monkeypatch.setattr("deriva_ml.sweep.launching.launch_planned", launch)
    problem = rounds.launch_all(Project(tmp_path), sweep, plan, "", engine_of(words), [])
    assert launched == [[0, 1]] * times and bool(problem) == (times == 1)
