"""An auto-encoder trained on images alone, in front of a network: the baseline of auto-encoder defences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from torch import nn

from vauban.core.cards import Card
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Parameters, Positive
from vauban.core.rng import seeded
from vauban.defences import fitters, registry
from vauban.defences.autoencoders import reconstruction
from vauban.defences.autoencoders.reconstruction import Reconstruction, TrainedAutoEncoder
from vauban.defences.autoencoders.segnet import Form, SegNet
from vauban.defences.autoencoders.stages import first_of, first_stage
from vauban.defences.base import Transformed, check_module
from vauban.defences.fitter import DefenceFit, Passed, TrainedDefenceFitter, in_memory
from vauban.engine.samples import Samples

KIND = "auto-encoder"
SEGNET = "Badrinarayanan, Kendall, Cipolla 2017, arXiv:1511.00561"


@dataclass(frozen=True, eq=False)
class Reconstructing(Parameters):
    """Base of defences that put an image's reconstruction in its place; subclasses say of which kind their files are.

    Attributes:
        file: An auto-encoder that `vauban fit` wrote.
        backward: What the card has BPDA differentiate: "own", the auto-encoder itself, or the identity in its place.
        trained: An auto-encoder, in the place of a file.

    Raises:
        ContractError: Neither or both of a file and an auto-encoder; when wrapped, a file that holds none of its kind;
            when run, images of another shape.
    """

    file: str | Path | None = None
    backward: Literal["own", "identity"] = "own"
    trained: TrainedAutoEncoder | None = field(default=None, repr=False)
    registered: ClassVar[str] = ""
    reference: ClassVar[str] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.file is None) == (self.trained is None):
            got = "neither" if self.file is None else "both"
            raise ContractError(
                f"expected file or trained for {self.registered!r}, got {got}; fit an auto-encoder: vauban fit --fitter "
                f"{self.registered} --data SET/train --out FILE"
            )

    @property
    def name(self) -> str:
        source = "" if self.file is None else f"file={Path(self.file).name},"
        return f"{self.registered}:{source}backward={self.backward}"

    @property
    def card(self) -> Card:
        """The facts of one object, whatever its auto-encoder was fitted to."""
        return self._card("" if self.trained is None else self.trained.fitted_to)

    def _card(self, fitted_to: str) -> Card:
        rules = {"transform": None} if self.backward == "identity" else {}
        return Card(self.registered, backward=rules, reference=self.reference, fitted_to=fitted_to)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module behind the auto-encoder, whose own parameters are no part of what is trained.

        Raises:
            ContractError: Something that is no torch module, or a file that holds something else.
        """
        check_module(module)
        trained = self.trained if self.file is None else reconstruction.read(self.file, self.registered)
        assert trained is not None
        return Transformed(module, self._card(trained.fitted_to), Reconstruction(trained, self.registered))


@registry.register(
    KIND, random=False, differentiable=True, words={"file": "file"}, example="file=auto-encoder.safetensors"
)
@dataclass(frozen=True, eq=False)
class AutoEncoder(Reconstructing):
    """The reconstruction of the image by an auto-encoder that was trained on images alone, clamped to [0,1].

    A SegNet: convolutions and maximum pooling, whose places the decoder unpools to. Badrinarayanan, Kendall, Cipolla 2017,
    arXiv:1511.00561; as a defence the baseline that S2SNet is compared with.

    Attributes:
        file: An auto-encoder that `vauban fit --fitter auto-encoder` wrote.
        backward: What the card has BPDA differentiate: "own", the auto-encoder itself, or the identity in its place.
        trained: An auto-encoder, in the place of a file.

    Raises:
        ContractError: Neither or both of a file and an auto-encoder; when wrapped, a file that holds no such auto-encoder;
            when run, images of another shape.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = SEGNET


@dataclass(frozen=True)
class AutoEncoderFitter(TrainedDefenceFitter):
    """Base of what trains an auto-encoder.

    Attributes:
        epochs: Passes over the images.
        batch: Images of a step.
        lr: Learning rate of Adam.
    """

    epochs: Count = 10
    batch: Count = 128
    lr: Positive = 1e-3

    def fit(
        self, module: nn.Module | None, batches: Iterable[Batch], *, seed: int = 0, callback: Passed | None = None
    ) -> DefenceFit[Reconstructing]:
        """Fit to images that are held in memory; `train` reads them from where they are."""
        return self.train(module, in_memory(batches, self.kind), seed=seed, callback=callback)

    def _random(self, shape: tuple[int, ...], form: Form) -> TrainedAutoEncoder:
        """An auto-encoder with random weights, the same for every network."""
        with seeded(0, "auto-encoder"):
            return TrainedAutoEncoder(SegNet(shape[0], form), shape)

    def save(self, fitted: DefenceFit[Reconstructing], path: Path, meta: Mapping[str, Any]) -> None:
        """Write the auto-encoder, what training it has cost, and `meta`."""
        trained = fitted.defence.trained
        assert trained is not None
        reconstruction.save(trained, self.kind, path, {**meta, "fit": fitted.cost})


@fitters.register(KIND)
@dataclass(frozen=True)
class FitAutoEncoder(AutoEncoderFitter):
    """An auto-encoder trained to reconstruct images: mean of (A(x) - x)^2, Adam. No labels and no network are read.

    Attributes:
        form: "shallow", three convolutions for small images, or "segnet", the 13 of VGG-16.
        epochs: Passes over the images.
        batch: Images of a step.
        lr: Learning rate of Adam.

    Raises:
        ContractError: A value outside its range; when fitted, images of another number of dimensions or too small for the
            form.
    """

    form: Form = "shallow"
    kind: ClassVar[str] = KIND

    @property
    def reads_network(self) -> bool:
        return False

    def train(
        self,
        module: nn.Module | None,
        samples: Samples,
        *,
        seed: int = 0,
        device: str = "cpu",
        checkpoint: Path | None = None,
        callback: Passed | None = None,
    ) -> DefenceFit[Reconstructing]:
        autoencoder, history = first_stage(
            samples,
            self.form,
            epochs=self.epochs,
            batch=self.batch,
            lr=self.lr,
            seed=seed,
            device=device,
            checkpoint=checkpoint,
            callback=callback,
        )
        shape = tuple(samples.batch(first_of(samples)).x.shape[1:])
        reached = {"mean squared error": history.history[-1].loss}
        return DefenceFit(AutoEncoder(trained=TrainedAutoEncoder(autoencoder, shape)), reached, len(samples), 0)

    def untrained(self, shape: tuple[int, ...]) -> AutoEncoder:
        return AutoEncoder(trained=self._random(shape, self.form))

    def load(self, path: Path) -> AutoEncoder:
        """The defence that a file holds."""
        return AutoEncoder(file=path)
