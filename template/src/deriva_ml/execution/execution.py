"""One execution's life in the process that does the work: inputs, status, output files, commit."""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import deriva_ml.disk as disk
import deriva_ml.execution.inputs as inputs
from deriva_ml.asset import AssetFilePath
from deriva_ml.catalog.connection import Undelivered
from deriva_ml.configuration_file import CONFIGURATION, NOTEBOOK_COMMAND
from deriva_ml.dataset import DatasetBag, DatasetSpec
from deriva_ml.dataset_version import DatasetVersion
from deriva_ml.datasets import names
from deriva_ml.datasets.files import FileSpec, take_in
from deriva_ml.datasets.live import Dataset, changed_by
from deriva_ml.datasets.reading import Opened
from deriva_ml.definitions import (
    DRY_RUN_RID,
    OPEN_STATUSES,
    RID,
    Asset,
    ExecMetadataType,
    MLAsset,
    StagedAsset,
    Status,
    Workflow,
    format_duration,
)
from deriva_ml.exceptions import DerivaMLRequestError, DerivaMLRunError
from deriva_ml.execution.closing import close_execution, describe_missing
from deriva_ml.execution.inputs import ExecutionConfiguration
from deriva_ml.execution.run_state import NotebookRun
from deriva_ml.grouping import grouped
from deriva_ml.metrics import LOGGED_METRICS, metrics_line
from deriva_ml.process import Owner
from deriva_ml.project import Project, copy_atomically, write_atomically
from deriva_ml.records.recorded import RecordedExecution
from deriva_ml.signals import end_by, signals_ignored
from deriva_ml.terminal import warn
from deriva_ml.upstream import Upstream


class Connected(Opened, Protocol):
    """What an execution needs of the ``DerivaML`` that made it, and hands on to the code that runs."""

    project: Project


class UploadReport(dict[str, list[AssetFilePath]]):
    """The recorded files by table, which counts them as upstream's report of a commit does, and is its own progress."""

    total_failed, phase, percent_complete = 0, "complete", 100.0

    @property
    def total_uploaded(self) -> int:
        """How many files there are."""
        return sum(map(len, self.values()))


class Execution(Upstream):
    """A run of a workflow, recorded in a catalog as it goes.

    Creating one looks up the declared inputs, records the execution as ``Created`` and fetches them, read-only.
    A dry run does the same without writing to the catalog: its RID is ``0000`` and its files stay in its
    working folder.

    Args:
        ml: the connection, such as a ``DerivaML``.
        configuration: inputs and description.
        workflow: what is executed; by default the configuration's.
        dry_run: fetch and run, and record nothing.
        run: the notebook run that this execution belongs to, if the runner started one.
        source: the file of the code, whose repository keeps its commit; by default the project.
        begun: called with it once it is recorded, before the inputs are fetched.
        started_by: the command that runs this; by default what can be found out.

    Attributes:
        execution_rid: the RID that people know it by: of the catalog that its record is delivered to.
        local_rid: its RID in the project's own catalog, where every execution is recorded.

    Raises:
        DerivaMLRequestError: an input does not exist, or there is no workflow. Nothing has been recorded.
        DerivaMLException: an input's content is missing or damaged. The execution is recorded as ``Failed``.
    """

    def __init__(
        self,
        ml: Connected,
        configuration: ExecutionConfiguration,
        workflow: Workflow | None = None,
        dry_run: bool = False,
        run: NotebookRun | None = None,
        source: Path | None = None,
        begun: Callable[[Execution], None] | None = None,
        started_by: str = "",
    ) -> None:
        workflow = workflow or configuration.workflow
        if workflow is None:
            raise DerivaMLRequestError("an execution needs a workflow: pass one from ml.create_workflow()")
        self.ml = ml
        self._connection = ml.connection
        self._local = ml.connection.local
        self._delivery = Undelivered(self._local) if dry_run else ml.connection.delivery
        self.configuration = configuration
        self.workflow = workflow
        self.dry_run = dry_run
        self.started_by = started_by or _started_by(run)
        self._run = run
        self._started: float | None = None
        self._dry_staged: list[StagedAsset] = []
        self._metrics: dict[str, AssetFilePath] = {}
        self.uploaded_assets = UploadReport()
        self._dry_status = Status.created
        self._circumstances: dict[str, Any] = {}
        if run and dry_run:
            run.report(dry_run=True, refused=None)
        self._delivery.check_recording()
        resolved = inputs.resolve(configuration, self._connection.source, ml.project)
        # As they were found: what a name means, and what was current, is for the record of this run alone.
        self.configuration = copy.copy(configuration)
        self.configuration.datasets = [spec for spec, _ in resolved.datasets]
        if dry_run:
            self.execution_rid: RID = DRY_RUN_RID
            self.local_rid: RID = DRY_RUN_RID
            self.working_dir = (
                run.new_dry_run_folder()
                if run
                else ml.project.new_folder(ml.project.make_outputs(), "dry-run")
            )
        else:
            owner = run.owner if run else Owner.here(ml.project.state)
            self.local_rid, self.execution_rid = self._connection.add_execution(
                workflow,
                configuration.description,
                owner,
                run.folder if run else None,
                started_by=self.started_by,
                if_alive=run is not None,
            )
            self.working_dir = self._local.folder_of(self.local_rid)
            self._keep_commit(source)
        self.working_dir.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        what = "describing how it came about"
        try:
            if begun:
                begun(self)
            what = "fetching the inputs"
            self.datasets, self.asset_paths = inputs.fetch(
                resolved, self._connection, self.working_dir / "inputs", None if dry_run else self.local_rid
            )
        except BaseException as error:
            status, how = end_by(error)
            self._close(
                status, f"{what} was {how}" if status == Status.aborted else f"{what} failed: {error}"
            )
            self.deliver()
            raise
        if not dry_run:
            duration = format_duration(time.monotonic() - start)
            self._local.update_execution(self.local_rid, Download_Duration=duration)

    def _keep_commit(self, source: Path | None) -> None:
        from deriva_ml.execution.kept_commits import keep_commit

        run = self._run
        file = run.notebook if run else source or self.ml.project.root / "pyproject.toml"
        commit = run.provenance.get("commit", "") if run else self.workflow.commit
        said = keep_commit(commit, file.resolve().parent)
        if said and not run:  # the runner tries again at the end, and says it where it is read
            warn(said)

    def __repr__(self) -> str:
        return f"<Execution {self.execution_rid} {self.status}>"

    @property
    def execution_record(self) -> RecordedExecution:
        """Its record as it stands in this project; a dry run has none."""
        return RecordedExecution.of(self._local.lookup_execution(self.local_rid), self._local)

    @property
    def status(self) -> Status:
        """Where the execution stands, as recorded."""
        return self._dry_status if self.dry_run else self._local.lookup_execution(self.local_rid).status

    def update_status(
        self, target: Status, message: str = "", error: object = None, *, msg: str = ""
    ) -> None:
        """Record where the execution stands, and why.

        Args:
            target: one of ``Status``.
            message: why, or how far it has come.
            error: what went wrong, to be added to the message.
            msg: the same as ``message``, as upstream calls it.
        """
        message = ": ".join(str(part) for part in (message or msg, error) if part)
        self._set_status(Status(target), message)
        self._delivery.show(self.local_rid)

    def _set_status(self, status: Status, message: str = "") -> None:
        if self.dry_run:
            self._dry_status = status
        else:
            self._local.update_execution(self.local_rid, status, message)

    def execution_start(self) -> None:
        """Start the clock: the execution is ``Running``."""
        self._started = time.monotonic()
        self.update_status(Status.running)

    def execution_stop(self) -> None:
        """Stop the clock: the execution is ``Stopped`` until its outputs are recorded."""
        with signals_ignored():
            self._stop()
        self._delivery.show(self.local_rid)

    def _stop(self) -> None:
        with disk.unless_refused(self.ml.project.state):  # what comes next says so, and why
            if self._started is not None and not self.dry_run:
                duration = format_duration(time.monotonic() - self._started)
                self._local.update_execution(self.local_rid, Execution_Duration=duration)
            if self.status in OPEN_STATUSES:
                self._set_status(Status.stopped)
        self._started = None

    def end(self, status: Status, reason: str = "") -> None:
        """Stop the clock and record the end: what is registered, ``status`` and why; the working folder goes."""
        with signals_ignored():
            self._stop()
            self._close(status, reason, clear=True)
        self.deliver()

    def execute(self) -> Execution:
        """For use as ``with execution.execute():``; leaving it in error records the execution as ``Failed``."""
        return self

    def __enter__(self) -> Execution:
        self.execution_start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: object
    ) -> None:
        with signals_ignored():
            self._stop()
            if error is not None:
                self._close(*end_by(error))
        if error is None:
            self._delivery.show(self.local_rid)
        else:
            self.deliver()

    # Outputs

    def asset_file_path(
        self,
        asset_name: str,
        file_name: str | Path,
        asset_types: Sequence[str] | str | None = None,
        copy_file: bool = False,
        rename_file: str | None = None,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        **columns: Any,
    ) -> AssetFilePath:
        """Register an output file and return the path to write it to.

        A ``file_name`` that names an existing file registers that file: linked, so that what it holds at commit
        is recorded, or copied now. A bare text is the name of a new file, whatever lies in the working directory;
        give an existing file there as a ``Path``. Every call registers another asset, also under a name that is
        in use.

        Args:
            asset_name: the asset table, such as ``Execution_Asset``.
            file_name: the asset's name, or an existing file.
            asset_types: terms of the ``Asset_Type`` vocabulary; by default the table's name.
            copy_file: copy an existing file instead of linking it.
            rename_file: record an existing file under this name.
            description: Markdown.
            metadata: values for columns of the asset table's own.
            columns: the same, as keywords.

        Raises:
            DerivaMLRequestError: no such table or column, or a name that is not a plain file name.
        """
        table = str(asset_name)
        tables = self._connection.source.asset_tables()
        if table not in tables:
            raise DerivaMLRequestError(
                f"there is no asset table {table}; the catalog has {', '.join(tables)}"
            )
        values = {**(metadata or {}), **columns}
        self._check_columns(table, values)
        source = Path(file_name)
        bare = isinstance(file_name, str) and file_name == source.name
        existing = source.is_file() and not (bare and not copy_file and rename_file is None)
        name = rename_file or (source.name if existing else str(file_name))
        if name in {"", ".", ".."} or "/" in name or "\\" in name or "\0" in name:
            raise DerivaMLRequestError(
                f"{name!r} cannot name an asset: give a plain file name, or the path of a file that exists"
            )
        types = (asset_types,) if isinstance(asset_types, str) else tuple(asset_types or (table,))
        staged = self._stage(table, name, tuple(str(term) for term in types), description or "", values)
        if existing and copy_file:
            copy_atomically(source, staged.path)
        elif existing:
            staged.path.symlink_to(source.absolute())
        path = AssetFilePath.of(staged, staged.path)
        path.columns, path.change = values, lambda *now: self._restage(staged, *now)
        return path

    def _check_columns(self, table: str, values: Mapping[str, Any]) -> None:
        own = self._connection.source.asset_columns(table)
        if unknown := [name for name in values if name not in own]:
            raise DerivaMLRequestError(f"the asset table {table} has no column {', '.join(unknown)}")
        if lacking := [name for name, needed in own.items() if needed and values.get(name) is None]:
            raise DerivaMLRequestError(
                f"a row of {table} needs {', '.join(lacking)}: give metadata={{...}} with a value for each"
            )

    def _restage(self, staged: StagedAsset, types: tuple[str, ...], columns: Mapping[str, Any]) -> bool:
        self._check_columns(staged.table, columns)
        if not self.dry_run:
            return self._local.restage(staged.number, types, columns)
        self._dry_staged[staged.number - 1] = replace(staged, types=types)
        return True

    def metrics_file(self, filename: str = "metrics.jsonl") -> AssetFilePath:
        """The path of a metadata file for metrics, one JSON object a line; registered by the first call.

        Later calls return the same path until the file is committed, so that a training loop may call it each time.
        """
        if filename not in self._metrics:
            self._metrics[filename] = self.asset_file_path(
                MLAsset.execution_metadata, filename, ExecMetadataType.metrics_file
            )
        return self._metrics[filename]

    def log_metrics(self, metrics: Mapping[str, Any], step: float | None = None) -> None:
        """Record metrics: a line of a metadata file of their own, beside ``metrics_file()``.

        Args:
            metrics: numbers by name; also those of NumPy and PyTorch.
            step: which step of the work they are of; by default lines are counted from 0.

        Raises:
            DerivaMLRequestError: one of them is no number.
        """
        line = metrics_line(metrics, step)
        # Half a character in a name is written as JSON has it.
        path = self.metrics_file(LOGGED_METRICS)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(line)

    def add_metadata(self, file_name: str, content: str, kind: ExecMetadataType) -> None:
        """Record a text about the execution itself as one of its metadata files."""
        path = self.asset_file_path(MLAsset.execution_metadata, file_name, kind)
        write_atomically(path, content)

    def record_circumstances(self, provenance: Mapping[str, Any], hydra_config: str = "") -> dict[str, Any]:
        """Record how this execution came about: its configuration, its code's provenance, the composed config.

        Returns:
            What `configuration.json` holds.
        """
        from deriva_ml.execution.configuration_record import texts_of

        created = "" if self.dry_run else self._local.lookup_execution(self.local_rid).created
        texts = texts_of(
            self.configuration, self.workflow, provenance, self.started_by, hydra_config, created
        )
        for name, (text, kind) in texts.items():
            self.add_metadata(name, text, kind)
        self._circumstances = json.loads(texts[CONFIGURATION][0])
        return self._circumstances

    def _stage(
        self, table: str, name: str, types: tuple[str, ...], description: str, columns: Mapping[str, Any]
    ) -> StagedAsset:
        folder = self.working_dir / "assets"
        if not self.dry_run:
            self._local.make_asset_table(table)  # it may be one that only the source has
            return self._local.stage(self.local_rid, table, name, folder, types, description, columns)
        number = len(self._dry_staged) + 1
        path = folder / table / str(number) / name
        path.parent.mkdir(parents=True)
        self._dry_staged.append(StagedAsset(number, DRY_RUN_RID, table, name, path, types, description))
        return self._dry_staged[-1]

    def commit_output_assets(
        self, clean_folder: bool | None = None, progress_callback: Callable[..., Any] | None = None
    ) -> UploadReport:
        """Record every registered file and link it to this execution as output.

        Args:
            clean_folder: the registered files become the recorded contents and leave the working folder;
                with False they are copied.
            progress_callback: called once, with what is returned.

        Returns:
            The recorded contents' paths by table. In a dry run, the paths in the working folder.

        Raises:
            DerivaMLRunError: a registered file was never written; everything else has been recorded.
        """
        if self._started is not None:
            with signals_ignored():
                self._stop()
        self._metrics = {name: path for name, path in self._metrics.items() if not path.is_file()}
        if self.dry_run:
            missing = [item for item in self._dry_staged if not item.path.is_file()]
            paths = [AssetFilePath.of(item, item.path) for item in self._dry_staged if item.path.is_file()]
        else:
            with signals_ignored():
                # A runner has the executed notebook; here, what ran is to be told from it.
                if self._circumstances and not self._run and "IPython" in sys.modules:
                    from deriva_ml.execution.executed_sources import conclude

                    self._circumstances = conclude(
                        self._local, self.ml.project, self.local_rid, self._circumstances
                    )
                recorded, missing = self._record(keep=clean_folder is False)
            self.deliver()
            paths = [
                AssetFilePath.of(
                    asset, Path(self._local.locate(asset)), self._connection.delivery.rid(asset.rid)
                )
                for asset in recorded
            ]
        if missing:
            raise DerivaMLRunError(describe_missing(missing))
        report = self.uploaded_assets = UploadReport(grouped((path.asset_table, path) for path in paths))
        if progress_callback:
            progress_callback(report)
        return report

    upload_execution_outputs = commit_output_assets

    def _record(self, keep: bool) -> tuple[list[Asset], list[StagedAsset]]:
        begun = time.monotonic()
        recorded, missing = self._local.commit(self.local_rid, keep=keep)
        duration = format_duration(time.monotonic() - begun)
        # A recorded notebook run is not over: the runner adds the notebook itself and ends the execution. Neither is
        # one that lacks a file: whoever runs it says what that makes of it.
        status = None if self._run or missing else Status.uploaded
        self._local.update_execution(self.local_rid, status, Upload_Duration=duration)
        return recorded, missing

    def deliver(self) -> None:
        """Bring what is recorded to where the record goes, as far as that can be done now."""
        self._delivery.send(self.local_rid)

    def _close(self, status: Status, reason: str, clear: bool = False) -> None:
        if self.dry_run:
            self._dry_status = status
        else:
            close_execution(self._local, self.ml.project, self.local_rid, status, reason, clear=clear)

    # Inputs beyond the declared ones

    def download_dataset_bag(self, dataset: DatasetSpec | DatasetBag | RID) -> DatasetBag:
        """Fetch a dataset and link it as an input; one that was declared is here already."""
        if isinstance(dataset, DatasetBag):
            return dataset
        spec = DatasetSpec.from_shorthand(dataset) if isinstance(dataset, str) else dataset
        for declared, bag in zip(self.configuration.datasets, self.datasets, strict=False):
            meant = bag.dataset_rid == spec.rid if spec.rid else declared.name == spec.name
            if meant and spec.version in (None, bag.version):
                return bag
        _, found = names.found(spec, self._connection.source, self.ml.project)
        bag = inputs.fetch_dataset(
            self._connection.source, found, self.working_dir / "inputs", spec.materialize
        )
        if not self.dry_run:
            self._connection.delivery.link_input(self.local_rid, found)
        return bag

    def add_input_dataset(self, dataset_rid: RID, version: DatasetVersion | str | None = None) -> None:
        """Record that this execution read a dataset, by the current version or another, without fetching it."""
        found = self._connection.source.lookup_dataset(dataset_rid, str(version) if version else None)
        if not self.dry_run:
            self._connection.delivery.link_input(self.local_rid, found)

    # Datasets that it makes

    def create_dataset(
        self,
        dataset_types: str | list[str] | None = None,
        version: DatasetVersion | str | None = None,
        description: str = "",
        name: str = "",
    ) -> Dataset:
        """Make a dataset that has no members yet, in the project's own catalog; its versions are sent with this execution.

        Args:
            dataset_types: terms of the ``Dataset_Type`` vocabulary.
            version: its first one, by default 0.1.0.
            description: Markdown.
            name: what this project calls it, which ``datasets.toml`` keeps.

        Raises:
            DerivaMLRequestError: the name is taken, or this is a dry run.
        """
        return Dataset.create_dataset(self.ml, self, dataset_types, description, version, name)

    def add_files(
        self,
        files: Iterable[FileSpec | Path | str],
        dataset_types: str | list[str] | None = None,
        description: str = "",
        chunk_size: int = 500,
        *,
        root_name: str | None = None,
        name: str = "",
        version: DatasetVersion | str | None = None,
    ) -> Dataset:
        """Record files, and make a dataset of them.

        Args:
            files: specifications, whose files lie at their paths below the folder that they share; or paths, of which a
                folder gives what is in it (beside others, in a folder of its name), and a file its own name.
            chunk_size, root_name: accepted, as upstream's.

        Raises:
            DerivaMLRequestError: a file is not there or is not what its specification says; or this is a dry run.
        """
        changed_by(self._local, self)
        members, roots = take_in(self._local, files)
        with self._local.transaction():
            made = Dataset.create_dataset(self.ml, self, dataset_types, description, version, name, members)
            self._local.add_roots(made.rid, roots)
        return made

    def download_asset(
        self, asset_rid: RID, dest_dir: Path | None = None, update_catalog: bool = True, use_cache: Any = None
    ) -> AssetFilePath:
        """Fetch an asset, by default into the working folder, and link it as an input if ``update_catalog``.

        Contents are always kept by their digest, so that ``use_cache``, which upstream takes, is of no effect.
        """
        asset = self._connection.source.lookup_asset(asset_rid)
        path = inputs.fetch_asset(self._connection.source, asset, self.working_dir / "inputs", dest_dir)
        if update_catalog and not self.dry_run:
            self._connection.delivery.link_input(self.local_rid, asset)
        return path


def _started_by(run: NotebookRun | None) -> str:
    if run:
        return NOTEBOOK_COMMAND
    from deriva_ml.execution.started import how_started

    return how_started().by
