"""Values of the metrics of a network, and their means as a table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vauban.core.errors import plain
from vauban.jobs.runner import Outcome
from vauban.report.run.measured import mean_of, measured_table
from vauban.statistics.estimates import Conditional
from vauban.store.job_rows import JobRows


@dataclass(frozen=True, repr=False)
class Measurements:
    """What `vauban.measure` gives; it prints as a table of means with their 95 % intervals.

    Attributes:
        path: The run directory; one that was temporary is gone.
        rows: The rows of each metric, in the order in which they were given.
        outcomes: How each job ended.
    """

    path: Path
    rows: tuple[JobRows, ...]
    outcomes: tuple[Outcome, ...]

    @cached_property
    def columns(self) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
        """Arrays of each metric, by its name: `id`, `y`, `fooled` and `value`, NaN where an image has none."""
        return {str(rows.meta["metric"]): rows.columns for rows in self.rows}

    def mean(self, name: str) -> Conditional:
        """The mean of a metric over the images that have a value, with their share."""
        return mean_of(self.columns[name])

    def __repr__(self) -> str:
        return plain(measured_table(self.rows).rstrip())
