"""Empirical counterpart of a certificate: attacks on its classifier, judged by the answers of that classifier."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vauban.certificates.base import WITHHELD, Bound, Certificate
from vauban.core.contracts import Batch
from vauban.core.rng import Stream
from vauban.core.tensors import where
from vauban.engine import Attack, BoundThreat
from vauban.engine.oracle import Oracle


def distances(
    certificate: Certificate,
    network: nn.Module,
    attacks: Sequence[Attack],
    batch: Batch,
    label: Tensor,
    bound: Bound,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Distances at which the answer changes under attack, in the norm of the certificate.

    Images are not rounded to pixel levels: the certificate is about every change. What an attack makes is answered on fresh
    draws, be it a success or not.

    Args:
        certificate: What bounds, and how its classifier answers.
        network: The network.
        attacks: The attacks, each on the classifier as `differentiable` gives it.
        batch: The images.
        label: The answers to them, int64 `(batch,)`.
        bound: What is certified of them.
        seed: Of every random number.

    Returns:
        float64 `(batch,)` each: of the nearest image with an answer that is not y, withheld ones included, 0 where the
        image itself has one; and of the nearest with a class other than the certified one. inf where there is none.
    """
    x, y, rng = batch.x, batch.y, Stream(seed, batch.ids)
    never = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
    wrong = torch.where(label == y, never, 0.0)
    other = torch.where(_contradicts(label, bound), 0.0, never)
    standing = (label == y).nonzero().squeeze(1)
    if not len(standing):
        return wrong, other
    threat = _threat(network, certificate.differentiable(network, x[:1], seed))
    for number, attack in enumerate(attacks):
        oracle = Oracle.open(threat, x[standing], y[standing], None, batch.ids[standing], seed)
        result = attack.run(oracle.fresh(number) if number else oracle)
        image = where(result.success, result.adversarial, result.crafted) if threat.direct else result.crafted
        answer = certificate.answer(network, image, rng.rows(standing), f"attacked {number}")
        size = certificate.norm.size((image - x[standing]).double())
        narrowed = Bound(bound.label[standing], bound.radius[standing])
        wrong[standing] = torch.minimum(wrong[standing], torch.where(answer != y[standing], size, torch.inf))
        met = torch.where(_contradicts(answer, narrowed), size, torch.inf)
        other[standing] = torch.minimum(other[standing], met)
    return wrong, other


def _threat(network: nn.Module, classifier: nn.Module) -> BoundThreat:
    """White box on the network itself; where another module is differentiated, its gradients alone, so that an attack goes
    on for as long as the loss rises: its success there decides nothing."""
    if classifier is network:
        return BoundThreat(network, levels=None)
    return BoundThreat(network, "gradients", ((classifier, 1.0),), frozenset({"gradients"}), levels=None)


def _contradicts(answer: Tensor, bound: Bound) -> Tensor:
    """Whether an answer is another class than the certified one; a withheld one contradicts nothing."""
    return (answer != WITHHELD) & (bound.label != WITHHELD) & (answer != bound.label)
