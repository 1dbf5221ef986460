"""Steps that bounds go through, affine or rising in every component, and the layers that are such steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.models.bounded_relu import LearnedReLU
from vauban.models.lines import Lines, LinesOf, clipped_lines

Map = Callable[[Tensor], Tensor]


Corner = tuple[int, int]
"""Row and column in an image at which a window of it begins."""
Back = Callable[[Tensor, Corner, torch.Size], tuple[Tensor, Tensor, Corner]]
"""Linear functions `(n, channels, h, w)` of a window of the output as those of a window of the input, of the shape that is
given: coefficients, constants `(n,)`, and where the window begins."""


@dataclass(frozen=True)
class Affine:
    """x -> W x + b on batches.

    Attributes:
        apply: x -> W x + b.
        spread: r -> |W| r.
        size: r -> |W| r + |b|, what rounding errors are in proportion to.
        back: A step of images whose outputs depend on windows, taken back without the rest of the image; None for any
            other.
        diagonal: Whether each component is mapped on its own.
    """

    name: str
    apply: Map
    spread: Map
    size: Map
    back: Back | None = None
    diagonal: bool = False

    def folded(self, rows: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Linear functions of the output as functions of the input.

        Args:
            rows: Coefficients `(n, *output)`.
            shape: Of one input.

        Returns:
            Coefficients `(n, *shape)` and constants `(n,)`.
        """
        trained = torch.is_grad_enabled()
        with torch.enable_grad():
            zero = torch.zeros(len(rows), *shape, dtype=rows.dtype, device=rows.device, requires_grad=True)
            out = self.apply(zero)
            (before,) = torch.autograd.grad(out, zero, rows, create_graph=trained)
            out = out if trained else out.detach()
        return before, (rows * out).flatten(1).sum(1)


@dataclass(frozen=True)
class Rising:
    """A function that rises in every component.

    Attributes:
        lines: Its linear bounds; None where none are known.
        slack: By how much it may fail to rise, as it is computed.
    """

    name: str
    apply: Map
    lines: LinesOf | None = None
    slack: float = 0.0


@dataclass(frozen=True)
class Pooled(Rising):
    """Maxima over windows of images; outside of an image lies minus infinity.

    Attributes:
        window, stride, padding: Rows and columns each; None for a pool without linear bounds.
    """

    window: Corner | None = None
    stride: Corner = (1, 1)
    padding: Corner = (0, 0)


Step = Affine | Rising


def weighted(module: nn.Module, name: str, trained: bool) -> Affine:
    """A dense or convolutional layer, in float64 but where its parameters are trained."""
    own: dict[str, Tensor] = dict(module.named_parameters())
    held: dict[str, Tensor] = own if trained else {key: value.detach().double() for key, value in own.items()}
    absolute = {key: value.abs() for key, value in held.items()}
    slopes = {key: value if key == "weight" else torch.zeros_like(value) for key, value in absolute.items()}

    def called(x: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        out: Tensor = torch.func.functional_call(module, parameters, (x,))
        return out

    back = partial(_convolved_back, module, held) if _in_windows(module) else None
    apply, spread, size = (partial(called, parameters=some) for some in (held, slopes, absolute))
    return Affine(name, apply, spread, size, back)


def _in_windows(module: nn.Module) -> bool:
    return type(module) is nn.Conv2d and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _convolved_back(
    module: Any, held: dict[str, Tensor], rows: Tensor, corner: Corner, shape: torch.Size
) -> tuple[Tensor, Tensor, Corner]:
    whole = _transposed(rows, held["weight"], module)
    top, left = (at * s - p for at, s, p in zip(corner, module.stride, module.padding, strict=True))
    inside = whole[:, :, max(0, -top) : shape[1] - top, max(0, -left) : shape[2] - left]
    bias = held.get("bias")
    added = rows.new_zeros(len(rows)) if bias is None else rows.sum((2, 3)) @ bias
    return inside, added, (max(0, top), max(0, left))


def _transposed(rows: Tensor, weight: Tensor, module: Any) -> Tensor:
    """conv_transpose2d without padding; in float64 a product of matrices is several times as fast."""
    options = {"stride": module.stride, "dilation": module.dilation}
    if module.groups > 1:
        return F.conv_transpose2d(rows, weight, groups=module.groups, **options)
    shown, kernel = rows.shape[2:], weight.shape[2:]
    size = tuple((n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(shown, *options.values(), kernel, strict=True))
    spread = weight.flatten(1).T.contiguous() @ rows.flatten(2)
    return F.fold(spread, size, kernel, dilation=module.dilation, stride=module.stride)


def shifted(name: str, apply: Map, spread: Map) -> Affine:
    """A map of each component on its own, whose constant is its value at 0."""

    def size(r: Tensor) -> Tensor:
        return spread(r) + apply(torch.zeros_like(r[:1])).abs()

    return Affine(name, apply, spread, size, diagonal=True)


def normalising(module: Any, name: str) -> Affine:
    """Batch normalisation in evaluation mode: scale x + (bias - scale mean), scale = weight / sqrt(var + eps)."""
    held = [None if value is None else value.detach().double() for value in (module.weight, module.bias)]
    weight, bias = held
    scale = (module.running_var.detach().double() + float(module.eps)).rsqrt()
    scale = scale if weight is None else scale * weight
    drift = -scale * module.running_mean.detach().double()
    shift = drift if bias is None else drift + bias
    absolute = drift.abs() if bias is None else drift.abs() + bias.abs()

    def by_channel(z: Tensor, slope: Tensor, added: Tensor | None) -> Tensor:
        shape = (1, -1, *(1,) * (z.dim() - 2))
        out = z * slope.to(z.dtype).view(shape)
        return out if added is None else out + added.to(z.dtype).view(shape)

    def back(rows: Tensor, corner: Corner, shape: torch.Size) -> tuple[Tensor, Tensor, Corner]:
        return by_channel(rows, scale, None), rows.flatten(2).sum(2) @ shift, corner

    maps = [(scale, shift), (scale.abs(), None), (scale.abs(), absolute)]
    apply, spread, size = (partial(by_channel, slope=slope, added=added) for slope, added in maps)
    return Affine(name, apply, spread, size, back, diagonal=True)


def clipping(module: nn.Module, name: str) -> Rising:
    """A bounded ReLU: clip(x, least, most)."""
    least: Any = getattr(module, "min_val", 0.0)
    most: Any = module.bound.detach().double() if isinstance(module, LearnedReLU) else module.max_val

    def ends(z: Tensor) -> list[Tensor]:
        return [torch.as_tensor(end, dtype=z.dtype, device=z.device) for end in (least, most)]

    def of(low: Tensor, high: Tensor) -> Lines:
        return clipped_lines(low, high, *ends(low))

    if isinstance(module, LearnedReLU):
        return Rising(name, lambda z: torch.minimum(z.clamp_min(0), module.bound.detach().to(z.dtype)), of)
    return Rising(name, without_writing(module), of)


def softplus(module: Any, name: str) -> Rising:
    """Softplus, which follows x above its threshold, and steps down there."""
    return Rising(name, module, slack=math.log1p(math.exp(-float(module.threshold))) / float(module.beta))


def pooling(module: Any, name: str) -> Pooled:
    """A max pool; one with dilation, ceil_mode or indices has no linear bounds."""
    pairs = [value if isinstance(value, tuple) else (value, value) for value in (module.kernel_size, module.stride)]
    padding = module.padding if isinstance(module.padding, tuple) else (module.padding, module.padding)
    plain = module.dilation in (1, (1, 1)) and not module.ceil_mode and not module.return_indices
    return Pooled(name, module, window=pairs[0] if plain else None, stride=pairs[1], padding=padding)


def normalised(x: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    """(x - mean) / std, by channel."""
    shape = (1, -1, *(1,) * (x.dim() - 2))
    low, wide = (v.to(x.dtype).reshape(shape) if isinstance(v, Tensor) else v for v in (mean, std))
    return (x - low) / wide


def without_writing(module: nn.Module) -> Map:
    """An activation, which may work in place, on a copy."""
    return lambda z: module(z.clone())
