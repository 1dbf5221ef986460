"""A view on some rows of one batch: what they are, where they may move, and what has been found for them."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from vauban.core.errors import AccessError
from vauban.core.goals import Aim
from vauban.core.lattice import Lattice
from vauban.core.norms import Ball, Norm
from vauban.core.rng import Stream
from vauban.engine.ledger import Finds, Ledger
from vauban.engine.place import Place

if TYPE_CHECKING:
    from vauban.engine.threat import Threat


class View(Place):
    """A place, its labels `aim` and random numbers `rng`. Narrowing copies a view; the ledger and the finds are shared."""

    aim: Aim

    def __init__(self, threat: Threat, x0: Tensor, rng: Stream, *, classes: int, mask: Tensor | None) -> None:
        self.threat, self.x0, self.rng, self.classes, self.mask = threat, x0, rng, classes, mask
        self.ball: Ball | None = None
        self.limit = None if threat.limit is None else threat.limit.bind(x0)
        self.lattice = None if threat.levels is None else Lattice.over(threat.levels, x0)
        self.ledger = Ledger(len(x0), x0.device)
        self.finds: Finds | None = None
        self._row = self._slot = self.ledger.every  # rows of the ledger, rows of the finds
        self._distinct = True
        self._forget()

    def __len__(self) -> int:
        return len(self.x0)

    def rows(self, index: Tensor) -> Self:
        """The same door for some of the rows (a boolean mask or distinct integers)."""
        view = copy.copy(self)
        view.x0, view.aim, view.rng = self.x0[index], self.aim.rows(index), self.rng.rows(index)
        view.mask = None if self.mask is None else self.mask[index]
        view.ball = None if self.ball is None else self.ball.rows(index)
        view.limit = None if self.limit is None else self.limit.rows(index)
        view.lattice = None if self.lattice is None else replace(self.lattice, x0=view.x0, ball=view.ball)
        view._row, view._slot = self._row[index], self._slot[index]
        view._forget()
        return view

    def repeat(self, times: int) -> Self:
        """Every row `times` times in a row, for several queries of one sample at once; copies draw the same numbers."""
        view = self.rows(torch.arange(len(self), device=self.x0.device).repeat_interleave(times))
        view._distinct = False
        return view

    def fresh(self, restart: int) -> Self:
        """The same rows with independent random numbers."""
        view = copy.copy(self)
        view.rng = self.rng.fresh(restart)
        return view

    def aimed(self, aim: Aim) -> Self:
        """The same rows with other labels to reach."""
        view = copy.copy(self)
        view.aim = aim
        return view

    def confined(self, ball: Ball, radius: Tensor | None = None) -> Self:
        """The same rows, moving inside `ball`; refused where it is larger than the threat's limit.

        A ball with one radius per sample speaks of the whole batch that was opened; `radius` is one per row of this
        view and takes its place.
        """
        view = copy.copy(self)
        view.ball = self._bound(ball) if radius is None else Ball(ball.norm, radius).bind(self.x0)
        if self.limit is not None and self.limit.norm == ball.norm and not self.limit.covers(view.ball):
            limit = self.threat.limit
            raise AccessError(f"the attack's ball {ball} is larger than the threat's limit {limit}; lower its eps")
        view.lattice = None if self.lattice is None else replace(self.lattice, ball=view.ball)
        view._forget()
        return view

    def _bound(self, ball: Ball) -> Ball:
        """The ball bound to the batch that was opened, then narrowed to the rows of this view."""
        opened = self.x0.new_empty(()).expand(len(self.ledger.forwards), *self.x0.shape[1:])
        return ball.bind(opened).rows(self._row)

    def recording(self, keep: str, norm: Norm) -> Self:
        """A view with an empty record of finds, for one run."""
        view = copy.copy(self)
        view.finds = Finds(self.x0, keep, norm)
        view._slot = view.finds.every
        return view

    @property
    def done(self) -> Tensor:
        """Which rows have been found adversarial in this run, `(batch,)`."""
        assert self.finds is not None
        return self.finds.found[self._slot]

    @property
    def best(self) -> Tensor:
        """The recorded image of each row, the original where nothing was found."""
        assert self.finds is not None
        return self.finds.image[self._slot]

    @property
    def distance(self) -> Tensor:
        """The distance of the recorded image, infinite where nothing was found, `(batch,)`."""
        assert self.finds is not None
        return self.finds.distance[self._slot]

    @property
    def loss(self) -> Tensor:
        """The loss each row had at its last gradient, `(batch,)`."""
        return self.ledger.loss[self._row]

    def note_unsolved(self, missed: Tensor) -> None:
        """Count the rows whose linear system missed its tolerance, `(batch,)`: a diagnostic, no cost."""
        self.ledger.count(self.ledger.unsolved, self._row, missed)

    @property
    def spent(self) -> Tensor:
        """Forward passes of each row so far, `(batch,)`."""
        return self.ledger.forwards[self._row]
