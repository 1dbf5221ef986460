"""Checks of an attack itself: what its parameters say before it runs, and whether it did anything."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from vauban.attacks.parts.stepsize import StepSize
from vauban.core.norms import Ball, Linf
from vauban.core.tensors import flat
from vauban.core.tolerance import FLOAT32, upper_limit
from vauban.engine import Attack
from vauban.evaluate.batch import Evaluated
from vauban.evaluate.diagnostics import attack_rules as rules
from vauban.evaluate.diagnostics.findings import Finding, Measured, fired


def parameter_findings(attack: Attack, shape: Sequence[int], samples: int, levels: int | None) -> list[Finding]:
    """Findings on the parameters of an attack and of those that it runs, before it runs.

    Args:
        attack: What will be run.
        shape: Of one image.
        samples: How many images are attacked.
        levels: Pixel levels that images are rounded to; None: they are not.
    """
    features = math.prod(shape)
    measured: list[Measured] = []
    for part, rounded in _parts(attack):
        seen = levels if rounded else None
        measured += [*_radius(part.ball, features, samples, seen), *_step(part, samples, seen)]
    return list(dict.fromkeys(fired(measured)))  # a battery and what it runs share a ball


def radius_findings(ball: Any, shape: Sequence[int], samples: int) -> list[Finding]:
    """Findings on a ball around images that are not rounded; none without one."""
    return fired(list(_radius(ball, math.prod(shape), samples, None)))


def _parts(attack: Any, rounded: bool = True) -> Iterator[tuple[Any, bool]]:
    """An attack and those that it runs, each with whether its images are rounded: an unrounded battery's are not."""
    rounded = rounded and attack.rounded
    yield attack, rounded
    for member in attack.members:
        yield from _parts(member, rounded)


def _radius(ball: Any, features: int, n: int, levels: int | None) -> Iterator[Measured]:
    """Whether a ball holds more than all images, or none but the original."""
    if not isinstance(ball, Ball) or isinstance(ball.radius, Tensor):
        return
    eps, norm = float(ball.radius), ball.norm
    most = 1.0 if norm is Linf else features ** (1 / norm.p) if norm.p else float(features)
    hint = f" Did you mean {eps:g}/255?" if norm is Linf and eps <= 255 else ""
    above = eps > upper_limit(most, FLOAT32)
    yield rules.RADIUS_ABOVE_RANGE.on(n if above else 0, n, norm=norm, eps=eps, most=most, hint=hint)
    if levels is not None:
        level = 1 / (levels - 1) if norm.p else 1.0
        below = upper_limit(eps, FLOAT32) < level
        yield rules.RADIUS_BELOW_LEVEL.on(n if below else 0, n, norm=norm, eps=eps, levels=levels, level=level)


def _step(attack: Any, n: int, levels: int | None) -> Iterator[Measured]:
    """Whether steps of a length that was asked for reach the edge of the ball, and are seen by the network."""
    if not isinstance(attack, StepSize) or isinstance(attack.ball.radius, Tensor):
        return
    if attack.rel_stepsize is None and attack.abs_stepsize is None:
        return
    eps = float(attack.ball.radius)
    step = float(attack.stepsize(eps))
    path = attack.steps * step
    short = upper_limit(path, FLOAT32) < eps
    yield rules.EDGE_OUT_OF_REACH.on(n if short else 0, n, steps=attack.steps, step=step, path=path, eps=eps)
    if levels is not None and attack.ball.norm is Linf:
        level = 1 / (levels - 1)
        yield rules.STEP_BELOW_HALF_LEVEL.on(n if step < level / 2 else 0, n, step=step, levels=levels, level=level)


def idle(attack: Attack, done: Evaluated) -> list[Finding]:
    """Findings on an attack that did nothing: no question to the network, or no image changed.

    Args:
        attack: What was run.
        done: What it was run on, and what came of it.
    """
    rows = done.attacked.nonzero().squeeze(1)
    if not len(rows):
        return []
    asked = (done.result.forwards + done.result.backwards)[rows] > 0
    changed = flat(done.image[rows] != done.batch.x[rows]).any(1)
    n = len(rows)
    silent = n - int(asked.sum()) if attack.needs != "nothing" else 0
    return fired([rules.NOTHING_ASKED.on(silent, n), rules.NOTHING_CHANGED.on(n - int(changed.sum()), n)])
