"""Every registered defence: a classifier nobody can tell from an undefended one, with a card that tells the truth."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.core.cards import Card, bare, carded
from vauban.core.errors import VaubanError
from vauban.core.losses import margin
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.defences import BitDepth, registry
from vauban.defences.autoencoders.reconstruction import TrainedAutoEncoder
from vauban.defences.autoencoders.segnet import SegNet
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.convolution_stages import LayerStages
from vauban.defences.detectors.detector_subnetwork import Subnetwork
from vauban.defences.detectors.learned import Learned
from vauban.defences.detectors.outlier_class import widened
from vauban.defences.features.neighbour_vote import LabelledFeatures
from vauban.engine import BoundThreat, Oracle, Point, Steps

OF_DIGITS = {"image": [1, 8, 8], "classes": 10, "layers": ["penultimate"]}
with seeded("auto-encoder"):
    centres = torch.randn(10, 144)
    small = Subnetwork((144,), 8).state_dict()
    stages = {name: 0.2 * torch.randn(value.shape) for name, value in LayerStages([[8, 4]]).state_dict().items()}
    stages["spread_0"] = torch.ones(24)
    HELD = TrainedAutoEncoder(SegNet(1).eval(), (1, 8, 8))
FITTED: dict[str, dict[str, Any]] = {
    "auto-encoder": {"trained": HELD},
    "s2snet": {"trained": HELD},
    "feature-squeezing": {"squeezers": (BitDepth(2),), "calibration": Calibration((0.05,), (0.5,))},
    "magnet": {"trained": HELD, "calibration": Calibration((0.5, 0.01), (0.1, 0.01))},
    "agreement": {"trained": HELD, "calibration": Calibration((5.0,), (1.0,))},
    "detector-subnetwork": {
        "learned": Learned(small, {**OF_DIGITS, "shape": [144], "width": 8}),
        "calibration": Calibration((1.0,), (0.5,)),
    },
    "convolution-statistics": {
        "learned": Learned(stages, {**OF_DIGITS, "layers": ["0"], "sizes": [[8, 4]]}),
        "calibration": Calibration((1.0,), (0.5,)),
    },
    "noise-reduction": {"calibration": Calibration((-2.0,), (1.0,))},
    "dropout-uncertainty": {"passes": 4, "rate": 0.3, "calibration": Calibration((0.05,), (0.05,))},
    "pca-whitening": {
        "learned": Learned(
            {"mean": torch.full((64,), 0.3), "axes": 3 * torch.eye(64)[:, 20:40]}, {**OF_DIGITS, "layers": []}
        ),
        "calibration": Calibration((2.0,), (1.0,)),
    },
    "mahalanobis": {
        "learned": Learned({"means.0": centres, "whitening.0": torch.eye(144)}, OF_DIGITS),
        "calibration": Calibration((1000.0,), (100.0,)),
    },
    "kernel-density": {
        "learned": Learned(
            {"features": centres[:, None], "count": torch.ones(10, dtype=torch.int64)}, {**OF_DIGITS, "bandwidth": 10.0}
        ),
        "calibration": Calibration((10.0,), (1.0,)),
    },
    "neighbours": {"k": 1, "gallery": LabelledFeatures(centres, torch.arange(10), 10, "penultimate")},
}
"""What stands for the files of those that are fitted."""


def widened_and_held(net: nn.Module) -> dict[str, Any]:
    """The network with a class more that it gives to no image."""
    learned = Learned(widened(net).state_dict(), {"image": [1, 8, 8], "classes": 10})
    return {"learned": learned, "calibration": Calibration((-12.0,), (1.0,))}


def parameters(name: str, net: nn.Module) -> dict[str, Any]:
    return widened_and_held(net) if name == "outlier-class" else FITTED.get(name, {})


def wrappable(entry: Any) -> bool:
    """Defences that need nothing but a trained network; recipes that train are tested beside their code."""
    required = [p for p in inspect.signature(entry.make).parameters.values() if p.default is p.empty]
    return not required and hasattr(entry.make(**parameters(entry.name, nn.Linear(64, 10))), "wrap")


NAMES = [entry.name for entry in registry if wrappable(entry)]
every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def images(digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> tuple[Tensor, Tensor]:
    x, y = digits_test
    right = (digits_cnn(x).argmax(1) == y).nonzero().squeeze(1)[:8]
    return x[right], y[right]


def wrapped(name: str, net: nn.Module) -> nn.Module:
    guarded: nn.Module = registry.get(name).make(**parameters(name, net)).wrap(net)
    return guarded.eval()


def cards(guarded: nn.Module) -> list[Card]:
    return [card for _, card in carded(guarded)]


def answers(guarded: nn.Module, x: Tensor, *words: int | str) -> Tensor:
    with torch.no_grad(), seeded("defence", *words):
        return guarded(x)


def rules(guarded: nn.Module) -> dict[nn.Module, Any]:
    return {owner.get_submodule(part): rule for owner, card in carded(guarded) for part, rule in card.backward.items()}


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits(name: str, dtype: torch.dtype, images: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> None:
    x = images[0].to(dtype)
    guarded = wrapped(name, copy.deepcopy(digits_cnn).to(dtype))
    before = x.clone()
    for batch in (x, x[:1], torch.zeros_like(x), torch.ones_like(x)):
        logits = answers(guarded, batch)
        assert logits.dtype == dtype
        assert logits.shape[0] == len(batch)
        assert logits.shape[1] >= 10
        assert torch.isfinite(logits).all()
    assert torch.equal(x, before)


@every
def test_the_card_is_there(name: str, digits_cnn: nn.Module) -> None:
    guarded = wrapped(name, digits_cnn)
    assert cards(guarded)
    assert name in [card.name for card in cards(guarded)]
    assert bare(guarded) is digits_cnn or not isinstance(bare(guarded), type(guarded))
    for _, card in carded(guarded):
        assert card.draws >= 1
        assert card.draws == 1 or card.random


@every
def test_declared_randomness_is_the_truth(name: str, images: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> None:
    guarded = wrapped(name, digits_cnn)
    one, same, other = (answers(guarded, images[0], k) for k in (0, 0, 1))
    assert torch.equal(one, same), "random numbers that do not come from torch's generator"
    assert any(card.random for card in cards(guarded)) == (not torch.equal(one, other))


@every
def test_a_deterministic_defence_does_not_mix_samples(
    name: str, images: tuple[Tensor, Tensor], digits_cnn: nn.Module
) -> None:
    guarded = wrapped(name, digits_cnn)
    if any(card.random for card in cards(guarded)):
        pytest.skip("random: samples share a stream")
    singles = torch.cat([answers(guarded, x[None]) for x in images[0]])
    torch.testing.assert_close(answers(guarded, images[0]), singles, atol=1e-4, rtol=1e-4)
    generator = torch.get_rng_state()
    guarded(images[0])
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.slow
@every
def test_the_network_is_as_it_was(
    name: str, images: tuple[Tensor, Tensor], digits_cnn: nn.Module, copied: Callable[[nn.Module], nn.Module]
) -> None:
    net = copied(digits_cnn).train()
    net[1].eval()
    modes, state = [m.training for m in net.modules()], copy.deepcopy(net.state_dict())
    guarded = registry.get(name).make(**parameters(name, net)).wrap(net)
    assert [m.training for m in net.modules()] == modes
    oracle = Oracle.open(BoundThreat(guarded, backward=rules(guarded)), *images)
    oracle.gradient(images[0], margin)
    oracle.scores(images[0])
    assert [m.training for m in net.modules()] == modes
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in guarded.parameters())


@every
def test_the_card_says_how_to_get_a_gradient(name: str, images: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> None:
    """With the card's rules every image has a gradient; what it does not name is differentiable as it is."""
    guarded = wrapped(name, digits_cnn)
    threat = BoundThreat(guarded, backward=rules(guarded), draws=max(card.draws for card in cards(guarded)))
    _, (g,) = Oracle.open(threat, *images).gradient(images[0], margin)
    assert torch.isfinite(g).all()
    assert (g.flatten(1).abs().amax(1) > 0).all()
    if rules(guarded):
        try:
            _, (raw,) = Oracle.open(BoundThreat(guarded, draws=threat.draws), *images).gradient(images[0], margin)
            useless = bool((raw.flatten(1).abs().amax(1) == 0).all())
        except VaubanError:
            useless = True
        assert useless or not torch.equal(raw, g), "the card names an operation whose gradient needs no rule"


class Ascent(Steps[Point]):
    """Sign ascent, the least an attacker would do."""

    ball, steps = Linf(0.35), 12

    def start(self, oracle: Any, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def step(self, oracle: Any, state: Point, t: int) -> Point:
        _, (g,) = oracle.gradient(state.x, margin)
        return Point(oracle.domain.project(state.x + 0.06 * g.sign()))


@pytest.mark.slow
@every
def test_the_gradient_of_the_card_points_uphill(
    name: str, images: tuple[Tensor, Tensor], digits_cnn: nn.Module
) -> None:
    """A transform of the input does not stop an attacker who follows its card at a large radius."""
    guarded = wrapped(name, digits_cnn)
    threat = BoundThreat(guarded, backward=rules(guarded), draws=max(card.draws for card in cards(guarded)))
    result = Ascent().run(Oracle.open(threat, *images))
    assert result.success.sum() >= len(images[0]) // 2
    assert Linf(0.35).bind(images[0]).contains(result.crafted, images[0]).all()


def test_some_defence_was_found() -> None:
    assert len(NAMES) >= 8
