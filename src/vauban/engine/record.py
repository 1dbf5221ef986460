"""Record of a batch under attack: passes spent, what was noticed on the way, and the best image of each sample."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vauban.core.norms import Norm
from vauban.core.tensors import like, waits

Keep = Literal["first", "nearest", "loss", "last"]
"""Which image a run hands over: the first success, the nearest one, the iterate of highest loss, the last iterate."""


class PassCount:
    """Passes and events of each sample of one batch, shared by every oracle on it.

    Attributes:
        forwards, backwards: Passes through networks, int64 `(batch,)`.
        switches: Gradients at which the loss `auto` took the margin.
        vanished: Gradients that were zero in every component.
        nonfinite_gradients: Gradients with a component that was not finite, and counted as zero.
        unsolved: Linear systems of the attack that missed their tolerance.
        loss: The loss at the last gradient, NaN before the first.
        calls: Calls to the networks so far, one number for the batch.
        every: All rows; this very tensor as an index needs no indexing.
    """

    def __init__(self, batch: int, device: torch.device) -> None:
        def zeros() -> Tensor:
            return torch.zeros(batch, dtype=torch.int64, device=device)

        self.forwards, self.backwards = zeros(), zeros()
        self.switches, self.vanished, self.unsolved = zeros(), zeros(), zeros()
        self.nonfinite_gradients = zeros()
        self.loss = torch.full((batch,), float("nan"), device=device)
        self.calls = 0
        self.every = torch.arange(batch, device=device)

    def charge(self, index: Tensor, forwards: int, backwards: int) -> None:
        """Add passes to the rows `index`; a row that is repeated pays for every repetition."""
        if index is self.every:
            self.forwards += forwards
            if backwards:
                self.backwards += backwards
            return
        ones = torch.ones_like(index)
        self.forwards.index_add_(0, index, ones, alpha=forwards)
        if backwards:
            self.backwards.index_add_(0, index, ones, alpha=backwards)

    def note_loss(self, index: Tensor, loss: Tensor) -> None:
        """Store the loss of the rows `index` at their last gradient."""
        if index is self.every:
            self.loss.copy_(loss)
        else:
            self.loss[index] = loss.to(self.loss.dtype)

    def gradients(self, index: Tensor) -> Tensor:
        """Backward passes of the rows `index` so far, not to be written to."""
        return self.backwards if index is self.every else self.backwards[index]

    def count(self, counter: Tensor, index: Tensor, noticed: Tensor) -> None:
        """Add to `counter` in the rows `index` one where `noticed`, or the numbers given."""
        if index is self.every:
            counter += noticed
        else:
            counter.index_add_(0, index, noticed.long())


class BestSoFar:
    """Best image of each sample in one run: the first success, the nearest in `norm`, or beside it the highest loss.

    Attributes:
        keep: What is kept, see `Keep`.
        norm: The norm in which distances are measured.
        success: Whether a success has been seen, `(batch,)`.
        image: The recorded image, the original without a success, `(batch, ...)`.
        distance: Of `image` in `norm`, infinite without a success, `(batch,)`.
        cost: Backward passes spent when the first success was seen, -1 without one, `(batch,)`.
        top, top_loss: With keep="loss" the image of highest loss, adversarial or not, and that loss.
        every: All rows, as in `PassCount`.
    """

    def __init__(self, x0: Tensor, keep: Keep, norm: Norm) -> None:
        self.keep, self.norm = keep, norm
        self.every = torch.arange(len(x0), device=x0.device)
        self.success = torch.zeros(len(x0), dtype=torch.bool, device=x0.device)
        self.image = x0.clone()
        self.distance = torch.full((len(x0),), float("inf"), dtype=x0.dtype, device=x0.device)
        self.cost = torch.full((len(x0),), -1, dtype=torch.int64, device=x0.device)
        self.top = x0.clone() if keep == "loss" else None
        self.top_loss = torch.full_like(self.distance, float("-inf"))

    def offer(self, index: Tensor, x: Tensor, x0: Tensor, ok: Tensor, cost: Tensor, distinct: bool) -> None:
        """Record the images x of the rows `index` that are admissible successes and better than what is there.

        Args:
            index: Rows of the batch, `(rows,)`; they may repeat unless `distinct`.
            x: Images `(rows, ...)`.
            x0: Their originals.
            ok: Which images are admissible successes, `(rows,)`.
            cost: Backward passes spent so far, `(rows,)`.
            distinct: No row occurs twice in `index`.
        """
        distance = self.norm.size(x - x0)
        if waits(x):
            self._replace_everywhere(
                index, x, distance, self.wanted(index, ok) & (distance < self.distance[index]), cost
            )
            return
        if index is self.every:
            self._replace(x, distance, ok & (distance < self.distance), cost)
            return
        better = self.wanted(index, ok) & (distance < self.distance[index])
        if not distinct:
            better = better & _first_smallest(distance.where(better, torch.inf), index, len(self.success))
        rows = better.nonzero().squeeze(1)
        where = index[rows]
        self.image.index_copy_(0, where, x.index_select(0, rows))
        self.distance[where] = distance[rows]
        self.cost[where] = torch.where(self.success[where], self.cost[where], cost[rows])
        self.success[where] = True

    def _replace_everywhere(self, index: Tensor, x: Tensor, distance: Tensor, better: Tensor, cost: Tensor) -> None:
        """Record the rows `better` without a look at which they are: each row of the batch takes the nearest of its own."""
        better = better & _first_smallest(distance.where(better, torch.inf), index, len(self.success))
        taken, row = _row_of_each(index, better, len(self.success))
        self.image = torch.where(like(taken, self.image), x[row], self.image)
        self.distance = torch.where(taken, distance[row], self.distance)
        self.cost = torch.where(taken & ~self.success, cost[row], self.cost)
        self.success = self.success | taken

    def _replace(self, x: Tensor, distance: Tensor, better: Tensor, cost: Tensor) -> None:
        """Record the rows `better` of the whole batch."""
        rows = better.nonzero().squeeze(1)
        self.image.index_copy_(0, rows, x.index_select(0, rows))
        self.distance = torch.where(better, distance, self.distance)
        self.cost = torch.where(better > self.success, cost, self.cost)  # the first success keeps its cost
        self.success |= better

    def wanted(self, index: Tensor, ok: Tensor) -> Tensor:
        """Rows among `ok` that could be recorded: all with keep="nearest", else those without a success."""
        if self.keep == "nearest":
            return ok
        return ok > self.success if index is self.every else ok & ~self.success[index]

    def rank(self, index: Tensor, x: Tensor, loss: Tensor, distinct: bool) -> None:
        """Keep the image of highest loss.

        Args:
            index: Rows of the batch, `(rows,)`; they may repeat unless `distinct`.
            x: Images `(rows, ...)`.
            loss: Their losses, minus infinity for what must not be kept, `(rows,)`.
            distinct: No row occurs twice in `index`.
        """
        assert self.top is not None
        loss = loss.to(self.top_loss.dtype).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
        better = loss > self.top_loss[index]
        if not distinct:
            better = better & _first_smallest(-loss, index, len(self.success))
        if waits(x):
            taken, row = _row_of_each(index, better, len(self.success))
            self.top_loss = torch.where(taken, loss[row], self.top_loss)
            self.top = torch.where(like(taken, self.top), x[row], self.top)
            return
        rows = better.nonzero().squeeze(1)
        self.top_loss[index[rows]] = loss[rows]
        self.top.index_copy_(0, index[rows], x.index_select(0, rows))


def _row_of_each(index: Tensor, chosen: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Whether one of the rows `chosen` is of each of the batch, and which: at most one is; 0 without one."""
    order = torch.arange(len(index), device=index.device).where(chosen, -1)
    row = torch.full((batch,), -1, device=index.device).scatter_reduce(0, index, order, "amax")
    return row >= 0, row.clamp_min(0)


def _first_smallest(size: Tensor, index: Tensor, batch: int) -> Tensor:
    """Mask of one row for each index: the smallest size, the first among equals."""
    best = torch.full((batch,), torch.inf, dtype=size.dtype, device=size.device)
    best = best.scatter_reduce(0, index, size, "amin")
    order = torch.arange(len(index), device=index.device)
    candidate = torch.where(size == best[index], order, len(index))
    first = torch.full((batch,), len(index), device=index.device).scatter_reduce(0, index, candidate, "amin")
    return order == first[index]
