"""The door: an attack's only way to the model. It counts, limits, rounds, differentiates and records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vauban.core.errors import AccessError, BudgetSpent
from vauban.core.goals import Aim
from vauban.core.losses import Loss, auto, check_loss, switched
from vauban.core.norms import Linf
from vauban.core.rng import Stream, fold
from vauban.core.seeded import seeded
from vauban.engine.network import Answer, accumulate, differentiate, predict, quiet, rerouted
from vauban.engine.place import inside
from vauban.engine.view import View

if TYPE_CHECKING:
    from vauban.engine.threat import Threat


class Ask(View):
    """The door itself: `gradient`, `jacobian`, `scores`, `labels`, `reached`, and the closing `check`.

    Every image is masked, clipped to [0,1] and rounded to the pixel grid before a network sees it; gradients pass the
    rounding straight through. An image is recorded as found only when the logits are the judged network's own, the
    goal is reached and the image is inside the ball.
    """

    def __init__(
        self, threat: Threat, x0: Tensor, rng: Stream, *, parts: list[nn.Module], classes: int, mask: Tensor | None
    ) -> None:
        super().__init__(threat, x0, rng, classes=classes, mask=mask)
        self._parts = parts
        self._known: tuple[Aim, Tensor, Tensor] | None = None  # the last logits and where they reach the goal
        self._noise = fold(rng.seed, "model", int(rng.ids[0])) if threat.noisy else 0  # another one for each batch

    def gradient(self, x: Tensor, *losses: Loss) -> tuple[Tensor, list[Tensor]]:
        """(logits `(batch, classes)`, one image gradient per loss); 1 forward and 1 backward per loss, per draw and
        source. With several draws or sources: their mean logits and the weighted sum of their gradients."""
        names = [getattr(loss, "__name__", str(loss)) for loss in losses]

        def valued(loss: Loss, name: str, logits: Tensor) -> Tensor:
            return check_loss(loss(logits, self.aim), len(x), name)

        x = self.shown(x)
        functions = [partial(valued, loss, name) for loss, name in zip(losses, names, strict=True)]
        logits, values, gradients = self._differentiate(x, functions)
        self.ledger.valued(self._row, values[0])
        if auto in losses:
            self.ledger.count(self.ledger.switches, self._row, switched(values[losses.index(auto)], self.aim))
        self.ledger.count(self.ledger.vanished, self._row, Linf.size(gradients[0]) == 0)
        if self.finds is not None and self.finds.top is not None:
            loss = values[0].where(self.admissible(x), torch.full_like(values[0], -torch.inf))
            self.finds.rank(self._slot, x, loss, self._distinct)
        return logits, gradients

    def jacobian(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, gradients `(batch, k, ...)` of the logits of `classes` `(batch, k)`); 1 forward, k backwards."""

        def picked(j: int, logits: Tensor) -> Tensor:
            return logits.gather(1, classes[:, j : j + 1]).squeeze(1)

        x = self.shown(x)
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

    def won(self, logits: Tensor) -> Tensor:
        """Whether these logits, which the door has handed out, reach the goal, `(batch,)`; no pass."""
        if self._known is not None and self._known[0] is self.aim and self._known[1] is logits:
            return self._known[2]
        return self.aim.reached(logits)

    def clean_logits(self) -> Tensor:
        """Logits of the originals, from the target where scores are granted, else from the first source."""
        if "scores" in self.threat.grants and not self.threat.sources:
            network = self.threat.target
        else:
            self._allow("gradients")
            network = self.threat.networks[0][0]
        self._charge(1, 0)
        return self._forward(network, self.snap(self.x0))

    def _differentiate(self, x: Tensor, functions: Sequence[Callable[[Tensor], Tensor]]) -> Answer:
        self._allow("gradients")
        networks, draws = self.threat.networks, self.threat.draws
        self._charge(draws * len(networks), draws * len(networks) * len(functions))
        total: Answer | None = None
        with quiet(self._parts), rerouted(self.threat.backward):
            for draw in range(draws):
                for network, weight in networks:
                    with self._seeded(draw):
                        answer = differentiate(network, x, functions)
                    total = accumulate(total, answer, 1 / (draws * len(networks)), weight / draws)
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
        x = self.shown(x)
        logits = self._forward(self.threat.target, x)
        if not self.threat.randomised:
            self._record(x, logits)
        return logits

    def _forward(self, network: nn.Module, x: Tensor, draw: int = 0) -> Tensor:
        with quiet(self._parts), self._seeded(draw):
            return predict(network, x)

    def _seeded(self, draw: int) -> AbstractContextManager[None]:
        """Where a network draws random numbers, the global generators under a seed of this call and draw."""
        if not self.threat.noisy:
            return nullcontext()
        return seeded(self._noise, self.ledger.calls, draw, device=self.x0.device)

    def _allow(self, grant: str) -> None:
        if grant not in self.threat.grants:
            granted = ", ".join(sorted(self.threat.grants)) or "nothing"
            raise AccessError(f"the threat {self.threat.name!r} does not grant {grant}; it grants {granted}")

    def _charge(self, forwards: int, backwards: int) -> None:
        budget = self.threat.budget
        if budget is not None:
            cost = torch.full_like(self._row, forwards)  # a row that is repeated pays for every repetition
            if bool((self.ledger.forwards.index_add(0, self._row, cost) > budget).any()):
                raise BudgetSpent(
                    f"the next call needs {forwards} forward passes, more than the budget {budget} leaves"
                )
        self.ledger.calls += 1
        self.ledger.charge(self._row, forwards, backwards)

    def _record(self, x: Tensor, logits: Tensor) -> None:
        if self.finds is None:
            return
        reached = self.aim.reached(logits)
        self._known = self.aim, logits, reached
        ok = self.finds.wanted(self._slot, reached)
        if not bool(ok.any()):
            return
        slot, row, x0, regions = self._slot, self._row, self.x0, self.regions
        if self.finds.keep == "first":  # each sample once: the other rows of a long run need not be looked at again
            rows = ok.nonzero().squeeze(1)
            slot, row, x0, x, ok = slot[rows], row[rows], x0[rows], x[rows], ok[rows]
            regions = [region.rows(rows) for region in regions]
        ok = ok & inside(regions, x, x0)
        self.finds.offer(slot, x, x0, ok, self.ledger.cost(row), self._distinct)

    def check(self, x: Tensor, draws: int = 20) -> Tensor:
        """The closing check of a run: the share of the target's answers that reach the goal inside the ball, `(batch,)`.

        A deterministic target that the attacker may query is charged one forward. Otherwise the check is the
        evaluator's: it costs the attacker nothing, and the attack never sees its result. A random target is drawn
        `draws` times. A row whose budget is spent is not checked: 0.
        """
        x = self.snap(x)
        inside = self.admissible(x)
        if self.threat.randomised:
            self.ledger.calls += 1
            shares = [self.aim.reached(self._forward(self.threat.target, x, -1 - k)) for k in range(draws)]
            return torch.stack(shares).double().mean(0) * inside
        if "labels" in self.threat.grants:
            budget = self.threat.budget
            if budget is not None and bool((spent := self.spent >= budget).any()):
                share = torch.zeros(len(x), dtype=torch.float64, device=x.device)
                if not bool(spent.all()):
                    share[~spent] = self.rows(~spent).check(x[~spent])
                return share
            self._charge(1, 0)
        return (self.aim.reached(self._forward(self.threat.target, x)) & inside).double()
