"""For a replay, a Deriva catalog is as it was for the record, and is only read."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from deriva_ml.catalog.catalog_config import DerivaMLConfig
from deriva_ml.definitions import Status, Workflow
from deriva_ml.deriva.connect import connect
from deriva_ml.process import Owner
from deriva_ml.project import Project
from remote_datasets.study import Study


@pytest.mark.parametrize("study", ["head"], indirect=True)
def test_a_dataset_that_has_grown_is_the_one_that_was_read(study: Study, tmp_path: Path) -> None:
    """Unless the code asks for another version; and no execution comes to stand there."""
    dataset = study.dataset("Growing", File=study.files("File", "a.csv"))
    study.version(dataset, "1.0.0")
    study.extend(dataset, File=study.files("File", "b.csv"))
    study.version(dataset, "1.1.0")
    double, number = study.double, study.server.catalog_id
    config = DerivaMLConfig(double.url, number, double.credential())
    (tmp_path / "pyproject.toml").touch()
    project = Project(tmp_path, tmp_path / "scratch")
    with closing(connect(config, project)) as connection:
        assert connection.source.lookup_dataset(dataset).version == "1.1.0"
    project.replayed.write_text(json.dumps({"datasets": {dataset: "1.0.0"}}))
    before = double.dump(number)
    with closing(connect(config, project)) as connection:
        assert connection.source.lookup_dataset(dataset).version == "1.0.0"
        assert connection.source.lookup_dataset(dataset, "1.1.0").version == "1.1.0"
        connection.delivery.check_recording()
        local, rid = connection.add_execution(Workflow("w", url="u"), "", Owner.here(project.state))
        connection.delivery.link_input(local, connection.source.lookup_dataset(dataset))
        connection.local.update_execution(local, Status.uploaded)
        connection.delivery.send(local)
        assert connection.local.lookup_execution(local).status is Status.uploaded
        assert rid == local and not connection.local.journal.pending()
    assert double.dump(number) == before
