"""The automatic threat in a plan: a look at the network, and a threat for each way that it gave."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from vauban.core.answers import revealed
from vauban.core.contracts import Batch
from vauban.core.errors import plain
from vauban.core.norms import Ball, Linf
from vauban.data import Dataset
from vauban.engine import Attack, BoundThreat
from vauban.evaluate.adaptation.search import Adaptation, look
from vauban.evaluate.adaptation.ways import distilled
from vauban.evaluate.cell import answers
from vauban.threats.auto import Auto, Way
from vauban.threats.base import Threat

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
    card: BoundThreat | None = None,
) -> Adaptation:
    """What an attacker without a card sees, or why he sees nothing of a network that cannot be asked.

    Args:
        network: The network, defences included.
        batch: Images; no more than `SAMPLES` are used.
        attacks: What will be run: the pilot has the largest budget among theirs.
        budgets: The conventional ones of the data, by norm.
        below: The network below the defences; None where it is not known.
        seed: Of random numbers.
        seek: Whether ways around are looked for; else the probes alone speak.
        card: The adaptive threat of a network with a card; None: there is none, or it is not to be read.
    """
    if "gradients" not in revealed(network):  # there is nothing to look at, and looking may cost money
        return by_answers(network, batch) if seek else Adaptation(sought=False)
    try:
        ball = ball_of(attacks, budgets)
        return look(network, batch, ball, below=below, levels=batch.levels, seed=seed, seek=seek, card=card)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        said = next(iter(plain(str(error)).splitlines()), type(error).__name__)
        return Adaptation(sought=seek, failed=said.rstrip("."), images=min(len(batch.x), enough(batch.x.shape[1:])))


def by_answers(network: nn.Module, batch: Batch) -> Adaptation:
    """What is seen of a black box, which is asked about one image."""
    queries = Way("queries", "it was attacked by its answers alone")
    further = distilled(batch, answers(network, batch.x[:1]).shape[1])
    return Adaptation(("the network answers and has no gradient",), (queries, *further))


def best_way(
    meant: Threat,
    network: nn.Module,
    below: nn.Module | None,
    data: Batch | Dataset,
    whole: Batch,
    attack: Attack,
    seed: int,
) -> tuple[Threat, Adaptation]:
    """The best way in the place of the automatic threat, and what was seen; any other threat as it is.

    Args:
        meant: The threat.
        network: The network, defences included.
        below: The network below the defences; None where it is not known.
        data: What is attacked.
        whole: All images of it.
        attack: The attack.
        seed: Of random numbers.
    """
    if not isinstance(meant, Auto):
        return meant, Adaptation()
    n = enough(whole.x.shape[1:])
    few = Batch(whole.x[:n], whole.y[:n], whole.ids[:n], whole.levels)
    usual = dict(data.budgets) if isinstance(data, Dataset) else {}
    looked = looked_at(network, few, [attack], usual, below, seed)
    looked = replace(looked, ways=tuple(way for way in looked.ways if way.distilled is None))  # a study distils
    log.info("threat auto: %s", looked.sentence)
    return next(iter(looked.ways), meant), looked


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
