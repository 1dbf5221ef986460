"""Base of detectors: statistics of an image, thresholds calibrated on clean images, and the logit that means 'rejected'."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.cards import Backward, Card, Defended, in_training, rejecting
from vauban.core.errors import ContractError
from vauban.core.parameters import Parameters
from vauban.defences.base import check_module
from vauban.models import weights as files

Scored = tuple[Tensor, Tensor]
"""Logits of the classes `(batch, classes)`, and statistics `(batch, m)`, larger where an image is less like clean ones."""

THRESHOLDS = "thresholds", "scales"
"""Names of a calibration's tensors in a file."""


class Scorer(nn.Module, ABC):
    """(network, x) -> logits and statistics; what it transforms images by are its submodules.

    Attributes:
        passes: Forward passes through the network for each image.
    """

    passes: int = 1

    @abstractmethod
    def forward(self, network: nn.Module, x: Tensor) -> Scored: ...


def margin_against(first: Tensor, second: Tensor) -> Tensor:
    """max_{k != c} z'_k - z'_c of logits z' `second`, c the label of `first`: positive where the answers differ."""
    label = first.detach().argmax(1, keepdim=True)
    others = second.scatter(1, label, -torch.inf).amax(1)
    return others - second.gather(1, label)[:, 0]


@dataclass(frozen=True)
class Calibration:
    """Thresholds of the statistics, and the units in which an excess over them is told.

    Attributes:
        thresholds: An image above one of them is rejected.
        scales: Spread of each statistic on clean images; it makes the excesses of several comparable for an attacker.
    """

    thresholds: tuple[float, ...]
    scales: tuple[float, ...]


class Detected(Defended):
    """A network and its detector: K logits, and max_k z_k + max_i (s_i - t_i) / scale_i, which means 'rejected'.

    The last logit is the largest exactly where a statistic exceeds its threshold, and it has a gradient, so that an attack
    which must stay below it moves classifier and detector together.

    Attributes:
        scorer: Gives logits and statistics.
    """

    def __init__(self, inner: nn.Module, card: Card, scorer: Scorer, calibration: Calibration) -> None:
        super().__init__(inner, card)
        self.scorer = scorer
        self.register_buffer("thresholds", torch.tensor(calibration.thresholds, dtype=torch.float64), persistent=False)
        self.register_buffer("scales", torch.tensor(calibration.scales, dtype=torch.float64), persistent=False)
        self.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits, scores = self.scorer(self.inner, x)
        excess = ((scores - self.thresholds) / self.scales).amax(1)
        return torch.cat([logits, (logits.amax(1) + excess.to(logits.dtype))[:, None]], 1)


@dataclass(frozen=True, eq=False)
class Detector(Parameters, ABC):
    """Base of detectors; subclasses are frozen dataclasses of what their statistics follow from.

    Attributes:
        file: Thresholds that `vauban fit` wrote.
        calibration: Thresholds, in the place of a file.
        registered: Name in the registry.
        reference: The source.

    Raises:
        ContractError: Neither or both of file and calibration, another number of thresholds than of statistics; when
            wrapped, a file that holds no thresholds of this detector with these parameters, or a network that rejects
            already.
    """

    file: str | Path | None = field(default=None, kw_only=True)
    calibration: Calibration | None = field(default=None, kw_only=True, repr=False)
    registered: ClassVar[str] = ""
    reference: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.file is None) == (self.calibration is None):
            raise ContractError(
                f"expected file or calibration for {self.registered!r}, got {'neither' if self.file is None else 'both'}; "
                f"calibrate it: vauban fit --fitter {self.registered}:fpr=0.05 --model MODEL --data SET/train --out FILE"
            )

    @property
    @abstractmethod
    def statistics(self) -> tuple[str, ...]:
        """What each statistic is called."""

    @property
    @abstractmethod
    def settings(self) -> str:
        """What the statistics follow from, as a text that a file must agree with."""

    @abstractmethod
    def scorer(self, module: nn.Module) -> Scorer:
        """What gives logits and statistics of images behind a network. Raises ContractError: not of this network."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """What a file holds beside the thresholds."""
        return {}

    @property
    def facts(self) -> Mapping[str, Any]:
        """What its metadata say beside the settings, as JSON."""
        return {}

    @property
    def backward(self) -> dict[str, Backward]:
        """Rules of BPDA by the name of an operation in the scorer, for those that have no useful gradient."""
        return {}

    @property
    def name(self) -> str:
        source = "" if self.file is None else f"file={Path(self.file).name},"
        return f"{self.registered}:{source}{self.settings}"

    @property
    def card(self) -> Card:
        rules = {f"scorer.{name}": rule for name, rule in self.backward.items()}
        return Card(self.registered, backward=rules, reference=self.reference, rejects=True)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The network with its detector; weights are shared, modes are kept.

        Raises:
            ContractError: Something that is no torch module, a network that rejects already, or thresholds of another
                detector.
        """
        check_accepting(check_module(module), self.registered)
        held, fitted_to = self._held()
        if len(held.thresholds) != len(self.statistics):
            raise ContractError(
                f"expected {len(self.statistics)} thresholds for {', '.join(self.statistics)}, got {len(held.thresholds)}"
            )
        return Detected(module, replace(self.card, fitted_to=fitted_to), self.scorer(module), held)

    def _held(self) -> tuple[Calibration, str]:
        """The thresholds, and the fingerprint of the network that they were calibrated on; "" where it is not known."""
        if self.file is None:
            assert self.calibration is not None
            return self.calibration, ""
        tensors, meta = opened(self.file, self.registered)
        if meta.get("settings") != self.settings:
            raise ContractError(
                f"expected {self.registered} with {meta.get('settings')}, which {self.file} was calibrated for, got "
                f"{self.settings}"
            )
        calibration = Calibration(*(tuple(tensors[name].tolist()) for name in THRESHOLDS))
        return calibration, (meta.get("model") or {}).get("fingerprint", "")


def check_accepting(module: nn.Module, kind: str) -> None:
    """Raises ContractError for a network that rejects already."""
    if rejecting(module):
        raise ContractError(
            f"expected a network without a rejection behind {kind!r}, got one whose last logit means 'rejected' already; "
            "put one detector in front of it"
        )


def opened(file: str | Path, kind: str) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """Tensors by name and metadata of a detector's file. Raises ContractError: it holds none of that kind."""
    path = Path(file).expanduser()
    tensors, meta = files.read(path), files.metadata(path)
    if meta.get("defence") != kind or not set(THRESHOLDS) <= set(tensors):
        raise ContractError(
            f"{path} holds no thresholds of {kind}; calibrate it: vauban fit --fitter {kind}:fpr=0.05 --model MODEL --data "
            "SET/train --out FILE"
        )
    return tensors, meta
