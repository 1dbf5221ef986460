"""The training recipe behind `vauban train`: a registered architecture, a data set, one weights file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from vauban.core import spec as specs
from vauban.core.errors import ContractError
from vauban.engine.fit import Epoch, Fitted, fit
from vauban.engine.iterate import Attack
from vauban.engine.perturb import adversarial as perturb_by
from vauban.engine.perturb import both, shifted
from vauban.engine.samples import Part, Samples, accuracy
from vauban.models import weights
from vauban.models.named import build


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
    validation: Samples | None = None,
    holdout: float = 1 / 12,
    device: str = "cpu",
    callback: Callable[[Epoch], None] | None = None,
    **params: Any,
) -> Fitted:
    """Train the architecture `name` on `dataset` and write `out` (safetensors), whole or not at all.

    Without `validation`, the last `holdout` of the samples is kept out of training to validate on (0: none, train on
    everything). cosine: the learning rate falls to zero along half a cosine. augment: mirrored and shifted images.
    adversarial: the attack whose images replace the clean ones. params go to the architecture. The file's metadata hold
    architecture, parameters, recipe, seed, data fingerprint and accuracies; `load(out)` needs nothing else.
    """
    path = Path(out).expanduser()
    if path.suffix != ".safetensors":
        raise ContractError(f"expected an output file that ends in .safetensors, got {path}")
    if not 0 <= holdout < 1:
        raise ContractError(f"expected 0 <= holdout < 1, got {holdout}")
    kept = len(dataset) - (round(holdout * len(dataset)) if validation is None else 0)
    samples = Part(dataset, torch.arange(kept))
    if kept < len(dataset):
        validation = Part(dataset, torch.arange(kept, len(dataset)))
    parsed = specs.parse(name)
    params = {**parsed.params, **params}
    module = build(name, seed, **params).to(device)
    perturb = shifted(seed) if augment else None
    if adversarial is not None:
        attacked = perturb_by(adversarial, seed)
        perturb = attacked if perturb is None else both(perturb, attacked)
    fitted = fit(
        module,
        samples,
        epochs=epochs,
        batch=batch,
        lr=lr,
        optimiser=optimiser,  # type: ignore[arg-type]
        weight_decay=weight_decay,
        schedule=_half_cosine if cosine else None,
        seed=seed,
        validation=validation,
        perturb=perturb,
        callback=callback,
    )
    recipe = {
        "epochs": epochs, "batch": batch, "lr": lr, "optimiser": optimiser, "weight_decay": weight_decay,
        "cosine": cosine, "augment": augment, "adversarial": None if adversarial is None else str(adversarial),
        "samples": kept,
    }  # fmt: skip
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
        "validation_accuracy": fitted.validation,
        "torch": torch.__version__,
    }
    weights.save(module, path, meta)
    return fitted


def _half_cosine(progress: float) -> float:
    return float(0.5 * (1 + torch.cos(torch.tensor(torch.pi * progress))))
