"""The two stages of an auto-encoder's training: reconstruction of images, then its decoder through a frozen network."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.precision import working_type
from vauban.core.rng import seeded
from vauban.defences.autoencoders.segnet import Form, SegNet
from vauban.defences.fitter import Passed
from vauban.engine.samples import Samples
from vauban.training.history import TrainingHistory
from vauban.training.loop import optimise
from vauban.training.objective import Staged, Value


class ReconstructionObjective(Staged[None]):
    """Mean over images and components of (A(x) - x)^2; labels are not read."""

    asks_answers = False

    def made(self, network: nn.Module, batch: Batch, step: int) -> None:
        return None

    def value(self, network: nn.Module, batch: Batch, made: None) -> Value:
        x = batch.x.to(working_type(batch.x.dtype))
        return F.mse_loss(network(x), x), None


def first_stage(
    samples: Samples,
    form: Form,
    *,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    device: str = "cpu",
    checkpoint: Path | None = None,
    callback: Passed | None = None,
) -> tuple[SegNet, TrainingHistory]:
    """An auto-encoder that has learned to reconstruct images, by Adam.

    Args:
        samples: The images.
        form: Of its widths.
        epochs: Passes over them.
        batch: Images of a step.
        lr: Learning rate.
        seed: Of the initialisation and of the order.
        device: Where to train.
        checkpoint: What a training that was killed goes on from.
        callback: Called after each epoch with the number of images so far.

    Raises:
        ContractError: Images that the auto-encoder cannot take.
    """
    shape = tuple(samples.batch(first_of(samples)).x.shape[1:])
    with seeded(seed, "auto-encoder"):
        autoencoder = SegNet(shape[0] if shape else 0, form)
    autoencoder.check(shape)
    autoencoder.to(device)
    history = optimise(
        autoencoder,
        samples,
        epochs=epochs,
        objective=ReconstructionObjective(),
        batch=batch,
        lr=lr,
        seed=seed,
        checkpoint=checkpoint,
        callback=None if callback is None else lambda epoch: callback(epoch.number * len(samples)),
    )
    return autoencoder.eval(), history


def second_stage(
    autoencoder: SegNet,
    classifier: nn.Module,
    samples: Samples,
    *,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    checkpoint: Path | None = None,
    callback: Passed | None = None,
) -> TrainingHistory:
    """Fine-tune the decoder in place with the cross-entropy of classifier(A(x)), by Adam.

    Encoder and classifier are in evaluation mode and keep parameters and statistics bit for bit; the reconstruction is not
    clamped while it is trained.

    Args:
        autoencoder: From the first stage.
        classifier: The frozen network.
        samples: Images and labels.
        epochs: Passes over them.
        batch: Images of a step.
        lr: Learning rate.
        seed: Of the order.
        checkpoint: What a training that was killed goes on from.
        callback: Called after each epoch with the number of images so far.
    """
    behind = nn.Sequential(autoencoder, classifier)
    return optimise(
        behind,
        samples,
        epochs=epochs,
        trainable=lambda network: autoencoder.decoder.parameters(),
        training_mode=lambda network: autoencoder.decoder.modules(),
        batch=batch,
        lr=lr,
        seed=seed,
        checkpoint=checkpoint,
        callback=None if callback is None else lambda epoch: callback(epoch.number * len(samples)),
    )


def first_of(samples: Samples) -> Tensor:
    """Position of the first sample, `(1,)`. Raises ContractError: there is none."""
    if len(samples) == 0:
        raise ContractError("expected at least one image to train an auto-encoder on, got none")
    return torch.zeros(1, dtype=torch.int64)
