"""Detectors trained on an attack's images: their objectives by hand, resumed, in files, and what does not fit."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, UnknownName
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.defences import MeanFilter
from vauban.defences.detectors.detector_subnetwork import FitDetectorSubnetwork, Reading, Subnetwork
from vauban.defences.detectors.outlier_class import FitOutlierClass, OutlierObjective, widened
from vauban.defences.detectors.trained import TellingApart
from vauban.evaluate.fit import fit
from vauban.models import weights

ATTACK = FGSM(Linf(0.15), loss=cross_entropy)
FITTERS: list[Any] = [
    FitOutlierClass(attack=ATTACK, epochs=2, batch=32),
    FitDetectorSubnetwork(attack=ATTACK, layer=4, width=8, epochs=2, batch=32),
    FitDetectorSubnetwork(attack=ATTACK, epochs=2, batch=32, lr=1e-2),
]
every = pytest.mark.parametrize("fitter", FITTERS, ids=["outlier-class", "subnetwork-maps", "subnetwork-rows"])


@pytest.fixture
def batch() -> Batch:
    return vb.data.load("digits/test[:40]").all()


def crafted(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """What FGSM makes, by hand."""
    x = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(net(x), y, reduction="sum"), x)
    return (x + 0.15 * g.sign()).clamp(0, 1).detach()


def test_the_widened_network_answers_as_before_and_0_for_the_outlier(digits_cnn: nn.Module, batch: Batch) -> None:
    wide = widened(MeanFilter(3).wrap(digits_cnn))
    torch.testing.assert_close(wide(batch.x), F.pad(digits_cnn(batch.x), (0, 1)))
    own = {p.data_ptr() for p in digits_cnn.parameters()}
    assert not own & {p.data_ptr() for p in wide.parameters()}


def test_the_objectives_by_hand(digits_cnn: nn.Module, batch: Batch) -> None:
    made, wide = crafted(digits_cnn, batch.x, batch.y), widened(digits_cnn)
    value, _ = OutlierObjective(ATTACK, source=digits_cnn)(wide, batch, 0)
    outlier = torch.full_like(batch.y, 10)
    expected = F.cross_entropy(wide(torch.cat([batch.x, made])), torch.cat([batch.y, outlier]))
    torch.testing.assert_close(value, expected)
    with seeded("tests", "subnetwork"):
        reading = Reading(digits_cnn, "penultimate", Subnetwork((144,), 4))
    value, _ = TellingApart(ATTACK)(reading, batch, 0)
    logits, n = reading(torch.cat([batch.x, made]))[:, 0], len(batch)
    torch.testing.assert_close(value, F.binary_cross_entropy_with_logits(logits, (torch.arange(2 * n) >= n).float()))


def test_the_outlier_class_is_the_last_logit_of_the_network_that_answers(digits_cnn: nn.Module, batch: Batch) -> None:
    data = [vb.data.load("digits/train[:200]").all()]
    detector = FitOutlierClass(attack=ATTACK, epochs=1, batch=32).fit(digits_cnn, data).defence
    network = detector.wrap(digits_cnn)
    z = network.scorer.changed(batch.x)
    (t,), (scale,) = detector.calibration.thresholds, detector.calibration.scales
    top = z[:, :10].amax(1)
    expected = top + (z[:, 10] - top - t) / scale
    torch.testing.assert_close(network(batch.x), torch.cat([z[:, :10], expected[:, None]], 1))


@every
def test_it_learns_to_tell_and_leaves_the_network_as_it_was(fitter: Any, digits_cnn: nn.Module, batch: Batch) -> None:
    before = copy.deepcopy(digits_cnn.state_dict())
    modes = [part.training for part in digits_cnn.modules()]
    train = vb.data.load("digits/train[:800]").all()
    longer = type(fitter)(**{**vars(fitter), "epochs": 15})
    fitted = longer.fit(digits_cnn, [train])
    network = fitted.defence.wrap(digits_cnn)
    made = crafted(digits_cnn, batch.x, batch.y)
    clean, attacked = (float((network(x).argmax(1) == 10).double().mean()) for x in (batch.x, made))
    assert clean < 0.2
    assert attacked > clean + 0.3
    assert fitted.images == 800
    assert fitted.forwards == 15 * 400 * 3 + 400  # the attack, its image, the clean one; then those that calibrate
    assert all(torch.equal(value, before[name]) for name, value in digits_cnn.state_dict().items())
    assert [part.training for part in digits_cnn.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in digits_cnn.parameters())


@every
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(
    fitter: Any, digits_cnn: nn.Module, tmp_path: Path
) -> None:
    data, kill = vb.data.load("digits/train[:160]"), tmp_path / "killed.checkpoint"

    def after(images: int) -> None:
        raise KeyboardInterrupt

    whole = fitter.train(digits_cnn, data, checkpoint=tmp_path / "whole.checkpoint")
    with pytest.raises(KeyboardInterrupt):
        fitter.train(digits_cnn, data, checkpoint=kill, callback=after)
    resumed = fitter.train(digits_cnn, data, checkpoint=kill)
    for name, value in whole.defence.held.tensors.items():
        assert torch.equal(value, resumed.defence.held.tensors[name])
    assert whole.defence.calibration == resumed.defence.calibration


@pytest.mark.parametrize(
    "word",
    ["outlier-class:attack=[fgsm:eps=0.1],epochs=1", "detector-subnetwork:attack=[fgsm:eps=0.1],layer=2,epochs=1"],
)
def test_a_file_names_attack_and_data(word: str, digits_cnn: nn.Module, tmp_path: Path, batch: Batch) -> None:
    path, name = tmp_path / "trained.safetensors", word.split(":")[0]
    fitted = fit(word, digits_cnn, "digits/train[:200]", path, name="cnn")
    network = defences.load(f"{name}:file={path}").wrap(digits_cnn)
    assert torch.equal(network(batch.x), fitted.defence.wrap(digits_cnn)(batch.x))
    assert network.card.fitted_to
    meta = weights.metadata(path)
    assert meta["learned"]["attack"] == "fgsm:norm=linf,eps=0.1"
    assert meta["learned"]["images"] == "every second, from the first on"
    assert (meta["data"]["name"], meta["data"]["samples"]) == ("digits/train", 200)
    assert json.dumps(meta["recipe"])
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    refused = r"does not fit Sequential|unknown layer of Sequential: '2'"
    with pytest.raises((ContractError, UnknownName), match=refused) as error:
        defences.load(f"{name}:file={path}").wrap(other)
    assert "\n" not in str(error.value)


@every
def test_an_attacker_who_knows_it_passes(fitter: Any, digits_cnn: nn.Module, batch: Batch) -> None:
    longer = type(fitter)(**{**vars(fitter), "epochs": 10})
    network = longer.fit(digits_cnn, [vb.data.load("digits/train[:400]").all()]).defence.wrap(digits_cnn)
    aware = vb.attack(attacks.PGD(Linf(0.2), steps=20), network, batch, threat=threats.adaptive())
    assert int(aware.success.sum()) > 20
    assert not (network(aware.adversarial[aware.success]).argmax(1) == 10).any()


class Doubled(nn.Module):
    """A network whose last linear layer does not give the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1)).repeat(1, 2)


def test_what_does_not_fit_is_refused_in_one_line_before_anything_is_trained(digits_cnn: nn.Module) -> None:
    few, many = (vb.data.load(f"digits/train[:{n}]").all() for n in (60, 100))
    outlier, odd = FitOutlierClass(attack=ATTACK), FitDetectorSubnetwork(attack=ATTACK, layer="convolution")
    refusals = [
        (lambda: outlier.fit(digits_cnn, [few]), r"at least 76 images for fpr=0\.05, half of them to fit"),
        (lambda: outlier.fit(digits_cnn, []), "at least one batch of images"),
        (lambda: outlier.fit(None, [many]), "expected a network to calibrate 'outlier-class'"),
        (lambda: outlier.fit(Doubled(), [many]), "whose last linear layer gives its 10 logits"),
        (lambda: odd.fit(digits_cnn, [many]), "unknown layer of Sequential: 'convolution'"),
        (lambda: FitOutlierClass(), "attack"),
        (lambda: FitDetectorSubnetwork(attack="fgsm"), "attack"),
    ]
    for act, message in refusals:
        with pytest.raises((ContractError, UnknownName), match=message) as error:
            act()
        assert "\n" not in str(error.value)
