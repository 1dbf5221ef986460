"""Dropout uncertainty: the variance by hand, its exact value for one unit, reproducible draws, networks without dropout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.dropout_uncertainty import DropoutUncertainty, FitDropoutUncertainty
from vauban.evaluate.fit import fit

LOOSE = Calibration((0.1,), (0.1,))


def network(p: float = 0.5) -> nn.Sequential:
    with seeded("tests", "dropout"):
        layers = nn.Flatten(), nn.Linear(16, 8), nn.Dropout(p), nn.ReLU(), nn.Linear(8, 3)
        return nn.Sequential(*layers).double().eval()


def images(n: int) -> torch.Tensor:
    return torch.rand(n, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_the_variance_is_that_of_the_paper_over_passes_with_the_networks_own_dropout() -> None:
    net, x = network(), images(6)
    with seeded("draws"):
        logits, scores = DropoutUncertainty(20, calibration=LOOSE).scorer(net)(net, x)
    assert torch.equal(logits, net(x))
    with seeded("draws"):
        drawn = [net[3:](F.dropout(net[:2](x), 0.5)).softmax(1) for _ in range(20)]
    mean = torch.stack(drawn).mean(0)
    paper = torch.stack([p.square().sum(1) for p in drawn]).mean(0) - mean.square().sum(1)
    torch.testing.assert_close(scores[:, 0], paper)
    assert all(part.training is False for part in net.modules())


def test_a_rate_drops_inputs_of_the_last_linear_layer_alone() -> None:
    net, x = network(), images(4)
    with seeded("draws"):
        scores = DropoutUncertainty(5, 0.25, calibration=LOOSE).scorer(net)(net, x)[1]
    with seeded("draws"):
        drawn = [net[4](F.dropout(net[:4](x), 0.25)).softmax(1) for _ in range(5)]
    torch.testing.assert_close(scores[:, 0], torch.stack(drawn).var(0, correction=0).sum(1))
    assert not net[4]._forward_pre_hooks


def test_the_variance_of_one_dropped_unit_is_known() -> None:
    """One feature h, dropped with probability 1/2: p is softmax(2 h w) or softmax(0), each half of the time."""
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1, 2, bias=False)).double().eval()
    net[2].weight.data = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    x = torch.full((1, 1, 1, 1), 0.3, dtype=torch.float64)
    with seeded("draws"):
        value = float(DropoutUncertainty(10_000, calibration=LOOSE).scorer(net)(net, x)[1].detach())
    p = torch.tensor([0.6, -0.6], dtype=torch.float64).softmax(0)
    assert value == pytest.approx(float((p - 0.5).square().sum() / 4), rel=0.02)


def test_fits_and_evaluations_are_reproducible_and_a_file_holds_its_parameters(
    digits_cnn: nn.Module, tmp_path: Path
) -> None:
    data, path = vb.data.load("digits/train[:120]"), tmp_path / "dropout.safetensors"
    one, other = (fit("dropout-uncertainty:passes=5,rate=0.4,fpr=0.1", digits_cnn, data, path, seed=s) for s in (0, 1))
    again = fit("dropout-uncertainty:passes=5,rate=0.4,fpr=0.1", digits_cnn, data, path)
    assert one.defence.calibration == again.defence.calibration != other.defence.calibration
    assert (one.images, one.forwards) == (120, 720)
    assert one.reached["rejected of the other half"] < 0.4
    network = defences.load(f"dropout-uncertainty:file={path},passes=5,rate=0.4").wrap(digits_cnn)
    with pytest.raises(ContractError, match=r"with passes=5,rate=0\.4, which .* was calibrated for, got passes=50"):
        defences.load(f"dropout-uncertainty:file={path},rate=0.4").wrap(digits_cnn)
    batch = vb.data.load("digits/test[:12]").all()
    pgd = attacks.PGD(Linf(0.2), steps=4)
    first, second = (vb.attack(pgd, network, batch, threat=threats.adaptive(eot=2)) for _ in range(2))
    assert torch.equal(first.adversarial, second.adversarial)
    assert network.card.random
    assert network.card.draws == 2


def test_a_network_without_dropout_is_refused_before_anything_is_asked() -> None:
    bare = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()

    def forbidden(*_: object) -> None:
        raise AssertionError("the network was asked")

    handle = bare.register_forward_pre_hook(forbidden)
    batch = vb.data.load("digits/train[:80]").all()
    refusals = [
        lambda: FitDropoutUncertainty().fit(bare, [batch]),
        lambda: DropoutUncertainty(calibration=LOOSE).wrap(bare),
        lambda: DropoutUncertainty(calibration=LOOSE).wrap(network(0.0)),
    ]
    try:
        for act in refusals:
            with pytest.raises(ContractError, match=r"expected a network with dropout .* rate=0\.5") as error:
                act()
            assert "\n" not in str(error.value)
        with pytest.raises(ContractError, match="linear layer"):
            DropoutUncertainty(rate=0.5, calibration=LOOSE).wrap(nn.Flatten())
    finally:
        handle.remove()
