"""Planting: an adversarial image inside the ball, made to be one by a read-out of the network's own features.

After R. S. Zimmermann, W. Brendel, F. Tramer, N. Carlini, Increasing Confidence in Adversarial Robustness Evaluations,
NeurIPS 2022. Departures: the direction is Fisher's, in closed form, where they train a logistic regression; the planted
image is the one of many random points that lies farthest out, so that random search finds little; all classes are kept, so
that losses that compare several logits work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.answers import predicted
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Ball
from vauban.core.rng import Stream
from vauban.evaluate.planted.fisher import Fisher
from vauban.evaluate.planted.overridden import Heads, Overridden
from vauban.evaluate.planted.points import RandomPoints

CLOUD, TRIALS, FRESH = 1000, 1500, 500
FORWARDS = 4000  # of an image at most, its thresholds included
"""Points that the direction is fitted to, points among which the planted image is the best, points of the random search."""
THRESHOLDS = (0.97, 0.94, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
"""Thresholds that are tried in turn, as parts of the planted image's score."""
BEST, BEST_RANDOM = 8, 2
"""Points that are tried in turn where the best one cannot be made adversarial; in a random network, which answers often."""
DRAWS, SURE = 20, 0.75
"""Answers of a random network to an image, and the share of them that must be adversarial for it to be planted."""
MARGIN = 0.1
"""Least margin of an image at its own read-out, as a part of the range of its logits there."""
UNMOVED = "the features do not move in the ball"
UNPLANTED = "no image of the ball could be made adversarial on the final answer"


@dataclass(frozen=True)
class PlantedImage:
    """An image near which an adversarial one is known.

    Attributes:
        image: The adversarial one, `(1, ...)`, inside the ball and on the pixel grid.
        heads: The read-out that makes it adversarial, one for each read-out point.
        level: The threshold, as a part of its score.
        random: Share of fresh random points that are adversarial too.
    """

    image: Tensor
    heads: list[Heads]
    level: float
    random: float


@dataclass(frozen=True)
class Planter:
    """Plants adversarial images in a network, one original at a time.

    Attributes:
        network: The network, its read-out free to be overridden.
        levels: Pixel levels of the images; None: continuous.
        random: Two answers of the network to one image may differ.
        seed: Of every random number.
    """

    network: Overridden
    levels: int | None
    random: bool
    seed: int

    def plant(self, x: Tensor, goal: ResolvedGoal, ball: Ball, sample: Tensor, logits: Tensor) -> PlantedImage | str:
        """An adversarial image of a sample; or why there is none.

        Args:
            x: The original, `(1, ...)`, which the network answers rightly.
            goal: What is to be reached, of one sample.
            ball: The bound ball.
            sample: Its id, int64 `(1,)`.
            logits: Final answer of the network to it, `(1, columns)`.
        """
        seed = (self.seed, "planted", int(sample))
        points = RandomPoints(x, ball, self.levels, Stream(self.seed, sample))
        clean = self._features(x, (*seed, "clean"))
        fishers = [Fisher(cloud) for cloud in self.network.features(points.cloud(CLOUD), (*seed, "cloud"))[0]]
        trials = points.trials(TRIALS, "trials")
        features, distances = self._best(trials, fishers, seed)
        if not float(distances.amax()) > 0:
            return UNMOVED
        columns = self._columns(clean[1], logits, goal)
        order = distances.argsort(descending=True)[: BEST_RANDOM if self.random else BEST]
        for k in order.tolist():
            image = trials[k : k + 1]
            made = [
                self._heads(f, v[k : k + 1], z, *columns) for f, v, z in zip(fishers, features, clean[1], strict=True)
            ]
            level = self._highest(x, image, made, goal, (*seed, k))
            if level is not None:
                heads = [each[level] for each in made]
                rate = self._search(points.trials(FRESH, "fresh"), heads, goal, seed)
                return PlantedImage(image, heads, THRESHOLDS[level], rate)
        return UNPLANTED

    def _features(self, x: Tensor, seed: tuple[int | str, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Features and answers of each read-out for one image, `(1, ...)`; of a random network their median over draws."""
        draws = DRAWS if self.random else 1
        inputs, outputs = self.network.features(x.expand(draws, *x.shape[1:]), seed)
        return [_median(values) for values in inputs], [_median(values) for values in outputs]

    def _best(self, trials: Tensor, fishers: list[Fisher], seed: tuple[int | str, ...]) -> tuple[list[Tensor], Tensor]:
        """Features of the trials at each read-out, and how far out they lie, `(m,)`, in units of their mean.

        Of a random network those that look best are asked again, and the others are none of the best.
        """
        features = self.network.features(trials, (*seed, "trials"))[0]
        apart = [fisher.distances(values) for fisher, values in zip(fishers, features, strict=True)]
        scale = [distances.mean().clamp_min(1e-30) for distances in apart]
        far = torch.stack([d / s for d, s in zip(apart, scale, strict=True)]).mean(0) * (max(map(float, scale)) > 1e-9)
        if not self.random:
            return features, far
        again = torch.full_like(far, -1)
        for k in far.argsort(descending=True)[:BEST].tolist():
            settled = self._features(trials[k : k + 1], (*seed, "again", k))[0]
            for values, median in zip(features, settled, strict=True):
                values[k] = median[0]
            again[k] = sum(float(f.distances(v) / s) for f, v, s in zip(fishers, settled, scale, strict=True))
        return features, again

    def _columns(self, answers: list[Tensor], logits: Tensor, goal: ResolvedGoal) -> tuple[Tensor, Tensor]:
        """The own class and the wrong one, int64 `(1,)` each: of a single read-out the class that it answers itself."""
        own = answers[0].argmax(1) if len(answers) == 1 else goal.y
        if goal.target is not None:
            return own, goal.target
        others = logits[:, : answers[0].shape[1]].clone()
        others.scatter_(1, own[:, None], -torch.inf)
        return own, others.argmax(1)

    def _heads(self, fisher: Fisher, features: Tensor, answer: Tensor, own: Tensor, wrong: Tensor) -> list[Heads]:
        """Read-outs with each threshold: between the classes lies the margin that the layer has at the original."""
        direction = fisher.directions(features)
        score = float(((features.double() - fisher.mean) * direction).sum())
        top, low = answer.amax(1), answer.amin(1)
        margin = torch.maximum(top - answer.gather(1, wrong[:, None])[:, 0], MARGIN * (top - low))
        columns = low[:, None].expand_as(answer).scatter(1, own[:, None], top[:, None])
        heads = []
        for level in THRESHOLDS:
            slope = float(margin) / max(level * score, 1e-30)
            weight, centre = (slope * direction).to(answer.dtype), fisher.mean[None].to(answer.dtype)
            heads.append(Heads(weight, centre, top - margin, columns, wrong))
        return heads

    def _highest(
        self, x: Tensor, image: Tensor, made: list[list[Heads]], goal: ResolvedGoal, seed: tuple[int | str, ...]
    ) -> int | None:
        """Index of the highest threshold at which the image is adversarial on the final answer and the original right."""
        draws, levels = DRAWS if self.random else 1, len(THRESHOLDS)
        self.network.override([Heads.together(each) for each in made])
        shape = (draws * levels, *x.shape[1:])
        images = torch.cat([image.expand(shape), x.expand(shape)])
        rows = torch.arange(levels, device=x.device).repeat(2 * draws)
        logits = self.network.answers(images, rows, (*seed, "levels"))
        label, reached = predicted(logits), _reached(goal, logits)
        self.network.override(None)
        adversarial = reached[: draws * levels].view(draws, levels).double().mean(0)
        right = (label[draws * levels :] == goal.y).view(draws, levels).double().mean(0)
        fits = ((adversarial >= SURE) & (right >= SURE)).nonzero()
        return int(fits[0]) if len(fits) else None

    def _search(self, points: Tensor, heads: list[Heads], goal: ResolvedGoal, seed: tuple[int | str, ...]) -> float:
        """Share of random points that reach the goal."""
        self.network.override(heads)
        rows = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        reached = _reached(goal, self.network.answers(points, rows, (*seed, "fresh")))
        self.network.override(None)
        return float(reached.double().mean())


def _median(values: Tensor) -> Tensor:
    return values.median(0, keepdim=True).values


def _reached(goal: ResolvedGoal, logits: Tensor) -> Tensor:
    """Whether answers to images of one sample reach its goal, `(m,)`."""
    return goal.rows(torch.zeros(len(logits), dtype=torch.int64, device=logits.device)).reached(logits)
