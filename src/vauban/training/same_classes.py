"""Check of the networks that a training asks beside its own: as many classes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.engine.threat import BoundThreat, probe_classes


def check_classes(network: nn.Module, batch: Batch, others: Mapping[str, nn.Module]) -> None:
    """Ask every network for one image.

    Args:
        network: What is trained.
        batch: Samples.
        others: The others, by what a message calls them; they are moved to the samples' device.

    Raises:
        ContractError: One of the others has other classes than the network.
    """
    one = batch.x[:1].clone()
    classes = probe_classes(BoundThreat(network, levels=None), one)
    for name, other in others.items():
        if (there := probe_classes(BoundThreat(other.to(one.device), levels=None), one)) != classes:
            raise ContractError(
                f"expected a {name} of {classes} classes as the network to train has, got one of {there}; name another"
            )
