"""A run in MLflow: its numbers, words, findings and files, and the same run twice is one."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from vauban.core.errors import ContractError
from vauban.report.run.summary import summary
from vauban.report.tracking import export_to_mlflow, metrics, parameters, tags
from vauban.store import load


@pytest.fixture(scope="module")
def run(fake_run, tmp_path_factory):
    folder = fake_run.build(tmp_path_factory.mktemp("tracked"), n=50, models=("cifar10-cnn",), hw=8)
    return load(planned(folder), pictures=False)


def planned(folder: Path) -> Path:
    study = json.loads((folder / "study.json").read_text())
    words = {"data": "cifar10/test[:50]", "models": ["cifar10-cnn"], "seed": 3, "root": None}
    study |= {"cells": sorted(path.name for path in (folder / "cells").iterdir()), "words": words}
    (folder / "study.json").write_text(json.dumps(study))
    return folder


def test_metrics_have_their_intervals_and_findings_are_tags(run):
    told = summary(run)
    numbers, network = metrics(told), told["networks"][0]
    bound = network["robust_accuracy"][0]
    where = f"{network['model']}/{network['defence']}/linf-0.03137"
    for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high")):
        assert numbers[f"robust_accuracy{suffix}/{where}"] == bound[end]
    assert parameters(run) == {"data": "cifar10/test[:50]", "models": '["cifar10-cnn"]', "seed": "3"}
    assert tags(run, told)["finding.warning.black-box-beats-white-box"].startswith("square broke 12.0 %")


def test_a_run_that_lacks_rows_is_refused(run, tmp_path):
    partial = replace(run, cells=[replace(run.cells[0], complete=False), *run.cells[1:]])
    with pytest.raises(ContractError, match="expected a finished run, got one without all of its rows"):
        export_to_mlflow(partial, (tmp_path / "store").as_uri())
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed")
def test_the_same_run_twice_is_one_run_of_mlflow(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    uri = (tmp_path / "store").as_uri()
    first = export_to_mlflow(run, uri, "robustness")
    assert export_to_mlflow(run, uri, "robustness") == first
    client = MlflowClient(uri)
    (written,) = client.search_runs([client.get_experiment_by_name("robustness").experiment_id])
    told = summary(run)
    assert written.data.metrics == metrics(told)
    assert written.data.params == parameters(run)
    assert written.data.tags["finding.warning.black-box-beats-white-box"].startswith("square broke")
    assert written.info.status == "FINISHED"
    name = next(iter(metrics(told)))
    assert len(client.get_metric_history(first, name)) == 1
    assert {item.path for item in client.list_artifacts(first)} == {"report.html", "rows", "summary.json"}
    cell = run.cells[0].meta["hash"]
    assert {item.path for item in client.list_artifacts(first, f"rows/cells/{cell}")} == {
        f"rows/cells/{cell}/cell.json",
        f"rows/cells/{cell}/parts",
    }
    with pytest.raises(
        ContractError, match="expected an MLflow server or folder at nowhere://x that takes the run, got: "
    ):
        export_to_mlflow(run, "nowhere://x")
