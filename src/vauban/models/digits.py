"""Network for the handwritten digits, trained in seconds when it is first used and then cached."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import torch
from torch import nn

from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.data.digits import pixels_and_labels
from vauban.engine.samples import accuracy
from vauban.models import registry, weights
from vauban.models.architecture import Architecture, ready
from vauban.training.loop import optimise

log = logging.getLogger("vauban")
SEED, EPOCHS, BATCH, RATE = 0, 20, 32, 2e-3
RECIPE = {
    "version": 1,
    "data": "digits/train",
    "seed": SEED,
    "epochs": EPOCHS,
    "batch": BATCH,
    "lr": RATE,
    "schedule": "linear to 0",
    "optimiser": "adam",
}


@registry.register("digits-cnn", weights="first use", data="digits")
def digits_cnn() -> nn.Sequential:
    """Three 3x3 convolutions (32, 32, 64 maps), two pools and a dense layer for the 8x8 digits; trained on first use."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 2 * 2, 10),
    )


def cache_file() -> Path:
    """File of the trained network: one per recipe in the user's cache folder."""
    key = hashlib.sha256(json.dumps(RECIPE, sort_keys=True).encode()).hexdigest()[:12]
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "vauban" / "models" / f"digits-cnn-{key}.safetensors"


def _batch(split: str) -> Batch:
    """A split of the digits, 'train' or 'test', as one batch."""
    pixels, labels = pixels_and_labels(split)
    return Batch(pixels.to(torch.float32).div_(255), labels, torch.arange(len(labels)))


def trained(module: nn.Module) -> nn.Module:
    """The network with the weights of the recipe, from the cache or from a training run of a few seconds.

    A cached file that is damaged, or of another network, is made again. The run starts from the recipe's own
    initialisation, whatever `module` held.
    """
    path = cache_file()
    if path.is_file():
        try:
            return weights.load_into(module, path)
        except ContractError as error:
            log.warning("%s; it is made again", error)
    fresh = Architecture("digits-cnn").build(SEED)
    fitted = optimise(fresh, _batch("train"), epochs=EPOCHS, batch=BATCH, lr=RATE, seed=SEED, schedule="linear")
    meta = {
        "format": 1,
        "architecture": "digits-cnn",
        "params": {},
        "seed": SEED,
        "recipe": RECIPE,
        "train_accuracy": fitted.history[-1].accuracy,
        "validation_accuracy": accuracy(fresh, _batch("test")),
    }
    weights.save(fresh, path, meta)
    return weights.load_into(module, path)


ready["digits-cnn"] = trained
