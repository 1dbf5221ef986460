"""Sparse reconstruction of patches (Moosavi-Dezfooli, Shrivastava, Tuzel 2018, arXiv:1802.06806, 'D3')."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import pi
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Range
from vauban.defences import fitters, registry
from vauban.defences.base import InputDefence
from vauban.defences.features.patches import PatchSize
from vauban.defences.inputs.patch_library import LibraryFitter, PatchLibrary, check_images, opened_library, windows_of

KIND, SIZE = "sparse-reconstruction", 8
ALIKE = 256
"""Roundings by which two products count as equal: of grey images in three channels every atom has two equals."""
BLOCK = 1 << 22
"""Products of patches and atoms that are held at once."""


def pursued(signals: Tensor, atoms: Tensor, count: int) -> Tensor:
    """Orthogonal matching pursuit: signals as combinations of few atoms (Pati, Rezaiifar, Krishnaprasad 1993).

    `count` times the atom of the largest |<residual, atom>| is added, and the coefficients of all that were chosen are
    those of least squares.

    Args:
        signals: `(n, width)`.
        atoms: `(K, width)`, of norm 1.
        count: Atoms for each signal, at most width and K.

    Returns:
        The combinations, `(n, width)`.
    """
    blocks = torch.split(signals, max(1, BLOCK // len(atoms)))
    return torch.cat([_pursued(block, atoms, count) for block in blocks])


def _pursued(signals: Tensor, atoms: Tensor, count: int) -> Tensor:
    near, chosen = signals, signals.new_zeros(len(signals), 0, dtype=torch.int64)
    # Atoms that depend on those before add nothing: the ridge keeps their system solvable.
    ridge = 10 * torch.finfo(signals.dtype).eps * torch.eye(count, dtype=signals.dtype, device=signals.device)
    combined = torch.zeros_like(signals)
    for step in range(1, count + 1):
        fit = ((signals - combined) @ atoms.T).abs().scatter_(1, chosen, -1.0)
        chosen = torch.cat([chosen, _first_of_the_largest(fit)], 1)
        basis = atoms[chosen]
        gram = basis @ basis.mT + ridge[:step, :step]
        combined = (torch.linalg.solve(gram, basis @ near[:, :, None]).mT @ basis)[:, 0]
    return combined


def _first_of_the_largest(fit: Tensor) -> Tensor:
    """Position `(n, 1)` of the first value of each row that is the largest up to rounding, whatever the batch."""
    largest = fit >= fit.amax(1, keepdim=True) * (1 - ALIKE * torch.finfo(fit.dtype).eps)
    places = torch.arange(fit.shape[1], device=fit.device)
    return torch.where(largest, places, fit.shape[1]).amin(1, keepdim=True)


def cosines(size: int, channels: int) -> Tensor:
    """An overcomplete dictionary of cosines, twice as many frequencies as pixels on each axis, for each channel.

    As Elad, Aharon 2006, IEEE Transactions on Image Processing 15, section III begin with: `(channels (2 size)^2, channels,
    size, size)`, norm 1, float64; all but the constant without mean on the axis that they vary in.
    """
    place = torch.arange(size, dtype=torch.float64)
    waves = torch.cos(pi * place * torch.arange(2 * size, dtype=torch.float64)[:, None] / (2 * size))
    waves[1:] -= waves[1:].mean(1, keepdim=True)
    waves = waves[waves.norm(dim=1) > 1e-9]
    planes = (waves[:, None, :, None] * waves[None, :, None, :]).flatten(0, 1)
    planes = planes / planes.flatten(1).norm(dim=1)[:, None, None]
    return torch.einsum("cd,nhw->cndhw", torch.eye(channels, dtype=torch.float64), planes).flatten(0, 1)


@registry.register(KIND, random=False, differentiable=False, words={"file": "file"})
@dataclass(frozen=True, eq=False)
class SparseReconstruction(InputDefence):
    """Every patch of the image as a combination of few atoms of a dictionary, overlaps averaged.

    Patches of all channels together, on a grid; each by orthogonal matching pursuit; the result clipped to [0,1]. Images
    (batch, 1 or 3, height, width). Not differentiable where the choice of atoms changes; BPDA has the identity. After D3:
    Moosavi-Dezfooli, Shrivastava, Tuzel 2018, arXiv:1802.06806, section 4.

    Attributes:
        file: A dictionary that `vauban fit --fitter sparse-reconstruction` wrote; None: cosines, twice overcomplete.
        atoms: Atoms for each patch.
        step: Pixels from a patch to the next, at most their size; 1 overlaps most.
        size: Side of a patch without a dictionary, which has its own.
        dictionary: A dictionary, in the place of a file.

    Raises:
        ContractError: A value outside its range, a step beyond the patch, more atoms than a patch has pixels or the
            dictionary atoms, a file that holds no dictionary; images of other channels, or smaller than a patch.

    Departures: orthogonal matching pursuit where the paper has the plain one; its blocks drawn at random are not there.
    """

    file: str | Path | None = field(default=None, repr=False)
    atoms: Count = 4
    step: Count = 2
    size: PatchSize = SIZE
    dictionary: PatchLibrary | None = None
    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = "Moosavi-Dezfooli, Shrivastava, Tuzel 2018, arXiv:1802.06806"
    differentiable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        dictionary = opened_library(self, "dictionary", SIZE, KIND)
        most = self.size**2 if dictionary is None else min(dictionary.patches[0].numel(), len(dictionary.patches))
        if self.atoms > most:
            raise ContractError(f"expected at most {most} atoms for a patch of size={self.size}, got {self.atoms}")
        if self.step > self.size:
            raise ContractError(
                f"expected a step of at most {self.size}, the size of a patch, got {self.step}, which leaves gaps"
            )

    @property
    def name(self) -> str:
        """Name on the command line; a dictionary is told by its size, since it counts by its content."""
        source = "cosines" if self.dictionary is None else str(len(self.dictionary.patches))
        return f"{KIND}:dictionary={source},atoms={self.atoms},step={self.step},size={self.size}"

    def apply(self, x: Tensor) -> Tensor:
        check_images(x, self.size, KIND)
        with torch.no_grad():
            windows, patches = windows_of(x.detach(), self.size, self.step)
            library = self.dictionary or PatchLibrary(cosines(self.size, x.shape[1]))
            near = pursued(patches.flatten(0, 1), library.of(x), self.atoms)
            return windows.averaged(near[None], x.shape).clamp(0, 1)


@fitters.register(KIND)
@dataclass(frozen=True)
class FitSparseReconstruction(LibraryFitter[SparseReconstruction]):
    """A dictionary of patches at random places of clean images, each far enough in angle from those before.

    Patches are divided by their norm; one is an atom where |cos| to every atom is below `alike`. Moosavi-Dezfooli,
    Shrivastava, Tuzel 2018, arXiv:1802.06806, section 4.1.

    Attributes:
        size: Side of a patch in pixels.
        sample: Patches sampled at most.
        atoms: Atoms at most.
        alike: |cos| from which two patches count as one.

    Raises:
        ContractError: A value outside its range; when fitted, images of several shapes or smaller than a patch, or black.

    Departures: the paper's choice by saliency is not there.
    """

    size: PatchSize = SIZE
    sample: Count = 20_000
    atoms: Count = 1024
    alike: Annotated[float, Range(0, 1, open_low=True)] = 0.98
    kind: ClassVar[str] = KIND

    def chosen(self, patches: Tensor) -> Tensor:
        flat = patches.flatten(1)
        norm = flat.norm(dim=1, keepdim=True)
        bright = norm[:, 0] > 1e-6
        if not bool(bright.any()):
            raise ContractError("expected patches that are not black to make a dictionary of, got none")
        units = flat[bright] / norm[bright]
        kept: list[int] = []
        free = torch.ones(len(units), dtype=torch.bool, device=units.device)
        while bool(free.any()) and len(kept) < self.atoms:
            first = int(free.int().argmax())
            kept.append(first)
            free &= (units @ units[first]).abs() < self.alike
            free[first] = False
        atoms: Tensor = units[kept].view(-1, *patches.shape[1:])
        return atoms

    def defence(self, library: PatchLibrary) -> SparseReconstruction:
        return SparseReconstruction(
            atoms=min(4, len(library.patches), library.patches[0].numel()),
            step=min(2, library.size),
            dictionary=library,
        )

    def library(self, defence: SparseReconstruction) -> PatchLibrary:
        assert defence.dictionary is not None
        return defence.dictionary
