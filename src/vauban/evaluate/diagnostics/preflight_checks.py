"""The measurements of the preflight, one function for each question; `measure` in preflight.py asks them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from vauban.core.answers import NO_LABEL, predicted
from vauban.core.cards import carded
from vauban.core.losses import cross_entropy, margin
from vauban.core.rng import Stream
from vauban.core.tensors import flat, like
from vauban.evaluate.diagnostics import preflight_rules as rules
from vauban.evaluate.diagnostics.findings import Measured
from vauban.evaluate.diagnostics.preflight_probe import Probe, Unavailable
from vauban.jobs.identity import address, describe

SINGLES = 8  # images asked alone for the batch check


def _count(mask: Tensor) -> tuple[int, int]:
    return int(mask.sum()), len(mask)


def _differs(a: Tensor, b: Tensor, relative: float) -> Tensor:
    """Which rows of logits differ by more than `relative` of their largest magnitude, `(batch,)`."""
    return (a - b).abs().amax(1) > relative * torch.maximum(a.abs(), b.abs()).amax(1)


def outputs(probe: Probe, logits: Tensor) -> Iterator[Measured]:
    """Randomness, numbers that are no logits, class count, clean accuracy; 2 forwards, and 8 single ones."""
    n, classes = logits.shape
    varies = torch.zeros(n, dtype=torch.bool, device=logits.device)
    for draw in (1, 2):
        varies |= _differs(logits, probe.answer(probe.x, draw), rules.REPEAT)
    declared = probe.threat.randomised
    yield (rules.RANDOM_DECLARED if declared else rules.RANDOM_UNDECLARED).on(
        *_count(varies), **({"draws": probe.threat.draws} if declared else {})
    )
    yield rules.NOT_FINITE.on(*_count(predicted(logits) == NO_LABEL))
    if "scores" in probe.threat.grants or "gradients" in probe.threat.grants:
        yield from _scores(logits)
    if probe.threat.hides_scores and probe.goal.target is not None:
        aimed = logits.gather(1, probe.goal.target[:, None]).squeeze(1)
        yield rules.TARGET_HIDDEN.on(*_count(aimed == logits.amin(1)))
    yield rules.FEW_CLASSES.on(n if classes < 4 else 0, n, classes=classes)
    yield from _fit(probe, logits)
    if n > 1 and not declared and not bool(varies.any()):  # alone or not, a random model answers differently
        alone = torch.cat([probe.answer(probe.x[i : i + 1]) for i in range(min(SINGLES, n))])
        yield rules.BATCH_DEPENDENT.on(*_count(_differs(alone, logits[: len(alone)], rules.BATCH)))


def undeclared_rejection(logits: int, classes: int | None, declared: bool, n: int) -> Measured:
    """One logit more than the data have classes, where nothing says that it means 'rejected'; n samples are looked at."""
    fires = classes is not None and logits == classes + 1 and not declared
    return rules.UNDECLARED_REJECTION.on(n if fires else 0, n, logits=logits, classes=classes)


def answered_last(logits: int, y: Tensor, before: Tensor, after: Tensor, fooled: Tensor, declared: bool) -> Measured:
    """Fooled images whose answer is the last class, where nothing else knows that class: for data of unknown classes.

    Args:
        logits: Number of logits of the network.
        y: Labels `(batch,)`.
        before: Answers on the originals `(batch,)`.
        after: Answers on the attacked images `(batch,)`.
        fooled: Which were fooled, and were not to become that class, bool `(batch,)`.
        declared: Whether the last class is said to mean 'rejected'.
    """
    last = logits - 1
    known = declared or bool(((y == last) | (before == last)).any())
    alike = bool((y[fooled] == y[fooled][:1]).all())  # images of one class may well end in one other
    count = 0 if known or alike else int((after[fooled] == last).sum())
    return rules.ANSWERED_LAST.on(count, int(fooled.sum()), logits=logits)


def _fit(probe: Probe, logits: Tensor) -> Iterator[Measured]:
    """Whether the network belongs to the data and has its weights; no pass."""
    n, outputs = logits.shape
    classes = outputs if probe.classes is None else probe.classes
    guessed = rules.NEAR_CHANCE * (1 - 1 / max(2, classes))
    low = replace(rules.LOW_ACCURACY, threshold=min(rules.LOW_ACCURACY.threshold, guessed))
    yield low.on(*_count(predicted(logits) != probe.goal.y))
    extra = outputs - classes - probe.goal.rejects
    fires = extra > 0 and (extra > 1 or probe.goal.rejects)  # one undeclared column is a finding of its own
    yield rules.EXTRA_CLASSES.on(n if fires else 0, n, outputs=outputs, classes=classes, extra=extra)
    for part, card in carded(probe.threat.target):
        if card.fitted_to:
            behind = getattr(part, "inner", part)
            other = card.fitted_to != address({"module": describe(behind)})
            yield rules.FITTED_ELSEWHERE.on(n if other else 0, n, defence=card.name)
    layers = [
        part for part in probe.threat.target.modules() if isinstance(part, _NormBase) and part.track_running_stats
    ]
    new = sum(_is_new(part) for part in layers)
    yield rules.UNTRAINED.on(n if new else 0, n, layers=new, total=len(layers))


def _is_new(layer: _NormBase) -> bool:
    """Whether the statistics of a batch normalisation are the initial ones."""
    mean, var = layer.running_mean, layer.running_var
    return mean is not None and var is not None and not bool(mean.any()) and bool((var == 1).all())


def _scores(logits: Tensor) -> Iterator[Measured]:
    """What the outputs look like: probabilities, labels, logits of a large scale."""
    ordered = logits.sort(1, descending=True).values
    probable = (logits >= 0).all(1) & (logits <= 1).all(1) & ((logits.sum(1) - 1).abs() < 1e-3)
    if logits.shape[1] == 2:
        hot = (ordered[:, 0] == 1) & (ordered[:, 1] == 0)
    else:
        hot = (ordered[:, 1] == ordered[:, -1]) & (ordered[:, 0] > ordered[:, 1])
    yield rules.ONE_HOT.on(*_count(hot))
    yield rules.PROBABILITIES.on(*_count(probable & ~hot))
    yield rules.LOGIT_SCALE.on(*_count(ordered[:, 0] - ordered[:, 1] > rules.WIDE))


def slopes(probe: Probe, logits: Tensor) -> Iterator[Measured]:
    """Whether there are gradients, and whether they are those of the function; 1 forward and 2 backwards, then 3 and 1."""
    n = len(logits)
    gradients = probe.gradients(probe.x, cross_entropy, margin)
    if isinstance(gradients, Unavailable):
        yield rules.NO_GRADIENTS.on(n, n, cause=gradients.cause)
        return
    yield rules.NO_GRADIENTS.on(0, n)
    steep, steep_margin = (flat(g).abs().sum(1) for g in gradients)
    spread = torch.stack([z.amax(1) - z.amin(1) for z in probe.source_logits(probe.x)]).amax(0)
    dead = ~(steep_margin > rules.DEAD * spread)  # NaN gradients are dead
    yield rules.ZERO_GRADIENTS.on(*_count(dead & ~(steep > rules.DEAD * spread)))
    yield rules.SATURATED_LOSS.on(*_count((steep == 0) & ~dead))
    yield from _along(probe)


def _along(probe: Probe) -> Iterator[Measured]:
    """A central difference along the sign of the gradient, beside what the gradient predicts.

    Measured inside the box, at x clipped to [h, 1 - h], and with a step h whose Euclidean length is at most 0.05, so
    that networks with many inputs stay in their linear range.
    """
    x = probe.x
    h = min(1e-3, 0.05 / flat(x).shape[1] ** 0.5)
    centre = x.clamp(h, 1 - h)
    at_centre = probe.gradients(centre, margin)
    if isinstance(at_centre, Unavailable):
        return
    g = at_centre[0].nan_to_num()
    signs = Stream(probe.seed, torch.arange(len(x), device=x.device)).signs("along", tuple(x.shape[1:]), dtype=x.dtype)
    d = torch.where(like(flat(g).abs().amax(1) > 0, g), g.sign(), signs)
    up, down = probe.source_logits(centre + h * d), probe.source_logits(centre - h * d)
    size = torch.stack([z.abs().amax(1) for z in up]).amax(0)
    moved = torch.stack([(a - b).abs().amax(1) for a, b in zip(up, down, strict=True)]).amax(0)
    constant = moved <= rules.CONSTANT * size
    through = any(getattr(part, "straight", False) for part in probe.threat.parts)
    ruled = bool(probe.threat.backward) or through
    yield (rules.ROUNDED_WITH_RULE if ruled else rules.PIECEWISE_CONSTANT).on(*_count(constant))
    predicted = 2 * h * flat(g).abs().sum(1)
    gained = probe.values(up) - probe.values(down)
    wrong = (gained < rules.FOLLOWS * predicted) & (predicted > rules.UNMEASURABLE * size) & ~constant
    yield rules.GRADIENT_MISMATCH.on(*_count(wrong & (not ruled)))


def stability(probe: Probe, logits: Tensor) -> Iterator[Measured]:
    """Unstable predictions (Pintor et al., arXiv:2106.09947), on the margin: the mean over random points u of the box of
    radius 8/255 of |L(x) - L(x + u)| / |L(x)|, each capped at 1; 10 forwards."""
    x = probe.x
    rng = Stream(probe.seed, torch.arange(len(x), device=x.device))
    at = margin(logits, probe.goal)
    total, flat_scores = torch.zeros_like(at), torch.ones_like(at, dtype=torch.bool)
    for k in range(rules.POINTS):
        u = (2 * rng.uniform("around", tuple(x.shape[1:]), draw=k, dtype=x.dtype) - 1) * rules.RADIUS
        near = margin(probe.answer((x + u).clamp(0, 1)), probe.goal)
        flat_scores &= near == at
        total += ((near - at).abs() / at.abs().clamp_min(1e-12)).clamp_max(1)
    yield rules.UNSTABLE.on(*_count(total / rules.POINTS > rules.ROUGH))
    if "gradients" not in probe.threat.grants and "scores" in probe.threat.grants:
        yield rules.FLAT_SCORES.on(*_count(flat_scores))
