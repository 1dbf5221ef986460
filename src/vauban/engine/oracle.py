"""Oracle: an attack's only way to the model; it limits, counts, quantises, differentiates and records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Self

import torch
from torch import Tensor, nn

from vauban.core.answers import check_answerable, predicted
from vauban.core.arithmetic import Precision
from vauban.core.arrays import mask_of
from vauban.core.contracts import check_ids, check_images
from vauban.core.errors import AccessError, BudgetSpent, ContractError, plural
from vauban.core.goals import Goal, ResolvedGoal, Untargeted
from vauban.core.losses import Loss, auto, loss_values, switched
from vauban.core.norms import Linf
from vauban.core.pixel_grid import PixelGrid, check_on_grid
from vauban.core.precision import HALF, raised
from vauban.core.rng import Stream, seeded
from vauban.engine.attacked_rows import AttackedRows
from vauban.engine.compiled import called
from vauban.engine.domain import Domain
from vauban.engine.network import Answer, accumulate, differentiate, in_columns, predict, quiet
from vauban.engine.rerouted import rerouted
from vauban.engine.threat import DRAWS, BoundThreat, probe_classes


class Oracle(AttackedRows):
    """An attack's questions to the networks of a threat, about the rows of a batch.

    Every image is masked, clipped to [0,1] and rounded to the pixel grid before a network sees it; gradients pass the
    rounding straight through, and a component that is not finite counts as zero. An image is recorded as a success only
    when the logits are the judged network's own, the goal is reached and the image is inside the ball. What is known
    without a network, and the narrowed copies, are those of `AttackedRows`.

    Raises:
        AccessError: A question asks for what the threat does not grant.
        BudgetSpent: A question costs more forward passes than the threat's budget leaves.
    """

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
    ) -> Self:
        """Oracle on a batch, after checking the batch and the model once and resolving the goal.

        Args:
            threat: A threat bound to its network.
            x: Images `(batch, ...)` in [0,1]. Of half precision: the attack and its result are in float32, see
                `core.precision`.
            y: Labels int64 `(batch,)`.
            goal: What the attacker wants; None: any wrong label.
            ids: Sample ids int64 `(batch,)`, which key the random numbers; None: 0, 1, 2, ...
            seed: Seed of the random numbers.
            mask: False where the attacker may change nothing; broadcasts to x. None: everywhere.
            classes: Number of logits where it is known already; else every network is asked for one image, which is
                not counted as a query.

        Raises:
            ContractError: Images, labels, mask or the model's output break the contract.
        """
        x = check_images(x).detach().clone()  # an attack may write into what it is given
        if x.dtype == torch.float64 and threat.precision != "float32":
            raise ContractError(
                f"expected images in float32 for an attack in {threat.precision}, got float64; use precision float32"
            )
        if x.dtype in HALF:
            threat = replace(threat, half=x.dtype)
        x = raised(check_on_grid(x, threat.levels), threat.levels)
        mask = None if mask is None else mask_of(mask, x)
        ids = torch.arange(len(x), device=x.device) if ids is None else check_ids(ids, len(x))
        y = y.clone()
        goal, rng = goal or Untargeted(), Stream(seed, ids)
        rejects = threat.rejects or bool(getattr(goal, "rejects", False))
        classes = probe_classes(threat, x[:1].clone(), seed, rejects) if classes is None else classes
        labels = classes - rejects
        check_answerable(y, len(x), classes, rejects)
        limit = None if threat.limit is None else threat.limit.bind(x)
        grid = None if threat.levels is None else PixelGrid.over(threat.levels, x)
        oracle = cls(
            threat, Domain(x, mask, None, limit, grid, threat.half), ResolvedGoal(y, rejects=rejects), rng, classes
        )
        logits = oracle.clean_logits()[:, :labels] if goal.needs_logits else None
        return oracle.with_goal(replace(goal.resolve(y, logits, labels, rng), rejects=rejects))

    def gradient(self, x: Tensor, *losses: Loss) -> tuple[Tensor, list[Tensor]]:
        """Logits and the image gradient of each loss.

        Costs 1 forward, and 1 backward per loss, for every draw and source. With several draws or sources: their mean
        logits and the weighted sum of their gradients.

        Args:
            x: Images `(batch, ...)`.
            losses: Functions of (logits, goal) with one value per sample, or of (logits, labels).

        Returns:
            Logits `(batch, classes)` and one gradient of the shape of x per loss.
        """
        x = self.domain.quantised(x)
        functions = [partial(loss_values, loss, goal=self.goal) for loss in losses]
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
        """Labels that the target predicts, `(batch,)`, NO_LABEL where its logits are not finite; 1 forward."""
        return predicted(self._query(x, "labels"))

    def reached(self, x: Tensor) -> Tensor:
        """Whether the goal is reached, `(batch,)`, from labels; 1 forward."""
        return self.goal.reached(self._query(x, "labels"))

    def clean_logits(self) -> Tensor:
        """Logits of the originals, from the target where scores are granted, else from the first source; 1 forward."""
        if "scores" in self.threat.grants and not self.threat.sources:
            network = self.threat.target
        else:
            self._allow("gradients")
            network = self.threat.networks[0][0]
        self._charge(1, 0)
        x = self.domain.quantise(self.domain.x0)
        return in_columns(self._forward(network, x, precision="float32"), self.classes)

    def check(self, x: Tensor, draws: int = DRAWS) -> Tensor:
        """Closing check of a run: the share of the target's answers that reach the goal inside the ball, `(batch,)`.

        A deterministic target that the attacker may query is charged one forward. Otherwise the check is the
        evaluator's: it costs the attacker nothing, and the attack never sees its result. A random target is drawn
        `draws` times. A row whose budget is spent is not checked: 0.
        """
        x = self.domain.quantise(x)
        admissible = self.domain.admissible(x)
        if self.threat.randomised:
            self.pass_count.calls += 1
            shares = [self.goal.reached(self._forward(self.threat.target, x, -1 - k, "float32")) for k in range(draws)]
            return torch.stack(shares).double().mean(0) * admissible
        if "labels" in self.threat.grants:
            if bool((spent := self.room < 1).any()):
                share = torch.zeros(len(x), dtype=torch.float64, device=x.device)
                if not bool(spent.all()):
                    share[~spent] = self.rows(~spent).check(x[~spent])
                return share
            self._charge(1, 0)
        return (self.goal.reached(self._forward(self.threat.target, x, precision="float32")) & admissible).double()

    def _differentiate(
        self, x: Tensor, functions: Sequence[Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        self._allow("gradients")
        networks, draws = self.threat.networks, self.threat.draws
        self._charge(draws * len(networks), draws * len(networks) * len(functions))
        total: Answer | None = None
        with quiet(self.threat.parts), rerouted(self.threat.backward):
            for draw in range(draws):
                for network, weight in networks:
                    with self._seeded(draw):
                        asked = called(self.threat, network)
                        half, precision = self.threat.half, self.threat.precision
                        answer = differentiate(asked, x, functions, half, self.classes, precision)
                    total = accumulate(total, answer, 1 / (draws * len(networks)), weight / draws)
        assert total is not None
        logits, values, gradients, nonfinite = total
        self.pass_count.count(self.pass_count.nonfinite_gradients, self._row, nonfinite)
        if self.threat.direct:
            self._note(x, logits)
        if self.domain.mask is not None:
            gradients = [g * self.domain.mask for g in gradients]
        return logits, values, gradients

    def _query(self, x: Tensor, grant: str) -> Tensor:
        self._allow(grant)
        self._charge(1, 0)
        x = self.domain.quantised(x)
        logits = self._forward(self.threat.target, x)
        if not self.threat.randomised:
            self._note(x, logits)
        return logits

    def _note(self, x: Tensor, logits: Tensor) -> None:
        """Record the successes that the judged network's logits show, in less than float32 those that it confirms."""
        self._record(x, logits, None if self.threat.precision == "float32" else self._confirmed)

    def _confirmed(self, rows: Tensor, x: Tensor) -> Tensor:
        """Whether the target's answer in float32 reaches the goal; 1 forward, where the budget has one left.

        Args:
            rows: The rows that are asked about, `(k,)`.
            x: Their images `(k, ...)`.

        Returns:
            `(k,)`.
        """
        asked, budget = self.rows(rows), self.threat.budget
        self.pass_count.calls += 1
        reached = asked.goal.reached(asked._forward(self.threat.target, x, precision="float32"))
        # a row that has spent its budget gets no answer, and is judged in the end
        solvent = torch.ones_like(reached) if budget is None else asked.forwards < budget
        self.pass_count.count(self.pass_count.forwards, asked._row, solvent)
        return reached & solvent

    def _forward(self, network: nn.Module, x: Tensor, draw: int = 0, precision: Precision | None = None) -> Tensor:
        with quiet(self.threat.parts), self._seeded(draw):
            return predict(called(self.threat, network), x, self.threat.half, precision or self.threat.precision)

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
        counted, budget, passes = self.pass_count, self.threat.budget, self.threat.passes
        if budget is not None and self._exceeds(counted.forwards, forwards, budget):
            raise BudgetSpent(
                f"the next call needs {plural(forwards, 'forward pass')}, more than the budget {budget} leaves"
            )
        both = forwards + backwards
        if passes is not None and self._exceeds(counted.forwards + counted.backwards, both, passes):
            raise BudgetSpent(f"the next call needs {plural(both, 'pass')}, more than the bound {passes} leaves")
        self.pass_count.calls += 1
        self.pass_count.charge(self._row, forwards, backwards)

    def _exceeds(self, spent: Tensor, cost: int, bound: int) -> bool:
        """Whether a cost for each row goes beyond a bound; a row that is repeated pays for every repetition."""
        return bool((spent.index_add(0, self._row, torch.full_like(self._row, cost)) > bound).any())
