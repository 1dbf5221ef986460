"""Random resizing and padding (Xie, Wang, Zhang, Ren, Yuille 2018, arXiv:1711.01991)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.core.parameters import Range, Whole
from vauban.defences.base import InputDefence, check_image, register
from vauban.defences.inputs.resampling import drawn, resampled


@register("random-resize")
@dataclass(frozen=True)
class RandomResize(InputDefence):
    """Each image shrunk or enlarged to a random size, at a random place of a black frame.

    The longer side is uniform on the whole numbers from round(least S) to S, S that of the frame; the place is uniform
    on those where the image fits. One draw for each image, from torch's global generator, which the oracle forks and
    seeds. Images (batch, channel, height, width). Bilinear, hence attacked through its true gradient over 16 draws (EOT).
    Xie, Wang, Zhang, Ren, Yuille 2018, arXiv:1711.01991, section 3.

    Attributes:
        least: The least size as a share of the frame's; the paper's is 299 of 331.
        frame: Side S of a square frame in pixels; 0: a frame of the size of the image, which any network takes.

    Raises:
        ContractError: A value outside its range, or no batch of images.

    Departures: the paper enlarges images of 299 pixels into frames of 331 (`frame=331`, a size that its networks take); it
    draws one size for a batch.
    """

    reference = "Xie, Wang, Zhang, Ren, Yuille 2018, arXiv:1711.01991"
    random: ClassVar[bool] = True
    draws: ClassVar[int] = 16
    least: Annotated[float, Range(0, 1, open_low=True)] = 0.9
    frame: Whole = 0

    def apply(self, x: Tensor) -> Tensor:
        check_image(x, "random resizing")
        given = torch.tensor(x.shape[2:], dtype=x.dtype, device=x.device)
        longest = max(x.shape[2:]) if self.frame == 0 else self.frame
        whole = (given * (longest / float(max(x.shape[2:])))).round().expand(len(x), 2)
        side = torch.full((len(x), 1), float(longest), dtype=x.dtype, device=x.device)
        size = (whole * drawn((self.least * side).round().clamp_min(1), side) / longest).round().clamp_min(1)
        frame = whole if self.frame == 0 else side.expand(-1, 2)
        corner = drawn(torch.zeros_like(size), frame - size)
        height, width = x.shape[2:] if self.frame == 0 else (self.frame, self.frame)
        scale = given / size
        placed = resampled(x, -corner * scale, scale, (height, width))
        return placed * _inside(corner, size, (height, width))


def _inside(corner: Tensor, size: Tensor, frame: tuple[int, int]) -> Tensor:
    """1 where a rectangle of the frame is, else 0, `(batch, 1, height, width)`."""
    spans = []
    for axis, length in enumerate(frame):
        at = torch.arange(length, dtype=corner.dtype, device=corner.device)
        begin = corner[:, axis, None]
        spans.append((at >= begin) & (at < begin + size[:, axis, None]))
    down, across = spans
    return (down[:, None, :, None] & across[:, None, None, :]).to(corner.dtype)
