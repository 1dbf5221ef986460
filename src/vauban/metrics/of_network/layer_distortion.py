"""Relative distortion of a layer under attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from vauban.core.cards import bare
from vauban.core.errors import ContractError
from vauban.core.norms import L2
from vauban.core.parameters import Whole
from vauban.core.surgery import submodule, watched
from vauban.engine.network import predict, quiet
from vauban.metrics import network_registry
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric


@network_registry.register("layer-distortion")
@dataclass(frozen=True)
class LayerDistortion(NetworkMetric):
    """Relative layer distortion: ||h(x') - h(x)||_2 / ||h(x)||_2, h the output of a layer, x' the attack's image.

    How far a change has grown on its way through the network; NaN where h(x) is 0.

    Attributes:
        layer: Dotted name of the layer in the network below its defences, as in `named_modules()`, or a number; "" for the
            logits.
        original: Whether h(x) is asked "behind" the defence, as h(x') is, or of the network "without" it: then what the
            defence itself moves is in it, and there is a distortion without an attack too, x' = x.

    Raises:
        ContractError: When measured: there is no such layer, or it gives no tensor of one row for each image.
    """

    direction: ClassVar[Literal["lower", "higher", ""]] = "lower"
    layer: str | Whole = ""
    original: Literal["behind", "without"] = "behind"

    @property
    def attacked(self) -> bool:
        return self.original == "behind"

    def values(self, given: MeasuredBatch) -> Tensor:
        origin = given.network if self.original == "behind" else bare(given.network)
        before, after = self._output(origin, given.batch.x), self._output(given.network, given.image)
        size = L2.size(before)
        return torch.where(size > 0, L2.size(after - before) / size, torch.nan)

    def _output(self, network: nn.Module, x: Tensor) -> Tensor:
        layer = submodule(bare(network), str(self.layer), "layer of layer-distortion") if self.layer != "" else network
        with watched((layer, "output")) as (kept,), quiet(list(network.modules())):
            predict(network, x)
        if not kept or not isinstance(kept[-1], Tensor) or len(kept[-1]) != len(x):
            raise ContractError(f"expected a layer with one row for each image, got {self.layer!r}; name another one")
        output: Tensor = kept[-1]
        return output.detach().double().flatten(1)
