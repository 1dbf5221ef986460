"""Substitutes: what may be differentiated in the place of an operation whose gradient is not that of its function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.cards import Backward

FITTED = 4096  # places of images that a convolution is fitted on
WORDS = 256  # vectors, at most, that an operation chooses from
NEAREST = 0.95  # share of the places where it takes the nearest


@dataclass(frozen=True)
class Copies:
    """Copies of the channels, as many as the operation returns.

    Attributes:
        times: How many.
    """

    times: int

    def __call__(self, z: Tensor) -> Tensor:
        return z.repeat(1, self.times, *(1,) * (z.dim() - 2))


@dataclass(frozen=True)
class SoftThreshold:
    """low + (high - low) sigmoid((z - at) / width): a step with a slope.

    Attributes:
        at, width: Where the step is, and over which range.
        low, high: Values on both sides.
    """

    at: float
    width: float
    low: float
    high: float

    def __call__(self, z: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * torch.sigmoid((z - self.at) / self.width)


@dataclass(frozen=True)
class SoftTopK:
    """z sigmoid((z - t) / width) with t the k-th largest component of each image: top-k that lets neighbours through.

    Attributes:
        share: k as a share of the components.
        width: In units of the standard deviation of z.
    """

    share: float
    width: float = 0.5

    def __call__(self, z: Tensor) -> Tensor:
        values = z.flatten(1)
        k = max(1, round(self.share * values.shape[1]))
        at = values.topk(k, 1).values[:, -1:].detach()
        width = self.width * values.std(1, keepdim=True).clamp_min(1e-12).detach()
        return (values * torch.sigmoid((values - at) / width)).view_as(z)


@dataclass(frozen=True, eq=False)
class SoftNearest:
    """sum_k p_k c_k with p = softmax(-||z - c||^2 / width): the nearest of some vectors, with a slope.

    Vectors lie along the channels.

    Attributes:
        words: The vectors `(k, channels)`.
        width: Mean squared distance of what was given to the nearest of them.
    """

    words: Tensor
    width: float

    def __call__(self, z: Tensor) -> Tensor:
        words, vectors = self.words.to(z), z.movedim(1, -1)
        squared = vectors.square().sum(-1, keepdim=True) - 2 * vectors @ words.T + words.square().sum(1)
        return ((-squared / self.width).softmax(-1) @ words).movedim(-1, 1)


@dataclass(frozen=True, eq=False)
class FittedMap:
    """A convolution, or a linear map of features, fitted by least squares to what the operation answered.

    Attributes:
        weight: `(out, in, size, size)`, or `(out, in)`.
        bias: `(out,)`.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        weight, bias = self.weight.to(z), self.bias.to(z)
        if weight.dim() == 2:
            return F.linear(z, weight, bias)
        return F.conv2d(z, weight, bias, padding=weight.shape[-1] // 2)


def menu(z: Tensor, output: Tensor) -> Iterator[tuple[str, Backward]]:
    """Substitutes that fit the shapes and values of an operation, by name.

    Args:
        z: What it was given, `(n, ...)`.
        output: What it returned.
    """
    if z.shape == output.shape:
        yield "identity", None
        if (step := _threshold(z, output)) is not None:
            yield "soft threshold", step
        zero = output == 0
        if bool(zero.any()) and torch.equal(torch.where(zero, torch.zeros_like(z), z), output):
            yield "soft top-k", SoftTopK(float((~zero).double().mean()))
        if step is None and (soft := _codewords(z, output)) is not None:
            yield "soft nearest neighbour", soft
    elif z.dim() == output.dim() > 1 and z.shape[2:] == output.shape[2:] and output.shape[1] % z.shape[1] == 0:
        yield "copies of channels", Copies(output.shape[1] // z.shape[1])
    if z.dim() == output.dim() == 4 and z.shape[2:] == output.shape[2:]:
        for size in (1, 3):
            yield f"fitted {size}x{size} convolution", _convolution(z, output, size)
    elif z.dim() == output.dim() == 2 and z.shape[1] <= FITTED:
        yield "fitted linear map", _linear(z, output)


def _threshold(z: Tensor, output: Tensor) -> SoftThreshold | None:
    """Where the operation returns two values, smaller for smaller z."""
    low, high = float(output.min()), float(output.max())
    upper = output == high
    if low == high or not bool((upper | (output == low)).all()):
        return None
    below, above = z[~upper], z[upper]
    at = float((below.max() + above.min()) / 2)
    return SoftThreshold(at, max(float(z.std()) / 2, 1e-6), low, high)


def _codewords(z: Tensor, output: Tensor) -> SoftNearest | None:
    """What the operation chooses from, where its answers are few vectors and nearly always the nearest of them."""
    if z.dim() < 2:
        return None
    given, answers = (t.movedim(1, -1).flatten(0, -2) for t in (z, output))
    chosen = torch.linspace(0, len(given) - 1, min(len(given), FITTED), device=z.device).long()
    given, answers = given[chosen], answers[chosen]
    words, own = torch.unique(answers, dim=0, return_inverse=True)
    if not 1 < len(words) <= min(WORDS, len(chosen) // 4):
        return None
    if float((torch.cdist(given, words).argmin(1) == own).double().mean()) < NEAREST:
        return None
    apart = float((given - answers).square().sum(1).mean())
    return SoftNearest(words, max(apart, 1e-12))


def _convolution(z: Tensor, output: Tensor, size: int) -> FittedMap:
    channels, features = output.shape[1], z.shape[1] * size * size
    places = F.unfold(z, size, padding=size // 2).transpose(1, 2).reshape(-1, features)
    wanted = output.flatten(2).transpose(1, 2).reshape(-1, channels)
    chosen = torch.linspace(0, len(places) - 1, min(len(places), FITTED), device=z.device).long()
    weight, bias = least_squares(places[chosen], wanted[chosen])
    return FittedMap(weight.view(channels, z.shape[1], size, size), bias)


def _linear(z: Tensor, output: Tensor) -> FittedMap:
    return FittedMap(*least_squares(z, output))


def least_squares(given: Tensor, wanted: Tensor, ridge: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Weight `(out, in)` and bias `(out,)` of the ridge regression, the ridge relative to the mean variance."""
    x, y = given.double(), wanted.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    gram = x.T @ x
    gram.diagonal().add_(ridge * gram.diagonal().mean().clamp_min(1e-12))
    weight = torch.linalg.solve(gram, x.T @ y).T
    return weight.to(given.dtype), (mean_y - weight @ mean_x).to(given.dtype)
