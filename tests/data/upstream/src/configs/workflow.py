"""Workflows."""

from hydra_zen import builds, store

from deriva_ml.execution import Workflow

LineWorkflow = builds(
    Workflow, name="Line", workflow_type="Training", description="Fits a line", populate_full_signature=True
)
workflow_store = store(group="workflow")
workflow_store(LineWorkflow, name="default_workflow")
