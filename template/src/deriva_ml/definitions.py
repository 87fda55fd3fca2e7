"""Names and terms that every part shares: RIDs, statuses, asset tables and the vocabularies' terms.

Spelling and values are those of the deriva-ml schema, so that records mean the same in every catalog.
"""

from enum import StrEnum

RID = str
"""A record's identifier within its catalog, such as ``1-0007``."""

DRY_RUN_RID: RID = "0000"
"""What a dry run carries in place of an execution RID (upstream's convention): no record has it."""


class Status(StrEnum):
    """Where an execution stands. ``OPEN_STATUSES`` are those that some process still answers for."""

    created = "Created"
    running = "Running"
    stopped = "Stopped"
    pending_upload = "Pending_Upload"
    uploaded = "Uploaded"
    failed = "Failed"
    aborted = "Aborted"


OPEN_STATUSES = (Status.created, Status.running, Status.stopped)


class MLAsset(StrEnum):
    """Asset tables that every catalog has."""

    execution_asset = "Execution_Asset"
    execution_metadata = "Execution_Metadata"
    file = "File"


class AssetRole(StrEnum):
    """How an asset takes part in an execution."""

    input = "Input"
    output = "Output"


class ExecAssetType(StrEnum):
    """Asset types of files that a run reads or makes."""

    input_file = "Input_File"
    output_file = "Output_File"
    notebook_output = "Notebook_Output"
    model_file = "Model_File"


class ExecMetadataType(StrEnum):
    """Asset types of files that describe a run."""

    execution_config = "Execution_Config"
    runtime_env = "Runtime_Env"
    hydra_config = "Hydra_Config"
    deriva_config = "Deriva_Config"
    metrics_file = "Metrics_File"
    lock_file = "Lock_File"
    log_file = "Log_File"
    source_diff = "Source_Diff"
