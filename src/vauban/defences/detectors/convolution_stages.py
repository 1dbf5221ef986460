"""Stages of a detector by statistics of convolutions: a summary of a layer's output, and a linear classifier on it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.defences.detectors.base import Scored
from vauban.defences.detectors.learned import FeatureScorer, Learned

KIND = "convolution-statistics"
QUARTILES = 0.25, 0.5, 0.75


def pixels(feature: Tensor, layer: str) -> Tensor:
    """Maps as rows `(batch pixels, channels)`, those of an image one after the other. Raises ContractError: no maps."""
    if feature.dim() != 4 or not feature.is_floating_point():
        raise ContractError(
            f"expected maps (batch, channels, height, width) from layer {layer!r} for {KIND!r}, got "
            f"{tuple(feature.shape)}; name a convolution"
        )
    return feature.movedim(1, 3).flatten(0, 2)


def summary(feature: Tensor, mean: Tensor, axes: Tensor, layer: str) -> Tensor:
    """Statistics of the whitened principal coefficients z of a layer over the pixels of an image, `(batch, 6 k)`.

    Of each of k components the mean of |z|, the least and the largest z, and its quartiles.

    Args:
        feature: Maps `(batch, channels, height, width)`.
        mean: Of the channels, `(channels,)`.
        axes: Eigenvectors over the roots of their eigenvalues, `(channels, k)`.
        layer: Quoted in the error.

    Raises:
        ContractError: No maps, or of other channels.
    """
    rows = pixels(feature, layer)
    if rows.shape[1] != len(mean):
        raise ContractError(
            f"expected {len(mean)} channels from layer {layer!r}, which {KIND} was fitted on, got {rows.shape[1]}; fit "
            "another one"
        )
    z = ((rows.to(mean) - mean) @ axes).view(*feature[:, 0].flatten(1).shape, axes.shape[1])
    quartiles = z.quantile(torch.tensor(QUARTILES, dtype=z.dtype, device=z.device), 1)
    return torch.cat([z.abs().mean(1), z.amin(1), z.amax(1), *quartiles], 1)


class LayerStages(nn.Module):
    """A linear classifier for each layer on the summary of its output: logits `(batch, layers)`, positive for an attack's.

    Args:
        sizes: Channels and components kept of each layer.
        learning: Whether weights are parameters; else they are buffers, so that a network's own type is seen.
    """

    def __init__(self, sizes: Sequence[Sequence[int]], learning: bool = False) -> None:
        super().__init__()
        self.sizes = [list(size) for size in sizes]
        for at, (channels, k) in enumerate(sizes):
            self.register_buffer(f"mean_{at}", torch.zeros(channels))
            self.register_buffer(f"axes_{at}", torch.zeros(channels, k))
            self.register_buffer(f"centre_{at}", torch.zeros(6 * k))
            self.register_buffer(f"spread_{at}", torch.ones(6 * k))
            for name, size in ((f"weight_{at}", 6 * k), (f"bias_{at}", 1)):
                if learning:
                    self.register_parameter(name, nn.Parameter(torch.zeros(size)))
                else:
                    self.register_buffer(name, torch.zeros(size))

    def summaries(self, features: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
        """The summary of each layer's output."""
        told = self.state_dict(keep_vars=True)
        return [
            summary(feature, told[f"mean_{at}"], told[f"axes_{at}"], name)
            for at, (feature, name) in enumerate(zip(features, names, strict=True))
        ]

    def forward(self, features: Sequence[Tensor], names: Sequence[str]) -> Tensor:
        held = self.state_dict(keep_vars=True)
        logits = []
        for at, told in enumerate(self.summaries(features, names)):
            z = (told - held[f"centre_{at}"]) / held[f"spread_{at}"]
            logits.append(z @ held[f"weight_{at}"] + held[f"bias_{at}"])
        return torch.stack(logits, 1)


class StagesScorer(FeatureScorer):
    """min over layers of the logits of `LayerStages`: large where every stage takes the image for an attack's.

    Attributes:
        learned: Tensors of the stages; fact `sizes`.
        stages: The classifiers, in float32.
    """

    def __init__(self, learned: Learned) -> None:
        super().__init__(KIND, learned)
        self.stages = LayerStages(learned.facts["sizes"])
        self.stages.load_state_dict(dict(learned.tensors))

    def forward(self, network: nn.Module, x: Tensor) -> Scored:
        logits, features = self.asked(network, x)
        return logits, self.stages(features, self.layers).amin(1, keepdim=True)
