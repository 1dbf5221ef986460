"""Indicators from counts: what those of one finished cell say by themselves, in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.findings import Finding, Measured


def own(cells: Sequence[tuple[Mapping[str, Any], Mapping[str, npt.NDArray[Any]]]]) -> list[tuple[str, Finding]]:
    """Findings on single cells, each with the hash of its cell; cells are (meta, columns) as for `across`."""
    return [(label, measured.finding()) for label, measured in counted(cells) if measured.fires]


def counted(
    cells: Sequence[tuple[Mapping[str, Any], Mapping[str, npt.NDArray[Any]]]],
) -> Iterator[tuple[str, Measured]]:
    """What every rule saw, also those that stay silent. The samples are those that the attack had to work on; a cell
    written before its column existed is passed over."""
    for meta, columns in cells:
        unsolved = np.asarray(columns.get("unsolved", np.nan), dtype=float)
        if meta.get("clean_only") or not unsolved.shape or np.isnan(unsolved).any():
            continue
        missed, tried = unsolved > 0, np.asarray(columns["backwards"]) > 0
        solves = float(unsolved[missed].mean()) if missed.any() else 0.0
        yield str(meta["hash"]), rules.UNSOLVED.on(int(missed.sum()), int((missed | tried).sum()), solves=solves)
