"""Windows of an image or a feature: patches on a grid of whole windows, and what they hold put back and averaged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vauban.core.errors import ContractError


@dataclass(frozen=True)
class Windows:
    """Windows of height x width x depth on a grid; the last of a row or a column ends at the border.

    Windows begin at 0, step, 2 step, ... and, where these leave a rest, at the last place where a whole window fits: each
    pixel is in one at least, and none reaches beyond the border.

    Attributes:
        height, width: Of a window, in pixels.
        depth: Channels of a slice, which a window covers; they divide the channels of the feature.
        step: Between the windows of a row, and of a column (at most the width, and the height).
    """

    height: int
    width: int
    depth: int
    step: tuple[int, int]

    def check(self, shape: tuple[int, ...], of: str) -> None:
        """Raises ContractError where windows do not fit a feature of shape `(..., D, H, W)`, which `of` names."""
        channels, height, width = shape[-3:]
        if channels % self.depth:
            raise ContractError(
                f"expected slices whose depth divides the {channels} channels of {of}, got depth {self.depth}"
            )
        if height < self.height or width < self.width:
            raise ContractError(
                f"expected {of} of at least {self.height}x{self.width} pixels, the size of a patch, got {height}x{width}"
            )

    def rows(self, height: int) -> Tensor:
        """First rows of the windows of a column, int64 `(R,)`."""
        return _begins(height, self.height, self.step[0])

    def columns(self, width: int) -> Tensor:
        """First columns of the windows of a row, int64 `(C,)`."""
        return _begins(width, self.width, self.step[1])

    def patches(self, x: Tensor) -> Tensor:
        """All patches of each slice, `(m, B R C, depth height width)`, for x `(B, m depth, H, W)`."""
        batch, channels, height, width = x.shape
        rows, columns = self._covered(height, width, x)
        r, c = len(rows) // self.height, len(columns) // self.width
        cut = x.index_select(2, rows).index_select(3, columns)
        parts = cut.view(batch, channels // self.depth, self.depth, r, self.height, c, self.width)
        components = self.depth * self.height * self.width
        return parts.permute(1, 0, 3, 5, 2, 4, 6).reshape(channels // self.depth, batch * r * c, components)

    def averaged(self, patches: Tensor, shape: torch.Size) -> Tensor:
        """The mean over the windows that cover a component, `shape`, for patches as `patches` gives them."""
        batch, channels, height, width = shape
        rows, columns = self._covered(height, width, patches)
        r, c = len(rows) // self.height, len(columns) // self.width
        parts = patches.view(channels // self.depth, batch, r, c, self.depth, self.height, self.width)
        cut = parts.permute(1, 0, 4, 2, 5, 3, 6).reshape(batch, channels, len(rows), len(columns))
        wide = cut.new_zeros(batch, channels, len(rows), width).index_add(3, columns, cut)
        whole = cut.new_zeros(batch, channels, height, width).index_add(2, rows, wide)
        return whole / self._counts(height, width, whole)

    def _covered(self, height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The row and the column of every component of the windows, window by window."""
        rows = (self.rows(height)[:, None] + torch.arange(self.height)).flatten()
        columns = (self.columns(width)[:, None] + torch.arange(self.width)).flatten()
        return rows.to(like.device), columns.to(like.device)

    def _counts(self, height: int, width: int, like: Tensor) -> Tensor:
        """Number of windows over each pixel, `(H, W)`."""
        rows, columns = self._covered(height, width, like)
        down, across = torch.bincount(rows, minlength=height), torch.bincount(columns, minlength=width)
        return (down[:, None] * across).to(like.dtype)


def _begins(length: int, window: int, step: int) -> Tensor:
    begins = torch.arange(0, length - window + 1, step)
    rest = length - window - int(begins[-1])
    return torch.cat([begins, torch.tensor([length - window])]) if rest else begins
