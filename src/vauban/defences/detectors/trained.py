"""Detectors that are trained on clean images beside those of an attack, by the one training loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.contracts import Batch, check_logits
from vauban.core.parameters import Count, Positive
from vauban.core.spelling import spelled
from vauban.defences.detectors.layer_features import with_features
from vauban.defences.detectors.learned import Learned, LearnedDetectorFitter, first_facts
from vauban.defences.fitter import DefenceFit, Passed, TrainedDefenceFitter, in_memory
from vauban.engine.attack import Attack
from vauban.engine.network import quiet
from vauban.engine.samples import Samples, Subset, device_of
from vauban.training.history import TrainingHistory
from vauban.training.objective import CraftedObjective, Value, crafting_passes, together


@dataclass(frozen=True)
class TrainedDetectorFitter(LearnedDetectorFitter, TrainedDefenceFitter):
    """Base of fits that train on every second image beside what an attack makes of it; the others calibrate and check.

    The attack sees the network as it is handed over, without the detector. Its images need not fool.

    Attributes:
        fpr: Share of clean images that may be rejected.
        attack: Makes the images, unrounded: `attack=[fgsm:eps=0.1]`.
        epochs: Passes over the images.
        batch: Images of a step.
        lr: Learning rate of Adam.
    """

    attack: Attack = field(kw_only=True)
    epochs: Count = 10
    batch: Count = 128
    lr: Positive = 1e-3

    @abstractmethod
    def trained(
        self, module: nn.Module, samples: Samples, seed: int, checkpoint: Path | None, callback: Passed | None
    ) -> tuple[Learned, TrainingHistory]:
        """What is trained on samples and what the attack makes of them, on the device of the network."""

    def facts(self, module: nn.Module, first: Batch) -> dict[str, Any]:
        """What a file says of the training: of images and network, the attack, and which images it was given."""
        with torch.no_grad(), quiet(list(module.modules())):
            known = first_facts(first, check_logits(module(first.x), len(first)))
        return {**known, "attack": spelled(self.attack), "images": "every second, from the first on"}

    def settings(self, samples: Samples, seed: int, checkpoint: Path | None, callback: Passed | None) -> dict[str, Any]:
        """Arguments of the training loop."""
        told = None if callback is None else lambda epoch: callback(epoch.number * len(samples))
        rates = {"epochs": self.epochs, "batch": self.batch, "lr": self.lr}
        return {**rates, "seed": seed, "checkpoint": checkpoint, "callback": told}

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Any]:
        """Fit to images that are held in memory; `train` reads them from where they are."""
        return self.train(module, in_memory(batches, self.kind), seed=seed, callback=callback)

    def train(
        self,
        module: nn.Module | None,
        samples: Samples,
        *,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: Path | None = None,
        callback: Passed | None = None,
    ) -> DefenceFit[Any]:
        network, places = self._network(module), torch.arange(len(samples))
        self._check_enough(len(places[1::4]), len(self.detector().statistics), len(samples))
        taught, rest = Subset(samples, places[::2]), Subset(samples, places[1::2])
        learned, history = self.trained(network, taught, seed, checkpoint, callback)
        parts = (rest.batch(index).to(device) for index in torch.split(torch.arange(len(rest)), self.batch))
        forwards, _ = together((2, 1), crafting_passes(self.attack)) or (2, 1)  # of an image, as far as they are known
        before = len(taught), self.epochs * len(taught) * forwards
        fitted = self._calibrated(self.holding(learned), network, parts, seed, before=before)
        last = history.history[-1]
        reached = {"cross-entropy": last.loss}
        if last.accuracy is not None:
            reached["accuracy while trained"] = last.accuracy
        return replace(fitted, reached={**reached, **fitted.reached})


def one_of(samples: Samples, module: nn.Module) -> Batch:
    """The first sample, on the device of a network."""
    return samples.batch(torch.zeros(1, dtype=torch.int64)).to(device_of(module))


class Watcher(nn.Module):
    """Base of what is trained on the outputs of a network's layers, through which no gradient goes; its answers are logits.

    Attributes:
        network: The network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def features(self, x: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """What layers of the network give for images."""
        with torch.no_grad():
            return with_features(self.network, layers, x)[1]


@dataclass
class TellingApart(CraftedObjective[Tensor]):
    """Binary cross-entropy of a `Watcher`'s logits, summed over columns: a batch is clean, an attack's images are not."""

    asks_answers = False

    def made(self, network: nn.Module, batch: Batch, step: int) -> Tensor:
        assert isinstance(network, Watcher)
        return self.images(network, batch, step, source=network.network)

    def value(self, network: nn.Module, batch: Batch, made: Tensor) -> Value:
        loss = F.softplus(network(batch.x)).mean(0).sum() + F.softplus(-network(made)).mean(0).sum()
        return loss / 2, None
