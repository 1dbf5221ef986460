"""The door: an attack's only way to the model. It counts, limits, rounds, differentiates and records."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vauban.core.errors import AccessError, BudgetSpent
from vauban.core.goals import Aim
from vauban.core.lattice import Lattice
from vauban.core.losses import Loss, auto, check_loss, saturated
from vauban.core.norms import Ball, Norm
from vauban.core.rng import Stream
from vauban.core.seeded import seeded
from vauban.core.tensors import flat
from vauban.engine.ledger import Finds, Ledger
from vauban.engine.network import differentiate, predict, quiet, rerouted

if TYPE_CHECKING:
    from vauban.engine.threat import Threat


class Ask:
    """A view on some rows of one batch. x0: the originals; aim: their labels; rng: their random numbers; ball: where
    the running attack may move (None: anywhere in [0,1]).

    Every image is masked, clipped to [0,1] and rounded to the pixel grid before a network sees it; gradients pass the
    rounding straight through. An image is recorded as found only when the logits are the judged network's own, the
    goal is reached and the image is inside the ball.
    """

    aim: Aim

    def __init__(
        self, threat: Threat, x0: Tensor, rng: Stream, *, parts: list[nn.Module], classes: int, mask: Tensor | None
    ) -> None:
        self.threat, self.x0, self.rng, self.classes, self.mask = threat, x0, rng, classes, mask
        self.ball: Ball | None = None
        self.limit = None if threat.limit is None else threat.limit.bind(x0)
        self.lattice = None if threat.levels is None else Lattice(threat.levels, x0)
        self.ledger = Ledger(len(x0), x0.device)
        self.finds: Finds | None = None
        self._parts = parts
        self._row = self._slot = torch.arange(len(x0), device=x0.device)  # rows of the ledger, rows of the finds
        self._distinct = True

    def __len__(self) -> int:
        return len(self.x0)

    # ---- views -------------------------------------------------------------------------------------------------

    def rows(self, index: Tensor) -> Ask:
        """The same door for some of the rows (a boolean mask or distinct integers)."""
        view = copy.copy(self)
        view.x0, view.aim, view.rng = self.x0[index], self.aim.rows(index), self.rng.rows(index)
        view.mask = None if self.mask is None else self.mask[index]
        view.ball = None if self.ball is None else self.ball.rows(index)
        view.limit = None if self.limit is None else self.limit.rows(index)
        view.lattice = None if self.lattice is None else self.lattice.rows(index)
        view._row, view._slot = self._row[index], self._slot[index]
        return view

    def repeat(self, times: int) -> Ask:
        """Every row `times` times in a row, for several queries of one sample at once."""
        view = self.rows(torch.arange(len(self), device=self.x0.device).repeat_interleave(times))
        view._distinct = False
        return view

    def fresh(self, restart: int) -> Ask:
        """The same rows with independent random numbers."""
        view = copy.copy(self)
        view.rng = self.rng.fresh(restart)
        return view

    def aimed(self, aim: Aim) -> Ask:
        """The same rows with other labels to reach."""
        view = copy.copy(self)
        view.aim = aim
        return view

    def confined(self, ball: Ball) -> Ask:
        """The same rows, moving inside `ball`; refused where it is larger than the threat's limit."""
        view = copy.copy(self)
        view.ball = ball.bind(self.x0)
        if self.limit is not None and self.limit.norm == ball.norm and not self.limit.covers(view.ball):
            limit = self.threat.limit
            raise AccessError(f"the attack's ball {ball} is larger than the threat's limit {limit}; lower its eps")
        view.lattice = None if self.lattice is None else Lattice(self.lattice.levels, self.x0, view.ball)
        return view

    def recording(self, keep: str, norm: Norm) -> Ask:
        """A view with an empty record of finds, for one run."""
        view = copy.copy(self)
        view.finds = Finds(self.x0, keep, norm)
        view._slot = torch.arange(len(self), device=self.x0.device)
        return view

    # ---- what the record says ------------------------------------------------------------------------------------

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

    @property
    def spent(self) -> Tensor:
        """Forward passes of each row so far, `(batch,)`."""
        return self.ledger.forwards[self._row]

    # ---- geometry ------------------------------------------------------------------------------------------------

    def project(self, x: Tensor) -> Tensor:
        """The nearest point the attacker may use: unmasked components, the ball, then [0,1]."""
        if self.mask is not None:
            x = torch.where(self.mask, x, self.x0)
        if self.ball is not None:
            x = self.ball.project(x, self.x0)
        return x.clamp(0, 1)

    def snap(self, x: Tensor) -> Tensor:
        """The image that the network is shown for x."""
        if self.mask is not None:
            x = torch.where(self.mask, x, self.x0)
        return x.clamp(0, 1) if self.lattice is None else self.lattice.round(x)

    # ---- questions -----------------------------------------------------------------------------------------------

    def gradient(self, x: Tensor, *losses: Loss) -> tuple[Tensor, list[Tensor]]:
        """(logits `(batch, classes)`, one image gradient per loss); 1 forward and 1 backward per loss, per draw and
        source. With several draws or sources: their mean logits and the weighted sum of their gradients."""
        names = [getattr(loss, "__name__", str(loss)) for loss in losses]

        def valued(loss: Loss, name: str, logits: Tensor) -> Tensor:
            return check_loss(loss(logits, self.aim), len(x), name)

        x = self.snap(x)
        functions = [partial(valued, loss, name) for loss, name in zip(losses, names, strict=True)]
        logits, values, gradients = self._differentiate(x, functions)
        self.ledger.loss[self._row] = values[0].to(self.ledger.loss.dtype)
        if auto in losses:
            self.ledger.switches.index_add_(0, self._row, saturated(logits, self.aim).long())
        self.ledger.vanished.index_add_(0, self._row, (flat(gradients[0]).abs().amax(1) == 0).long())
        if self.finds is not None:
            self.finds.rank(self._slot, x, values[0])
        return logits, gradients

    def jacobian(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, gradients `(batch, k, ...)` of the logits of `classes` `(batch, k)`); 1 forward, k backwards."""

        def picked(j: int, logits: Tensor) -> Tensor:
            return logits.gather(1, classes[:, j : j + 1]).squeeze(1)

        x = self.snap(x)
        functions = [partial(picked, j) for j in range(classes.shape[1])]
        logits, _, gradients = self._differentiate(x, functions)
        return logits, torch.stack(gradients, 1)

    def scores(self, x: Tensor) -> Tensor:
        """The target's logits `(batch, classes)`; 1 forward."""
        return self._query(x, "scores")

    def labels(self, x: Tensor) -> Tensor:
        """The target's predicted labels `(batch,)`; 1 forward."""
        return self._query(x, "labels").argmax(1)

    def reached(self, x: Tensor) -> Tensor:
        """Whether the goal is reached, `(batch,)`, from labels; 1 forward."""
        return self.aim.reached(self._query(x, "labels"))

    def clean_logits(self) -> Tensor:
        """Logits of the originals, from the target where scores are granted, else from the first source."""
        if "scores" in self.threat.grants and not self.threat.sources:
            network = self.threat.target
        else:
            self._allow("gradients")
            network = self.threat.networks[0][0]
        self._charge(1, 0)
        return self._forward(network, self.snap(self.x0))

    # ---- inside --------------------------------------------------------------------------------------------------

    def _differentiate(
        self, x: Tensor, functions: list[Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        self._allow("gradients")
        networks, draws = self.threat.networks, self.threat.draws
        self._charge(draws * len(networks), draws * len(networks) * len(functions))
        total: tuple[Tensor, list[Tensor], list[Tensor]] | None = None
        with quiet(self._parts), rerouted(self.threat.backward):
            for draw in range(draws):
                for network, weight in networks:
                    if self.threat.randomised:
                        with seeded(*self._key(draw), device=x.device):
                            answer = differentiate(network, x, functions)
                    else:
                        answer = differentiate(network, x, functions)
                    total = _add(total, answer, 1 / (draws * len(networks)), weight / draws)
        assert total is not None
        logits, values, gradients = total
        if self.threat.direct:
            self._record(x, logits)
        if self.mask is not None:
            gradients = [g * self.mask for g in gradients]
        return logits, values, gradients

    def _query(self, x: Tensor, grant: str) -> Tensor:
        self._allow(grant)
        self._charge(1, 0)
        x = self.snap(x)
        logits = self._forward(self.threat.target, x)
        if not self.threat.randomised:
            self._record(x, logits)
        return logits

    def _forward(self, network: nn.Module, x: Tensor, draw: int = 0) -> Tensor:
        with quiet(self._parts):
            if self.threat.randomised:
                with seeded(*self._key(draw), device=x.device):
                    return predict(network, x)
            return predict(network, x)

    def _key(self, draw: int) -> tuple[int | str, ...]:
        return (self.rng.seed, "model", self.ledger.calls, draw)

    def _allow(self, grant: str) -> None:
        if grant not in self.threat.grants:
            granted = ", ".join(sorted(self.threat.grants)) or "nothing"
            raise AccessError(f"the threat {self.threat.name!r} does not grant {grant}; it grants {granted}")

    def _charge(self, forwards: int, backwards: int) -> None:
        budget = self.threat.budget
        if budget is not None and bool((self.spent + forwards > budget).any()):
            raise BudgetSpent(f"the next call needs {forwards} more forward passes than the budget of {budget} leaves")
        self.ledger.calls += 1
        self.ledger.charge(self._row, forwards, backwards)

    def _record(self, x: Tensor, logits: Tensor) -> None:
        if self.finds is None:
            return
        ok = self.aim.reached(logits) & self._admissible(x)
        self.finds.offer(self._slot, x, self.x0, ok, self.ledger.backwards[self._row], self._distinct)

    def _admissible(self, x: Tensor) -> Tensor:
        """Whether each image is within the attack's ball and the threat's limit, `(batch,)`."""
        ok = torch.ones(len(x), dtype=torch.bool, device=x.device)
        for region in dict.fromkeys((self.ball, self.limit)):
            if region is not None:
                ok = ok & region.contains(x, self.x0)
        return ok

    def check(self, x: Tensor, draws: int = 20) -> Tensor:
        """The closing check of a run: the share of the target's answers that reach the goal inside the ball, `(batch,)`.

        A deterministic target that the attacker may query is charged one forward. Otherwise the check is the
        evaluator's: it costs the attacker nothing, and the attack never sees its result. A random target is drawn
        `draws` times.
        """
        x = self.snap(x)
        inside = self._admissible(x)
        if self.threat.randomised:
            self.ledger.calls += 1
            shares = [self.aim.reached(self._forward(self.threat.target, x, -1 - k)) for k in range(draws)]
            return torch.stack(shares).double().mean(0) * inside
        if "labels" in self.threat.grants:
            budget = self.threat.budget
            if budget is not None and bool((self.spent + 1 > budget).any()):
                return self.done.double()
            self._charge(1, 0)
        return (self.aim.reached(self._forward(self.threat.target, x)) & inside).double()


def _add(
    total: tuple[Tensor, list[Tensor], list[Tensor]] | None,
    answer: tuple[Tensor, list[Tensor], list[Tensor]],
    share: float,
    weight: float,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Accumulate logits by `share`, values and gradients by `weight`; a single answer passes through untouched."""
    logits, values, gradients = answer
    if total is None and share == 1 and weight == 1:
        return answer
    logits, values, gradients = logits * share, [v * weight for v in values], [g * weight for g in gradients]
    if total is None:
        return logits, values, gradients
    return (
        total[0] + logits,
        [a + b for a, b in zip(total[1], values, strict=True)],
        [a + b for a, b in zip(total[2], gradients, strict=True)],
    )
