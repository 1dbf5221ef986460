"""The image that a network is shown below its defences."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vauban.core.cards import bare
from vauban.core.errors import ContractError


class ShownImage(nn.Module):
    """What the network below all defences is asked about, `(batch, components)`, differentiable where the defences are.

    Attributes:
        network: The network behind its defences.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Raises ContractError where the network is asked about no image of x, or about several."""
        shown: list[Tensor] = []
        handle = bare(self.network).register_forward_pre_hook(lambda module, given: shown.append(given[0]))
        try:
            self.network(x)
        finally:
            handle.remove()
        if len(shown) != 1 or shown[0].numel() != x.numel():
            raise ContractError(
                f"expected defences that show the network one image for each of {tuple(x.shape)}, got {len(shown)} calls"
                + (f" with {tuple(shown[0].shape)}" if shown else "")
            )
        return torch.flatten(shown[0], 1)
