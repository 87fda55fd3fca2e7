"""Whatever is killed on whichever machine, each job is recorded once, and the sweep's record ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from deriva_ml.cli.run import main as run_model
from deriva_ml.definitions import RID, ExecutionRecord, Status
from deriva_ml.execution.recovery import recover_project
from deriva_ml.project import Project
from deriva_ml.sweep import apart
from deriva_ml.sweep.folder import SweepFolder
from git_repository import isolate_git
from storage.conftest import age
from sweep import slurm_double
from sweep.cluster import Cluster
from sweep.sweep_project import SweepProject, eventually, plan_of


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cluster")
        isolate_git(patch, folder)
        yield Cluster.make(folder)


def killed(cluster: Cluster, moment: str, *words: str, **variables: str) -> None:
    """Start a process on a machine, and kill it when it comes to a moment."""
    machine = cluster.start(*words, PAUSE_AT=moment, **variables)
    paused = cluster.project.root.parent / "notes" / f"paused-{machine.process.pid}"

    def there() -> bool:
        assert machine.process.is_alive(), machine.said.read_text()
        return paused.exists()

    eventually(there)
    machine.process.kill()
    machine.process.join()


def silent(sweep: SweepFolder, number: int) -> None:
    """Let a job have shown no sign for long."""
    for path in (sweep.job(number).alive, sweep.job(number).path / "begun.json"):
        if path.exists():
            past = path.stat().st_mtime - 2 * apart.SILENT_SECONDS
            os.utime(path, (past, past))


def jobs_of(cluster: Cluster, sweep: RID) -> dict[int | None, ExecutionRecord]:
    """The records of a sweep's jobs, by place; each has one."""
    with closing(cluster.catalog()) as catalog:
        children = catalog.list_execution_children(sweep)
        places = catalog.places_in_sweep(sweep)
        found = {places[rid]: catalog.lookup_execution(rid) for rid in children}
        assert len(found) == len(children)
        return found


def sweep_in(cluster: Cluster, rid: RID) -> ExecutionRecord:
    with closing(cluster.catalog()) as catalog:
        return catalog.lookup_execution(rid)


MOMENTS = {
    "while it runs": "time:sleep",
    "before its archive": "deriva_ml.sweep.apart:export",
    "in its archive": "deriva_ml.archive.exporting:Crate",
    "before it says so": "deriva_ml.sweep.apart:clear_work",
}


def test_a_job_whose_node_goes_away_is_recorded_as_that(cluster: Cluster) -> None:
    sweep = cluster.submit(
        cluster.plan(",".join(map(str, range(len(MOMENTS) + 1))), "model_config.seconds=0.01")
    )
    last = len(MOMENTS)
    with ThreadPoolExecutor(last) as nodes:
        for number, moment in enumerate(MOMENTS.values()):
            nodes.submit(killed, cluster, moment, "node", f"node{number}", str(number), str(sweep.path))
    # As long as that may be the drive's doing, they go on.
    said = cluster.collect(sweep.rid)
    assert "4 go on (node0, node1, node2, node3), 1 have not begun" in said
    assert not jobs_of(cluster, sweep.rid)
    for number in range(last):
        silent(sweep, number)
    said = cluster.collect(sweep.rid)
    assert "4 of 5 jobs have ended, 1 have not begun" in said and "--fail-fast" in said
    found = jobs_of(cluster, sweep.rid)
    assert (found[0].status, found[0].status_detail) == ("Aborted", "its node, node0, went away")
    # What had come to its end, has.
    assert [found[number].status for number in range(1, last)] == ["Uploaded"] * (last - 1)
    assert not [*sweep.path.glob("jobs/*/state")] and not [*sweep.path.glob("jobs/*/records.zip")]
    # Recovery leaves it open, on every machine, until it is collected.
    recover_project(Project(cluster.project.root))
    assert sweep_in(cluster, sweep.rid).status == "Running" and sweep.path.exists()
    cluster.node(sweep, last)
    # Another machine sees nothing of a submitter that was killed, but its silence.
    cluster.run("collect", "login2", sweep.rid)
    assert sweep_in(cluster, sweep.rid).status == "Running"
    past = (sweep.path / "plan.json").stat().st_mtime - 2 * apart.SILENT_SECONDS
    os.utime(sweep.path / "plan.json", (past, past))
    cluster.run("collect", "login2", sweep.rid, rc=1)
    done = sweep_in(cluster, sweep.rid)
    assert done.status == "Failed" and "1 of 5 jobs failed" in done.status_detail
    assert not sweep.path.exists()


def test_a_schedulers_jobs_go_on_when_their_submitter_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    isolate_git(monkeypatch, tmp_path)
    project = SweepProject.make(tmp_path)
    project.env |= slurm_double.install(tmp_path / "slurm")
    engine = (
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.timeout_min=5",
        "hydra.launcher.array_parallelism=2",
    )
    submitter = project.popen(plan_of("0.1,0.2,0.3", *engine, base=("model_config.seconds=1",)))
    project.wait_for(1)
    submitter.kill()
    submitter.communicate()
    [folder] = (project.root / ".deriva-ml" / "sweeps").iterdir()
    eventually(lambda: len([*folder.glob("jobs/*/ended.json")]) == 3)
    with contextlib.chdir(project.root):
        assert run_model(["--collect", folder.name]) == 0
    parent, jobs, losses = project.records()
    assert parent.status == "Uploaded" and sorted(jobs) == [0, 1, 2] and len(losses) == 3


def test_the_collector_is_killed_at_any_moment(cluster: Cluster) -> None:
    sweep = cluster.submit(cluster.plan("1.0"))
    cluster.node(sweep, 0)
    for moment in ("take_in", "read_json", "remove_folder"):
        killed(cluster, f"deriva_ml.sweep.collecting:{moment}", "collect", "", sweep.rid)
    both = [cluster.start("collect", name, sweep.rid) for name in ("", "login2")]
    for machine in both:
        machine.process.join()
    assert 0 in {machine.process.exitcode for machine in both}, [machine.said.read_text() for machine in both]
    assert len(jobs_of(cluster, sweep.rid)) == 1
    assert sweep_in(cluster, sweep.rid).status == "Uploaded" and not sweep.path.exists()


def test_an_archive_that_is_damaged_is_written_anew(cluster: Cluster) -> None:
    sweep = cluster.submit(cluster.plan("1.0,2.0"))
    for number in (0, 1):
        cluster.node(sweep, number)
    records = sweep.job(0).records
    records.write_bytes(records.read_bytes()[:-500])
    cluster.collect(sweep.rid)
    assert {job.status for job in jobs_of(cluster, sweep.rid).values()} == {"Uploaded"}


def test_what_cannot_be_taken_in_stays_and_keeps_no_other_job_back(cluster: Cluster) -> None:
    sweep = cluster.submit(cluster.plan("1.0,2.0"))
    for number in (0, 1):
        cluster.node(sweep, number)
    records, state = sweep.job(0).records, sweep.job(0).state
    whole = records.read_bytes()
    records.write_bytes(whole[:-500])
    apart.remove_folder(state)
    said = cluster.collect(sweep.rid, rc=None)
    assert "the records of job 1 cannot be taken in yet" in said
    assert [*jobs_of(cluster, sweep.rid)] == [1]
    recover_project(Project(cluster.project.root))
    assert records.exists()
    records.write_bytes(whole)
    cluster.collect(sweep.rid, rc=None)
    assert sorted(map(str, jobs_of(cluster, sweep.rid))) == ["0", "1"]
    assert not sweep.path.exists()


def test_a_node_takes_what_only_it_has_with_it(cluster: Cluster, tmp_path: Path) -> None:
    sweep = cluster.submit(cluster.plan("1.0"))
    words = ("node", "node0", "0", str(sweep.path))
    killed(cluster, "deriva_ml.sweep.apart:export", *words, DERIVA_ML_JOB_STATE=str(tmp_path))
    for folder in tmp_path.iterdir():
        apart.remove_folder(folder)
    silent(sweep, 0)
    cluster.collect(sweep.rid, rc=1)
    assert sweep_in(cluster, sweep.rid).status == "Failed"


def test_jobs_that_a_scheduler_dropped_are_given_up(cluster: Cluster) -> None:
    sweep = cluster.submit(cluster.plan("1.0,2.0"))
    cluster.node(sweep, 1)
    for words in (("list",), ("show", sweep.rid)):
        said = cluster.catalog_says(*words)
        assert f"uv run deriva-ml-run --collect {sweep.rid}" in said and "Running" in said
    said = cluster.collect(sweep.rid)
    assert "1 of 2 jobs have ended, 1 have not begun" in said
    cluster.collect(sweep.rid, "--fail-fast", rc=1)
    assert "1 did not run" in sweep_in(cluster, sweep.rid).status_detail
    # A process that the scheduler starts after all does nothing.
    cluster.node(sweep, 0)
    assert [*jobs_of(cluster, sweep.rid)] == [1]


def test_a_job_that_was_taken_for_gone_stops_and_is_recorded_once(cluster: Cluster) -> None:
    sweep = cluster.submit(cluster.plan("1.0", "model_config.seconds=60"))
    machine = cluster.start("node", "node0", "0", str(sweep.path))
    read = cluster.project.root.parent / "notes" / "read-1.0"
    read.unlink(missing_ok=True)
    eventually(read.exists)
    silent(sweep, 0)
    cluster.collect(sweep.rid, rc=1)
    machine.process.join(30)
    assert machine.process.exitcode is not None, "it goes on"
    found = jobs_of(cluster, sweep.rid)
    assert [(job.status, job.status_detail) for job in found.values()] == [
        ("Aborted", "its node, node0, went away")
    ]
    assert not sweep.path.exists()


def test_making_room_takes_nothing_that_a_sweep_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before a job reads it nor before its records are here; then all of it may go."""
    isolate_git(monkeypatch, tmp_path)
    cluster = Cluster.make(tmp_path)
    sweep = cluster.submit(cluster.plan("1.0,2.0"))
    (tmp_path / "loose").write_text("no record names it")
    with closing(cluster.catalog()) as catalog:
        loose = catalog.objects.path(catalog.objects.add(tmp_path / "loose")[0])
        age(catalog.objects.folder, days=2)
    gc = ("gc", "--keep-last", "0", "--yes")
    said = cluster.catalog_says(*gc)
    assert f"may be read by jobs of sweep {sweep.rid}" in said and loose.exists()
    assert "1 content (18 B) stay as long as jobs" in said
    cluster.node(sweep, 0)
    assert sweep.job(0).ended().status == "Uploaded"  # type: ignore[union-attr]
    # Who takes its records in is killed when they are here, and still in the sweep's folder, too.
    killed(cluster, "deriva_ml.sweep.collecting:remove_folder", "collect", "", sweep.rid)
    cluster.catalog_says(*gc)
    assert set(jobs_of(cluster, sweep.rid)) == {0} and sweep.job(0).records.exists()
    cluster.node(sweep, 1)
    with closing(cluster.catalog()) as catalog:
        catalog.update_execution(sweep.rid, Status.aborted, "As if it had ended.")
    cluster.catalog_says(*gc)
    assert sweep.job(1).records.exists()
    cluster.run("collect", "", sweep.rid, rc=None)
    assert set(jobs_of(cluster, sweep.rid)) == {0, 1} and not sweep.path.exists()
    assert "checked" in cluster.catalog_says("verify")
    assert "may be read" not in cluster.catalog_says(*gc)
    assert not loose.exists()


def test_what_is_left_of_a_sweep_that_was_collected_is_removed(cluster: Cluster) -> None:
    sweep = cluster.submit(cluster.plan("1.0"))
    cluster.node(sweep, 0)
    killed(cluster, "deriva_ml.sweep.collecting:remove_folder", "collect", "", sweep.rid)
    with closing(cluster.catalog()) as catalog:
        catalog.update_execution(sweep.rid, Status.uploaded)
    assert sweep.job(0).records.exists()
    recover_project(Project(cluster.project.root))
    assert not sweep.path.exists()
