"""The history of a training: one entry per epoch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """One epoch.

    Attributes:
        number: From 1.
        loss: Mean of the objective over the epoch's samples.
        accuracy: On the samples as trained, each before its step; None for an objective without logits.
        validation: Accuracy on the validation samples after the epoch; None without them.
        seconds: Of the epoch, with what was made for it and with the validation.
    """

    number: int
    loss: float
    accuracy: float | None
    validation: float | None
    seconds: float


@dataclass(frozen=True)
class TrainingHistory:
    """What a training went through, epoch by epoch, those before a kill included."""

    history: tuple[Epoch, ...]

    @property
    def validation(self) -> float | None:
        """Accuracy on the validation samples after the last epoch; None without them or without an epoch."""
        return self.history[-1].validation if self.history else None
