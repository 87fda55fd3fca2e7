"""What runs the jobs of a sweep, seen to before anything starts: that it is there, and that they may run so."""

from __future__ import annotations

from dataclasses import replace

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.network_drive import network_drive
from deriva_ml.project import Project
from deriva_ml.sweep.engines import Engine, engine_of, see_usable
from deriva_ml.sweep.plan import Plan
from deriva_ml.sweep.study import see_optimizable


def equipped(project: Project, plan: Plan) -> tuple[Engine, Plan]:
    """Return what runs the jobs of a plan, and the plan with what that decides.

    Raises:
        DerivaMLRequestError: it is not installed, not there, or not to be used so.
    """
    if plan.engine:
        from deriva_ml.config.modules import find_configs

        find_configs(project, plan.config_package)  # in which there may be entries for Hydra's groups
    engine = engine_of(plan.engine)
    see_usable(engine)
    check_parallel(project, engine)
    return engine, replace(plan, direction=see_optimizable(engine, plan.objective, plan.direction))


def check_parallel(project: Project, engine: Engine) -> None:
    """See that jobs that run at the same time do not write the project's records on a network drive.

    Jobs on other machines have state folders of their own, each written by one process. Records that go to a Deriva
    catalog are written here first.

    Raises:
        DerivaMLRequestError: they would.
    """
    if not engine.is_parallel or engine.elsewhere:
        return
    if drive := network_drive(project.state):
        raise DerivaMLRequestError(
            f"the records are in {project.state}, on a network drive ({drive}), where jobs cannot write them side by side:"
            " set state of [tool.deriva-ml], or DERIVA_ML_STATE, to a folder on a local disk (with deriva_ml=production they"
            " go to the Deriva catalog from there), or take a launcher of other machines, whose jobs record apart"
        )
