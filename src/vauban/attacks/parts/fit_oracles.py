"""Oracles of a fit: one on each batch, opened anew in every pass over the images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from vauban.core.answers import NO_LABEL
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import Goal
from vauban.core.precision import working_type
from vauban.engine import BoundThreat, Oracle


class FitOracles:
    """Re-iterable oracles, one on each batch, whose labels are the network's own of the originals; and what was spent.

    An image that the network rejects, or whose logits are not finite, has no label of the network's own, and keeps that of
    the data.

    Args:
        threat: Access to the network.
        batches: Images; gone through in every pass, and made anew or kept.
        goal: Goal of the attack that is fitted.
        seed: Of a random network.

    Attributes:
        images: Images seen.
        forwards, backwards: Passes through the network so far, over all images.

    Raises:
        ContractError: Batches that can be gone through only once.
    """

    def __init__(self, threat: BoundThreat, batches: Iterable[Batch], goal: Goal, seed: int) -> None:
        if iter(batches) is batches:
            raise ContractError("expected batches that can be gone through again, such as a list, got an iterator")
        self.threat, self.batches, self.goal, self.seed = threat, batches, goal, seed
        self.images = self.forwards = self.backwards = 0
        self._labels: list[Tensor] = []

    def still(self) -> Tensor:
        """The perturbation that changes nothing, of the shape of one image. Raises ContractError without a batch."""
        for batch in self.batches:
            return torch.zeros_like(batch.x[0], dtype=working_type(batch.x.dtype))
        raise ContractError("expected at least one batch of images to fit on, got none")

    def __iter__(self) -> Iterator[Oracle]:
        for k, batch in enumerate(self.batches):
            oracle = Oracle.open(self.threat, batch.x, batch.y, self.goal, batch.ids, self.seed)
            if k == len(self._labels):
                own = oracle.labels(oracle.domain.x0)
                none = (own == NO_LABEL) | oracle.goal.rejected(own, oracle.classes)
                self._labels.append(torch.where(none, batch.y, own))
                self.images += len(oracle)
            yield oracle.with_goal(replace(oracle.goal, y=self._labels[k]))
            self.forwards += int(oracle.pass_count.forwards.sum())
            self.backwards += int(oracle.pass_count.backwards.sum())
