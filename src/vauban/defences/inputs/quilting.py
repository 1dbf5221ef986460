"""Image quilting (Efros, Freeman 2001, SIGGRAPH), as a defence Guo, Rana, Cisse, van der Maaten 2018, arXiv:1711.00117."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vauban.core.cards import Card
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Range
from vauban.defences import fitters, registry
from vauban.defences.base import InputDefence
from vauban.defences.features.nearest import several_nearest
from vauban.defences.features.patches import PatchSize
from vauban.defences.inputs.patch_library import LibraryFitter, PatchLibrary, check_images, opened_library, windows_of

KIND, SIZE = "quilting", 5


def minimal_cut(error: Tensor) -> Tensor:
    """The path of least summed error through an overlap, from its first row to its last.

    Dynamic programming: E_{t,c} = e_{t,c} + min(E_{t-1,c-1}, E_{t-1,c}, E_{t-1,c+1}) (Efros, Freeman 2001, section 2.1).

    Args:
        error: e, `(..., length, width)`.

    Returns:
        The column of the path in each row, int64 `(..., length)`; neighbours differ by one at most. Of equally good paths
        the one whose last column is the least.
    """
    summed = error[..., 0, :]
    steps: list[Tensor] = []
    for row in range(1, error.shape[-2]):
        beside = F.pad(summed, (1, 1), value=float("inf")).unfold(-1, 3, 1)
        least, step = beside.min(-1)
        summed = error[..., row, :] + least
        steps.append(step - 1)
    column = summed.argmin(-1)
    path = [column]
    for step in reversed(steps):
        column = column + step.gather(-1, column[..., None])[..., 0]
        path.append(column)
    return torch.stack(path[::-1], -1)


def joined(parts: Tensor, overlap: int) -> Tensor:
    """Parts side by side, each cut against the next along the path where both differ least.

    Args:
        parts: `(..., n, channel, length, size)`; overlap <= size / 2, so that no cut meets another.
        overlap: Columns that a part shares with the next.

    Returns:
        `(..., channel, length, n (size - overlap) + overlap)`.
    """
    count, size = parts.shape[-4], parts.shape[-1]
    first, middle, last = torch.split(parts, [overlap, size - 2 * overlap, overlap], dim=-1)
    left, right = last[..., : count - 1, :, :, :], first[..., 1:, :, :, :]
    cut = minimal_cut((left - right).square().sum(-3))
    beyond = torch.arange(overlap, device=parts.device) >= cut[..., None]
    seams = torch.where(beyond.unsqueeze(-3), right, left)
    begins = torch.cat([first[..., :1, :, :, :], seams], -4)
    body = torch.cat([begins, middle], -1).movedim(-4, -2).flatten(-2)
    return torch.cat([body, last[..., -1, :, :, :]], -1)


@registry.register(KIND, random=True, differentiable=False, words={"file": "file"})
@dataclass(frozen=True, eq=False)
class Quilting(InputDefence):
    """The image put together from patches of clean training images, each one of the nearest to what stood in its place.

    On a grid of patches that overlap, each is replaced by one of the `nearest` library patches in L2, drawn with equal
    probability; a row is joined from left to right and the rows from top to bottom, each overlap cut along the path where
    both sides differ least. Draws are from torch's global generator, which the oracle forks and seeds. Images
    (batch, 1 or 3, height, width) in [0,1], mirrored to whole patches. Not differentiable; BPDA has the identity. Guo,
    Rana, Cisse, van der Maaten 2018, arXiv:1711.00117, section 4.3; Efros, Freeman 2001.

    Attributes:
        file: A library that `vauban fit --fitter quilting` wrote; None: the image's own patches, as in Efros and Freeman.
        nearest: Patches among which one is drawn, K; 1 draws nothing.
        overlap: Pixels that neighbours share, at most half a patch.
        size: Side of a patch without a library, which has its own.
        library: A library, in the place of a file.

    Raises:
        ContractError: A value outside its range, an overlap above half a patch, more neighbours than the library has, a
            file that holds no library; images of other channels than the library's, or smaller than a patch.

    Departures: the paper does not print the overlap. Seams of rows run across the whole image, after those in the rows.
    """

    file: str | Path | None = field(default=None, repr=False)
    nearest: Count = 10
    overlap: Annotated[int, Range(1, 15)] = 2
    size: PatchSize = SIZE
    library: PatchLibrary | None = None
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = "Guo, Rana, Cisse, van der Maaten 2018, arXiv:1711.00117"
    random: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    draws: ClassVar[int] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        library = opened_library(self, "library", SIZE, KIND)
        if library is not None and self.nearest > len(library.patches):
            raise ContractError(
                f"expected at most {len(library.patches)} neighbours, the patches of the library, got nearest="
                f"{self.nearest}"
            )
        if 2 * self.overlap > self.size:
            raise ContractError(
                f"expected an overlap of at most {self.size // 2}, half of size={self.size}, got {self.overlap}"
            )

    @property
    def card(self) -> Card:
        """Random where there is something to draw."""
        random = self.nearest > 1
        backward = {self.operation: self.substitute}
        return Card(KIND, random=random, backward=backward, draws=self.draws if random else 1, reference=self.reference)

    @property
    def name(self) -> str:
        """Name on the command line; a library is told by its size, since it counts by its content."""
        source = "own" if self.library is None else str(len(self.library.patches))
        return f"{KIND}:library={source},nearest={self.nearest},overlap={self.overlap},size={self.size}"

    def apply(self, x: Tensor) -> Tensor:
        check_images(x, self.size, KIND)
        with torch.no_grad():
            return self._quilted(x.detach()) if len(x) else x.clone()

    def _quilted(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        step = self.size - self.overlap
        rows, columns = (max(1, -(-(side - self.overlap) // step)) for side in (height, width))
        low, right = (count * step + self.overlap - side for count, side in ((rows, height), (columns, width)))
        whole = F.pad(x, (0, right, 0, low), mode="reflect") if min(height, width) > max(low, right) else x
        _, patches = windows_of(whole, self.size, step)
        chosen = torch.stack([self._drawn(own, image) for own, image in zip(patches, x, strict=True)])
        grid = chosen.view(len(x), rows, columns, x.shape[1], self.size, self.size)
        strips = joined(grid, self.overlap)  # (batch, rows, channel, size, width)
        return joined(strips.mT, self.overlap).mT[:, :, :height, :width].contiguous()

    def _drawn(self, patches: Tensor, image: Tensor) -> Tensor:
        """For each patch of an image one of the nearest, `(places, channel size size)`."""
        library, alone = self.library, image[None]
        known = windows_of(alone, self.size, 1)[1][0] if library is None else library.of(alone)
        count = min(self.nearest, len(known))
        near = several_nearest(patches, known, count)
        if self.nearest > 1:
            near = near.sort(1).values  # no order is promised: a draw must not depend on it
            pick = torch.randint(count, (len(near), 1), device=near.device)
            near = near.gather(1, pick)
        return known[near[:, 0]]


@fitters.register(KIND)
@dataclass(frozen=True)
class FitQuilting(LibraryFitter[Quilting]):
    """A library for quilting: patches at random places of clean images.

    Attributes:
        size: Side of a patch in pixels.
        sample: Patches of the library at most; the paper has a million.

    Raises:
        ContractError: A value outside its range; when fitted, images of several shapes, or smaller than a patch.
    """

    size: PatchSize = SIZE
    sample: Count = 100_000
    kind: ClassVar[str] = KIND

    def chosen(self, patches: Tensor) -> Tensor:
        return patches

    def defence(self, library: PatchLibrary) -> Quilting:
        return Quilting(
            nearest=min(10, len(library.patches)), overlap=max(1, min(2, library.size // 2)), library=library
        )

    def library(self, defence: Quilting) -> PatchLibrary:
        assert defence.library is not None
        return defence.library
