"""Randomised smoothing (Cohen, Rosenfeld and Kolter, ICML 2019, arXiv:1902.02918)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from vauban.certificates import registry
from vauban.certificates.base import WITHHELD, Bound, Certificate
from vauban.certificates.votes import SoftSmoothed, votes
from vauban.core.norms import L2, Norm
from vauban.core.parameters import Count, Positive, Range
from vauban.core.rng import Stream
from vauban.engine.network import predict, quiet
from vauban.statistics.certified import lower_confidence, smoothed_radius, undecided
from vauban.training.augmentation.noise import GaussianAugmentation
from vauban.training.recipe import Recipe

Chance = Annotated[float, Range(0, 1, open_low=True, open_high=True)]
"""A probability above 0 and below 1."""


@registry.register("smoothing", norms=("l2",), bounds="smoothed")
@dataclass(frozen=True)
class RandomisedSmoothing(Certificate):
    """Randomised smoothing: g(x) = argmax_c P(f(x + sigma e) = c), e standard normal, keeps its class within an L2 radius.

    CERTIFY: n0 draws choose the class; n fresh draws bound its probability from below by p, one-sided Clopper-Pearson at
    alpha; the radius is sigma Phi^-1(p), and nothing is certified where p <= 1/2. PREDICT: the class with most votes of
    `predictions` draws, withheld unless a two-sided binomial test between the two with most votes has a p-value of at most
    `alpha_predict`. Cohen et al., section 3.2. The noise is added to the image in [0,1], before the normalisation, and is
    neither clipped nor rounded; a draw whose logits are not finite counts against the class.

    What is certified is the smoothed classifier, never the network itself.

    Attributes:
        sigma: Standard deviation of the noise, pixel units of [0,1]: that of the training.
        n0: Draws that choose the class.
        n: Draws that bound its probability; the paper has 100 000, 10 000 cost a tenth and reach 3.2 sigma.
        alpha: Probability, for each image, with which the bound may fail.
        predictions: Draws of an answer.
        alpha_predict: Probability with which an answer that is not withheld may be another than g's.
        gradients: Noisy copies over which an attack's gradient is averaged.
    """

    sigma: Positive
    n0: Count = 100
    n: Count = 10_000
    alpha: Chance = 0.001
    predictions: Count = 1000
    alpha_predict: Chance = 0.001
    gradients: Count = 16

    @property
    def norm(self) -> Norm:
        return L2

    @property
    def alpha_of_bound(self) -> float:
        return self.alpha

    @property
    def alpha_of_answer(self) -> float:
        return self.alpha_predict

    @property
    def claim(self) -> str:
        return (
            f"the smoothed classifier (Gaussian noise of sigma {self.sigma:g} before the network), not the network itself, "
            "keeps its class for every change below the radius in L2, with probability at least "
            f"{1 - self.alpha:g} for each image"
        )

    @property
    def attacks(self) -> tuple[str, ...]:
        radii = [self.sigma * factor for factor in (0.5, 1, 2, 3)]
        return tuple(f"pgd:norm=l2,eps={radius:.6g},steps=20" for radius in radii)

    def check(self, network: nn.Module, x: Tensor) -> None:
        with quiet(list(network.modules())):
            predict(network, x)

    def doubts(self, recipe: Recipe) -> str:
        trained = [part.sigma for part in recipe.parts if isinstance(part, GaussianAugmentation)]
        if any(math.isclose(sigma, self.sigma) for sigma in trained):
            return ""
        noise = f"with noise of sigma {trained[0]:g}" if trained else "without noise"
        return f"trained {noise} and smoothed with sigma {self.sigma:g}: radii are small where the two differ"

    def bound(self, network: nn.Module, x: Tensor, rng: Stream) -> Bound:
        top = votes(network, x, rng, self.sigma, "choose", self.n0).argmax(1)
        count = votes(network, x, rng, self.sigma, "bound", self.n).gather(1, top[:, None]).squeeze(1)
        p_low = lower_confidence(count.cpu().numpy(), self.n, self.alpha)
        radius = torch.from_numpy(smoothed_radius(p_low, self.sigma)).to(x.device)
        return Bound(top.where(radius > 0, WITHHELD), radius, count, torch.from_numpy(p_low).to(x.device))

    def answer(self, network: nn.Module, x: Tensor, rng: Stream, tag: str) -> Tensor:
        counted, classes = votes(network, x, rng, self.sigma, tag, self.predictions).topk(2, 1)
        first, second = counted.cpu().numpy().T
        unsure = torch.from_numpy(undecided(first, second, self.alpha_predict)).to(x.device)
        return classes[:, 0].where(~unsure, WITHHELD)

    def differentiable(self, network: nn.Module, x: Tensor, seed: int) -> nn.Module:
        return SoftSmoothed(network, self.sigma, self.gradients, x, seed)
