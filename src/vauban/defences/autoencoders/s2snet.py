"""S2SNet: an auto-encoder whose decoder is tuned through the frozen network that it defends (Folz et al. 2018)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from torch import nn

from vauban.core.errors import ContractError
from vauban.core.parameters import Count
from vauban.defences import fitters, registry
from vauban.defences.autoencoders import reconstruction
from vauban.defences.autoencoders.autoencoder import KIND as AUTOENCODER
from vauban.defences.autoencoders.autoencoder import AutoEncoderFitter, Reconstructing
from vauban.defences.autoencoders.reconstruction import TrainedAutoEncoder
from vauban.defences.autoencoders.segnet import Form
from vauban.defences.autoencoders.stages import first_of, first_stage, second_stage
from vauban.defences.fitter import DefenceFit, Passed
from vauban.engine.samples import Samples

KIND = "s2snet"
FOLZ = "Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994"


@registry.register(KIND, random=False, differentiable=True, words={"file": "file"}, example="file=s2snet.safetensors")
@dataclass(frozen=True, eq=False)
class S2SNet(Reconstructing):
    """Structure-to-signal network: the reconstruction of the image by an auto-encoder tuned through the network behind it.

    The encoder was trained on images alone, the decoder after that with the network's cross-entropy. The paper's noise
    before it is a part of a chain: `gaussian-noise:sigma=0.1+s2snet:file=FILE`, with uniform-noise or sign-noise likewise.
    Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994, section 3.

    Attributes:
        file: An auto-encoder that `vauban fit --fitter s2snet` wrote.
        backward: What the card has BPDA differentiate: "own", the auto-encoder itself, or the identity in its place.
        trained: An auto-encoder, in the place of a file.

    Raises:
        ContractError: Neither or both of a file and an auto-encoder; when wrapped, a file that holds no S2SNet; when run,
            images of another shape.
    """

    registered: ClassVar[str] = KIND
    reference: ClassVar[str] = FOLZ


@fitters.register(KIND, words={"start": "file"})
@dataclass(frozen=True)
class FitS2SNet(AutoEncoderFitter):
    """An auto-encoder in two stages: to reconstruct images, then its decoder alone by the cross-entropy of f(A(x)).

    In the second stage encoder, network and the statistics of their batch normalisation stay bit for bit.

    Attributes:
        start: An auto-encoder of the first stage that `vauban fit --fitter auto-encoder` wrote, of other images where there
            are some, as in the paper; None: the first stage is on the same images.
        form: Of the first stage: "shallow", three convolutions for small images, or "segnet", the 13 of VGG-16.
        first: Epochs of the first stage.
        epochs: Epochs of the second.
        batch: Images of a step.
        lr: Learning rate of Adam.
        begun: An auto-encoder of the first stage, in the place of a file.

    Raises:
        ContractError: A value outside its range, or both a file and an auto-encoder; when fitted, no labels, a start of
            another shape of images, or images too small for the form.

    Departures: the printed text has lost the losses, optimisers and epochs; ours are the mean squared error, the
    cross-entropy and Adam.
    """

    start: str | Path | None = field(default=None, repr=False)
    form: Form = "shallow"
    first: Count = 10
    begun: TrainedAutoEncoder | None = None
    kind: ClassVar[str] = KIND

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start is not None:
            if self.begun is not None:
                raise ContractError("expected a file or an auto-encoder to start from, got both; leave one out")
            object.__setattr__(self, "begun", reconstruction.read(self.start, AUTOENCODER))
            object.__setattr__(self, "start", None)  # a fit follows from what was in it, wherever that was

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
        if module is None:
            raise ContractError("expected the network to tune the decoder through, got none; name one (--model)")
        shape = tuple(samples.batch(first_of(samples)).x.shape[1:])
        reached = {}
        if self.begun is None:
            autoencoder, history = first_stage(
                samples,
                self.form,
                epochs=self.first,
                batch=self.batch,
                lr=self.lr,
                seed=seed,
                device=device,
                checkpoint=_beside(checkpoint, "first"),
                callback=callback,
            )
            reached["mean squared error of the first stage"] = history.history[-1].loss
        else:
            if self.begun.shape != shape:
                raise ContractError(
                    f"expected images of shape {self.begun.shape}, which the start was trained on, got {shape}; fit "
                    "another one"
                )
            autoencoder = copy.deepcopy(self.begun.network).to(device)
        history = second_stage(
            autoencoder,
            module,
            samples,
            epochs=self.epochs,
            batch=self.batch,
            lr=self.lr,
            seed=seed,
            checkpoint=_beside(checkpoint, "second"),
            callback=callback,
        )
        last = history.history[-1]
        reached |= {"cross-entropy": last.loss, "accuracy while trained": last.accuracy or 0.0}
        passes = self.epochs * len(samples)
        trained = TrainedAutoEncoder(autoencoder.eval(), shape)
        return DefenceFit(S2SNet(trained=trained), reached, len(samples), passes)

    def untrained(self, shape: tuple[int, ...]) -> S2SNet:
        return S2SNet(trained=self._random(shape, self.form))

    def load(self, path: Path) -> S2SNet:
        """The defence that a file holds."""
        return S2SNet(file=path)


def _beside(checkpoint: Path | None, stage: str) -> Path | None:
    return None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}-{stage}{checkpoint.suffix}")
