"""Learned Perceptual Image Patch Similarity, with weights that the user supplies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vauban.core.arguments import NamedArguments, named_arguments
from vauban.core.errors import ContractError
from vauban.metrics import registry
from vauban.metrics.base import check_tensors

LAYERS = {"alexnet": (1, 4, 7, 9, 11), "vgg16": (3, 8, 15, 22, 29), "squeezenet1_1": (1, 4, 7, 9, 10, 11, 12)}
"""Per torchvision network, the entries of its `features` whose outputs are compared."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TINY = 1e-10  # added to lengths, so that a position without features is compared as zero


@dataclass(frozen=True)
class Perception(NamedArguments):
    """A network as `lpips` looks through it.

    Attributes:
        features: Images `(batch, channel, height, width)` in [0,1] -> maps, each `(batch, channels, rows, columns)`.
        weights: One tensor `(channels,)` for each map.
    """

    features: Callable[[Tensor], Sequence[Tensor]]
    weights: Sequence[Tensor]


@registry.register("lpips", unit="1", direction="lower", aggregate="mean", reads="pair")
@torch.no_grad()
def lpips(x: Tensor, y: Tensor, network: Perception | None = None) -> Tensor:
    """Learned Perceptual Image Patch Similarity by a network you supply, `(batch,)` float64; 0 for equal images.

    The sum over layers l of the mean over positions of sum_c w_l,c (f_l,c(x) - f_l,c(y))^2, the features f of a position
    scaled to length one (R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, The unreasonable effectiveness of deep
    features as a perceptual metric, CVPR 2018, arXiv:1801.03924, eq. 1, with the weight outside the square as in the
    authors' trained layers; for the equation as printed give the squares of its weights). Symmetric. Never differentiated.

    Args:
        x: Images `(batch, channel, height, width)` in [0,1], of a size that the network takes.
        y: Images of the same shape.
        network: Features and weights; `torchvision_lpips` makes those of the paper from two weights files, none is
            delivered.

    Raises:
        ContractError: There is no network, the shapes differ, or maps and weights do not fit.
    """
    check_tensors(x, y)
    if network is None:
        raise ContractError(
            "lpips needs weights: give network=torchvision_lpips(name, backbone, linear) or a Perception"
        )
    if x.shape != y.shape or x.dim() != 4:
        raise ContractError(f"expected two batches of images of the same shape, got {tuple(x.shape)}, {tuple(y.shape)}")
    first, second = network.features(x), network.features(y)
    channels, weighted = [maps.shape[1] for maps in first], [len(weight) for weight in network.weights]
    if channels != weighted:
        raise ContractError(f"expected one weight per channel of each map {channels}, got weights {weighted}")
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for maps_x, maps_y, weight in zip(first, second, network.weights, strict=True):
        square = (_unit(maps_x) - _unit(maps_y)).square()
        total += (square * weight.to(square).view(-1, 1, 1)).sum(1).mean((1, 2))
    return total


def _unit(features: Tensor) -> Tensor:
    """Maps in float64 whose features have length one at every position."""
    features = features.double()
    length: Tensor = features.norm(dim=1, keepdim=True)
    return features / (length + TINY)


@named_arguments
def torchvision_lpips(name: str, backbone: nn.Module, linear: str | Path) -> Perception:
    """The `Perception` of a torchvision network: its features after the layers of the paper, and weights read from a file.

    Images are normalised with the mean and deviation of ImageNet.

    Args:
        name: "alexnet", "vgg16" or "squeezenet1_1".
        backbone: That network with the ImageNet weights you loaded.
        linear: A safetensors file of the authors' lin layers, as they name them: a tensor `(1, channels, 1, 1)` under each
            of `lin0.model.1.weight`, `lin1.model.1.weight` and so on.

    Raises:
        ContractError: There is no such network, or the backbone or the file is another one.
    """
    if name not in LAYERS:
        raise ContractError(f"expected lpips of one of {', '.join(LAYERS)}, got {name!r}")
    layers = getattr(backbone, "features", None)
    if not isinstance(layers, nn.Sequential) or len(layers) <= LAYERS[name][-1]:
        raise ContractError(f"expected torchvision's {name} as the backbone of lpips, got {type(backbone).__name__}")

    def features(x: Tensor) -> list[Tensor]:
        return _outputs(layers, LAYERS[name], (x - _per_channel(x, MEAN)) / _per_channel(x, STD))

    return Perception(features, _linear(Path(linear)))


def _per_channel(x: Tensor, values: Iterable[float]) -> Tensor:
    """One number per channel in a shape that broadcasts over images x."""
    return x.new_tensor(tuple(values)).view(-1, 1, 1)


def _outputs(layers: nn.Sequential, wanted: Sequence[int], x: Tensor) -> list[Tensor]:
    """Outputs of the layers at the wanted positions, in their order."""
    maps = []
    for index, layer in enumerate(layers[: wanted[-1] + 1]):
        x = layer(x)
        if index in wanted:
            maps.append(x)
    return maps


def _linear(path: Path) -> list[Tensor]:
    """Weights of the layers, `(channels,)` each, in the order of their numbers. Raises ContractError for other files."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ContractError(f"{path} is not a readable safetensors file of lpips weights: {error}") from error
    numbered = {int(m[1]): t.flatten() for key, t in tensors.items() if (m := re.match(r"lin(\d+)\..*weight$", key))}
    if not numbered:
        raise ContractError(
            f"expected tensors named lin0.model.1.weight, ... in {path}, got {', '.join(tensors) or 'none'}"
        )
    return [numbered[number] for number in sorted(numbered)]
