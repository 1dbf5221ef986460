"""Count of the activations that a network calls as functions, which no edit of modules reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

NAMES = frozenset(
    name + end
    for name in (
        "relu",
        "relu6",
        "leaky_relu",
        "prelu",
        "rrelu",
        "elu",
        "celu",
        "selu",
        "gelu",
        "silu",
        "hardswish",
        "mish",
        "softplus",
    )
    for end in ("", "_")
)


class _Counting(TorchFunctionMode):
    """Counts the outermost calls of activation functions."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: int = 0
        self.inside: int = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        activation = int(getattr(func, "__name__", "") in NAMES)
        self.calls += activation * (self.inside == 0)
        self.inside += activation
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.inside -= activation


def functional_activations(network: nn.Module, x: Tensor) -> int:
    """Calls of rectifying functions in a forward pass of a network on an image x `(1, ...)`; a bounded ReLU makes none."""
    counting = _Counting()
    with torch.no_grad(), counting:
        network(x)
    return counting.calls
