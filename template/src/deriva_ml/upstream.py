"""Upstream's names: where those that mean something here are, and what to do instead of those that do not.

Nothing here is loaded before somebody asks for a name that the runner itself does not have.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from deriva_ml.exceptions import DerivaMLRequestError


class NotHere(DerivaMLRequestError, AttributeError):
    """An attribute that only upstream's library has; ``hasattr`` and the like take it for one that is not there."""


class NotImportable(DerivaMLRequestError, ImportError):
    """A module or a name of a module that only upstream's library has."""


MODULES = frozenset(
    f"deriva_ml.{package}.{module}"
    for package, modules in {
        "core": "base config connection_mode constants definitions enums ermrest exceptions filespec",
        "dataset": "aux_classes dataset dataset_bag",
        "asset": "asset aux_classes",
        "experiment": "experiment",
        "execution": "base_config dataset_collection execution_configuration execution_record lineage model_protocol"
        " multirun_config runner state_store upload_report workflow",
    }.items()
    for module in modules.split()
) | {"deriva_ml.experiment"}
"""Upstream's modules of which the runner has names, but no file of its own."""

NAMES = {
    name.partition("=")[0]: (f"deriva_ml.{module}", name.rpartition("=")[2])
    for module, names in {
        "asset": "AssetFilePath AssetSpec AssetSpecConfig LocalFile LocalFileConfig",
        "catalog.catalog_config": "DerivaMLConfig",
        "config.compose": "get_notebook_configuration",
        "config.entries": "BaseConfig DerivaBaseConfig DescribedList MultirunSpec=Multirun base_defaults"
        " get_all_multirun_configs get_multirun_config list_multirun_configs multirun_config notebook_config"
        " with_description",
        "config.modules": "load_configs",
        "core": "DerivaML",
        "dataset": "DatasetBag DatasetSpec DatasetSpecConfig",
        "definitions": "DRY_RUN_RID ExecAssetType ExecMetadataType ExecutionStatus=Status MLAsset RID Workflow Dataset",
        "exceptions": "DerivaMLException DerivaMLAuthenticationError=DerivaMLRequestError"
        " DerivaMLConfigurationError=DerivaMLRequestError DerivaMLDataError=DerivaMLRequestError"
        " DerivaMLDatasetNotFound=NotFound DerivaMLDirtyWorkflowError=DerivaMLRequestError"
        " DerivaMLExecutionError=DerivaMLRunError DerivaMLInvalidTerm=NotFound DerivaMLNotFoundError=NotFound"
        " DerivaMLOfflineError=DerivaMLRequestError DerivaMLTableNotFound=NotFound"
        " DerivaMLTableTypeError=DerivaMLRequestError DerivaMLUploadError=DerivaMLException"
        " DerivaMLValidationError=DerivaMLRequestError DerivaMLWorkflowError=DerivaMLRequestError",
        "execution.execution": "Execution UploadReport",
        "execution.inputs": "DatasetCollection=DatasetBags ExecutionConfiguration",
        "execution.model_run": "create_model_config run_model",
        "execution.notebook_api": "run_notebook",
        "records.experiment": "Experiment",
        "records.lineage_result": "LineageNode LineageResult",
        "records.recorded": "Asset=RecordedAsset ExecutionRecord=RecordedExecution",
        "upstream": "ConnectionMode DerivaAssetColumns DerivaMLModel DerivaSystemColumns ML_SCHEMA MLTable MLVocab"
        " UploadCallback UploadProgress=UploadReport reset_multirun_state",
    }.items()
    for name in names.split()
}
"""Where the names of upstream's modules are here, as ``NAME`` or ``NAME=WHAT_IT_IS_CALLED_HERE``."""

CATALOG_TOOLS = "the catalog's own tools do that; ml.pathBuilder() reads every table"
WRITERS = (
    "upstream's deriva-ml, in an environment of its own, makes datasets and features; read them here by RID"
)
INSTEAD = {
    name: hint
    for hint, names in {
        WRITERS: "add_dataset_element_type add_dataset_members add_dataset_type add_dataset_types add_features add_files"
        " add_input_dataset create_dataset create_feature delete_dataset delete_dataset_members delete_feature"
        " feature_record_class mark_dev release remove_dataset_type split_dataset subsample random_split"
        " stratified_split add_workflow_type add_workflow_types remove_workflow_type feature FeatureRecord dataset.split"
        " VersionPart DatasetVersion FileSpec core.filespec",
        "features are tables: bag.get_table_as_dict(TABLE) or ml.pathBuilder() reads theirs": "Feature feature_values"
        " find_features find_features_referencing list_workflow_executions lookup_feature FeatureReference",
        "bag.get_table_as_dict(TABLE) and bag.get_table_as_dataframe(TABLE) have a dataset's rows to join": "cache_denormalized"
        " describe_denormalized estimate_denormalized_size get_denormalized_as_dataframe get_denormalized_as_dict"
        " list_denormalized_columns list_schema_paths local_db local_db.denormalizer",
        "bag.asset_paths has the files of a dataset by table, for a loader of your own": "as_tf_dataset as_torch_dataset"
        " restructure_assets dataset.torch_adapter dataset.tf_adapter dataset.restructure",
        CATALOG_TOOLS: "add_term add_visible_column add_visible_foreign_key apply_annotations apply_catalog_annotations"
        " asset_record_class clear_vocabulary_cache create_asset create_table create_vocabulary delete_term domain_schema"
        " get_column_annotations get_handlebars_template_variables get_table_annotations is_strict_preallocated_rid"
        " list_vocabulary_terms lookup_term model remove_visible_column remove_visible_foreign_key"
        " reorder_visible_columns reorder_visible_foreign_keys resolve_rid resolve_rids set_column_display"
        " set_display_annotation set_strict_preallocated_rid set_table_display set_visible_columns"
        " set_visible_foreign_keys table_path user_list list_dataset_element_types find_datasets_referencing list_files"
        " get_table_as_dataframe get_table_as_dict list_asset_tables database_catalog schema schema.create_schema"
        " model.catalog catalog.clone catalog.localize catalog.provenance core.schema_cache core.schema_diff core.sort"
        " core.validation core.logging_config BuiltinTypes CatalogCreationMethod CatalogProvenance CloneDetails"
        " ColumnDefinition DatasetReference FileUploadState ForeignKeyDefinition KeyDefinition TableDefinition"
        " UploadState VocabularyTerm get_catalog_provenance set_catalog_provenance add_asset_type remove_asset_type"
        " get_metadata unknown_provenance_execution_rid unknown_provenance_file_rid audit_provenance",
        "deriva-ml-catalog shows what was recorded, and .deriva-ml/ keeps every content once, by its digest": "CachedAsset"
        " CachedBag bag_info cache cache_dataset clean_execution_dirs clear_cache core.storage estimate_bag_size"
        " gc_executions get_cache_size get_storage_summary list_cached_assets list_cached_datasets materialize",
        "deriva-ml-upload sends what waits, and deriva-ml-upload --list shows it": "commit_pending_executions"
        " find_incomplete_executions pending_summary resume_execution from_registry multirun_status_summary",
        "pytest composes every configuration of the project, and dry_run=true looks its inputs up": "bootstrap_config"
        " validate_config_directory validate_config_file validate_dataset_specs validate_execution_configuration"
        " config.validation config.bootstrap config.ast_walker dataset.validation",
        "a sweep nests its runs: deriva-ml-run --multirun": "add_nested_execution",
        "the dataset's own tables on the catalog have it: ml.pathBuilder()": "compare_versions dataset_history is_dirty"
        " is_directory is_source_root list_members release_diff source_directory list_dataset_parents"
        " DatasetHistory MaterializeLimitExceeded DerivaMLMaterializeLimitExceeded",
    }.items()
    for name in names.split()
}
"""What to do instead, by a name of upstream's: an attribute, a name to import, or a module."""


class Upstream:
    """What refuses, for records and connections, the attributes that only upstream has, with what to do instead."""

    if not TYPE_CHECKING:  # for which a name that is not there has to stay an error

        def __getattr__(self, name: str) -> Any:
            """Refuse an attribute that is not there."""
            if name in INSTEAD:
                raise NotHere(f"{type(self).__name__}.{name} is not here: {INSTEAD[name]}")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def look_up(module: str, name: str) -> Any:
    """Return what a name of one of upstream's modules is here.

    Raises:
        NotImportable: only upstream has it.
        AttributeError: upstream has no such name, as far as is known here.
    """
    if name in NAMES:
        place, here = NAMES[name]
        return getattr(import_module(place), here)
    if name in INSTEAD:
        raise NotImportable(f"{module}.{name} is not here: {INSTEAD[name]}")
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


def find_spec(fullname: str) -> ModuleSpec | None:
    """Return how to import a module of upstream's whose names are here; None for one that nobody knows.

    Raises:
        NotImportable: only upstream has it.
    """
    if hint := INSTEAD.get(fullname.removeprefix("deriva_ml.")):
        raise NotImportable(f"{fullname} is not here: {hint}")
    return ModuleSpec(fullname, _Names, is_package=True) if fullname in MODULES else None


class _Names:
    """The loader of a module without a file, which has upstream's names."""

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType | None:
        return None

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        module.__getattr__ = lambda name: look_up(module.__name__, name)  # type: ignore[method-assign]


def _terms(name: str, *values: str) -> Any:
    return StrEnum(name, {value.lower(): value for value in values}, module=__name__)


ConnectionMode = _terms("ConnectionMode", "online", "offline")
MLVocab = _terms(
    "MLVocab", "Dataset_Type", "Workflow_Type", "Asset_Type", "Asset_Role", "Execution_Status", "Feature_Name"
)
MLTable = _terms(
    "MLTable",
    *("Dataset", "Workflow", "File", "Asset", "Execution", "Execution_Execution", "Dataset_Version"),
    *("Execution_Metadata", "Execution_Asset"),
)
ML_SCHEMA = "deriva-ml"
DerivaSystemColumns = ["RID", "RCT", "RMT", "RCB", "RMB"]
DerivaAssetColumns = {"Filename", "URL", "Length", "MD5", "Description"}
UploadCallback = Any


class DerivaMLModel(Protocol):
    """What a model is: a function of its own settings that is given a connection and an execution."""

    def __call__(self, *args: Any, ml_instance: Any, execution: Any = None, **settings: Any) -> None:
        """Run the model."""


def reset_multirun_state() -> None:
    """Do nothing: no sweep leaves anything behind here."""
