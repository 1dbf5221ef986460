"""What an attack has cost and what it has found, per sample."""

from __future__ import annotations

import torch
from torch import Tensor

from vauban.core.norms import Norm


class Ledger:
    """Counts of one batch, shared by every view on it: passes through networks, what the door noticed,
    and linear systems of the attack that missed their tolerance."""

    def __init__(self, batch: int, device: torch.device) -> None:
        def zeros() -> Tensor:
            return torch.zeros(batch, dtype=torch.int64, device=device)

        self.forwards, self.backwards = zeros(), zeros()
        self.switches, self.vanished, self.unsolved = zeros(), zeros(), zeros()
        self.loss = torch.full((batch,), float("nan"), device=device)
        self.calls = 0
        self.every = torch.arange(batch, device=device)  # this very tensor as an index: all rows, without indexing

    def charge(self, index: Tensor, forwards: int, backwards: int) -> None:
        if index is self.every:
            self.forwards += forwards
            if backwards:
                self.backwards += backwards
            return
        ones = torch.ones_like(index)
        self.forwards.index_add_(0, index, ones, alpha=forwards)
        if backwards:
            self.backwards.index_add_(0, index, ones, alpha=backwards)

    def valued(self, index: Tensor, loss: Tensor) -> None:
        """Note the loss of the rows `index` at their last gradient."""
        if index is self.every:
            self.loss.copy_(loss)
        else:
            self.loss[index] = loss.to(self.loss.dtype)

    def cost(self, index: Tensor) -> Tensor:
        """Backward passes of the rows `index` so far, not to be written to."""
        return self.backwards if index is self.every else self.backwards[index]

    def count(self, what: Tensor, index: Tensor, noticed: Tensor) -> None:
        """Add one to the counter `what` of the rows `index` where noticed."""
        if index is self.every:
            what += noticed
        else:
            what.index_add_(0, index, noticed.long())


class Finds:
    """The successful images of one run: the first one per sample (`keep="first"`) or the nearest in `norm`.

    With `keep="loss"` the image of highest loss is kept beside, adversarial or not.
    """

    def __init__(self, x0: Tensor, keep: str, norm: Norm) -> None:
        self.keep, self.norm = keep, norm
        self.every = torch.arange(len(x0), device=x0.device)  # as in the ledger
        self.found = torch.zeros(len(x0), dtype=torch.bool, device=x0.device)
        self.image = x0.clone()
        self.distance = torch.full((len(x0),), float("inf"), dtype=x0.dtype, device=x0.device)
        self.cost = torch.full((len(x0),), -1, dtype=torch.int64, device=x0.device)
        self.top = x0.clone() if keep == "loss" else None
        self.top_loss = torch.full_like(self.distance, float("-inf"))

    def offer(self, index: Tensor, x: Tensor, x0: Tensor, ok: Tensor, cost: Tensor, distinct: bool) -> None:
        """Record the admissible images x of the rows `index`; rows may repeat unless `distinct`."""
        size = self.norm.size(x - x0)
        if index is self.every:
            self._replace(x, size, ok & (size < self.distance), cost)
            return
        better = self.wanted(index, ok) & (size < self.distance[index])
        if not distinct:
            better = better & _first_smallest(size.where(better, torch.inf), index, len(self.found))
        rows = better.nonzero().squeeze(1)
        where = index[rows]
        self.image.index_copy_(0, where, x.index_select(0, rows))
        self.distance[where] = size[rows]
        self.cost[where] = torch.where(self.found[where], self.cost[where], cost[rows])
        self.found[where] = True

    def _replace(self, x: Tensor, size: Tensor, better: Tensor, cost: Tensor) -> None:
        """Record the rows `better` of the whole batch."""
        rows = better.nonzero().squeeze(1)
        self.image.index_copy_(0, rows, x.index_select(0, rows))
        self.distance = torch.where(better, size, self.distance)
        self.cost = torch.where(better > self.found, cost, self.cost)  # the first success keeps its cost
        self.found |= better

    def wanted(self, index: Tensor, ok: Tensor) -> Tensor:
        """The rows among `ok` whose images could be recorded: all with keep="nearest", else those without a find."""
        if self.keep == "nearest":
            return ok
        return ok > self.found if index is self.every else ok & ~self.found[index]

    def rank(self, index: Tensor, x: Tensor, loss: Tensor, distinct: bool) -> None:
        """Keep the image of highest loss; minus infinity for what must not be kept."""
        assert self.top is not None
        loss = loss.to(self.top_loss.dtype).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        better = loss > self.top_loss[index]
        if not distinct:
            better = better & _first_smallest(-loss, index, len(self.found))
        rows = better.nonzero().squeeze(1)
        self.top_loss[index[rows]] = loss[rows]
        self.top.index_copy_(0, index[rows], x.index_select(0, rows))


def _first_smallest(size: Tensor, index: Tensor, batch: int) -> Tensor:
    """One row for each index: the smallest size, the first among equals."""
    best = torch.full((batch,), torch.inf, dtype=size.dtype, device=size.device)
    best = best.scatter_reduce(0, index, size, "amin")
    order = torch.arange(len(index), device=index.device)
    candidate = torch.where(size == best[index], order, len(index))
    first = torch.full((batch,), len(index), device=index.device).scatter_reduce(0, index, candidate, "amin")
    return order == first[index]
