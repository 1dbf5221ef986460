"""Indicators from counts: what those of one finished cell say by themselves, in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.findings import Finding, Measured, fired
from vauban.evaluate.diagnostics.indicators_stages import staged
from vauban.statistics.audit import audit
from vauban.statistics.summary import not_finite

COUNTED = (("unsolved", rules.UNSOLVED, "solves"), ("nonfinite_gradients", rules.NONFINITE_GRADIENTS, "gradients"))
"""Columns of counts, the rule on the samples that have any, and what the rule calls their mean."""


def own(cells: Sequence[tuple[Mapping[str, Any], Mapping[str, npt.NDArray[Any]]]]) -> list[tuple[str, Finding]]:
    """Findings on single cells, each with the hash of its cell; cells are (meta, columns) as for `across`."""
    return [(label, measured.finding()) for label, measured in counted(cells) if measured.fires]


def answers(before: int, after: int, samples: int) -> Measured:
    """Logits that are not finite before the attack, and after it alone."""
    return rules.NOT_FINITE_ANSWERS.on(before + after, samples, before=before, after=after)


def counted(
    cells: Sequence[tuple[Mapping[str, Any], Mapping[str, npt.NDArray[Any]]]],
) -> Iterator[tuple[str, Measured]]:
    """What every rule saw, also those that stay silent. Smoothing is asked about the samples that the attack had to work
    on; a cell written before its column existed is passed over."""
    for meta, columns in cells:
        if meta.get("clean_only"):
            continue
        if np.isfinite(np.asarray(columns.get("not_finite", np.nan), dtype=float)).any():
            before, after = not_finite(columns)
            yield str(meta["hash"]), answers(int(before.sum()), int(after.sum()), len(before))
        for measured in staged(meta.get("stages") or (), columns):
            yield str(meta["hash"]), measured
        for column, rule, fact in COUNTED:
            times = np.asarray(columns.get(column, np.nan), dtype=float)
            if not times.shape or np.isnan(times).any():
                continue
            met, tried = times > 0, np.asarray(columns["backwards"]) > 0
            mean = float(times[met].mean()) if met.any() else 0.0
            yield str(meta["hash"]), rule.on(int(met.sum()), int((met | tried).sum()), **{fact: mean})
        if (said := audit(columns)) is not None:
            yield (
                str(meta["hash"]),
                rules.AUDIT_PENDING.on(int(said.pending) * (said.spared - said.audited), said.spared),
            )
            yield str(meta["hash"]), rules.AUDIT_MISSES.on(said.missed, said.audited)


def moved(facts: Mapping[str, Any]) -> list[Finding]:
    """What the counts of a cell say."""
    labels = rules.ANSWERS_MOVED.on(facts["moved"], facts["asked"])
    scores = rules.SCORES_MOVED.on(facts["scores_moved"], facts["scores"])
    return fired([labels] if labels.fires else [scores])
