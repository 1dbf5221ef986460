"""Final search: a success moved along its line to the original, toward the boundary."""

from __future__ import annotations

from dataclasses import replace

import torch

from vauban.core.errors import BudgetSpent
from vauban.core.losses import margin
from vauban.core.norms import Norm
from vauban.core.tensors import like, where
from vauban.engine import Oracle, Result


def searched(oracle: Oracle, total: Result, norm: Norm, tries: int) -> Result:
    """The successes of a run, nearer where a point between them and their originals succeeds too.

    The margin is asked for at both ends, then `tries` times where the straight line through the values at the ends of the
    interval is zero; that point takes the place of the end on its side (false position). Images that change from answer to
    answer, or of a network whose logits are not granted, are left as they are.

    Args:
        oracle: The rows of the run.
        total: Its result.
        norm: In which distances are measured.
        tries: Queries beside the two of the ends, of a row with a success; 0 leaves all as it is.

    Returns:
        The result with the cost of the search.
    """
    index = total.success.nonzero().squeeze(1)
    if not tries or not len(index) or not oracle.threat.direct or "scores" not in oracle.threat.grants:
        return total
    rows, best = oracle.rows(index), total.at(index)
    spent, x0, way = rows.forwards.clone(), rows.domain.x0, best.adversarial - rows.domain.x0
    near, far = torch.zeros_like(best.distance), torch.ones_like(best.distance)
    try:
        low, high = margin(rows.clean_logits(), rows.goal), margin(rows.scores(best.adversarial), rows.goal)
        for _ in range(tries):
            share = (low / (low - high)).nan_to_num(0.5, 0.5, 0.5).clamp(0, 1)
            at = near + (far - near) * share
            x = rows.domain.quantise(x0 + like(at, way) * way)
            logits = rows.scores(x)
            value, distance = margin(logits, rows.goal), norm.size(x - x0)
            reached = rows.goal.reached(logits) & rows.domain.admissible(x)
            better = reached & (distance < best.distance)
            best = replace(
                best,
                adversarial=where(better, x, best.adversarial),
                crafted=where(better, x, best.crafted),
                distance=torch.where(better, distance, best.distance),
            )
            far, high = torch.where(reached, at, far), torch.where(reached, value, high)
            near, low = torch.where(reached, near, at), torch.where(reached, low, value)
    except BudgetSpent:
        pass
    return total.spread(index, replace(best, forwards=best.forwards + rows.forwards - spent))
