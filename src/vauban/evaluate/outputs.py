"""Outputs of `vauban train` and `vauban fit`: artefacts at the place that the user named."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core.contracts import Artefact, Words
from vauban.core.goals import Goal, Untargeted
from vauban.data import Dataset
from vauban.evaluate.fit import fit, fits_attack, network_to_read
from vauban.evaluate.training import carry_out
from vauban.evaluate.training_identity import training_identity
from vauban.jobs.identity import computed_by, describe, source_digests
from vauban.jobs.provenance import source_files
from vauban.models import weights
from vauban.threats.fitter import NetworkFitter
from vauban.training.history import Epoch
from vauban.training.run import TrainingRun
from vauban.words.files import files_in
from vauban.words.fitter import fitter_of
from vauban.words.model import architecture
from vauban.words.threat import threat_of


class Output(ABC):
    """An artefact that needs nothing, in a .safetensors file that the user named.

    Attributes:
        path: The file.
        origin: The words that make this again in another process; None for objects of this one.
    """

    path: Path
    origin: Words | None

    def __post_init__(self) -> None:
        weights.output(self.path)

    @property
    @abstractmethod
    def follows_from(self) -> Mapping[str, Any]:
        """Everything that can change the file, as JSON."""

    def identity(self) -> Mapping[str, Any]:
        return self.follows_from

    def needs(self) -> Sequence[Artefact]:
        return ()

    def words(self) -> Words | None:
        return self.origin


@dataclass(frozen=True, eq=False)
class TrainedWeights(Output):
    """The weights of a training run; a training that was killed goes on after its last whole epoch.

    Attributes:
        run: What is trained, and how.
        data: The samples that `run.data` names.
        path: Weights file to write, .safetensors.
        validation: Samples to validate on in place of a part of the data.
        device: Where to train.
        callback: Called after each epoch.
        origin: As of every output.

    Raises:
        ContractError: Another suffix.
    """

    run: TrainingRun
    data: Dataset
    path: Path
    validation: Dataset | None = None
    device: str = "cpu"
    callback: Callable[[Epoch], None] | None = None
    origin: Words | None = None

    @property
    def label(self) -> str:
        return f"training {self.run.model}"

    @cached_property
    def follows_from(self) -> Mapping[str, Any]:
        """The run, the bytes that it starts from, the data, the device's type, torch's minor version and the code."""
        start = None if self.run.start is None else weights.digest(Path(self.run.start).expanduser())
        return training_identity(self.run, self.data, start, self.device, validation=self.validation)

    def make(self, scratch: Path, tell: Callable[[int, int], None]) -> None:
        """Train; the callback and `tell` are told of each epoch."""

        def told(epoch: Epoch) -> None:
            tell(epoch.number, self.run.epochs)
            if self.callback is not None:
                self.callback(epoch)

        carry_out(
            self.run,
            self.data,
            self.path,
            validation=self.validation,
            scratch=scratch,
            device=self.device,
            callback=told,
        )


@dataclass(frozen=True, eq=False)
class FittedFile(Output):
    """The file of an attack, a defence or a network that is fitted on a data set.

    Attributes:
        fitter: `universal:eps=10/255`, or an object that fits.
        model: The network to fit on; None for a defence that is fitted on images alone.
        data: The images to fit on.
        path: File to write, .safetensors.
        threat: What the fit of an attack may ask of the network; white-box by default.
        goal: What an attack is fitted for; untargeted by default.
        seed: Of a random network, and of a defence's own random numbers.
        device: Where to fit.
        name: The model's name, for the file.
        callback: As that of `evaluate.fit.fit`.
        origin: As of every output.

    Raises:
        ContractError: Another suffix.
    """

    fitter: Any
    model: nn.Module | None
    data: Dataset
    path: Path
    threat: Any = None
    goal: Goal | None = None
    seed: int = 0
    device: str = "cpu"
    name: str = ""
    callback: Callable[..., None] | None = None
    origin: Words | None = None

    @property
    def label(self) -> str:
        return f"fitting {self.path.name}"

    @cached_property
    def follows_from(self) -> Mapping[str, Any]:
        """The fitter, the network where it is read, the threat and the goal of an attack, the seed, the data, the device's
        type, torch's minor version and the code."""
        named = fitter_of(self.fitter, self.data)
        fitter, model = named.value, network_to_read(named, self.model, self.threat, self.goal)
        parts: list[Any] = [fitter] if model is None else [fitter, model]
        aims: dict[str, Any] = {}
        own = files_in(fitter.model) if isinstance(fitter, NetworkFitter) else ()
        if isinstance(fitter, NetworkFitter):
            parts.append(architecture(fitter.model).build(self.seed))
        if fits_attack(fitter):
            threat = threat_of("white-box" if self.threat is None else self.threat).value
            aims = {"threat": describe(threat), "goal": str(self.goal or Untargeted())}
            parts.append(threat)
        return {
            "fitter": describe(fitter),
            "model": describe(model),
            **aims,
            "seed": self.seed,
            "data": self.data.fingerprint,
            **computed_by(self.device),
            "sources": source_digests(source_files(*parts, extra=[*named.files, *own])),
        }

    def make(self, scratch: Path, tell: Callable[[int, int], None]) -> None:
        """Fit; the callback is told of each pass."""
        fit(
            self.fitter,
            self.model,
            self.data,
            self.path,
            threat=self.threat,
            goal=self.goal,
            seed=self.seed,
            device=self.device,
            name=self.name,
            scratch=scratch,
            callback=self.callback,
        )
