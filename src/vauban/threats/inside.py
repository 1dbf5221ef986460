"""Sources inside a network: a classifier found in it as the objective, operations before it passed straight through."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Card
from vauban.core.errors import ContractError
from vauban.core.surgery import submodule


def carrier(x: Tensor, like: Tensor) -> Tensor | None:
    """The images in the shape of what a network made of them, for a straight-through gradient; None where none fits.

    Args:
        x: Images `(n, channels, height, width)` or `(n, features)`.
        like: What an inner module was given: as many images or r times as many (copies follow one another), as many
            channels or a multiple (copies), any height and width (bilinear).
    """
    if x.dim() != like.dim() or not like.is_floating_point() or len(like) % len(x):
        return None
    x = x.to(like.dtype).repeat(len(like) // len(x), *(1,) * (x.dim() - 1))
    if like.shape[1] % x.shape[1]:
        return None
    x = x.repeat(1, like.shape[1] // x.shape[1], *(1,) * (x.dim() - 2))
    if x.shape[2:] == like.shape[2:]:
        return x
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=False) if x.dim() == 4 else None


@contextmanager
def straight_into(inner: nn.Module, x: Tensor, only: int | None) -> Iterator[None]:
    """While open, a module is given what it is given, with the gradient of the images in its place.

    Args:
        inner: The module.
        x: The images.
        only: Number of the call that this is done in; None: all.
    """
    calls = itertools.count()

    def enter(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if next(calls) != only and only is not None:
            return None
        given = args[0] if args else None
        passed = carrier(x, given) if isinstance(given, Tensor) else None
        if not isinstance(given, Tensor) or passed is None:
            return None
        return (given.detach() + passed - passed.detach(), *args[1:])

    handle = inner.register_forward_pre_hook(enter)
    try:
        yield
    finally:
        handle.remove()


class StraightThrough(nn.Module):
    """A network whose part before an inner module is passed straight through (BPDA): its value, the image's gradient.

    Attributes:
        whole: The network.
        inner: Name of the module in it.
        only: Number of the module's call that this is done in; None: all.
        straight: That its gradient is a substitute's.
    """

    straight = True

    def __init__(self, whole: nn.Module, inner: str, only: int | None = None) -> None:
        super().__init__()
        self.whole, self.inner, self.only = whole, inner, only
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        with straight_into(submodule(self.whole, self.inner, "an inner module"), x, self.only):
            return self.whole(x.detach())  # type: ignore[no-any-return]


class InnerClassifier(nn.Module):
    """The logits of a classifier inside a network, while that answers: what comes after it is left out.

    The mean over its calls and over copies of an image in one call.

    Attributes:
        whole: The network.
        inner: Name of the classifier in it.
        straight: Whether what stands before it is passed straight through.
        only: Number of its call that counts; None: all.
        head: Linear map from what it returns to logits; None where these are logits.
    """

    def __init__(
        self, whole: nn.Module, inner: str, straight: bool, only: int | None = None, head: nn.Linear | None = None
    ) -> None:
        super().__init__()
        self.whole, self.inner, self.straight, self.only, self.head = whole, inner, straight, only, head
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        module, answers = submodule(self.whole, self.inner, "an inner classifier"), []

        def leave(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            answers.append(output)

        handle = module.register_forward_hook(leave)
        try:
            if self.straight:
                with straight_into(module, x, self.only):
                    self.whole(x.detach())
            else:
                self.whole(x)
        except RuntimeError:  # what comes after the classifier may not run where a gradient is followed
            if not answers:
                raise
        finally:
            handle.remove()
        counted = answers if self.only is None else answers[self.only : self.only + 1]
        logits = [answer.flatten(1) for answer in counted if isinstance(answer, Tensor)]
        if not logits:
            raise ContractError(f"expected {self.inner!r} to be asked for every image, got no call of it")
        folded = torch.cat(logits)
        folded = folded.view(-1, len(x), folded.shape[1]).mean(0)
        return folded if self.head is None else self.head(folded)


class Noisy(nn.Module):
    """A network at images with Gaussian noise: the mean of its gradients is that of a smoothed network.

    Attributes:
        whole: The network.
        sigma: Standard deviation of the noise, pixel units; pixels stay in [0,1], their gradients as if they had not.
    """

    def __init__(self, whole: nn.Module, sigma: float) -> None:
        super().__init__()
        self.whole, self.sigma = whole, sigma
        self.card = Card("gradient noise", random=True)
        self.training = False

    def forward(self, x: Tensor) -> Tensor:
        noisy = x + self.sigma * torch.randn_like(x)
        return self.whole(noisy + (noisy.clamp(0, 1) - noisy).detach())  # type: ignore[no-any-return]
