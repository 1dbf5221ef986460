"""The measurements that need further runs of an attack, one function for each question; indicators.py asks them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vauban.attacks.fixed_budget.random_noise import RandomNoise
from vauban.core.answers import ALL
from vauban.core.goals import Goal, ResolvedGoal
from vauban.core.norms import L0, Ball, Linf
from vauban.core.tensors import flat
from vauban.engine import Attack, BoundThreat, Oracle, Result, Steps, iterate, judge
from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.findings import Measured
from vauban.evaluate.diagnostics.preflight_probe import Probe

QUERY = ALL - {"gradients"}


@dataclass(frozen=True)
class AttackedCase:
    """The samples looked at and what the attack made of them."""

    attack: Attack
    threat: BoundThreat
    x: Tensor
    y: Tensor
    goal: Goal
    ids: Tensor
    resolved: ResolvedGoal
    result: Result
    seed: int

    def open(self, **changes: Any) -> Oracle:
        """An oracle for a further run, without the attacker's budget."""
        threat = replace(self.threat, budget=None, **changes)
        return Oracle.open(threat, self.x, self.y, self.goal, self.ids, self.seed)

    @property
    def ball(self) -> Ball | None:
        """The budget of the attack, or of the attacks that a combinator runs, where they share one."""
        return self.attack.ball

    def count(self, mask: Tensor) -> tuple[int, int]:
        return int(mask.sum()), len(self.x)


def verdicts(case: AttackedCase) -> Iterator[Measured]:
    """Silent success, made impossible by the record of finds: the verdict on both images agrees with the attack."""
    if case.threat.randomised:  # the attack's draws and the verdict's are different ones
        return
    limit = case.threat.limit or case.ball
    won = judge(case.threat, case.x, case.result.adversarial, case.resolved, limit=limit, seed=case.seed).success
    missed = judge(case.threat, case.x, case.result.crafted, case.resolved, limit=limit, seed=case.seed).success
    success = case.result.success
    may_ask = case.threat.direct or "labels" in case.threat.grants
    yield rules.VERDICT.on(*case.count((success & ~won) | (~success & missed & may_ask)))


def transfer(case: AttackedCase) -> Iterator[Measured]:
    """Transfer failure: the crafted image reaches the goal on the sources' weighted mean and not on the target."""
    if not case.threat.sources:
        return
    probe = Probe(case.threat, case.x, case.resolved, case.seed)
    weights = [weight for _, weight in case.threat.networks]
    target = probe.answer(case.result.crafted)
    logits = [probe.in_columns(z) for z in probe.source_logits(case.result.crafted)]
    mean = torch.stack([(w * z).where(z.isfinite(), z) for w, z in zip(weights, logits, strict=True)]).sum(0)
    yield rules.TRANSFER.on(*case.count(case.resolved.reached(mean) & ~case.resolved.reached(target)))


def noise(case: AttackedCase) -> Iterator[Measured]:
    """Ten random points of the attack's own ball, or of half the distance at which it broke a sample.

    Not for an attack without steps, which does not search and so may lose to noise.
    """
    if isinstance(case.attack, Steps) and case.attack.steps == 0:
        return
    norm = case.attack.norm
    if isinstance(case.attack, RandomNoise) or norm is L0 or not (case.ball or case.attack.minimises):
        return
    if case.ball is not None:
        ball, rows = case.ball, ~case.result.success
    else:
        rows = case.result.success & (case.result.distance > 0)
        ball = norm(torch.where(rows, rules.HALF * case.result.distance, torch.zeros_like(case.result.distance)))
    oracle = case.open(grants=QUERY, sources=(), backward={}, limit=None)
    noise = iterate(RandomNoise(ball, steps=rules.NOISES), oracle)
    rule = rules.NOISE if case.ball else rules.NOISE_NEARER
    yield rule.on(*case.count(noise.success & rows))


def steps(case: AttackedCase) -> Iterator[Measured]:
    """For attacks that follow gradients over several steps: completeness, the unconstrained run, twice the steps."""
    attack = case.attack
    if not isinstance(attack, Steps) or attack.steps < 2 or not bool((case.result.backwards > 0).any()):
        return
    if case.ball is not None:
        if not bool(case.result.success.all()):
            yield rules.INCOMPLETE.on(*case.count(~case.result.success & _rising(case, attack)))
        everywhere = _everywhere(case.ball, case.x)
        free = iterate(replace(attack, ball=everywhere), case.open(limit=None))  # type: ignore[type-var]
        yield rules.UNCONSTRAINED.on(*case.count(~free.success))
    if not _can_double(attack):
        return
    facts = {"steps": 2 * attack.steps, "half": attack.steps}
    more = iterate(replace(attack, steps=2 * attack.steps), case.open())  # type: ignore[type-var]
    gained = more.success & ~case.result.success
    lost = int((case.result.success & ~more.success).sum())
    yield rules.DOUBLED.on(max(0, int(gained.sum()) - lost), len(case.x), **facts)
    if case.ball is None:
        nearer = more.success & case.result.success & (more.distance < rules.CLOSER * case.result.distance)
        yield rules.NEARER.on(*case.count(nearer), **facts)


def _rising(case: AttackedCase, attack: Steps[Any]) -> Tensor:
    """Whether the running best of the loss, rescaled to [0,1] per sample, still rises in the last tenth of the steps."""
    trace: list[Tensor] = []

    def note(t: int, oracle: Oracle, state: Any) -> None:
        trace.append(oracle.loss.clone())

    iterate(attack, case.open(), stop="never", callback=note)
    loss = torch.stack(trace)  # (steps, batch)
    best = loss.nan_to_num(nan=-torch.inf).cummax(0).values
    low, high = loss.amin(0), best[-1]
    span = high - low
    late = best[-1] - best[-1 - max(1, round(rules.LATE * len(best)))]
    return (span > 1e-6 * high.abs()) & (late > rules.IMPROVED * span)


def _everywhere(ball: Ball, x: Tensor) -> Ball:
    """The ball of the same norm that holds all of [0,1]."""
    features = flat(x).shape[1]
    return ball.norm(1.0 if ball.norm is Linf else float(features) ** (0.5 if ball.norm.p == 2 else 1.0))


def _can_double(attack: Any) -> bool:
    return dataclasses.is_dataclass(attack) and any(f.name == "steps" and f.init for f in dataclasses.fields(attack))
