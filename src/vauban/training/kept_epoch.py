"""The network of the epoch that a selection has chosen so far, which a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn

from vauban.engine.samples import Samples
from vauban.training.history import Epoch
from vauban.training.selection import Selection


@dataclass(eq=False)
class KeptEpoch:
    """A copy of the parameters and buffers of the best epoch so far.

    Attributes:
        network: What is trained.
        selection: The rule.
        held: Samples to measure on.
        seed: Of the training.
    """

    network: nn.Module
    selection: Selection
    held: Samples
    seed: int
    _tensors: dict[str, Tensor] = field(default_factory=dict)

    def score(self) -> float | None:
        """What the network is worth as it stands."""
        return self.selection.score(self.network, self.held, self.seed)

    def note(self, history: list[Epoch]) -> None:
        """Keep the network as it stands where its epoch, the last of the history, is the chosen one."""
        if chosen(history) == history[-1].number:
            self._tensors = {name: value.detach().clone() for name, value in _tensors(self.network).items()}

    def put_back(self) -> None:
        """Give the network the tensors of the chosen epoch."""
        with torch.no_grad():
            for name, value in _tensors(self.network).items():
                value.copy_(self._tensors[name])

    def state(self) -> Mapping[str, Tensor]:
        return self._tensors

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._tensors = dict(state)


def chosen(history: list[Epoch]) -> int:
    """Number of the epoch of highest score, of equal ones the first; the last one without scores."""
    scored = [epoch for epoch in history if epoch.score is not None]
    return max(scored, key=lambda epoch: (epoch.score, -epoch.number)).number if scored else history[-1].number


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return dict(chain(network.named_parameters(), network.named_buffers()))
