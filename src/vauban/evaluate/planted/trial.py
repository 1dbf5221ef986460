"""Trial of an attack on planted images: the same attack, threat and goal must find what is known to exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vauban.core.answers import revealed
from vauban.core.contracts import Batch
from vauban.core.goals import Goal, ResolvedGoal, Targeted
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.pixel_grid import check_on_grid
from vauban.core.precision import HALF, raised
from vauban.engine import Attack, BoundThreat, Oracle, judge
from vauban.engine.network import predict, quiet
from vauban.evaluate.batch import evaluate_batch
from vauban.evaluate.diagnostics.first_look import answers_vary
from vauban.evaluate.narrowed import narrowed
from vauban.evaluate.planted.outcome import Columns, blank
from vauban.evaluate.planted.overridden import Heads, Overridden
from vauban.evaluate.planted.planting import PlantedImage, Planter
from vauban.evaluate.planted.readout import NotApplicable, read_out_points
from vauban.words.named import Named

WRONG, OWN_TARGET = "answered wrongly or rejected without attack", "its own label is the target"
ONLY_ANSWERS = "the network only answers, and nothing can be planted in it"
FOREIGN = "the gradients of the threat are those of another network, which nothing is planted in"


@dataclass(frozen=True, eq=False)
class Trial:
    """What is tested.

    Attributes:
        attack: The attack.
        threat: The threat, bound to the network.
        goal: What the attacker wants.
        ball: Where images are planted; of an attack with a budget its own.
        seed: Of every random number.
        readout: Dotted name of the read-out point; None: it is looked for.
    """

    attack: Named[Attack]
    threat: BoundThreat
    goal: Goal
    ball: Ball
    seed: int = 0
    readout: str | None = None

    def run(self, batch: Batch) -> Columns:
        """Plant an adversarial image near each image of a batch, and attack.

        Args:
            batch: The images.

        Returns:
            One value for each image, as `PlantedTest.of` takes them.

        Raises:
            ContractError: `readout` names no read-out point, or the images do not fit.
        """
        columns = blank(batch.ids.tolist())
        try:
            self._fill(batch, columns)
        except NotApplicable as reason:
            columns["reason"] = [str(reason)] * len(batch)
        return columns

    def _fill(self, batch: Batch, columns: Columns) -> None:
        if "gradients" not in revealed(self.threat.target):  # before anything is asked, as answers may cost money
            raise NotApplicable(ONLY_ANSWERS)
        if self.ball.norm not in (Linf, L2, L1):
            raise NotApplicable(f"images are planted in linf, l2 and l1, not in {self.ball.norm}")
        given = batch.x.dtype
        x = raised(check_on_grid(batch.x, batch.levels), batch.levels) if given in HALF else batch.x
        bound = replace(self.threat, half=given) if given in HALF else self.threat
        if not bound.randomised and answers_vary(bound.target, x[:8]):
            bound = replace(bound, random=True)
        goal, right = self._standing(bound, x, batch)
        why = [WRONG if aims else OWN_TARGET for aims in goal.aims.tolist()]
        columns["dropped"] = ["" if ok else reason for ok, reason in zip(right.tolist(), why, strict=True)]
        classes, logits = self._classes(bound, x)
        points = read_out_points(bound.target, _two(x), classes, self.readout, bound.half, self.seed)
        copy = Overridden(bound.target, points, bound.half)
        planted_in = copy.bound(bound)
        if planted_in is None:
            raise NotApplicable(FOREIGN)
        planter, ball = Planter(copy, batch.levels, bound.randomised, self.seed), self.ball.bind(x)
        images: dict[int, PlantedImage] = {}
        for i in right.nonzero():  # each `(1,)`
            row, before = int(i), copy.calls
            image = planter.plant(x[i], goal.rows(i), ball.rows(i), batch.ids[i], logits[i])
            columns["forwards"][row] = copy.calls - before
            if isinstance(image, str):
                columns["dropped"][row] = image
            else:
                images[row], columns["random"][row] = image, image.random
        if images:
            self._attack(copy, planted_in, batch, images, goal, columns)

    def _standing(self, bound: BoundThreat, x: Tensor, batch: Batch) -> tuple[ResolvedGoal, Tensor]:
        """The goal, and which images are right without attack and have something to reach, `(batch,)`."""
        goal = Oracle.open(bound, x, batch.y, self.goal, batch.ids, self.seed).goal
        clean = judge(bound, x, x, goal, seed=self.seed)
        return goal, (clean.error < 0.5) & goal.aims

    def _classes(self, bound: BoundThreat, x: Tensor) -> tuple[int, Tensor]:
        """Number of classes, and final answers to the images."""
        with quiet(bound.parts):
            logits = torch.cat([predict(bound.target, part, bound.half) for part in torch.split(x, 64)])
        return logits.shape[1] - int(bound.rejects or getattr(self.goal, "rejects", False)), logits

    def _attack(
        self,
        copy: Overridden,
        threat: BoundThreat,
        batch: Batch,
        images: Mapping[int, PlantedImage],
        goal: ResolvedGoal,
        columns: Columns,
    ) -> None:
        """Attack the planted images, and write down whether an adversarial one was found and what was spent."""
        rows = torch.tensor(list(images), device=batch.x.device)
        for group in self._groups(batch.x[rows].float()):
            there = rows[group]
            own = [images[row] for row in there.tolist()]
            part = Batch(batch.x[there], batch.y[there], batch.ids[there], batch.levels)
            heads = [Heads.together(each) for each in zip(*(image.heads for image in own), strict=True)]
            copy.override(heads, part.x, self.ball.norm)
            attack = narrowed(self.attack.value, there, batch.x.shape) if len(there) < len(batch) else self.attack.value
            aim: Goal = self.goal if goal.target is None else Targeted(goal.target[there])
            done = evaluate_batch(attack, threat, part, aim, seed=self.seed)
            inside = self.ball.bind(batch.x).rows(there).contains(done.image, done.batch.x)
            told = (done.success & inside, done.result.forwards, done.result.backwards)
            for row, *values in zip(there.tolist(), *(value.tolist() for value in told), strict=True):
                for name, value in zip(("success", "spent_forwards", "spent_backwards"), values, strict=True):
                    columns[name][row] = value
        copy.override(None)

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


def _two(x: Tensor) -> Tensor:
    """Two different images."""
    return torch.cat([x[:1], x[1:2] if len(x) > 1 and not torch.equal(x[0], x[1]) else 1 - x[:1]])
