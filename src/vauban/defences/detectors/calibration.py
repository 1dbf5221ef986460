"""Calibration of detectors: thresholds that a given share of clean images exceeds, checked on others."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, plural
from vauban.core.parameters import Range
from vauban.defences.detectors.base import Calibration, Detector
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
    """

    fpr: FalsePositives = 0.05

    @abstractmethod
    def detector(self) -> Detector:
        """The detector, not calibrated."""

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Detector]:
        detector = self.detector()
        scorer, images, kept = detector.scorer(), 0, []
        if module is None:
            raise ContractError(
                f"expected a network to calibrate {detector.registered!r} on, got none; name one (--model)"
            )
        parts = [*module.modules(), *scorer.modules()]
        for batch in batches:
            with torch.no_grad(), quiet(parts):
                kept.append(scorer.to(batch.x.device)(module, batch.x)[1].double().cpu())
            images += len(batch.x)
            if callback is not None:
                callback(images)
        scores = torch.cat(kept) if kept else torch.empty(0, len(detector.statistics), dtype=torch.float64)
        held = self._calibration(scores[::2])
        rejected = (scores[1::2] > torch.tensor(held.thresholds)).any(1)
        if len(rejected) and bool(rejected.all()):
            raise ContractError(
                f"expected a threshold that accepts clean images, got one that rejects all {len(rejected)} of the other "
                "half; shuffle the images, or calibrate on more"
            )
        reached = {"rejected of the other half": float(rejected.double().mean())}
        reached |= {f"threshold of {name}": t for name, t in zip(detector.statistics, held.thresholds, strict=True)}
        return DefenceFit(replace(detector, calibration=held), reached, images, images)

    def _calibration(self, scores: Tensor) -> Calibration:
        n, m = scores.shape
        place = math.ceil((n + 1) * (1 - self.fpr / m))
        if place > n:
            least = 2 * math.ceil(m / self.fpr - 1)
            raise ContractError(
                f"expected at least {plural(least, 'image')} for fpr={self.fpr:g}, half of them to check, got {2 * n}"
            )
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
        pairs = (("thresholds", detector.calibration.thresholds), ("scales", detector.calibration.scales))
        held = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(v, dtype=torch.float64), requires_grad=False) for name, v in pairs}
        )
        facts = {"format": 1, "defence": detector.registered, "settings": detector.settings, "fpr": self.fpr}
        files.save(held, path, {**meta, **facts, "fit": fitted.cost})

    def load(self, path: Path) -> Detector:
        """The detector with the thresholds of a file."""
        return replace(self.detector(), calibration=None, file=path)
