"""Libraries of image patches taken from training images: their sampling, and their file."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from torch import Tensor, nn

from vauban.core.arguments import NamedArguments
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.parameters import Count
from vauban.defences.base import Defence
from vauban.defences.features.patch_sample import PatchSample
from vauban.defences.features.patches import PatchSize
from vauban.defences.features.windows import Windows
from vauban.defences.fitter import DefenceFit, DefenceFitter, Passed
from vauban.models import weights as files

D = TypeVar("D", bound=Defence)


@dataclass(frozen=True, eq=False)
class PatchLibrary(NamedArguments):
    """Patches of images.

    Attributes:
        patches: `(n, channel, size, size)`.

    Raises:
        ContractError: No patches, or not of this shape.
    """

    patches: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.patches.shape)
        if len(shape) != 4 or not len(self.patches) or shape[2] != shape[3] or not bool(self.patches.isfinite().all()):
            raise ContractError(f"expected finite patches (n, channel, size, size), got shape {shape}")

    @property
    def size(self) -> int:
        """Side of a patch in pixels."""
        return self.patches.shape[2]

    def of(self, x: Tensor) -> Tensor:
        """The patches as rows `(n, channel size size)` on the device and in the dtype of images x. Raises ContractError."""
        if x.shape[1] != self.patches.shape[1]:
            raise ContractError(
                f"expected images of {self.patches.shape[1]} channels, as the library of patches is, got {x.shape[1]}"
            )
        return self.patches.to(x).flatten(1)


def check_images(x: Tensor, size: int, purpose: str) -> Tensor:
    """x itself. Raises ContractError unless it is `(batch, 1 or 3, height, width)`, no smaller than a patch."""
    if x.dim() != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < size:
        raise ContractError(
            f"expected images (batch, 1 or 3, height, width) of at least {size}x{size} pixels for {purpose}, got "
            f"{tuple(x.shape)}"
        )
    return x


def read_library(path: str | Path, kind: str) -> PatchLibrary:
    """The library of a file that a fitter of that kind wrote. Raises ContractError, naming the file, for anything else."""
    path = Path(path).expanduser()
    tensors, meta = files.read(path), files.metadata(path)
    if meta.get("defence") != kind or set(tensors) != {"patches"}:
        raise ContractError(
            f"{path} holds no patches for {kind}; fit them: vauban fit --fitter {kind} --data SET/train --out FILE"
        )
    return PatchLibrary(tensors["patches"])


@dataclass(frozen=True)
class LibraryFitter(DefenceFitter, Generic[D]):
    """Patches sampled from a stream of images; of what is seen only the sample is held.

    Attributes:
        size: Side of a patch in pixels.
        sample: Patches sampled at most.
    """

    size: PatchSize
    sample: Count
    kind: ClassVar[str]

    @property
    def reads_network(self) -> bool:
        return False

    @abstractmethod
    def chosen(self, patches: Tensor) -> Tensor:
        """What is kept of the sampled patches `(n, channel, size, size)`, which are in random order."""

    @abstractmethod
    def defence(self, library: PatchLibrary) -> D:
        """The defence with a library and its other parameters at their defaults."""

    @abstractmethod
    def library(self, defence: D) -> PatchLibrary:
        """The library of a defence."""

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[D]:
        drawn, images, shape = PatchSample(self.size, self.sample, seed), 0, None
        for batch in batches:
            check_images(batch.x, self.size, f"the patches of {self.kind}")
            shape = batch.x.shape[1:] if shape is None else shape
            if batch.x.shape[1:] != shape:
                raise ContractError(f"expected images of one shape, got {tuple(shape)} and {tuple(batch.x.shape[1:])}")
            drawn.add(batch.x.float(), batch)
            images += len(batch.x)
            if callback is not None:
                callback(images)
        if drawn.patches is None:
            raise ContractError("expected at least one batch of images to take patches from, got none")
        kept = self.chosen(drawn.patches).cpu()
        reached = {"patches": float(len(kept)), "places": float(drawn.places)}
        return DefenceFit(self.defence(PatchLibrary(kept)), reached, images, 0)

    def save(self, fitted: DefenceFit[D], path: Path, meta: Mapping[str, Any]) -> None:
        """Write the patches, what the fit has cost, and `meta`."""
        patches = self.library(fitted.defence).patches
        held = nn.ParameterDict({"patches": nn.Parameter(patches, requires_grad=False)})
        files.save(held, path, {**meta, "format": 1, "defence": self.kind, "fit": fitted.cost})

    def load(self, path: Path) -> D:
        """The defence that a file holds."""
        return self.defence(read_library(path, self.kind))


def windows_of(x: Tensor, size: int, step: int) -> tuple[Windows, Tensor]:
    """The grid of windows of images, and their patches `(batch, places, channel size size)`."""
    windows = Windows(size, size, x.shape[1], (step, step))
    rows = windows.patches(x)[0]
    places = len(windows.rows(x.shape[2])) * len(windows.columns(x.shape[3]))
    return windows, rows.view(len(x), places, x.shape[1] * size**2)


def opened_library(defence: Any, held: str, default: int, kind: str) -> PatchLibrary | None:
    """The library of a defence, which is what was in its file, wherever that was, and has the size of a patch.

    Args:
        defence: A frozen defence with `file`, `size` and a library; it gets the library and its size, and no file.
        held: The field of the library.
        default: The size where none is asked for.
        kind: What messages call the defence.

    Raises:
        ContractError: A file and a library are given, the file holds none, or another size than the library's is asked for.
    """
    library: PatchLibrary | None = getattr(defence, held)
    if defence.file is not None:
        if library is not None:
            raise ContractError(f"expected a file or a {held} for {kind!r}, got both; leave one out")
        library = read_library(defence.file, kind)
    if library is None:
        return None
    if defence.size not in (default, library.size):
        raise ContractError(
            f"expected size={library.size} of {kind!r}, which its patches have, got {defence.size}; leave it out"
        )
    for field, value in ((held, library), ("file", None), ("size", library.size)):
        object.__setattr__(defence, field, value)
    return library
