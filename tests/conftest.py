"""What every test shares: one thread per worker, few hypothesis examples, real data where there is any, a small network."""

from __future__ import annotations

import copy
import importlib.util
import os
from collections.abc import Callable, Generator
from pathlib import Path

import hypothesis
import pytest
import torch
from torch import Tensor, nn

from vauban.core.errors import MissingExtra
from vauban.core.rng import seeded
from vauban.data.digits import pixels_and_labels

torch.set_num_threads(1)  # workers of pytest-xdist would fight for the cores
os.fsync = lambda handle: (
    None
)  # waits for a disk that no test cuts off; those that die at a flush do so in a process apart

hypothesis.settings.register_profile("ci", max_examples=15, deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", max_examples=300, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """A test that asks for an optional package which is absent is skipped, with the line a user would read."""
    try:
        return (yield)
    except MissingExtra as error:
        if importlib.util.find_spec(error.package) is None:
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def hang_after() -> float:
    """Seconds after which a child process counts as hung and is ended: half an hour, so that no load reaches it."""
    return 1800.0


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, or a skip."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("VAUBAN_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set VAUBAN_TEST_DATA)")
    return folder


def pixels(split: str) -> tuple[Tensor, Tensor]:
    x, y = pixels_and_labels(split)
    return x.float() / 255, y


def trained(net: nn.Module, epochs: int = 8) -> nn.Module:
    """`net` after a second of training on the digits, in evaluation mode; the global generator is not touched.

    Momentum by hand: the first torch.optim of a process costs seconds of imports.
    """
    x, y = pixels("train")
    weights = list(net.parameters())
    speed = [torch.zeros_like(w) for w in weights]
    net.train()
    with seeded("tests", "training"):
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(50):
                loss = nn.functional.cross_entropy(net(x[index]), y[index])
                with torch.no_grad():
                    for w, v, g in zip(weights, speed, torch.autograd.grad(loss, weights), strict=True):
                        w -= 0.05 * v.mul_(0.9).add_(g)
    return net.eval()


@pytest.fixture(scope="session")
def digits_test() -> tuple[Tensor, Tensor]:
    """599 images `(n, 1, 8, 8)` on the grid of 256 levels, with labels."""
    return pixels("test")


@pytest.fixture(scope="session")
def digits_cnn() -> nn.Module:
    """A convolutional network with batch normalisation, above 95 % on the test digits. Do not change its weights."""
    with seeded("tests", "cnn"):
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(144, 10),
        )
    return trained(net)


@pytest.fixture(scope="session")
def copied() -> Callable[[nn.Module], nn.Module]:
    """A copy of a network without the gradients that a peer toolkit may have left on the shared one."""

    def copy_of(net: nn.Module) -> nn.Module:
        net = copy.deepcopy(net)
        net.zero_grad(set_to_none=True)
        return net

    return copy_of


@pytest.fixture(scope="session")
def digits_mlp() -> nn.Module:
    """A perceptron on 64-vectors of the digits."""
    with seeded("tests", "mlp"):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    return trained(net)
