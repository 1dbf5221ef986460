"""Values of the metrics of a network, and their means as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.core.errors import plain, plural
from vauban.jobs.runner import Outcome
from vauban.report.shared import format as fmt
from vauban.statistics.estimates import Conditional, conditional_mean
from vauban.store.schema import to_numpy


@dataclass(frozen=True, repr=False)
class Measurements:
    """What `vauban.measure` gives; it prints as a table of means with their 95 % intervals.

    Attributes:
        model: The network, with its defence.
        units: The unit of each metric, by its name.
        columns: Arrays of each metric, by its name: `id`, `y`, `fooled` and `value`, NaN where an image has none.
        outcomes: How each job ended.
    """

    model: str
    units: dict[str, str]
    columns: dict[str, dict[str, np.ndarray[Any, Any]]]
    outcomes: tuple[Outcome, ...]

    @classmethod
    def of(
        cls, model: str, names: Sequence[tuple[str, str]], rows: Sequence[pa.Table], outcomes: tuple[Outcome, ...]
    ) -> Measurements:
        """The values of stored rows, a table for each metric."""
        columns = {name: to_numpy(table) for (name, _), table in zip(names, rows, strict=True)}
        return cls(model, dict(names), columns, outcomes)

    def mean(self, name: str) -> Conditional:
        """The mean of a metric over the images that have a value, with their share."""
        values = np.asarray(self.columns[name]["value"], float)
        return conditional_mean(values, ~np.isnan(values))

    def __repr__(self) -> str:
        lines = [f"{self.model}", "", "| metric | unit | mean | 95 % interval | images with a value |"]
        lines.append("|" + " --- |" * 5)
        for name, unit in self.units.items():
            mean, n = self.mean(name), len(self.columns[name]["value"])
            limits = "–" if not n else f"{mean.interval.low:.4g} to {mean.interval.high:.4g}"
            share = "–" if not n else f"{round(mean.p_suc * n)} of {plural(n, 'image')}"
            value = "–" if np.isnan(mean.value) else f"{mean.value:.4g}"
            fields = (fmt.markdown_text(name), "" if unit == "1" else unit, value, limits, share)
            lines.append("| " + " | ".join(fields) + " |")
        failed = [str(outcome.job.label) for outcome in self.outcomes if outcome.state == "failed"]
        return plain("\n".join([*lines, *(f"failed: {label}" for label in failed)]))
