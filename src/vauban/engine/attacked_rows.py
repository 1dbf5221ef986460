"""Rows of a batch under attack: domain, goal, random numbers, pass count and record, and narrowed copies of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from vauban.core.errors import AccessError
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball, Norm
from vauban.core.rng import Stream, fold
from vauban.core.tensors import waits
from vauban.engine.domain import Domain, inside
from vauban.engine.record import BestSoFar, Keep, PassCount
from vauban.engine.threat import BoundThreat


class AttackedRows:
    """What is known of some rows of one batch without asking a network; `Oracle` adds the questions.

    `rows`, `repeat`, `fresh`, `with_goal`, `confined`, `unrounded`, `unrecorded` and `recording` return narrowed copies.
    The pass count is shared by all of them, the record of successes by those of one run.

    Attributes:
        threat: What the attacker may ask.
        domain: Where images may be: originals, mask, ball, pixel grid.
        goal: The labels of the rows.
        rng: Random numbers keyed by sample.
        classes: Number of logits of the target, 'rejected' included.
        pass_count: Passes of the whole batch.
        best_so_far: Record of the running attack; None outside a run.
    """

    def __init__(self, threat: BoundThreat, domain: Domain, goal: ResolvedGoal, rng: Stream, classes: int) -> None:
        self.threat, self.domain, self.goal, self.rng, self.classes = threat, domain, goal, rng, classes
        self.pass_count = PassCount(len(domain), domain.x0.device)
        self.best_so_far: BestSoFar | None = None
        self._row = self._slot = self.pass_count.every  # rows of the pass count, rows of the record
        self._distinct = True
        self._known: tuple[ResolvedGoal, Tensor, Tensor] | None = None  # the last logits, and where they reach the goal
        self._noise = fold(rng.seed, "model", int(rng.ids[0])) if threat.noisy else 0  # another one for each batch

    def __len__(self) -> int:
        return len(self.domain)

    def _with(self, **changes: Any) -> Self:
        narrowed = copy.copy(self)
        vars(narrowed).update(changes)
        return narrowed

    def rows(self, index: Tensor) -> Self:
        """Some of the rows (a boolean mask or distinct integers)."""
        return self._with(
            domain=self.domain.rows(index),
            goal=self.goal.rows(index),
            rng=self.rng.rows(index),
            _row=self._row[index],
            _slot=self._slot[index],
        )

    def repeat(self, times: int) -> Self:
        """Every row `times` times in a row, for several queries of one sample at once; copies draw the same numbers."""
        index = torch.arange(len(self), device=self.domain.x0.device).repeat_interleave(times)
        return self.rows(index)._with(_distinct=False)

    def fresh(self, restart: int) -> Self:
        """The same rows with independent random numbers."""
        return self._with(rng=self.rng.fresh(restart))

    def with_goal(self, goal: ResolvedGoal) -> Self:
        """The same rows with other labels to reach."""
        return self._with(goal=goal)

    def confined(self, ball: Ball, radius: Tensor | None = None) -> Self:
        """The same rows, whose images move inside `ball`.

        Args:
            ball: A ball with one radius, or with one radius per sample of the whole batch that was opened.
            radius: One radius per row, which takes the place of the ball's own.

        Raises:
            AccessError: The ball is larger than the threat's limit.
        """
        bound = self._bound(ball) if radius is None else Ball(ball.norm, radius).bind(self.domain.x0)
        limit = self.domain.limit
        if limit is not None and limit.norm == ball.norm and not limit.covers(bound):
            raise AccessError(
                f"the attack's ball {ball} is larger than the threat's limit {self.threat.limit}; lower its eps"
            )
        return self._with(domain=self.domain.confined(bound))

    def _bound(self, ball: Ball) -> Ball:
        """The ball bound to the batch that was opened, then narrowed to these rows."""
        x0 = self.domain.x0
        opened = x0.new_empty(()).expand(len(self.pass_count.forwards), *x0.shape[1:])
        return ball.bind(opened).rows(self._row)

    def unrounded(self) -> Self:
        """The same rows, whose images are not rounded to pixel levels."""
        return self._with(domain=self.domain.continuous())

    def unrecorded(self) -> Self:
        """The same rows for the points of a finite difference: not rounded to pixel levels, and no success is recorded."""
        return self._with(domain=self.domain.continuous(), best_so_far=None)

    def recording(self, keep: Keep, norm: Norm) -> Self:
        """The same rows with an empty record, for one run."""
        best = BestSoFar(self.domain.x0, keep, norm)
        return self._with(best_so_far=best, _slot=best.every)

    @property
    def record(self) -> BestSoFar:
        """Record of the running attack."""
        assert self.best_so_far is not None
        return self.best_so_far

    @property
    def succeeded(self) -> Tensor:
        """Which rows have been seen adversarial in this run, `(batch,)`."""
        return self.record.success[self._slot]

    @property
    def best(self) -> Tensor:
        """Recorded image of each row, the original without a success, `(batch, ...)`."""
        return self.record.image[self._slot]

    @property
    def distance(self) -> Tensor:
        """Distance of the recorded image, infinite without a success, `(batch,)`."""
        return self.record.distance[self._slot]

    def scatter(self, into: Tensor, values: Tensor) -> None:
        """Write a value per row into a tensor with a value per row of the run."""
        into[self._slot] = values

    @property
    def loss(self) -> Tensor:
        """Loss of each row at its last gradient, `(batch,)`."""
        return self.pass_count.loss[self._row]

    @property
    def forwards(self) -> Tensor:
        """Forward passes of each row so far, `(batch,)`."""
        return self.pass_count.forwards[self._row]

    @property
    def backwards(self) -> Tensor:
        """Backward passes of each row so far, `(batch,)`, not to be written to."""
        return self.pass_count.gradients(self._row)

    @property
    def room(self) -> Tensor:
        """Forward passes that the threat's bounds leave to each row, `(batch,)`."""
        left = torch.full_like(self.forwards, torch.iinfo(torch.int64).max)
        if self.threat.budget is not None:
            left = left.minimum(self.threat.budget - self.forwards)
        if self.threat.passes is not None:
            left = left.minimum(self.threat.passes - self.forwards - self.backwards)
        return left

    def note_unsolved(self, missed: Tensor) -> None:
        """Count the rows whose linear system missed its tolerance, `(batch,)`: a diagnostic, no cost."""
        self.pass_count.count(self.pass_count.unsolved, self._row, missed)

    def won(self, logits: Tensor) -> Tensor:
        """Whether these logits, as handed out by a gradient or a query, reach the goal, `(batch,)`; no pass."""
        if self._known is not None and self._known[0] is self.goal and self._known[1] is logits:
            return self._known[2]
        return self.goal.reached(logits)

    def _record(self, x: Tensor, logits: Tensor, confirmed: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        """Record the rows whose images x reach the goal by the judged network's logits, inside the domain.

        Args:
            x: Images `(rows, ...)`.
            logits: Theirs, `(rows, classes)`.
            confirmed: From some rows and their images to which of them reach it beyond doubt; asked of those that would be
                recorded. None: the logits are beyond doubt.
        """
        best = self.best_so_far
        if best is None:
            return
        reached = self.goal.reached(logits)
        self._known = self.goal, logits, reached
        ok = best.wanted(self._slot, reached)
        if not waits(x) and not bool(ok.any()):
            return
        if confirmed is not None:
            self._record_confirmed(x, logits, ok, confirmed)
            return
        slot, row, x0, regions = self._slot, self._row, self.domain.x0, self.domain.regions
        if best.keep == "first" and not waits(x):  # each sample once: others need not be looked at again in a long run
            rows = ok.nonzero().squeeze(1)
            slot, row, x0, x, ok = slot[rows], row[rows], x0[rows], x[rows], ok[rows]
            regions = [region.rows(rows) for region in regions]
        ok = ok & inside(regions, x, x0)
        best.offer(slot, x, x0, ok, self.pass_count.gradients(row), self._distinct)

    def _record_confirmed(
        self, x: Tensor, logits: Tensor, ok: Tensor, confirmed: Callable[[Tensor, Tensor], Tensor]
    ) -> None:
        """Record those of the rows `ok` that are confirmed; one that is not has not reached the goal, and goes on."""
        best, x0 = self.record, self.domain.x0
        nearer = best.norm.size(x - x0) < best.distance[self._slot]
        rows = (ok & nearer & inside(self.domain.regions, x, x0)).nonzero().squeeze(1)
        if not len(rows):
            return
        answers = confirmed(rows, x[rows])
        reached = self.goal.reached(logits).index_copy(0, rows, answers)
        self._known = self.goal, logits, reached
        spent = self.pass_count.gradients(self._row[rows])
        best.offer(self._slot[rows], x[rows], x0[rows], answers, spent, self._distinct)
