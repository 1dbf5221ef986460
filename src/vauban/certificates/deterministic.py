"""Deterministic certificates: the largest radius at which bounds of all class differences stay above 0."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vauban.certificates.base import WITHHELD, Bound, Certificate
from vauban.certificates.linear_rows import Region
from vauban.certificates.search import last_proved
from vauban.core.answers import predicted
from vauban.core.norms import Linf
from vauban.core.parameters import Count, Positive
from vauban.core.rng import Stream
from vauban.engine.network import predict, quiet
from vauban.models.sequential import steps_of
from vauban.models.steps import Step


@dataclass(frozen=True)
class Deterministic(Certificate):
    """Base of bounds of the plain network: a search over radii, of which the largest that is proved counts.

    Attributes:
        largest: The largest radius that is tried, pixel units of [0,1].
        rounds: Radii are multiples of largest / 2^rounds.
    """

    rising: ClassVar[bool] = False
    largest: Positive = 0.5
    rounds: Count = 12

    @abstractmethod
    def margins(self, steps: Sequence[Step], region: Region, label: Tensor) -> Tensor:
        """Lower bounds of z_y - z_k over a region, `(batch, classes)`; 0 for y itself."""

    @property
    def plain(self) -> bool:
        return True

    @property
    def claim(self) -> str:
        name = "L-infinity" if self.norm == Linf else self.norm.name.upper()
        return (
            f"the network itself keeps its class for every image of [0,1] within the radius in {name}, without a "
            "probability; what rounding does to the bound is taken off, what it does to the network is not"
        )

    @property
    def attacks(self) -> tuple[str, ...]:
        return ("fmn:norm=linf,steps=100",) if self.norm == Linf else ("ddn:steps=50",)

    def check(self, network: nn.Module, x: Tensor) -> None:
        self._steps(network, x)

    def _steps(self, network: nn.Module, x: Tensor) -> tuple[Step, ...]:
        return steps_of(network, x, type(self).__name__, self.rising)

    def bound(self, network: nn.Module, x: Tensor, rng: Stream) -> Bound:
        label, steps = self.answer(network, x, rng, ""), self._steps(network, x[:1])

        def least(rows: Tensor, radius: Tensor) -> Tensor:
            """The least margin of some images at a radius each."""
            with quiet([]), torch.no_grad():
                margins = self.margins(steps, Region(x[rows].double(), radius, self.norm), label[rows])
            own = torch.nn.functional.one_hot(label[rows], margins.shape[1]).bool()
            return margins.masked_fill(own, torch.inf).amin(1)

        radius = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        asked = (label != WITHHELD).nonzero().squeeze(1)
        if len(asked):
            radius[asked] = last_proved(
                lambda i, at: least(asked[i], at), len(asked), self.largest, self.rounds, x.device
            )
        return Bound(label.where(radius > 0, WITHHELD), radius)

    def answer(self, network: nn.Module, x: Tensor, rng: Stream, tag: str) -> Tensor:
        with quiet(list(network.modules())):
            return predicted(predict(network, x))

    def differentiable(self, network: nn.Module, x: Tensor, seed: int) -> nn.Module:
        return network
