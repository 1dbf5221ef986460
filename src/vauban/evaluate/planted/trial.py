"""Trial of an attack on planted images: the same attack, threat and goal must find what is known to exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.goals import Goal, ResolvedGoal, Targeted, Untargeted
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.pixel_grid import check_on_grid
from vauban.core.precision import HALF, raised
from vauban.engine import Attack, BoundThreat, Oracle, judge
from vauban.engine.network import predict, quiet
from vauban.evaluate.batch import evaluate_batch
from vauban.evaluate.diagnostics.first_look import answers_vary
from vauban.evaluate.narrowed import narrowed
from vauban.evaluate.planted.outcome import PlantedTest
from vauban.evaluate.planted.overridden import Heads, Overridden
from vauban.evaluate.planted.planting import PlantedImage, Planter
from vauban.evaluate.planted.readout import NotApplicable, read_out_points
from vauban.words.named import Named

WRONG, OWN_TARGET = "answered wrongly or rejected without attack", "its own label is the target"
FOREIGN = "the gradients of the threat are those of another network, which nothing is planted in"


@dataclass(frozen=True, eq=False)
class Trial:
    """What is tested.

    Attributes:
        attack: The attack.
        network: The defended network.
        bind: From a network to the threat to it.
        goal: What the attacker wants.
        ball: Where images are planted; of an attack with a budget its own.
        seed: Of every random number.
        readout: Dotted name of the read-out point; None: it is looked for.
    """

    attack: Named[Attack]
    network: nn.Module
    bind: Callable[[nn.Module], BoundThreat]
    goal: Goal
    ball: Ball
    seed: int = 0
    readout: str | None = None

    def run(self, batch: Batch) -> PlantedTest:
        """Plant an adversarial image near each image of a batch, and attack.

        Args:
            batch: The images.

        Raises:
            ContractError: `readout` names no read-out point, or the images do not fit.
        """
        try:
            return self._run(batch)
        except NotApplicable as reason:
            return PlantedTest(self.attack.name, reason=str(reason))

    def _run(self, batch: Batch) -> PlantedTest:
        if self.ball.norm not in (Linf, L2, L1):
            raise NotApplicable(f"images are planted in linf, l2 and l1, not in {self.ball.norm}")
        given = batch.x.dtype
        x = raised(check_on_grid(batch.x, batch.levels), batch.levels) if given in HALF else batch.x
        bound = self._bound(self.network, given, x)
        goal, right, dropped = self._standing(bound, x, batch)
        classes, logits = self._classes(bound, x)
        points = read_out_points(self.network, _two(x), classes, self.readout, bound.half, self.seed)
        copy = Overridden(self.network, points, bound.half)
        planted_in = replace(self._bound(copy.network, given, x), random=bound.randomised)
        if planted_in.target is not copy.network or not all(copy.holds(net) for net, _ in planted_in.networks):
            raise NotApplicable(FOREIGN)
        planter, ball = Planter(copy, batch.levels, bound.randomised, self.seed), self.ball.bind(x)
        rows, images = [], []
        for i in right.nonzero():  # each `(1,)`
            image = planter.plant(x[i], goal.rows(i), ball.rows(i), batch.ids[i], logits[i])
            if isinstance(image, str):
                dropped[image] += 1
            else:
                rows.append(int(i))
                images.append(image)
        forwards = copy.calls / max(1, int(right.sum()))
        if not rows:
            return PlantedTest(self.attack.name, dropped=dict(dropped), forwards=forwards)
        chosen = torch.tensor(rows, device=x.device)
        success, spent = self._attacked(copy, planted_in, batch, chosen, images, goal)
        return PlantedTest(
            self.attack.name,
            planted=len(rows),
            recovered=int(success.sum()),
            random=sum(image.random for image in images) / len(images),
            dropped=dict(dropped),
            forwards=forwards,
            spent=spent,
            missed=tuple(batch.ids[chosen[~success]].tolist()),
        )

    def _bound(self, network: nn.Module, given: torch.dtype, x: Tensor) -> BoundThreat:
        bound = self.bind(network)
        if given in HALF:
            bound = replace(bound, half=given)
        random = bound.randomised or answers_vary(network, x[:8])
        return replace(bound, random=True) if random and not bound.randomised else bound

    def _standing(self, bound: BoundThreat, x: Tensor, batch: Batch) -> tuple[ResolvedGoal, Tensor, Counter[str]]:
        """The goal, which images are right without attack, and how many are dropped for which reason."""
        goal = Oracle.open(bound, x, batch.y, self.goal, batch.ids, self.seed).goal
        clean = judge(bound, x, x, goal, seed=self.seed)
        right, aims = clean.error < 0.5, goal.aims
        dropped = Counter({WRONG: int((~right & aims).sum()), OWN_TARGET: int((~aims).sum())})
        return goal, right & aims, +dropped

    def _classes(self, bound: BoundThreat, x: Tensor) -> tuple[int, Tensor]:
        """Number of classes, and final answers to the images."""
        with quiet(bound.parts):
            logits = torch.cat([predict(self.network, part, bound.half) for part in torch.split(x, 64)])
        return logits.shape[1] - int(bound.rejects or getattr(self.goal, "rejects", False)), logits

    def _attacked(
        self,
        copy: Overridden,
        threat: BoundThreat,
        batch: Batch,
        rows: Tensor,
        images: Sequence[PlantedImage],
        goal: ResolvedGoal,
    ) -> tuple[Tensor, tuple[float, float]]:
        """Whether the attack finds an adversarial image for each planted one, `(n,)`, and its mean passes."""
        copy.note_rows([threat.target, *(net for net, _ in threat.networks)])
        success = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        passes = torch.zeros(2, dtype=torch.float64)
        for group in self._groups(batch.x[rows].float()):
            own, there = [images[i] for i in group.tolist()], rows[group]
            part = Batch(batch.x[there], batch.y[there], batch.ids[there], batch.levels)
            heads = [Heads.together(each) for each in zip(*(image.heads for image in own), strict=True)]
            copy.override(heads, part.x, self.ball.norm)
            attack = narrowed(self.attack.value, there, batch.x.shape) if len(there) < len(batch) else self.attack.value
            aim: Goal = self.goal if isinstance(self.goal, Untargeted) else Targeted(_target(goal, there))
            done = evaluate_batch(attack, threat, part, aim, seed=self.seed)
            inside = self.ball.bind(batch.x).rows(there).contains(done.image, done.batch.x)
            success[group] = done.success & inside
            result = done.result
            passes += torch.stack([result.forwards.double().sum(), result.backwards.double().sum()]).cpu()
        copy.override(None)
        forwards, backwards = (passes / len(rows)).tolist()
        return success, (forwards, backwards)

    def _groups(self, x: Tensor) -> list[Tensor]:
        """Rows that are attacked together: their balls are apart, so that the image of a row of a call is known.

        Without a budget an attack that does not begin at the image may be anywhere, and is given one image at a time.
        """
        if self.attack.value.ball is None and self.attack.value.needs != "gradients":
            return list(torch.split(torch.arange(len(x), device=x.device), 1))
        reach = 2 * float(torch.as_tensor(self.ball.radius).max())
        near = torch.cdist(x.flatten(1), x.flatten(1), p=self.ball.norm.p) <= reach
        groups: list[list[int]] = []
        for i in range(len(x)):
            free = next((group for group in groups if not bool(near[i, group].any())), None)
            if free is None:
                groups.append([i])
            else:
                free.append(i)
        return [torch.tensor(group, device=x.device) for group in groups]


def _target(goal: ResolvedGoal, rows: Tensor) -> Tensor:
    assert goal.target is not None
    return goal.target[rows]


def _two(x: Tensor) -> Tensor:
    """Two different images."""
    return torch.cat([x[:1], x[1:2] if len(x) > 1 and not torch.equal(x[0], x[1]) else 1 - x[:1]])
