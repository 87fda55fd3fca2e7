"""What a model run is called and what kind of work it is. Choose an entry with `workflow=NAME`."""

from hydra_zen import builds, store

from deriva_ml.execution import Workflow

workflow_store = store(group="workflow")

# The commit, the checksum and the version of the code are added when it runs.
workflow_store(
    builds(
        Workflow,
        name="Model training",
        workflow_type="Training",
        description="Trains a model of this project",
        populate_full_signature=True,
    ),
    name="default_workflow",
)
