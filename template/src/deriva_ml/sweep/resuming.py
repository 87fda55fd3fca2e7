"""Goes on with a sweep of which jobs are missing or failed: its plan, read from its record, without what ended well."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from deriva_ml.catalog.connection import open_local
from deriva_ml.catalog.embedded import EmbeddedCatalog
from deriva_ml.definitions import OPEN_STATUSES, RID
from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.execution.upload import recorded
from deriva_ml.git import git
from deriva_ml.project import Project
from deriva_ml.sweep.job import GOOD
from deriva_ml.sweep.plan import Plan
from deriva_ml.sweep.running import SPEC
from deriva_ml.untrusted import DAMAGED, read_json


def plan_of(catalog: EmbeddedCatalog, rid: RID) -> Plan:
    """Return what a recorded sweep was to run.

    Args:
        rid: by which the project's own catalog knows it.

    Raises:
        DerivaMLRequestError: it is no sweep, or was recorded by a runner that wrote no plan, or the file is damaged.
    """
    files = [asset for asset in catalog.assets_of(rid) if asset.filename == SPEC]
    if not files:
        raise DerivaMLRequestError(
            f"{rid} is no sweep whose plan is recorded, in {SPEC}: give the RID of a sweep, as deriva-ml-catalog list shows it"
        )
    try:
        said: Any = read_json(catalog.objects.path(files[-1].md5))
        return Plan.from_json(said)
    except (OSError, *DAMAGED) as error:
        raise DerivaMLRequestError(f"{SPEC} of {rid} cannot be read: {error}") from error


def resumed(
    project: Project, rid: RID, engine: Sequence[str] = (), *, new_code: bool = False, **changes: Any
) -> Plan:
    """Return the plan of a sweep that goes on with another one.

    Args:
        rid: of that one, here or in the Deriva catalog that it is for.
        engine: overrides that choose and set launcher and sweeper instead of its own.
        new_code: run the jobs from today's code, though they are to be from the commit of the others.
        changes: further fields of the plan.

    Raises:
        DerivaMLRequestError: there is no such sweep, it has not ended, nothing is left to do, or the code has changed.
    """
    with closing(open_local(project)) as catalog:
        local = recorded(catalog, rid).local
        if catalog.lookup_execution(local).status in OPEN_STATUSES:
            raise DerivaMLRequestError(
                f"sweep {rid} goes on: wait for it, or, if it ran on other machines, --collect {rid}"
            )
        plan = plan_of(catalog, local)
        done = {
            str(place): child
            for child, place in catalog.places_in_sweep(local).items()
            if catalog.lookup_execution(child).status in GOOD
        }
    if plan.is_masked:
        raise DerivaMLRequestError(
            f"sweep {rid} was given a credential, which is not recorded: start a sweep of what is left anew"
        )
    if plan.jobs and len(done) >= len(plan.jobs):
        raise DerivaMLRequestError(f"nothing is left of sweep {rid}: its {len(plan.jobs)} jobs ended well")
    now = git(project.root, "rev-parse", "HEAD")
    if plan.commit and now != plan.commit and not new_code:
        raise DerivaMLRequestError(
            f"the code has changed: sweep {rid} ran at commit {plan.commit[:7]}, and this is {now[:7]};"
            f" git switch --detach {plan.commit[:7]} goes back to it, --new-code runs the rest with today's"
        )
    said = f"Goes on with sweep {rid}" + (
        f", from commit {plan.commit[:7]} on with {now[:7]}" if plan.commit and now != plan.commit else ""
    )
    before = [one for one in plan.description.split("\n\n") if not one.startswith("Goes on with sweep ")]
    return replace(
        plan,
        engine=tuple(engine) or plan.engine,
        resumes=local,
        done=done,
        description="\n\n".join([said, *before]),
        **changes,
    )
