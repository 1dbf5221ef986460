"""Ensemble of random crops, enlarged to the size of the image (Guo et al. 2018, arXiv:1711.00117, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Defended, in_training
from vauban.core.parameters import Range
from vauban.defences.base import Apply, InputDefence, check_image, check_module, register
from vauban.defences.inputs.resampling import drawn, resampled
from vauban.defences.voting import MeanVote


class CropVote(Defended):
    """log((1/m) sum_i softmax(inner(crop_i(x)))), the crops drawn anew for every call."""

    def __init__(self, inner: nn.Module, defence: CropEnsemble) -> None:
        super().__init__(inner, defence.card)
        self.crops, self.crop, self.count = defence.crops, Apply(defence), MeanVote()
        # Only the wrapper's own flags: .train() would overwrite the mode of every submodule of the network.
        self.training = self.crop.training = self.count.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.count(torch.stack([self.inner(self.crop(x)) for _ in range(self.crops)]))
        return logits


@register("crop-ensemble")
@dataclass(frozen=True)
class CropEnsemble(InputDefence):
    """The mean of the network's probabilities over random crops of the image, each enlarged to its size.

    Logits are the logarithm of that mean. A crop has the image's proportions, its side is a share of the image's, its place
    is uniform on the pixels where it fits, drawn for each image from torch's global generator, which the oracle forks and
    seeds. Images (batch, channel, height, width). Bilinear and a mean, hence attacked through the true gradient of all
    crops, over 4 draws of them (EOT). Guo, Rana, Cisse, van der Maaten 2018, arXiv:1711.00117, section 4.

    Attributes:
        crops: Crops to a prediction.
        share: Side of a crop as a share of the image's, at least one pixel; the paper's is 90 of 224.

    Raises:
        ContractError: A value outside its range, or no batch of images.

    Departures: the paper does not say what is averaged; here probabilities.
    """

    reference = "Guo, Rana, Cisse, van der Maaten 2018, arXiv:1711.00117"
    random: ClassVar[bool] = True
    draws: ClassVar[int] = 4
    crops: Annotated[int, Range(1, 1000)] = 30
    share: Annotated[float, Range(0, 1, open_low=True)] = 90 / 224

    def apply(self, x: Tensor) -> Tensor:
        """One crop of every image, enlarged."""
        check_image(x, "random crops")
        given = torch.tensor(x.shape[2:], dtype=x.dtype, device=x.device).expand(len(x), 2)
        size = (self.share * given).round().clamp_min(1)
        corner = drawn(torch.zeros_like(size), given - size)
        scale = size / given
        return resampled(x, corner, scale, (x.shape[2], x.shape[3]))

    def wrap(self, module: nn.Module) -> nn.Module:
        return CropVote(check_module(module), self)
