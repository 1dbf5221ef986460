"""Decorators of an objective: what a transfer attacker puts before a known network so that its gradient says more."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Card, Defended
from vauban.core.errors import ContractError


class TransformedInput(Defended):
    """inner(decorator(x)); weights are shared, modes are kept."""

    def __init__(self, inner: nn.Module, transform: InputTransform) -> None:
        super().__init__(inner, transform.card)
        self.transform = transform
        self.training = inner.training

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ContractError(
                f"expected images (batch, channel, height, width) for {self.transform.name}, got shape {tuple(x.shape)}"
            )
        logits: Tensor = self.inner(self.transform(x))
        return logits

    def extra_repr(self) -> str:
        return self.transform.name


class InputTransform(ABC):
    """A path (`name`, `wrap`) whose subclasses are frozen dataclasses of its parameters."""

    kind: ClassVar[str]
    random: ClassVar[bool] = False
    reference: ClassVar[str]

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """What the network is shown for x `(batch, channel, height, width)`."""

    @property
    def name(self) -> str:
        """The kind and every parameter."""
        params = ",".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))  # type: ignore[arg-type]
        return f"{self.kind}:{params}"

    @property
    def card(self) -> Card:
        return Card(self.kind, random=self.random, reference=self.reference)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module whose image gradient is the decorated one; meant as a source of a threat, not as its target."""
        if not isinstance(module, nn.Module):
            raise ContractError(f"expected a torch.nn.Module behind {self.name}, got {type(module).__name__}")
        return TransformedInput(module, self)


@dataclass(frozen=True)
class Diverse(InputTransform):
    """Input diversity: with probability p the images are shrunk at random and padded back with zeros at random.

    The height h is uniform on ceil(low H) ... H, the width is in proportion (bilinear), the place uniform. One draw for
    each call, shared by the whole batch, as in the authors' code, from torch's global generator, which the door forks
    and seeds; EOT draws average over it. Images (batch, channel, height, width). Raises ContractError for low outside
    (0, 1] or p outside [0, 1]. Xie, Zhang, Zhou, Bai, Wang, Ren, Yuille 2019, arXiv:1803.06978, section 3.3. Departure:
    the paper enlarges (299 pixels to at most 330); here the network keeps its input size.
    """

    kind: ClassVar[str] = "diverse"
    random: ClassVar[bool] = True
    reference: ClassVar[str] = "Xie et al. 2019, arXiv:1803.06978"
    low: float = 0.9
    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.low <= 1:
            raise ContractError(f"expected low above 0 and at most 1, got {self.low}")
        if not 0 <= self.p <= 1:
            raise ContractError(f"expected p from 0 to 1, got {self.p}")

    def __call__(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # Four numbers in any case, so that a draw does not depend on the one before.
        chance, size, down, right = torch.rand(4, dtype=torch.float64).tolist()
        if chance >= self.p:
            return x
        least = math.ceil(self.low * height)
        h = least + int(size * (height - least + 1))
        w = max(1, round(width * h / height))
        top, left = int(down * (height - h + 1)), int(right * (width - w + 1))
        small = F.interpolate(x, (h, w), mode="bilinear", align_corners=False)
        return F.pad(small, (left, width - w - left, top, height - h - top))


@dataclass(frozen=True)
class Translated(InputTransform):
    """Translation-invariant gradient: the network is as it was, its image gradient g becomes W * g.

    W(i, j) is proportional to exp(-(i^2 + j^2) / (2 sigma^2)) on size x size pixels, of sum one; each channel alone, zero
    beyond the border; sigma in pixels. Images (batch, channel, height, width). Raises ContractError for an even size, one
    outside 1 ... 31, or sigma <= 0. Dong, Pang, Su, Zhu 2019, arXiv:1904.02884, Eq. 7 to 9. Departure: 7 pixels by
    default, for small images; the paper uses 15 for those of 299.
    """

    kind: ClassVar[str] = "translated"
    reference: ClassVar[str] = "Dong et al. 2019, arXiv:1904.02884"
    size: int = 7
    sigma: float = 3.0

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not 1 <= self.size <= 31 or self.size % 2 == 0:
            raise ContractError(f"expected an odd size from 1 to 31, got {self.size!r}")
        if not 0 < self.sigma < math.inf:
            raise ContractError(f"expected sigma as a number above 0, got {self.sigma!r}")

    def __call__(self, x: Tensor) -> Tensor:
        if not x.requires_grad:
            return x
        offset = torch.arange(self.size, dtype=x.dtype, device=x.device) - self.size // 2
        rows = (-0.5 * (offset / self.sigma).square()).softmax(0).expand(x.shape[1], 1, 1, -1)
        half, channels = self.size // 2, x.shape[1]
        smooth = F.conv2d(
            F.conv2d(x, rows, padding=(0, half), groups=channels), rows.mT, padding=(half, 0), groups=channels
        )
        # The kernel is symmetric, so the transpose that autograd applies is the convolution itself.
        return x.detach() + (smooth - smooth.detach())
