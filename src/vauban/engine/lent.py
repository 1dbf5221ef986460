"""Lent network: the networks of a threat as one counted module, for attacks that were not written for an oracle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.errors import BudgetSpent, plural
from vauban.core.rng import fold, seeded
from vauban.engine.network import quiet
from vauban.engine.oracle import Oracle
from vauban.engine.rerouted import rerouted


class LentNetwork(nn.Module):
    """What a threat grants, as a module from images to logits.

    Logits carry a gradient where gradients are granted; else they are numbers, and one-hot where only labels are granted.
    Of several sources or draws: the weighted mean of their logits. Every image that is shown counts as one forward for
    each source and draw, every image that a gradient flows back to as one backward. A call may show any number of images,
    so what a sample has spent is the mean over the rows of the oracle, rounded up. It stays in evaluation mode.

    Attributes:
        shown, returned: Images in forward and in backward passes so far.
    """

    def __init__(self, oracle: Oracle) -> None:
        super().__init__()
        threat = oracle.threat
        self.granted = threat.grants
        self.weighted = threat.networks if "gradients" in self.granted else ((threat.target, 1.0),)
        self.held = nn.ModuleList(network for network, _ in self.weighted)
        self.draws = threat.draws if "gradients" in self.granted else 1
        self.shown = self.returned = 0
        self._oracle = oracle

    def train(self, mode: bool = True) -> Self:
        """Evaluation mode, whatever is asked for."""
        return super().train(False)

    def passes(self, images: int) -> int:
        """Passes of a sample for a number of images."""
        return -(-images // len(self._oracle))

    def forward(self, x: Tensor) -> Tensor:
        """Logits `(images, classes)` of images `(images, ...)`; any number of them."""
        self._spend(len(x) * self.draws * len(self.weighted))
        scale = self.draws * sum(abs(weight) for _, weight in self.weighted)
        logits: Tensor | None = None
        for draw in range(self.draws):
            for network, weight in self.weighted:
                with self._oracle._seeded(draw):
                    answer = network(x) * (weight / scale)
                logits = answer if logits is None else logits + answer
        assert logits is not None
        if "gradients" in self.granted:
            if logits.requires_grad:
                logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
            return logits
        logits = logits.detach()
        return logits if "scores" in self.granted else F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)

    def _spend(self, images: int) -> None:
        budget = self._oracle.threat.budget
        if budget is not None:
            before = int(self._oracle.forwards.max())
            if before + self.passes(self.shown + images) > budget:
                raise BudgetSpent(
                    f"the next call shows {plural(images, 'image')}, more than the budget {budget} leaves"
                )
        self.shown += images
        self._oracle.pass_count.calls += 1

    def _count_backward(self, gradient: Tensor) -> None:
        self.returned += len(gradient) * self.draws * len(self.weighted)


@contextmanager
def lent(oracle: Oracle) -> Iterator[LentNetwork]:
    """A lent network while open; its passes are charged to all rows of the oracle at the end.

    The networks are in evaluation mode, take no gradients of their parameters, and are as before afterwards, whatever the
    borrower did to modes and gradients. Torch's generators are seeded by the run and the first sample.
    """
    network, threat, rng = LentNetwork(oracle), oracle.threat, oracle.rng
    modes = [(module, module.training) for module in threat.parts]
    parameters = [p for net in dict.fromkeys((threat.target, *network.held)) for p in net.parameters()]
    kept = [(p, p.requires_grad, p.grad) for p in parameters]
    seed = fold(rng.seed, rng.restart, int(rng.ids[0]))
    try:
        for p in parameters:
            p.requires_grad_(False)
        with quiet(threat.parts), rerouted(threat.backward), seeded(seed, "lent", device=oracle.domain.x0.device):
            network.eval()
            with torch.enable_grad():
                yield network
    finally:
        for p, required, gradient in kept:
            p.requires_grad_(required)
            p.grad = gradient
        for module, training in modes:
            module.training = training
        oracle.pass_count.charge(oracle._row, network.passes(network.shown), network.passes(network.returned))
