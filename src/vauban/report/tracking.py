"""A finished run as one run of MLflow: parameters, metrics with intervals, findings as tags, page and rows as artifacts."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from vauban.core.errors import ContractError, check_installed
from vauban.report.run.gate import check_finished
from vauban.report.run.judged_cells import planned_run
from vauban.report.run.page import page
from vauban.report.run.summary import summary
from vauban.store import Run

KEY = "vauban.run"
"""Tag that finds a run again: a digest of the addresses of its cells, wherever its folder lies."""
_LONGEST = 4900
"""Characters of a value of a tag or parameter; MLflow refuses more than 5000, or 6000."""
_AT_ONCE = 100
"""Metrics, parameters or tags that go in one call."""


def export_to_mlflow(run: Run, uri: str, experiment: str = "vauban") -> str:
    """Write a run to an MLflow experiment; the same run again changes nothing but what differs.

    Args:
        run: The run, read without pictures.
        uri: The tracking server, or a folder.
        experiment: Name of the experiment; it is made where it is not there.

    Returns:
        The id of the run of MLflow.

    Raises:
        MissingExtra: MLflow is not installed.
        ContractError: The run is not finished, or the server does not answer, or refuses.
    """
    planned = planned_run(run)
    check_finished(planned)
    check_installed("mlflow", "mlflow", "vauban export mlflow")
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder is a choice of the user's, and said by the URI
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(uri)
        known = client.get_experiment_by_name(experiment)
        place = client.create_experiment(experiment) if known is None else known.experiment_id
        return _written(client, str(place), planned)
    except (MlflowException, OSError) as error:
        first = str(error).splitlines()[0][:200]
        raise ContractError(f"expected an MLflow server or folder at {uri} that takes the run, got: {first}") from error


def parameters(run: Run) -> dict[str, str]:
    """What the study was made of, as short texts."""
    words = run.study.get("words") or {
        key: run.study.get(key) for key in ("models", "attacks", "defences", "data", "seed")
    }
    return {key: _text(value) for key, value in words.items() if value not in (None, [], "")}


def metrics(told: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a summary by name: `robust_accuracy/MODEL/DEFENCE/linf-0.0314`, and `_low` and `_high` of each."""
    named = dict[str, float]()
    for network in told["networks"]:
        where = f"{network['model']}/{network['defence']}"
        named |= _interval("clean_accuracy", where, network["clean_accuracy"])
        for bound in network["robust_accuracy"]:
            named |= _interval("robust_accuracy", f"{where}/{bound['norm']}-{bound['eps']:.4g}", bound)
        for minimal in network["minimal_distance"]:
            named[f"median_distance/{where}/{minimal['norm']}"] = minimal["median"]
    return {_metric_name(name): float(value) for name, value in named.items() if value is not None}


def tags(run: Run, told: Mapping[str, Any]) -> dict[str, str]:
    """Findings by severity and code, each with its message, and the versions that made the rows."""
    named = {f"finding.{f['severity']}.{f['code']}": _text(f["message"]) for f in reversed(told["findings"])}
    invalid = sorted({code for network in told["networks"] for code in network["invalid"]})
    versions = {str((cell.meta.get("versions") or {}).get("vauban", "")) for cell in run.cells}
    told_versions = ", ".join(sorted(versions - {""}))
    return {**named, "vauban.invalid": ", ".join(invalid) or "none", "vauban.version": told_versions or "not recorded"}


def run_key(run: Run) -> str:
    """The digest by which a run is found again."""
    keys = sorted(str(cell.meta["hash"]) for cell in run.cells)
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32]


def _written(client: Any, experiment: str, run: Run) -> str:
    told, key = summary(run), run_key(run)
    there = client.search_runs([experiment], f"tags.`{KEY}` = '{key}'", max_results=1)
    held = there[0] if there else client.create_run(experiment, run_name=run.path.absolute().name, tags={KEY: key})
    identifier = str(held.info.run_id)
    _log(client, identifier, held.data, metrics(told), parameters(run), tags(run, told))
    client.log_text(identifier, page(run), "report.html")
    client.log_text(identifier, json.dumps(told, indent=2), "summary.json")
    for cell in run.cells:
        folder = run.path / "cells" / cell.meta["hash"]
        for path in (folder / "cell.json", *sorted(folder.glob("*.parquet")), *sorted(folder.glob("parts/*.parquet"))):
            below = path.parent.relative_to(run.path).as_posix()
            client.log_artifact(identifier, str(path), f"rows/{below}")
    if not there:
        client.set_terminated(identifier)
    return identifier


def _log(
    client: Any,
    identifier: str,
    held: Any,
    numbers: Mapping[str, float],
    words: Mapping[str, str],
    marks: Mapping[str, str],
) -> None:
    """Write what is not there yet as it is: a number that is written twice would be two points of a curve."""
    from mlflow.entities import Metric, Param, RunTag

    fresh = [Metric(name, value, 0, 0) for name, value in numbers.items() if held.metrics.get(name) != value]
    named = [Param(name, value) for name, value in words.items() if name not in held.params]
    marked = [RunTag(name, value) for name, value in marks.items() if held.tags.get(name) != value]
    for some in _chunks(fresh):
        client.log_batch(identifier, metrics=some)
    for some in _chunks(named):
        client.log_batch(identifier, params=some)
    for some in _chunks(marked):
        client.log_batch(identifier, tags=some)
    for name in held.tags:
        if name.startswith("finding.") and name not in marks:
            client.delete_tag(identifier, name)


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


def _interval(quantity: str, where: str, number: Mapping[str, Any]) -> dict[str, Any]:
    ends = {f"{quantity}_{end}/{where}": number[end] for end in ("low", "high")}
    return {f"{quantity}/{where}": number["value"], **ends}


def _metric_name(text: str) -> str:
    """A name that MLflow takes: letters, digits, and `_ - . / :` and blanks, at most 250 of them."""
    return re.sub(r"[^\w\-./: ]", "_", text, flags=re.ASCII)[:250]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
