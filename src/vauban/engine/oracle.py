"""Oracle: an attack's only way to the model. It counts, limits, quantises, differentiates and records."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.contracts import check_ids, check_images, check_labels
from vauban.core.errors import AccessError, BudgetSpent, ContractError
from vauban.core.goals import Goal, ResolvedGoal, Untargeted
from vauban.core.losses import Loss, auto, check_loss, switched
from vauban.core.norms import Ball, Linf, Norm
from vauban.core.pixel_grid import PixelGrid, on_grid
from vauban.core.rng import Stream, fold, seeded
from vauban.engine.domain import Domain, inside
from vauban.engine.network import Answer, accumulate, differentiate, predict, quiet, rerouted
from vauban.engine.record import BestSoFar, Keep, PassCount
from vauban.engine.threat import BoundThreat


class Oracle:
    """Access to the networks of a threat for some rows of one batch.

    Every image is masked, clipped to [0,1] and rounded to the pixel grid before a network sees it; gradients pass the
    rounding straight through. An image is recorded as a success only when the logits are the judged network's own, the
    goal is reached and the image is inside the ball. `rows`, `fresh`, `with_goal`, `confined` and `recording` return
    narrowed copies; the pass count is shared by all of them, the record of successes by those of one run.

    Attributes:
        threat: What the attacker may ask.
        domain: Where images may be: originals, mask, ball, pixel grid.
        goal: The labels of the rows.
        rng: Random numbers keyed by sample.
        classes: Number of classes of every network.
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

    @classmethod
    def open(
        cls,
        threat: BoundThreat,
        x: Tensor,
        y: Tensor,
        goal: Goal | None = None,
        ids: Tensor | None = None,
        seed: int = 0,
        mask: Tensor | None = None,
        classes: int | None = None,
    ) -> Oracle:
        """Oracle on a batch, after checking the batch and the model once and resolving the goal.

        Args:
            threat: A threat bound to its network.
            x: Images `(batch, ...)` in [0,1].
            y: Labels int64 `(batch,)`.
            goal: What the attacker wants; None: any wrong label.
            ids: Sample ids int64 `(batch,)`, which key the random numbers; None: 0, 1, 2, ...
            seed: Seed of the random numbers.
            mask: False where the attacker may change nothing; broadcasts to x. None: everywhere.
            classes: Number of classes where it is known already; else every network is asked for one image, which is not
                counted as a query.

        Raises:
            ContractError: Images, labels, mask or the model's output break the contract.
        """
        x = check_images(x).detach()
        if threat.levels is not None and not on_grid(x, threat.levels):
            raise ContractError(
                f"expected images on the grid of {threat.levels} pixel levels, got values between levels; "
                "pass levels=None for continuous data"
            )
        mask = None if mask is None else _mask_like(mask, x)
        ids = torch.arange(len(x), device=x.device) if ids is None else check_ids(ids, len(x))
        classes = probe_classes(threat, x[:1].clone(), seed) if classes is None else classes
        check_labels(y, len(x), classes)
        goal, rng = goal or Untargeted(), Stream(seed, ids)
        limit = None if threat.limit is None else threat.limit.bind(x)
        grid = None if threat.levels is None else PixelGrid.over(threat.levels, x)
        oracle = cls(threat, Domain(x, mask, None, limit, grid), ResolvedGoal(y), rng, classes)
        logits = oracle.clean_logits() if goal.needs_logits else None
        return oracle.with_goal(goal.resolve(y, logits, classes, rng))

    def __len__(self) -> int:
        return len(self.domain)

    def _with(self, **changes: Any) -> Oracle:
        narrowed = copy.copy(self)
        vars(narrowed).update(changes)
        return narrowed

    def rows(self, index: Tensor) -> Oracle:
        """Oracle for some of the rows (a boolean mask or distinct integers)."""
        return self._with(
            domain=self.domain.rows(index),
            goal=self.goal.rows(index),
            rng=self.rng.rows(index),
            _row=self._row[index],
            _slot=self._slot[index],
        )

    def repeat(self, times: int) -> Oracle:
        """Every row `times` times in a row, for several queries of one sample at once; copies draw the same numbers."""
        index = torch.arange(len(self), device=self.domain.x0.device).repeat_interleave(times)
        return self.rows(index)._with(_distinct=False)

    def fresh(self, restart: int) -> Oracle:
        """Oracle on the same rows with independent random numbers."""
        return self._with(rng=self.rng.fresh(restart))

    def with_goal(self, goal: ResolvedGoal) -> Oracle:
        """Oracle on the same rows with other labels to reach."""
        return self._with(goal=goal)

    def confined(self, ball: Ball, radius: Tensor | None = None) -> Oracle:
        """Oracle on the same rows, whose images move inside `ball`.

        Args:
            ball: A ball with one radius, or with one radius per sample of the whole batch that was opened.
            radius: One radius per row of this oracle, which takes the place of the ball's own.

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
        """The ball bound to the batch that was opened, then narrowed to the rows of this oracle."""
        x0 = self.domain.x0
        opened = x0.new_empty(()).expand(len(self.pass_count.forwards), *x0.shape[1:])
        return ball.bind(opened).rows(self._row)

    def recording(self, keep: Keep, norm: Norm) -> Oracle:
        """Oracle with an empty record, for one run."""
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
        """Write a value per row of this oracle into a tensor with a value per row of the run."""
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

    def note_unsolved(self, missed: Tensor) -> None:
        """Count the rows whose linear system missed its tolerance, `(batch,)`: a diagnostic, no cost."""
        self.pass_count.count(self.pass_count.unsolved, self._row, missed)

    def gradient(self, x: Tensor, *losses: Loss) -> tuple[Tensor, list[Tensor]]:
        """Logits and the image gradient of each loss.

        Costs 1 forward, and 1 backward per loss, for every draw and source. With several draws or sources: their mean
        logits and the weighted sum of their gradients.

        Args:
            x: Images `(batch, ...)`.
            losses: Functions of (logits, goal) with one value per sample.

        Returns:
            Logits `(batch, classes)` and one gradient of the shape of x per loss.
        """
        names = [getattr(loss, "__name__", str(loss)) for loss in losses]

        def checked(loss: Loss, name: str, logits: Tensor) -> Tensor:
            return check_loss(loss(logits, self.goal), len(x), name)

        x = self.domain.quantised(x)
        functions = [partial(checked, loss, name) for loss, name in zip(losses, names, strict=True)]
        logits, values, gradients = self._differentiate(x, functions)
        counts, best = self.pass_count, self.best_so_far
        counts.note_loss(self._row, values[0])
        if auto in losses:
            counts.count(counts.switches, self._row, switched(values[losses.index(auto)], self.goal))
        counts.count(counts.vanished, self._row, Linf.size(gradients[0]) == 0)
        if best is not None and best.top is not None:
            loss = values[0].where(self.domain.admissible(x), torch.full_like(values[0], -torch.inf))
            best.rank(self._slot, x, loss, self._distinct)
        return logits, gradients

    def jacobian(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, and the gradients of the logits of `classes`; 1 forward, k backwards.

        Args:
            x: Images `(batch, ...)`.
            classes: Class indices `(batch, k)`.

        Returns:
            Logits `(batch, classes)` and gradients `(batch, k, ...)`.
        """

        def picked(j: int, logits: Tensor) -> Tensor:
            return logits.gather(1, classes[:, j : j + 1]).squeeze(1)

        functions = [partial(picked, j) for j in range(classes.shape[1])]
        logits, _, gradients = self._differentiate(self.domain.quantised(x), functions)
        return logits, torch.stack(gradients, 1)

    def scores(self, x: Tensor) -> Tensor:
        """Logits of the target, `(batch, classes)`; 1 forward."""
        return self._query(x, "scores")

    def labels(self, x: Tensor) -> Tensor:
        """Labels that the target predicts, `(batch,)`; 1 forward."""
        return self._query(x, "labels").argmax(1)

    def reached(self, x: Tensor) -> Tensor:
        """Whether the goal is reached, `(batch,)`, from labels; 1 forward."""
        return self.goal.reached(self._query(x, "labels"))

    def won(self, logits: Tensor) -> Tensor:
        """Whether these logits, which this oracle has handed out, reach the goal, `(batch,)`; no pass."""
        if self._known is not None and self._known[0] is self.goal and self._known[1] is logits:
            return self._known[2]
        return self.goal.reached(logits)

    def clean_logits(self) -> Tensor:
        """Logits of the originals, from the target where scores are granted, else from the first source; 1 forward."""
        if "scores" in self.threat.grants and not self.threat.sources:
            network = self.threat.target
        else:
            self._allow("gradients")
            network = self.threat.networks[0][0]
        self._charge(1, 0)
        return self._forward(network, self.domain.quantise(self.domain.x0))

    def check(self, x: Tensor, draws: int = 20) -> Tensor:
        """Closing check of a run: the share of the target's answers that reach the goal inside the ball, `(batch,)`.

        A deterministic target that the attacker may query is charged one forward. Otherwise the check is the
        evaluator's: it costs the attacker nothing, and the attack never sees its result. A random target is drawn
        `draws` times. A row whose budget is spent is not checked: 0.
        """
        x = self.domain.quantise(x)
        admissible = self.domain.admissible(x)
        if self.threat.randomised:
            self.pass_count.calls += 1
            shares = [self.goal.reached(self._forward(self.threat.target, x, -1 - k)) for k in range(draws)]
            return torch.stack(shares).double().mean(0) * admissible
        if "labels" in self.threat.grants:
            budget = self.threat.budget
            if budget is not None and bool((spent := self.forwards >= budget).any()):
                share = torch.zeros(len(x), dtype=torch.float64, device=x.device)
                if not bool(spent.all()):
                    share[~spent] = self.rows(~spent).check(x[~spent])
                return share
            self._charge(1, 0)
        return (self.goal.reached(self._forward(self.threat.target, x)) & admissible).double()

    def _differentiate(self, x: Tensor, functions: Sequence[Callable[[Tensor], Tensor]]) -> Answer:
        self._allow("gradients")
        networks, draws = self.threat.networks, self.threat.draws
        self._charge(draws * len(networks), draws * len(networks) * len(functions))
        total: Answer | None = None
        with quiet(self.threat.parts), rerouted(self.threat.backward):
            for draw in range(draws):
                for network, weight in networks:
                    with self._seeded(draw):
                        answer = differentiate(network, x, functions)
                    total = accumulate(total, answer, 1 / (draws * len(networks)), weight / draws)
        assert total is not None
        logits, values, gradients = total
        if self.threat.direct:
            self._record(x, logits)
        if self.domain.mask is not None:
            gradients = [g * self.domain.mask for g in gradients]
        return logits, values, gradients

    def _query(self, x: Tensor, grant: str) -> Tensor:
        self._allow(grant)
        self._charge(1, 0)
        x = self.domain.quantised(x)
        logits = self._forward(self.threat.target, x)
        if not self.threat.randomised:
            self._record(x, logits)
        return logits

    def _forward(self, network: nn.Module, x: Tensor, draw: int = 0) -> Tensor:
        with quiet(self.threat.parts), self._seeded(draw):
            return predict(network, x)

    def _seeded(self, draw: int) -> AbstractContextManager[None]:
        """Where a network draws random numbers, the global generators under a seed of this call and draw."""
        if not self.threat.noisy:
            return nullcontext()
        return seeded(self._noise, self.pass_count.calls, draw, device=self.domain.x0.device)

    def _allow(self, grant: str) -> None:
        if grant not in self.threat.grants:
            granted = ", ".join(sorted(self.threat.grants)) or "nothing"
            raise AccessError(f"the threat {self.threat.name!r} does not grant {grant}; it grants {granted}")

    def _charge(self, forwards: int, backwards: int) -> None:
        budget = self.threat.budget
        if budget is not None:
            cost = torch.full_like(self._row, forwards)  # a row that is repeated pays for every repetition
            if bool((self.pass_count.forwards.index_add(0, self._row, cost) > budget).any()):
                raise BudgetSpent(
                    f"the next call needs {forwards} forward passes, more than the budget {budget} leaves"
                )
        self.pass_count.calls += 1
        self.pass_count.charge(self._row, forwards, backwards)

    def _record(self, x: Tensor, logits: Tensor) -> None:
        best = self.best_so_far
        if best is None:
            return
        reached = self.goal.reached(logits)
        self._known = self.goal, logits, reached
        ok = best.wanted(self._slot, reached)
        if not bool(ok.any()):
            return
        slot, row, x0, regions = self._slot, self._row, self.domain.x0, self.domain.regions
        if best.keep == "first":  # each sample once: the other rows of a long run need not be looked at again
            rows = ok.nonzero().squeeze(1)
            slot, row, x0, x, ok = slot[rows], row[rows], x0[rows], x[rows], ok[rows]
            regions = [region.rows(rows) for region in regions]
        ok = ok & inside(regions, x, x0)
        best.offer(slot, x, x0, ok, self.pass_count.gradients(row), self._distinct)


def probe_classes(threat: BoundThreat, x: Tensor, seed: int = 0) -> int:
    """Number of classes of every network of a threat, by asking each for the images x; not counted as a query.

    Raises:
        ContractError: A network fails on x, or the networks have different numbers of classes.
    """
    with quiet(threat.parts), seeded(seed, "probe", device=x.device):
        try:
            counts = [predict(net, x).shape[1] for net in dict.fromkeys((threat.target, *dict(threat.networks)))]
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            reason = str(error).strip().split("\n")[0]
            raise ContractError(
                f"expected a model that takes {x.dtype} images of shape {tuple(x.shape)}, but it failed: {reason}"
            ) from error
    if len(set(counts)) > 1:
        raise ContractError(f"expected sources with the target's {counts[0]} classes, got {counts[1:]}")
    return counts[0]


def _mask_like(mask: Tensor, x: Tensor) -> Tensor:
    try:
        return mask.to(device=x.device, dtype=torch.bool).expand_as(x)
    except RuntimeError:
        raise ContractError(f"expected a mask that broadcasts to {tuple(x.shape)}, got {tuple(mask.shape)}") from None
