"""The training recipe behind `vauban train`: a registered architecture, a data set, one weights file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

from vauban.core import text as specs
from vauban.core.errors import ContractError
from vauban.engine.attack import Attack
from vauban.engine.samples import Samples, Subset, accuracy
from vauban.models import weights
from vauban.models.named import agreed, build
from vauban.training.adversarial_set import regenerated
from vauban.training.loop import Beside, Epoch, Perturb, TrainingHistory, fit
from vauban.training.perturb import adversarial as perturb_by
from vauban.training.perturb import both, shifted


class Named(Samples, Protocol):
    """A data set that can be named in a recipe."""

    @property
    def name(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


def train(
    name: str,
    dataset: Named,
    out: str | Path,
    epochs: int = 6,
    seed: int = 0,
    *,
    batch: int = 128,
    lr: float = 1e-3,
    optimiser: str = "adam",
    weight_decay: float = 0.0,
    cosine: bool = False,
    augment: bool = False,
    adversarial: Attack | None = None,
    regenerate: Literal["batch", "epoch"] = "batch",
    start: str | Path | None = None,
    validation: Samples | None = None,
    holdout: float = 1 / 12,
    device: str = "cpu",
    callback: Callable[[Epoch], None] | None = None,
    **params: Any,
) -> TrainingHistory:
    """Train the architecture `name` on `dataset` and write `out` (safetensors), whole or not at all.

    Without `validation`, the last `holdout` of the samples is kept out of training to validate on (0: none, train on
    everything). optimiser: 'adam' or 'sgd' (momentum 0.9). cosine: the learning rate falls to zero along half a cosine.
    augment: mirrored and shifted images. params go to the architecture.

    adversarial: the attack to train against. regenerate="batch": its images, made at every step, replace the clean ones
    (`engine.perturb.adversarial`). "epoch": adversarial versions of all training samples, unaugmented, are made on the
    network frozen between two epochs, and the next epoch trains on the originals plus these (`engine.adversarial_set`; thesis,
    section 5.5); the first epoch has the originals only, or with `start` both. In between they are held in memory, one
    byte per component of 8-bit images (MNIST 47 MB, CIFAR-10 154 MB). start: a weights file of the same architecture to
    train on from, with its parameters; it may take 0 epochs.

    The file's metadata hold architecture, parameters, recipe, seed, data fingerprint and accuracies, and of `start` the
    name, the hash and the recipe; `load(out)` needs nothing else. Raises ContractError on settings that do not go together
    and where `start` does not fit the architecture.
    """
    path = weights.output(out)
    if regenerate not in ("batch", "epoch") or (regenerate == "epoch" and adversarial is None):
        raise ContractError(
            f"expected regenerate='batch', or 'epoch' with an adversarial attack, got {regenerate!r} and {adversarial}"
        )
    if epochs == 0 and start is None:
        raise ContractError("expected epochs >= 1, or 0 with weights to start from, got 0 and none")
    if not 0 <= holdout < 1:
        raise ContractError(f"expected 0 <= holdout < 1, got {holdout}")
    kept = len(dataset) - (round(holdout * len(dataset)) if validation is None else 0)
    samples = Subset(dataset, torch.arange(kept))
    if kept < len(dataset):
        validation = Subset(dataset, torch.arange(kept, len(dataset)))
    parsed = specs.parse(name)
    params = {**parsed.params, **params}
    origin = None if start is None else Path(start).expanduser()
    if origin is not None and parsed.file is None:
        params = agreed(parsed.name, params, origin)
    module = build(name, seed, **params).to(device)
    module = module.to(memory_format=torch.channels_last)  # training is up to 1.4 x faster on a CPU
    if origin is not None:
        weights.load_into(module, origin)
    perturb, beside = _changes(adversarial, regenerate, augment, samples, seed, trained=origin is not None)
    settings = {"batch": batch, "lr": lr, "optimiser": optimiser, "weight_decay": weight_decay}
    fitted = TrainingHistory(())
    if epochs:
        fitted = fit(
            module,
            samples,
            epochs=epochs,
            seed=seed,
            validation=validation,
            perturb=perturb,
            beside=beside,
            schedule=_half_cosine if cosine else None,
            callback=callback,
            **settings,  # type: ignore[arg-type]
        )
    checked = fitted.validation
    if not epochs and validation is not None:
        checked = accuracy(module, validation)
    recipe = {
        "epochs": epochs,
        **settings,
        "cosine": cosine,
        "augment": augment,
        "adversarial": None if adversarial is None else str(adversarial),
        "regenerate": None if adversarial is None else regenerate,
        "start": None if origin is None else _origin(origin),
        "samples": kept,
    }
    meta = {
        "format": 1,
        "architecture": parsed.name if parsed.file is None else name,
        "params": params,
        "seed": seed,
        "recipe": recipe,
        "data": {
            "name": f"{dataset.name}/{dataset.split}",
            "samples": len(dataset),
            "fingerprint": dataset.fingerprint,
        },
        "train_accuracy": accuracy(module, samples),
        "validation_accuracy": checked,
        "torch": torch.__version__,
    }
    weights.save(module, path, meta)
    return fitted


def _changes(
    attack: Attack | None, regenerate: str, augment: bool, samples: Samples, seed: int, trained: bool
) -> tuple[Perturb | None, Beside | None]:
    """What happens to the images of a step, and what is trained on beside the data."""
    perturb = shifted(seed) if augment else None
    if attack is None:
        return perturb, None
    if regenerate == "epoch":
        return perturb, regenerated(attack, samples, seed=seed, first=trained)
    attacked = perturb_by(attack, seed)
    return (attacked if perturb is None else both(perturb, attacked)), None


def _origin(path: Path) -> dict[str, Any]:
    """What is kept of the weights that training began with."""
    found = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    return {**found, "recipe": weights.metadata(path).get("recipe")}


def _half_cosine(progress: float) -> float:
    return float(0.5 * (1 + torch.cos(torch.tensor(torch.pi * progress))))
