"""Mode of batch normalisation while images are made for training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm = Literal["evaluation", "training"]
"""Whether batch normalisation divides by its running statistics, or by those of the batch, which move the running ones."""


@contextmanager
def normalising_by(network: nn.Module, mode: BatchNorm) -> Iterator[None]:
    """Keep batch normalisation in a mode in every call of a network that an oracle makes while this is open.

    Args:
        network: The network; batch normalisation that is frozen (in evaluation mode already) stays so.
        mode: "evaluation" leaves everything to the oracle, which asks in evaluation mode.
    """
    parts = [part for part in network.modules() if isinstance(part, _BatchNorm) and part.training]
    if mode == "evaluation" or not parts:
        yield
        return
    outside: list[list[bool]] = []

    def enter(*_: Any) -> None:
        outside.append([part.training for part in parts])
        for part in parts:
            part.training = True

    def leave(*_: Any) -> None:
        for part, before in zip(parts, outside.pop(), strict=True):
            part.training = before

    handles = [network.register_forward_pre_hook(enter), network.register_forward_hook(leave, always_call=True)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
