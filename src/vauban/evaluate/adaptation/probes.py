"""Probes where the attack stands: is the gradient that of the function, at the attack's scale, at the image and off it?

A pilot attack is run on a few images. The probes look at those that it left standing, at the image and where the pilot
ended, with steps of a quarter of the radius, or of the distance at which the pilot met the boundary of others where that is
nearer: farther away a sound network's gradient explains little too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.contracts import Batch
from vauban.core.errors import NoGradient, VaubanError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import margin
from vauban.core.norms import Ball, Linf
from vauban.core.tensors import flat, like
from vauban.engine import BoundThreat, Oracle
from vauban.evaluate.adaptation.responses import responses
from vauban.evaluate.diagnostics.findings import Measured, Rule
from vauban.evaluate.diagnostics.preflight_probe import Probe, Unavailable

IMAGES = 16
STEPS = 10
FOLLOWS = 0.25  # least part of the predicted rise that a step along the gradient brings

CALIBRATED = "on sound networks a quarter of the images at most (docs/performance.md), on masked ones nearly all"
UNEXPLAINED = Rule(
    "gradient-explains-little",
    "warning",
    0.7,
    CALIBRATED,
    "that a short attack left standing {have} a gradient that explains less than half of the response to random moves of "
    "{step:.3g}: it is not the gradient of this function at the attack's scale.",
    "use --threat auto, the adaptive threat (BPDA, eot), or a scores-only attack (square)",
)
AT_SCALE = Rule(
    "gradient-mismatch-at-scale",
    "warning",
    0.7,
    CALIBRATED,
    "that a short attack left standing {get} less than a quarter of the predicted rise from a step of {step:.3g} along the "
    "gradient.",
    UNEXPLAINED.advice,
)
OFF_THE_IMAGE = Rule(
    "gradient-unsound-off-image",
    "warning",
    0.7,
    CALIBRATED,
    "{have} a sound gradient at the image and, where a short attack ended, one that explains less than half of the "
    "response to random moves of {step:.3g}: the network is another one away from its images.",
    UNEXPLAINED.advice,
)


@dataclass(frozen=True)
class Pilot:
    """A short attack on a few images, judged by the target.

    Attributes:
        x: Where it ended, `(n, ...)`.
        broken: Which images it broke, `(n,)`.
        lead: The target's margin where it ended, `(n,)`; of a broken image at its success.
        distance: Of its successes in the ball's norm, infinite elsewhere, `(n,)`.
        gradient: Whether there was one to follow.
        goal: What it was after.
    """

    x: Tensor
    broken: Tensor
    lead: Tensor
    distance: Tensor
    gradient: bool
    goal: ResolvedGoal

    @property
    def score(self) -> tuple[int, float]:
        """How many it broke, and the mean margin: larger is a better guide."""
        return int(self.broken.sum()), float(self.lead.clamp(-1e6, 1e6).mean())


def pilot(threat: BoundThreat, batch: Batch, ball: Ball, seed: int = 0, steps: int = STEPS) -> Pilot:
    """PGD on the margin from the image, and what the target says of where it ended."""
    attack = PGD(ball, steps=steps, loss=margin, random_start=False)
    oracle = Oracle.open(replace(threat, budget=None), batch.x, batch.y, None, batch.ids, seed)
    there = True
    try:
        result = attack.run(oracle)
        image, broken = torch.where(like(result.success, batch.x), result.adversarial, result.crafted), result.success
    except NoGradient:
        image, broken, there = batch.x, torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device), False
    probe = Probe(threat, batch.x, oracle.goal, seed)
    lead = margin(probe.answer(image), oracle.goal)
    size = ball.norm.size(image - batch.x)
    return Pilot(image, broken, lead, torch.where(broken, size, torch.inf), there, oracle.goal)


def step_of(pilot: Pilot, ball: Ball, x: Tensor) -> float:
    """Size of a move of every component whose length is a quarter of the radius, or of the median distance at which the
    pilot met the boundary."""
    radius = float(ball.bind(x[:1]).scale(x[:1]).max())
    met = pilot.distance[pilot.distance.isfinite() & (pilot.distance > 0)]
    if len(met):
        radius = min(radius, float(met.median()))
    features = flat(x).shape[1]
    return radius / 4 / (1 if ball.norm is Linf else features ** (1 / ball.norm.p))


def probes(threat: BoundThreat, batch: Batch, ball: Ball, done: Pilot, seed: int = 0) -> list[Measured]:
    """What the probes saw on the images that a pilot left standing; nothing without a gradient or such an image."""
    left = (~done.broken).nonzero().squeeze(1)
    if not len(left) or not done.gradient:
        return []
    h = step_of(done, ball, batch.x)
    at, scale = _look(threat, batch.x[left], done.goal.rows(left), h, seed)
    off, _ = _look(threat, done.x[left], done.goal.rows(left), h, seed + 1)
    n, facts = len(left), {"step": h}
    return [
        UNEXPLAINED.on(int(at.sum()), n, **facts),
        AT_SCALE.on(int(scale.sum()), n, **facts),
        OFF_THE_IMAGE.on(int((off & ~at).sum()), n, **facts),
    ]


def _look(threat: BoundThreat, x: Tensor, goal: ResolvedGoal, h: float, seed: int) -> tuple[Tensor, Tensor]:
    """Whether the gradient explains too little, and whether a step along it brings too little, `(n,)` each."""
    probe = Probe(threat, x, goal, seed)
    centre = x.clamp(h, 1 - h) if h < 0.5 else x
    try:
        gradients = probe.gradients(centre, margin)
    except VaubanError:
        gradients = Unavailable("it fails")
    if isinstance(gradients, Unavailable):
        everything = torch.ones(len(x), dtype=torch.bool, device=x.device)
        return everything, everything
    g = gradients[0].nan_to_num()

    def value(images: Tensor) -> Tensor:
        return probe.values(probe.source_logits(images))

    step = torch.full((len(x),), h, dtype=x.dtype, device=x.device)
    unsound = responses(value, centre, g, step, seed).unsound
    along = h * g.sign()
    rise, predicted = value(centre + along) - value(centre - along), 2 * h * flat(g).abs().sum(1)
    return unsound, (rise < FOLLOWS * predicted) & (predicted > 1e-5 * value(centre).abs())
