"""Networks the diagnostics are calibrated on: small, trained in seconds on scikit-learn's digits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from vauban.core.contracts import Batch
from vauban.core.rng import seeded
from vauban.data.digits import pixels_and_labels
from vauban.training.loop import optimise
from vauban.training.objectives.standard import CleanObjective


def _pixels(split: str) -> tuple[Tensor, Tensor]:
    pixels, labels = pixels_and_labels(split)
    return pixels.float() / 255, labels


def _cnn(norm: bool = False) -> nn.Module:
    layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    if norm:
        layers.insert(1, nn.BatchNorm2d(16))
        layers.insert(4, nn.BatchNorm2d(32))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10))


def _linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def _on_pgd_images(module: nn.Module, batch: Batch, step: int) -> tuple[Tensor, Tensor | None]:
    """Cross-entropy on the images of Madry et al.'s inner maximisation at eps 0.15, four steps."""
    return CleanObjective()(module, replace(batch, x=_pgd_images(module, batch.x, batch.y)), step)


def _pgd_images(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    eps = 0.15
    adv = x
    for _ in range(4):
        leaf = adv.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(module(leaf), y), leaf)
        adv = (x + (leaf + eps / 2 * g.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return adv.detach()


TRAINED: dict[str, tuple[Callable[[], nn.Module], int, bool]] = {
    "clean": (_cnn, 8, False),
    "pgd-trained": (_cnn, 8, True),
    "batchnorm": (lambda: _cnn(norm=True), 6, False),
    "linear": (_linear, 30, False),
}


def train(kind: str, seed: int = 0) -> nn.Module:
    """One of TRAINED, in evaluation mode."""
    make, epochs, adversarial = TRAINED[kind]
    x, y = _pixels("train")
    with seeded("calibration", kind, seed):
        net = make()
    optimise(
        net,
        Batch(x, y, torch.arange(len(x))),
        epochs=epochs,
        lr=2e-3,
        seed=seed,
        objective=_on_pgd_images if adversarial else None,
    )
    return net.eval()


@pytest.fixture(scope="session")
def calibration_net() -> Callable[..., nn.Module]:
    """train(kind, seed), each network trained once."""
    made: dict[tuple[str, int], nn.Module] = {}

    def get(kind: str, seed: int = 0) -> nn.Module:
        if (kind, seed) not in made:
            made[kind, seed] = train(kind, seed)
        return made[kind, seed]

    return get


@pytest.fixture(scope="session")
def digits_test() -> tuple[Tensor, Tensor]:
    """Images on the 8-bit pixel grid and labels."""
    return _pixels("test")
