"""Verdicts given again: the defended network asked for the stored pictures of a part, as the evaluator asked it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball, norm_by_name
from vauban.core.rng import fold
from vauban.engine import BoundThreat, judge
from vauban.engine.network import predict, quiet
from vauban.evaluate.columns import verdict_columns
from vauban.evaluate.inspection.pictures import PicturedRows

Array = np.ndarray[Any, Any]
ANSWERS = ("clean_label", "adv_label", "clean_correct", "misclassified", "reached", "success")
TIE = 1e-4
"""Difference of the two largest logits, as a share of the largest size of one, below which the order of a floating-point
sum decides the label."""
CHANCE = 0.75
"""Difference of the rates over the draws of a random network that other draws do not make."""


@dataclass(frozen=True)
class Again:
    """The answers of a network to the pictures of a part.

    Attributes:
        columns: Those of `ANSWERS`, `(n,)` each.
        random: Whether the network draws random numbers.
        tied: Whether the label of the original or of the image hangs on rounding, `(n,)` bool.
    """

    columns: Mapping[str, Array]
    random: bool
    tied: Array

    def differing(self, stored: Mapping[str, Array]) -> dict[str, Array]:
        """By column, whether the stored value is another one, `(n,)` bool, without those that rounding or draws explain."""
        masks = {}
        for name in ANSWERS:
            gap = np.abs(np.asarray(stored[name], float) - np.asarray(self.columns[name], float))
            label = name.endswith("label")
            masks[name] = (gap > CHANCE) & (not label) if self.random else (gap > 0) & ~self.tied
        return masks

    def unsure(self, stored: Mapping[str, Array]) -> Array:
        """Whether a row has another value that rounding or draws explain, `(n,)` bool."""
        other = [np.asarray(stored[name], float) != np.asarray(self.columns[name], float) for name in ANSWERS]
        differing: Array = np.any(list(self.differing(stored).values()), axis=0)
        unsure: Array = np.any(other, axis=0) & ~differing
        return unsure


def judged_again(rows: PicturedRows, facts: Mapping[str, Any], network: nn.Module) -> Again:
    """Judge the pictures of a part.

    Args:
        rows: The rows with their pictures.
        facts: Of the cell.
        network: The defended one.
    """
    random = bool(facts.get("randomised"))
    threat = BoundThreat(network, levels=None, random=random)
    y, target = (_whole(rows.columns, name) for name in ("y", "target"))
    assert y is not None
    goal = ResolvedGoal(y, target=target, rejects=bool(facts.get("rejects")))
    seed = fold(int(facts["seed"]), int(rows.columns["id"][0]))
    clean = judge(threat, rows.clean, rows.clean, goal, seed=seed)
    verdict = judge(threat, rows.clean, rows.image, goal, limit=_limit(facts), seed=seed)
    told = {"clean_label": clean.label, "adv_label": verdict.label, **verdict_columns(clean, verdict, None)}
    tied = torch.zeros(len(y), dtype=torch.bool) if random else _tied(network, rows.clean) | _tied(network, rows.image)
    return Again({name: told[name].numpy() for name in ANSWERS}, random, tied.numpy())


def _limit(facts: Mapping[str, Any]) -> Ball | None:
    return None if facts.get("eps") is None else norm_by_name(str(facts["norm"]))(float(facts["eps"]))


def _whole(columns: Mapping[str, Array], name: str) -> Tensor | None:
    values = np.asarray(columns[name], float)
    return None if np.isnan(values).all() else torch.from_numpy(values).to(torch.int64)


def _tied(network: nn.Module, x: Tensor) -> Tensor:
    with quiet(list(network.modules())):
        logits = predict(network, x)
    best = logits.topk(2, dim=1).values
    return best[:, 0] - best[:, 1] < TIE * logits.abs().amax(1)
