"""Input transforms: what a transfer attacker puts before a known network so that its gradient carries over better."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Card, Defended, in_training
from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters, Positive, Range, Share


class TransformedInput(Defended):
    """inner(transform(x)); weights are shared, modes are kept."""

    def __init__(self, inner: nn.Module, transform: InputTransform) -> None:
        super().__init__(inner, transform.card)
        self.transform = transform
        self.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4:
            raise ContractError(
                f"expected images (batch, channel, height, width) for {self.transform.name}, got shape {tuple(x.shape)}"
            )
        logits: Tensor = self.inner(self.transform(x))
        return logits

    def extra_repr(self) -> str:
        return self.transform.name


class InputTransform(Parameters, ABC):
    """A path (`name`, `wrap`) whose subclasses are frozen dataclasses of its parameters.

    Attributes:
        kind: Name without parameters.
        random: Two calls on one image may differ.
        reference: The source.
    """

    kind: ClassVar[str]
    random: ClassVar[bool] = False
    reference: ClassVar[str]

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """The images that the network is shown for x `(batch, channel, height, width)`, of the same shape."""

    @property
    def name(self) -> str:
        """The kind and every parameter."""
        params = ",".join(f"{f.name}={getattr(self, f.name)}" for f in fields(self))  # type: ignore[arg-type]
        return f"{self.kind}:{params}"

    @property
    def card(self) -> Card:
        return Card(self.kind, random=self.random, reference=self.reference)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module behind this transform; meant as a source of a threat, not as its target.

        Raises:
            ContractError: Something that is no torch module.
        """
        if not isinstance(module, nn.Module):
            raise ContractError(f"expected a torch.nn.Module behind {self.name}, got {type(module).__name__}")
        return TransformedInput(module, self)


@dataclass(frozen=True)
class Diverse(InputTransform):
    """Input diversity: with probability p the images are shrunk at random and padded back with zeros at random.

    The height h is uniform on ceil(low H) ... H, the width is in proportion (bilinear), the place uniform. One draw for
    each call, shared by the whole batch, as in the authors' code, from torch's global generator, which the oracle forks
    and seeds; EOT draws average over it. Images (batch, channel, height, width). Xie, Zhang, Zhou, Bai, Wang, Ren, Yuille
    2019, arXiv:1803.06978, section 3.3.

    Attributes:
        low: Least height, relative to the image's.
        p: Probability that the images of a call are changed at all.

    Raises:
        ContractError: A value outside its range.

    Departures: the paper enlarges (299 pixels to at most 330); here the network keeps its input size.
    """

    kind: ClassVar[str] = "diverse"
    random: ClassVar[bool] = True
    reference: ClassVar[str] = "Xie et al. 2019, arXiv:1803.06978"
    low: Annotated[float, Range(0, 1, open_low=True)] = 0.9
    p: Share = 0.5

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
    beyond the border. Images (batch, channel, height, width). Dong, Pang, Su, Zhu 2019, arXiv:1904.02884, Eq. 7 to 9.

    Attributes:
        size: Side of the kernel in pixels, odd.
        sigma: Width of the kernel in pixels.

    Raises:
        ContractError: An even size, or a value outside its range.

    Departures: 7 pixels by default, for small images; the paper uses 15 for those of 299.
    """

    kind: ClassVar[str] = "translated"
    reference: ClassVar[str] = "Dong et al. 2019, arXiv:1904.02884"
    size: Annotated[int, Range(1, 31)] = 7
    sigma: Positive = 3.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 2 == 0:
            raise ContractError(f"expected a kernel of odd size, so that it has a centre pixel, got {self.size}")

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
