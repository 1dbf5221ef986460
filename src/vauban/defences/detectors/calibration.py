"""Calibration of detectors: thresholds that a given share of clean images exceeds, checked on others."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, plural
from vauban.core.parameters import Range
from vauban.core.rng import seeded
from vauban.defences.detectors.base import THRESHOLDS, Calibration, Detector, check_accepting
from vauban.defences.fitter import DefenceFit, DefenceFitter, Passed
from vauban.engine.network import quiet
from vauban.models import weights as files

FalsePositives = Annotated[float, Range(1e-6, 1, open_high=True)]
"""Share of clean images that may be rejected."""
UNCALIBRATED = Calibration((), ())


@dataclass(frozen=True)
class DetectorFitter(DefenceFitter):
    """Base of what calibrates a detector: every second image sets the thresholds, the others check the rate.

    Of m statistics each may reject the share fpr / m. A threshold is the k-th smallest of n values, k = ceil((n + 1) (1 -
    fpr / m)), so that a new clean image exceeds it with at most that probability.

    Attributes:
        fpr: Share of clean images that may be rejected.
        images_per_score: Images that are read for each that sets a threshold.
    """

    fpr: FalsePositives = 0.05
    images_per_score: ClassVar[int] = 2

    @abstractmethod
    def detector(self) -> Detector:
        """The detector, not calibrated."""

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Any]:
        return self._calibrated(self.detector(), self._network(module), batches, seed, callback)

    def _network(self, module: nn.Module | None) -> nn.Module:
        """The network. Raises ContractError: there is none, or one that rejects already."""
        if module is None:
            raise ContractError(f"expected a network to calibrate {self.kind!r} on, got none; name one (--model)")
        check_accepting(module, self.kind)
        return module

    def _calibrated(
        self,
        detector: Detector,
        module: nn.Module,
        batches: Iterable[Batch],
        seed: int = 0,
        callback: Passed | None = None,
        before: tuple[int, int] = (0, 0),
    ) -> DefenceFit[Any]:
        """The detector with thresholds, and the rate that they reach.

        Args:
            detector: What gives statistics.
            module: The network.
            batches: Images to calibrate on.
            seed: Of a detector that draws.
            callback: As for `fit`.
            before: Images and forward passes that the detector has been fitted with before.
        """
        scorer, images, kept = detector.scorer(module), 0, []
        parts = [*module.modules(), *scorer.modules()]
        for at, batch in enumerate(batches):
            device = batch.x.device
            with torch.no_grad(), quiet(parts), seeded(seed, "calibration", at, device=device):
                kept.append(scorer.to(device)(module, batch.x)[1].double().cpu())
            images += len(batch.x)
            if callback is not None:
                callback(before[0] + images)
        scores = torch.cat(kept) if kept else torch.empty(0, len(detector.statistics), dtype=torch.float64)
        held = self._calibration(scores[::2], before[0] + images)
        rejected = (scores[1::2] > torch.tensor(held.thresholds, dtype=torch.float64)).any(1)
        if len(rejected) and bool(rejected.all()):
            raise ContractError(
                f"expected a threshold that accepts clean images, got one that rejects all {len(rejected)} of the other "
                "half; shuffle the images, or calibrate on more"
            )
        reached = {"rejected of the other half": float(rejected.double().mean())}
        reached |= {f"threshold of {name}": t for name, t in zip(detector.statistics, held.thresholds, strict=True)}
        forwards = before[1] + images * scorer.passes
        return DefenceFit(replace(detector, calibration=held), reached, before[0] + images, forwards)

    def _check_enough(self, n: int, m: int, images: int) -> None:
        """Raises ContractError: of all the images too few, n, would set the thresholds of m statistics."""
        if math.ceil((n + 1) * (1 - self.fpr / m)) > n or n < 2:
            least = self.images_per_score * max(2, math.ceil(m / self.fpr - 1))
            shares = "half of them" if self.images_per_score == 2 else "half of them to fit and a quarter"
            raise ContractError(
                f"expected at least {plural(least, 'image')} for fpr={self.fpr:g}, {shares} to check, got {images}"
            )

    def _calibration(self, scores: Tensor, images: int) -> Calibration:
        n, m = scores.shape
        self._check_enough(n, m, images)
        place = math.ceil((n + 1) * (1 - self.fpr / m))
        if not bool(scores.isfinite().all()):
            raise ContractError(
                "expected finite statistics of clean images, got nan or infinity; does the network fit them?"
            )
        thresholds = scores.sort(0).values[place - 1]
        scales = scores.std(0).clamp_min(torch.finfo(torch.float32).eps)
        return Calibration(tuple(thresholds.tolist()), tuple(scales.tolist()))

    def save(self, fitted: DefenceFit[Detector], path: Path, meta: Mapping[str, Any]) -> None:
        """Write the thresholds, what they were calibrated for, and `meta`."""
        detector = fitted.defence
        assert detector.calibration is not None
        tensors = {name: torch.tensor(getattr(detector.calibration, name), dtype=torch.float64) for name in THRESHOLDS}
        tensors |= detector.tensors
        held = nn.ParameterDict({name: nn.Parameter(value, requires_grad=False) for name, value in tensors.items()})
        facts = {"format": 1, "defence": detector.registered, "settings": detector.settings, "fpr": self.fpr}
        files.save(held, path, {**meta, **facts, **detector.facts, "fit": fitted.cost})

    def load(self, path: Path) -> Detector:
        """The detector with the thresholds of a file."""
        return replace(self.detector(), calibration=None, file=path)
