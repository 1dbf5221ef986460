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
        score: What the selection measured on them, for `best` the accuracy under its attack; None without one.
        seconds: Of the epoch, with what was made for it and with the validation.
    """

    number: int
    loss: float
    accuracy: float | None
    validation: float | None
    seconds: float
    score: float | None = None


@dataclass(frozen=True)
class TrainingHistory:
    """What a training went through, epoch by epoch, those before a kill included.

    Attributes:
        history: The epochs.
        selected: Number of the epoch whose network was kept; None: the last one's.
    """

    history: tuple[Epoch, ...]
    selected: int | None = None

    @property
    def kept(self) -> Epoch | None:
        """The epoch whose network was kept; None without an epoch."""
        return None if not self.history else self.history[-1 if self.selected is None else self.selected - 1]

    @property
    def validation(self) -> float | None:
        """Accuracy of the network that was kept on the validation samples; None without them or without an epoch."""
        return None if self.kept is None else self.kept.validation
