"""The automatic threat in a plan: a look at the network, and a threat for each way that it gave."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.errors import plain
from vauban.core.norms import Ball, Linf
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.evaluate.adaptation.search import Adaptation, look

log = logging.getLogger("vauban")

SAMPLES, FEW = 32, 8  # images that are looked at; of large ones
LARGE = 3 * 64 * 64  # components of an image, above which every submodule's answers take much memory
USUAL = Linf(8 / 255)


def looked_at(
    network: nn.Module,
    batch: Batch,
    attacks: Sequence[Attack],
    budgets: dict[str, float],
    below: nn.Module | None,
    seed: int,
    seek: bool = True,
) -> Adaptation:
    """What an attacker without a card sees; nothing of a network that cannot be asked, which the evaluation tells itself.

    Args:
        network: The network, defences included.
        batch: Images; no more than `SAMPLES` are used.
        attacks: What will be run: the pilot has the largest budget among theirs.
        budgets: The conventional ones of the data, by norm.
        below: The network below the defences; None where it is not known.
        seed: Of random numbers.
        seek: Whether ways around are looked for; else the probes alone speak.
    """
    try:
        return look(network, batch, ball_of(attacks, budgets), below=below, levels=batch.levels, seed=seed, seek=seek)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        log.info("threat auto: the look at the model failed: %s (going on without)", plain(str(error)).splitlines()[:1])
        return Adaptation()


def images_of(data: Dataset, device: str) -> Batch:
    """The images of a data set that are looked at."""
    return data.take(min(len(data), enough(data.shape))).to(device)


def enough(shape: Sequence[int]) -> int:
    """How many images of a shape are looked at, at most."""
    return SAMPLES if math.prod(shape) <= LARGE else FEW


def ball_of(attacks: Sequence[Attack], budgets: dict[str, float]) -> Ball:
    """The largest ball of L-infinity, else of any other norm, else the conventional one."""
    fixed = [a.ball for a in attacks if isinstance(a.ball, Ball) and isinstance(a.ball.radius, (int, float))]
    for wanted in (lambda ball: ball.norm is Linf, lambda ball: ball.norm.p > 0):
        if balls := [ball for ball in fixed if wanted(ball)]:
            return max(balls, key=lambda ball: float(ball.radius))
    return Linf(budgets["linf"]) if "linf" in budgets else USUAL
