"""Codebooks: the codewords of every slice of a layer, with what they were learned from; their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vauban.core.arguments import NamedArguments
from vauban.core.errors import ContractError
from vauban.models import weights as files

KIND = "patches"
IMAGE = "image"
"""Name of the layer that is the image itself."""
FIT = (
    "fit one: vauban fit --fitter patches --model MODEL --data SET/train --out book.safetensors, then use "
    "--defence patches:file=book.safetensors"
)


@dataclass(frozen=True, eq=False)
class Codebook(NamedArguments):
    """Codewords of a layer, one set for each slice of channels or one for all.

    Attributes:
        codewords: `(m or 1, K, depth size size)`, float32.
        layer: The layer's name in the network, or "image".
        size: Side of a patch in pixels, 2a + 1.
        depth: Channels of a slice, d.
        image: Shape of an image of the data that it was learned from, (channels, height, width).
        feature: Shape of the layer's output for such an image, (D, H, W).

    Raises:
        ContractError: Numbers that do not belong together.
    """

    codewords: Tensor
    layer: str
    size: int
    depth: int
    image: tuple[int, ...]
    feature: tuple[int, ...]

    def __post_init__(self) -> None:
        slices = self.feature[0] // self.depth if len(self.feature) == 3 and self.depth > 0 else 0
        width = self.depth * self.size**2
        shape = tuple(self.codewords.shape)
        if not slices or self.feature[0] % self.depth or shape not in {(n, shape[1], width) for n in (1, slices)}:
            raise ContractError(
                f"expected codewords (slices or 1, K, {width}) for patches {self.size}x{self.size}x{self.depth} of a "
                f"feature {self.feature}, got {shape}"
            )
        if not self.codewords.is_floating_point() or not bool(self.codewords.isfinite().all()):
            raise ContractError(f"expected codewords of finite floats, got {self.codewords.dtype} with NaN or infinity")

    def save(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Write the codewords as safetensors; the file appears whole or not at all.

        Args:
            path: The file.
            meta: Metadata, beside layer, size, depth and shapes.
        """
        told = {name: getattr(self, name) for name in ("layer", "size", "depth", "image", "feature")}
        held = nn.ParameterDict({"codewords": nn.Parameter(self.codewords, requires_grad=False)})
        files.save(held, path, {**meta, **told, "format": 1, "defence": KIND})


def read(path: Path) -> Codebook:
    """The codebook of a file. Raises ContractError, naming the file, for anything else."""
    tensors, meta = files.read(path), files.metadata(path)
    if meta.get("defence") != KIND or set(tensors) != {"codewords"}:
        raise ContractError(f"{path} holds no codebook of patches; {FIT}")
    try:
        layer, size, depth = str(meta["layer"]), int(meta["size"]), int(meta["depth"])
        image, feature = tuple(map(int, meta["image"])), tuple(map(int, meta["feature"]))
        return Codebook(tensors["codewords"], layer, size, depth, image, feature)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ContractError(f"{path} carries metadata that do not describe a codebook: {error!r}") from error
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from error
