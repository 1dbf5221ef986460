"""Layers of a network by name, and a module put behind one of them: surgery that leaves the network as it is."""

from __future__ import annotations

from torch import Tensor, nn

from vauban.core.cards import Card, Defended, in_training
from vauban.core.errors import ContractError, UnknownName
from vauban.core.surgery import replaced


class Followed(nn.Module):
    """A layer, and what follows it: follower(inner(...)).

    Attributes:
        inner: The layer as it was.
        follower: A module from its output to one of the same shape.
    """

    def __init__(self, inner: nn.Module, follower: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.follower = follower
        self.training = in_training(inner)

    def forward(self, *args: Tensor, **named: Tensor) -> Tensor:
        followed: Tensor = self.follower(self.inner(*args, **named))
        return followed


class LayerDefended(Defended):
    """A network with a module behind one of its layers; weights are shared, the network itself is untouched.

    Attributes:
        inner: The network as it was.
        changed: The copy that answers.
        follower: The module behind the layer, which the card names.
    """

    def __init__(self, inner: nn.Module, card: Card, changed: nn.Module, follower: nn.Module) -> None:
        super().__init__(inner, card)
        self.changed = changed
        self.follower = follower
        self.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.changed(x)
        return logits


def layer_of(network: nn.Module, name: str) -> nn.Module:
    """The layer with a dotted name in the network below all defences.

    Args:
        network: A network, also behind defences, at other layers too.
        name: As in `named_modules()` of the network without them.

    Raises:
        UnknownName: No layer has this name; the nearest ones are named.
    """
    while isinstance(network, Defended):
        network = network.inner
    try:
        layer = network.get_submodule(name)
    except AttributeError:
        layer = network
    if layer is network:
        known = [known for known, _ in network.named_modules() if known]
        raise UnknownName(f"layer of {type(network).__name__}:", name, known)
    return layer


def follow(network: nn.Module, name: str, follower: nn.Module, card: Card) -> LayerDefended:
    """The network with a module behind the layer of that name.

    Args:
        network: A network, also behind defences, which stay.
        name: Of a layer, as for `layer_of`.
        follower: What is put behind it.
        card: Of the result; it names the module `follower`.

    Raises:
        ContractError: No such layer, or the network is the layer.
    """
    layer = layer_of(network, name)
    changed = replaced(network, layer, Followed(layer, follower))
    if changed is network:
        raise ContractError(f"expected layer {name!r} in the network that is defended, got one below that is not used")
    return LayerDefended(network, card, changed, follower)
