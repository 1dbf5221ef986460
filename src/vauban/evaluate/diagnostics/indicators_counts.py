"""Indicators from counts: what those of one finished cell say by themselves, in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.findings import Finding, Measured

COUNTED = (("unsolved", rules.UNSOLVED, "solves"), ("nonfinite_gradients", rules.NONFINITE_GRADIENTS, "gradients"))
"""Columns of counts, the rule on the samples that have any, and what the rule calls their mean."""


def own(cells: Sequence[tuple[Mapping[str, Any], Mapping[str, npt.NDArray[Any]]]]) -> list[tuple[str, Finding]]:
    """Findings on single cells, each with the hash of its cell; cells are (meta, columns) as for `across`."""
    return [(label, measured.finding()) for label, measured in counted(cells) if measured.fires]


def counted(
    cells: Sequence[tuple[Mapping[str, Any], Mapping[str, npt.NDArray[Any]]]],
) -> Iterator[tuple[str, Measured]]:
    """What every rule saw, also those that stay silent. The samples are those that the attack had to work on; a cell
    written before its column existed is passed over."""
    for meta, columns in cells:
        for column, rule, fact in COUNTED:
            times = np.asarray(columns.get(column, np.nan), dtype=float)
            if meta.get("clean_only") or not times.shape or np.isnan(times).any():
                continue
            met, tried = times > 0, np.asarray(columns["backwards"]) > 0
            mean = float(times[met].mean()) if met.any() else 0.0
            yield str(meta["hash"]), rule.on(int(met.sum()), int((met | tried).sum()), **{fact: mean})
