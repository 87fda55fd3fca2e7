"""Keeps jobs that run side by side from writing one catalog on a network drive."""

from __future__ import annotations

from deriva_ml.exceptions import DerivaMLRequestError
from deriva_ml.network_drive import network_drive
from deriva_ml.project import Project
from deriva_ml.sweep.engines import Engine


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
