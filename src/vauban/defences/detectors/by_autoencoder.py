"""Detectors that compare an image with its reconstruction by an auto-encoder: the auto-encoder that they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from vauban.core.errors import ContractError
from vauban.defences.autoencoders import reconstruction
from vauban.defences.autoencoders.reconstruction import TrainedAutoEncoder
from vauban.defences.detectors.base import Detector
from vauban.defences.detectors.calibration import DetectorFitter


def check_one(detector: str, kind: str, trained: TrainedAutoEncoder | None, file: str | Path | None) -> None:
    """Raises ContractError unless there is an auto-encoder or a file of one, not both."""
    if (trained is None) == (file is None):
        raise ContractError(
            f"expected autoencoder or trained for {detector!r}, got {'neither' if file is None else 'both'}; fit one: "
            f"vauban fit --fitter {kind} --data SET/train --out FILE"
        )


@dataclass(frozen=True, eq=False)
class ReconstructionDetector(Detector):
    """Base of detectors that hold an auto-encoder.

    Attributes:
        autoencoder: What `vauban fit` wrote for the defence `autoencoders`.
        trained: An auto-encoder, in the place of its file.
        autoencoders: The kind of its file.
    """

    autoencoder: str | Path | None = field(default=None, repr=False)
    trained: TrainedAutoEncoder | None = field(default=None, repr=False, kw_only=True)
    autoencoders: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one(self.registered, self.autoencoders, self.trained, self.autoencoder)

    @cached_property
    def held(self) -> TrainedAutoEncoder:
        """The auto-encoder, read when it is first needed."""
        if self.trained is not None:
            return self.trained
        assert self.autoencoder is not None
        return reconstruction.read(self.autoencoder, self.autoencoders)

    @property
    def chosen(self) -> str:
        """The other parameters, as a text."""
        return ""

    @property
    def settings(self) -> str:
        return ",".join(filter(None, (f"autoencoder={self.held.fingerprint}", self.chosen)))

    @property
    def name(self) -> str:
        files = {"autoencoder": self.autoencoder, "file": self.file}
        told = [f"{key}={Path(path).name}" for key, path in files.items() if path is not None]
        return f"{self.registered}:{','.join(filter(None, (*told, self.chosen)))}".rstrip(":")


@dataclass(frozen=True)
class ReconstructionDetectorFitter(DetectorFitter):
    """Base of what calibrates such a detector.

    Attributes:
        fpr: Share of clean images that may be rejected.
        autoencoder: As of the detector.
        trained: An auto-encoder, in the place of its file.
    """

    autoencoder: str | Path | None = field(default=None, repr=False)
    trained: TrainedAutoEncoder | None = field(default=None, repr=False, kw_only=True)
    autoencoders: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_one(self.kind, self.autoencoders, self.trained, self.autoencoder)
        if self.autoencoder is not None:
            object.__setattr__(self, "trained", reconstruction.read(self.autoencoder, self.autoencoders))
            object.__setattr__(self, "autoencoder", None)  # a fit follows from what was in it, wherever that was
