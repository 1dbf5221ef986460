"""Summary of a run as JSON: the one form that every `--json` of a run prints, described by `summary.schema.json`."""

from __future__ import annotations

import json
import math
from importlib import resources
from pathlib import Path
from typing import Any

from vauban.report.run.attack_stages import cell_stages
from vauban.report.run.detection import detection_rows
from vauban.report.run.headlines import Headline, headlines
from vauban.report.run.row_tables import certificate_rows, measurement_rows
from vauban.report.run.tables import raw_rows
from vauban.statistics.estimates import Estimate
from vauban.store import Run

FORMAT = 1
"""Version of the form: a key that is added leaves it, one that goes or means something else raises it."""
SCHEMA = "summary.schema.json"


def summary_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a summary."""
    schema: dict[str, Any] = json.loads(
        resources.files("vauban.report.run").joinpath(SCHEMA).read_text(encoding="utf-8")
    )
    return schema


def summary(run: Run, population: str = "all", page: Path | None = None) -> dict[str, Any]:
    """The numbers of a run, None for what is not defined or infinite.

    Args:
        run: The run.
        population: The set (`all`, `correct` or `common`) of P_suc, distances and metrics.
        page: Where its page is; None: not told.

    Raises:
        UnknownName: There is no such population.
    """
    told = {
        "format": FORMAT,
        "report": None if page is None else str(page.resolve()),
        "study": {key: run.study.get(key) for key in ("words", "command", "data", "n", "seed")},
        "networks": [_network(headline) for headline in headlines(run)],
        "results": raw_rows(run, population),
        "stages": [
            {"cell": cell.meta["hash"], "stage": after.stage, "broke": after.broke, "accuracy": after.accuracy.value}
            | {"low": after.accuracy.interval.low, "high": after.accuracy.interval.high, "n": after.accuracy.n}
            for cell in run.cells
            for after in cell_stages(cell)
        ],
        "detection": detection_rows(run),
        "certificates": certificate_rows(run.certificates),
        "measurements": measurement_rows(run.measurements),
        "failures": [{"cell": cell.meta["hash"], **failure} for cell in run.cells for failure in cell.failures],
        "findings": [{"cell": cell.meta["hash"], **f} for cell in run.cells for f in cell.findings] + run.findings,
    }
    plain: dict[str, Any] = _as_json(told)
    return plain


def estimate(value: Estimate) -> dict[str, Any]:
    """A number with its 95 % interval and the images that it is over."""
    return {"value": value.value, "low": value.interval.low, "high": value.interval.high, "n": value.n}


def _network(headline: Headline) -> dict[str, Any]:
    return {
        "model": headline.model,
        "defence": headline.defence,
        "data": headline.data,
        "clean_accuracy": estimate(headline.clean),
        "robust_accuracy": [
            {"norm": bound.norm, "eps": bound.eps, **estimate(bound.robust)}
            | {"gradients": bound.gradients, "queries": bound.queries}
            for bound in (*headline.bounds, *headline.other_bounds)
        ],
        "minimal_distance": [
            {"norm": minimal.norm, "median": minimal.median, "p_suc": estimate(minimal.p_suc)}
            for minimal in headline.minimal
        ],
        "invalid": list(headline.invalid),
        "unfinished": headline.unfinished,
        "stale": headline.stale,
    }


def _as_json(value: Any) -> Any:
    """The value without numbers that JSON has not, nor types of numpy; empty texts are nothing."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    plain = value.item() if hasattr(value, "item") else value
    return None if plain == "" or (isinstance(plain, float) and not math.isfinite(plain)) else plain
