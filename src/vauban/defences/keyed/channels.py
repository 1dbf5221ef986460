"""Several keyed channels with aggregated logits (Taran, Rezaeifar, Holotyak and Voloshynovskiy 2019, arXiv:1904.00689)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from vauban.core.cards import Card, Defended, check_keys, in_training
from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters, Range
from vauban.core.secret import Secret
from vauban.defences import registry
from vauban.defences.base import Apply, check_module
from vauban.defences.keyed.base import KeyedDefence


class ChannelSum(Defended):
    """(1/m) sum_i inner(T(x, k_i)): the mean logits over the channels, `(batch, classes)`."""

    def __init__(self, inner: nn.Module, card: Card, transforms: list[nn.Module]) -> None:
        super().__init__(inner, card)
        self.transforms = nn.ModuleList(transforms)
        self.training = self.transforms.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = torch.stack([self.inner(transform(x)) for transform in self.transforms]).mean(0)
        return logits


@registry.register(
    "keyed-channels",
    words={"transform": "defence"},
    random=False,
    differentiable=True,
    example="transform=[keyed-signs:key=public:7]",
)
@dataclass(frozen=True)
class KeyedChannels(Parameters):
    """The image through several keyed transforms to the network, and the mean of the logits.

    The keys of the channels follow from that of the transform. The paper trains a network for each channel and adds their
    outputs; here all channels share one network, which is trained behind all of them at once. Networks of their own are
    members of a vote, each behind its key (`vauban.defences.vote`).

    Attributes:
        transform: A keyed transform; its key is that of the defence.
        channels: Number of channels.

    Raises:
        ContractError: A transform that is not keyed.
    """

    transform: KeyedDefence
    channels: Annotated[int, Range(2)] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.transform, KeyedDefence):
            raise ContractError(
                f"expected a keyed transform for keyed-channels, got {type(self.transform).__name__}; e.g. "
                "transform=[keyed-signs:key=FILE]"
            )

    @property
    def key(self) -> Secret:
        """The key that those of the channels follow from."""
        return self.transform.key

    @property
    def name(self) -> str:
        return f"keyed-channels:transform=[{self.transform.name}],channels={self.channels}"

    @property
    def card(self) -> Card:
        backward = {
            f"transforms.{i}": rule for i in range(self.channels) for rule in self.transform.card.backward.values()
        }
        reference = "Taran, Rezaeifar, Holotyak, Voloshynovskiy 2019, arXiv:1904.00689"
        return Card("keyed-channels", keyed=True, keys=(self.key.id,), backward=backward, reference=reference)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module behind all channels. Raises ContractError for a network that was trained behind another key."""
        check_keys(check_module(module), (self.key.id,))
        return self.around(module)

    def around(self, module: nn.Module) -> nn.Module:
        """As `wrap`, whatever key the network was trained behind: for an attacker who tries keys."""
        keys = [self.key.derived(f"channel {i}") for i in range(self.channels)]
        return ChannelSum(module, self.card, [Apply(self.transform.with_key(key)) for key in keys])

    def with_key(self, key: Secret) -> KeyedChannels:
        """The same channels with another key."""
        return KeyedChannels(self.transform.with_key(key), self.channels)
