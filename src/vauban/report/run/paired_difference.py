"""Paired difference of the robust accuracies of two networks on the same images."""

from __future__ import annotations

import numpy as np

from vauban.report.shared import format as fmt
from vauban.statistics.combine import worst_case
from vauban.statistics.intervals import mcnemar, paired_difference
from vauban.store import CellRows


def against_undefended(defended: list[CellRows], bare: list[CellRows], norm: str, eps: float) -> str | None:
    """Sentence on the change that a defence makes within one budget.

    Args:
        defended: The cells of the defended network.
        bare: The cells of the same network without the defence.
        norm: The norm of the budget.
        eps: The budget in pixels of [0,1].

    Returns:
        The sentence, paired over the images that both networks were attacked on; None where there are none, and for a
        randomised network: it has rates between 0 and 1, to which a test on pairs of yes and no does not apply.
    """
    if not defended or not bare:
        return None
    one, two = worst_case(defended, norm, eps), worst_case(bare, norm, eps)
    shared, first, second = np.intersect1d(one.ids, two.ids, return_indices=True)
    a, b = one.robust[first], two.robust[second]
    if not len(shared) or not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        return None
    difference = float(a.mean() - b.mean())
    low, high = paired_difference(a > 0, b > 0)
    return (
        f"{100 * difference:+.1f} points against the undefended network on the same {fmt.plural(len(shared), 'image')} "
        f"(95\u00a0% interval {100 * low:+.1f} to {100 * high:+.1f}, exact McNemar p = {mcnemar(a > 0, b > 0):.2g})."
    )
