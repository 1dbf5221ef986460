"""Detectors that learn from images before they are calibrated: what they hold, and how their fit divides the images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from vauban.core.arguments import NamedArguments
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.defences.detectors.base import THRESHOLDS, Detector, Scorer, opened
from vauban.defences.detectors.calibration import DetectorFitter
from vauban.defences.detectors.layer_features import rows, with_features


@dataclass(frozen=True, eq=False)
class Learned(NamedArguments):
    """What a detector has learned.

    Attributes:
        tensors: By name.
        facts: What they are for, as JSON: `image`, the shape of the images; `classes`, of the network; others by detector.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def check_images(self, kind: str, x: Tensor) -> None:
        """Raises ContractError for images of another shape than those that were learned from."""
        image = tuple(self.facts["image"])
        if tuple(x.shape[1:]) != image:
            raise ContractError(
                f"expected images of shape {image}, which {kind} was fitted on, got {tuple(x.shape[1:])}; fit another one"
            )

    def check_classes(self, kind: str, logits: Tensor) -> None:
        """Raises ContractError for logits of another number of classes than it was learned with."""
        if logits.shape[1] != self.facts["classes"]:
            raise ContractError(
                f"expected a network of {self.facts['classes']} classes, which {kind} was fitted on, got "
                f"{logits.shape[1]}; fit another one"
            )


class FeatureScorer(Scorer):
    """Base of scorers of what layers of a network give.

    Attributes:
        kind: Of the detector.
        learned: What it has learned; `layers`, the names, is among the facts.
        layers: Names.
    """

    def __init__(self, kind: str, learned: Learned) -> None:
        super().__init__()
        self.kind, self.learned, self.layers = kind, learned, tuple(learned.facts["layers"])

    def asked(self, network: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits and the features of the layers, by one forward pass. Raises ContractError: another kind of either."""
        self.learned.check_images(self.kind, x)
        logits, features = with_features(network, self.layers, x)
        self.learned.check_classes(self.kind, logits)
        return logits, features

    def rows(self, feature: Tensor, layer: str, width: int) -> Tensor:
        """Features as `layer_features.rows`. Raises ContractError: there are not as many."""
        h = rows(feature, layer)
        if h.shape[1] != width:
            raise ContractError(
                f"expected {width} features of layer {layer!r}, which {self.kind} was fitted on, got {h.shape[1]}; fit "
                "another one"
            )
        return h


@dataclass(frozen=True, eq=False)
class LearnedDetector(Detector):
    """Base of detectors that hold what they have learned, by `vauban fit`: a file is all that they take.

    Attributes:
        file: What `vauban fit` wrote.
        learned: What has been learned, and
        calibration: thresholds, both in the place of a file.
    """

    learned: Learned | None = field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.learned is None) != (self.calibration is None):
            raise ContractError(
                f"expected learned and calibration of {self.registered!r} together, or a file, got one of them; take both "
                "from a fit"
            )

    @cached_property
    def held(self) -> Learned:
        """What has been learned, read when it is first needed."""
        if self.learned is not None:
            return self.learned
        assert self.file is not None
        tensors, meta = opened(self.file, self.registered)
        facts = meta.get("learned")
        if not isinstance(facts, Mapping) or not {"image", "classes"} <= set(facts):
            raise ContractError(f"{self.file} holds nothing that {self.registered} has learned; fit it again")
        own = {name.replace("/", "."): tensor for name, tensor in tensors.items() if name not in THRESHOLDS}
        return Learned(own, facts)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        return {name.replace(".", "/"): tensor for name, tensor in self.held.tensors.items()}

    @property
    def facts(self) -> Mapping[str, Any]:
        return {"learned": dict(self.held.facts)}

    @property
    def settings(self) -> str:
        return ""

    @property
    def name(self) -> str:
        return self.registered if self.file is None else f"{self.registered}:file={Path(self.file).name}"


@dataclass(frozen=True)
class LearnedDetectorFitter(DetectorFitter):
    """Base of fits that learn from every second image; of the others every second sets the thresholds, the rest check.

    Thresholds are of images apart from those learned from, so that the rate of false positives is that of new images.
    """

    images_per_score: ClassVar[int] = 4

    @abstractmethod
    def holding(self, learned: Learned) -> LearnedDetector:
        """The detector that has learned it, not calibrated."""

    def detector(self) -> LearnedDetector:
        return self.holding(Learned({}, {}))

    def load(self, path: Path) -> LearnedDetector:
        """The detector that a file holds."""
        return replace(self.detector(), calibration=None, learned=None, file=path)


def first_facts(batch: Batch, logits: Tensor) -> dict[str, Any]:
    """What later images and logits are compared with."""
    return {"image": list(batch.x.shape[1:]), "classes": logits.shape[1]}


def check_every_class(kind: str, counts: Sequence[float], images: int) -> None:
    """Raises ContractError unless there were images of every class to learn from."""
    missing = sum(count == 0 for count in counts)
    if missing or not counts:
        raise ContractError(
            f"expected images of every class to fit {kind!r}, got {images}, with {missing} classes without any; fit on more"
        )
