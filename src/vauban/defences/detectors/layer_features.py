"""Features that a detector reads: outputs of named layers, or the input of the last linear one, in one forward pass."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vauban.core.cards import bare
from vauban.core.contracts import check_logits
from vauban.core.errors import ContractError
from vauban.core.parameters import Whole
from vauban.core.surgery import Side, watched
from vauban.defences.features.layers import layer_of

PENULTIMATE = "penultimate"
"""In the place of a layer's name: the input of the last `nn.Linear`."""
LayerName = str | Whole
"""As in `named_modules()` of the network below its defences, or "penultimate"; a part of a Sequential may be a number."""


def last_linear(network: nn.Module) -> nn.Linear:
    """The last `nn.Linear` of `modules()` of a network below its defences. Raises ContractError: there is none."""
    layers = [part for part in bare(network).modules() if isinstance(part, nn.Linear)]
    if not layers:
        raise ContractError(
            f"expected a network with a linear layer for the features that it reads, got {type(bare(network)).__name__}; "
            "name a layer"
        )
    return layers[-1]


def place_of(network: nn.Module, layer: str) -> tuple[nn.Module, Side]:
    """Where the features of a layer are read.

    Raises:
        UnknownName: No layer has this name; the nearest ones are named.
        ContractError: No linear layer.
    """
    return (last_linear(network), "input") if layer == PENULTIMATE else (layer_of(network, layer), "output")


def with_features(network: nn.Module, layers: Sequence[str], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits of images and the features of some layers, all differentiable, by one forward pass.

    Args:
        network: The network, also behind defences.
        layers: Names.
        x: Images `(batch, ...)`.

    Returns:
        Logits `(batch, classes)` and, for each layer, `(batch, ...)`.

    Raises:
        UnknownName: No such layer.
        ContractError: A layer that the network does not use once for each image, or that gives no tensor.
    """
    with watched(*(place_of(network, layer) for layer in layers)) as kept:
        logits = check_logits(network(x), len(x))
    for layer, calls in zip(layers, kept, strict=True):
        if len(calls) != 1 or not isinstance(calls[0], Tensor) or len(calls[0]) != len(x):
            raise ContractError(
                f"expected layer {layer!r} to be used once, with one row for each image, got {len(calls)} uses of another "
                "kind; name another layer"
            )
    return logits, [calls[0] for calls in kept]


def rows(feature: Tensor, layer: str) -> Tensor:
    """Features as rows `(batch, d)` in float64: rows as they are, of maps the mean over height and width.

    Raises:
        ContractError: Neither `(batch, d)` nor `(batch, channels, height, width)`.
    """
    if feature.dim() not in (2, 4) or not feature.is_floating_point():
        raise ContractError(
            f"expected features (batch, d) or maps (batch, channels, height, width) from layer {layer!r}, got "
            f"{tuple(feature.shape)}; name another layer"
        )
    wide = feature.double()
    return wide.mean((2, 3)) if wide.dim() == 4 else wide


def names_of(kind: str, layers: tuple[LayerName, ...] | LayerName, least: int = 1) -> tuple[str, ...]:
    """Names of layers as texts. Raises ContractError: fewer than the least number, or one twice."""
    names = tuple(str(layer) for layer in (layers if isinstance(layers, tuple) else (layers,)))
    if len(names) < least or len(set(names)) < len(names):
        raise ContractError(f"expected layers of {kind!r}, each once, got {names}; name them as layers=[NAME][NAME]")
    return names
