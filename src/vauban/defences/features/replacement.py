"""Replacement of patches as a module: what is computed, and what may be differentiated in its place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters, Positive
from vauban.core.precision import working_type
from vauban.defences.features.codebook import IMAGE, Codebook
from vauban.defences.features.lattice import nearest_in_e8
from vauban.defences.features.nearest import nearest, searched_by, several_nearest
from vauban.defences.features.strategies import Strategy, moved
from vauban.defences.features.windows import Windows

NEIGHBOURS = 16  # codewords among which a soft assignment divides a patch


class Replacement(nn.Module):
    """F + mean over windows of (P' - P): every patch P of a feature moved toward the nearest clean one (section 6.3).

    Differences are averaged and added, so that where nothing moves the feature is the same bit for bit. Half precision is
    computed in float32. The derivative is that of the strategy for fixed codewords.

    Args:
        layer: What messages call the feature; "image" is kept within [0,1].
        windows: The grid of patches.
        strategy, epsilon: As in `strategies`.
        book: The codewords; None: the points of the lattice E8, `scale` apart.
        scale: Of the lattice.
    """

    codewords: Tensor

    def __init__(
        self, layer: str, windows: Windows, strategy: Strategy, epsilon: float, book: Codebook | None, scale: float
    ) -> None:
        super().__init__()
        self.layer, self.windows, self.strategy, self.epsilon = layer, windows, strategy, float(epsilon)
        self.scale = None if book is not None else float(scale)
        self.feature = None if book is None else book.feature
        held = torch.empty(0) if book is None else book.codewords
        self.register_buffer("codewords", held, persistent=False)
        self.searched_by = "lattice" if book is None else searched_by(held)

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        working = x.to(working_type(x.dtype))
        with torch.no_grad():
            p = self.windows.patches(working)
            q = self.quantised(p)
            change = self.windows.averaged(moved(p, q, self.strategy, self.epsilon) - p, working.shape)
            value = working + change
        if torch.is_grad_enabled() and x.requires_grad:
            smooth = self.windows.averaged(self.blended(working, q), working.shape)
            value = value + (smooth - smooth.detach())
        return (value.clamp(0, 1) if self.layer == IMAGE else value).to(x.dtype)

    def blended(self, x: Tensor, q: Tensor) -> Tensor:
        """P' of every window of a feature, differentiable in it, `(m, n, width)`."""
        p = self.windows.patches(x)
        # The second term is zero: it keeps a zero derivative visible to autograd.
        return moved(p, q, self.strategy, self.epsilon) + 0 * p

    def quantised(self, p: Tensor) -> Tensor:
        """The nearest codeword of every patch, `(m, n, width)` as p."""
        if self.scale is not None:
            return nearest_in_e8(p / self.scale) * self.scale
        books = self.codewords.to(p).expand(len(p), -1, -1)
        return torch.stack([book[nearest(one, book)] for one, book in zip(p, books, strict=True)])

    def softly_quantised(self, p: Tensor, temperature: float) -> Tensor:
        """A mean of the nearest codewords of every patch, differentiable in it, `(m, n, width)`.

        q(P) = sum_k w_k q_k, w the softmax over the 16 nearest of -|P - q_k|^2 / (temperature T), T how much farther they
        are than the nearest in the mean.
        """
        books = self.codewords.to(p).expand(len(p), -1, -1)
        count = min(NEIGHBOURS, books.shape[1])
        soft = []
        for one, book in zip(p, books, strict=True):
            near = book[several_nearest(one, book, count)]
            far = (one[:, None] - near).square().sum(2)
            spread = (far - far.amin(1, keepdim=True)).mean(1, keepdim=True).detach()
            share = (-far / (temperature * spread).clamp_min(torch.finfo(p.dtype).tiny ** 0.5)).softmax(1)
            soft.append((share[:, :, None] * near).sum(1))
        return torch.stack(soft)

    def check(self, x: Tensor) -> None:
        """Raises ContractError unless x is a feature that the patches, and the codebook, are for."""
        if not isinstance(x, Tensor) or x.dim() != 4 or not x.is_floating_point():
            got = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ContractError(
                f"expected maps (batch, channels, height, width) from layer {self.layer!r} to replace patches in, got {got}"
            )
        if self.feature is not None and tuple(x.shape[1:]) != self.feature:
            raise ContractError(
                f"expected {self.layer!r} of shape {self.feature}, which the codebook was learned from, got "
                f"{tuple(x.shape[1:])}; fit one on such data and this layer"
            )
        self.windows.check(tuple(x.shape), repr(self.layer))

    def extra_repr(self) -> str:
        w = self.windows
        by = (
            f"E8 scale={self.scale}"
            if self.scale is not None
            else f"{tuple(self.codewords.shape)} by {self.searched_by}"
        )
        return f"{self.layer}, {w.height}x{w.width}x{w.depth} step={w.step}, {self.strategy} {self.epsilon}, {by}"


@dataclass(frozen=True, eq=False)
class SoftAssignment(Parameters):
    """What BPDA may differentiate: the replacement with a soft choice of codewords, smooth in the feature.

    Attributes:
        replacement: The module in whose place it stands.
        temperature: Of the softmax; towards 0 the choice is hard.
    """

    replacement: Replacement
    temperature: Positive = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        """The feature with softly replaced patches, of the shape of x."""
        part = self.replacement
        working = x.to(working_type(x.dtype))
        p = part.windows.patches(working)
        q = part.softly_quantised(p, self.temperature)
        return part.windows.averaged(moved(p, q, part.strategy, part.epsilon), working.shape).to(x.dtype)
