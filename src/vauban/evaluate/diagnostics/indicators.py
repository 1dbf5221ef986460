"""Indicators that an attack failed for reasons of its own, after Pintor et al., Indicators of attack failure, 2022
(arXiv:2106.09947), and Carlini et al., On evaluating adversarial robustness, 2019 (arXiv:1902.06705).

Departures: shares of samples with calibrated thresholds; every share is of all samples examined, so that it bounds by how
much robust accuracy may be wrong.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor

from vauban.core.goals import Goal
from vauban.engine import Attack, BoundThreat, Result
from vauban.evaluate.diagnostics.findings import Finding, Measured, fired
from vauban.evaluate.diagnostics.indicators_across import across
from vauban.evaluate.diagnostics.indicators_runs import AttackedCase, noise, steps, transfer, verdicts
from vauban.evaluate.diagnostics.preflight_probe import first, resolve

__all__ = ["across", "after", "measure"]


def after(
    attack: Attack,
    threat: BoundThreat,
    x: Tensor,
    y: Tensor,
    goal: Goal,
    ids: Tensor,
    result: Result,
    seed: int = 0,
    extra: int = 64,
) -> list[Finding]:
    """Findings on a run of an attack, the gravest first.

    On the first `extra` samples: the verdict on both images of the result, ten noises of the attack's size, and for
    attacks that follow gradients in several steps three further runs: to the end, without limit, with twice the steps.
    Combinators get the first two only. None of the passes is counted as the attack's.

    Args:
        attack: What was run.
        threat: The attacker.
        x: Images `(batch, ...)`, pixels in [0,1].
        y: Labels `(batch,)`.
        goal: What counts as success.
        ids: Sample ids `(batch,)`.
        result: What the run returned.
        seed: Of the run.
        extra: Samples to look at.
    """
    return fired(measure(attack, threat, x, y, goal, ids, result, seed, extra))


def measure(
    attack: Any,
    threat: BoundThreat,
    x: Tensor,
    y: Tensor,
    goal: Goal,
    ids: Tensor,
    result: Result,
    seed: int = 0,
    extra: int = 64,
) -> list[Measured]:
    """What every indicator saw, also those that stay silent."""
    n = min(extra, len(x))
    x, y, ids, goal = x[:n], y[:n], ids[:n], first(goal, n)
    resolved = resolve(threat, x, y, goal, ids, seed)
    case = AttackedCase(attack, threat, x, y, goal, ids, resolved, result.at(torch.arange(n, device=x.device)), seed)
    return list(chain(verdicts(case), transfer(case), noise(case), steps(case)))
