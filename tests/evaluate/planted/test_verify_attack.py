"""The planted test of an attack: what works finds what exists, what is broken does not, and refusals are one line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import L0, L2, Linf
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.feature_squeezing import FeatureSqueezing
from vauban.evaluate.planted.outcome import MISSED, SHOWN, SILENCE, PlantedTest

PGD = attacks.PGD(Linf(0.1), steps=40)


@pytest.mark.parametrize(
    "attack",
    ["pgd:eps=0.1,steps=40", "pgd:norm=l2,eps=0.8,steps=40", "apgd:norm=l1,eps=5,steps=40", "square:eps=0.1,steps=400"],
)
def test_attacks_that_work_find_what_exists(digits_cnn: nn.Module, right_batch: Batch, attack: str) -> None:
    report = vb.verify_attack(attack, digits_cnn, right_batch)
    assert report.planted == len(right_batch) == 8
    assert report.share >= 0.8
    assert report.random <= 0.02
    assert 2000 < report.forwards < 4000


def test_strong_attack_is_silent_and_says_what_it_cost(digits_cnn: nn.Module, right_batch: Batch) -> None:
    report = vb.verify_attack(PGD, digits_cnn, right_batch)
    assert (report.recovered, report.severity, report.missed) == (8, "info", ())
    assert report.finding.code == SHOWN
    assert report.sentence == (
        f"{report.attack} found 8 of 8 adversarial images known to exist (random points find {report.random:.1%})"
    )
    assert report.spent[1] > 0
    assert PlantedTest.from_json(report.to_json()) == report


@pytest.mark.parametrize("goal", ["random-wrong", "least-likely", vb.Targeted(3)], ids=str)
def test_targeted_goals(digits_cnn: nn.Module, right_batch: Batch, goal: vb.Targeted | str) -> None:
    report = vb.verify_attack(PGD, digits_cnn, right_batch, goal=goal)
    threes = int((right_batch.y == 3).sum()) if isinstance(goal, vb.Targeted) else 0
    assert report.planted == 8 - threes
    assert report.share >= 0.8
    assert sum(report.dropped.values()) == threes


def test_attack_that_hardly_moves_finds_nothing(digits_cnn: nn.Module, right_batch: Batch) -> None:
    report = vb.verify_attack(attacks.PGD(Linf(0.1), steps=40, abs_stepsize=1e-6), digits_cnn, right_batch)
    assert (report.recovered, report.severity, report.finding.code) == (0, "invalid", MISSED)
    assert "its robust accuracy is no evidence" in report.sentence
    assert "not that the number is wrong" in report.finding.advice
    assert report.missed == tuple(right_batch.ids.tolist())


def test_gradient_blind_attack_finds_nothing_and_with_the_card_it_finds_all(
    digits_cnn: nn.Module, right_batch: Batch
) -> None:
    guarded = defences.BitDepth(bits=2).wrap(digits_cnn)
    blind, adaptive = (vb.verify_attack(PGD, guarded, right_batch, threat=t) for t in ("white-box", "adaptive"))
    assert blind.planted == adaptive.planted >= 7
    assert (blind.recovered, blind.severity) == (0, "invalid")
    assert adaptive.share >= 0.8
    seen = vb.verify_attack("square:eps=0.1,steps=400", guarded, right_batch)
    assert seen.share >= 0.8


def test_one_step_finds_less_than_forty(digits_cnn: nn.Module, right_batch: Batch) -> None:
    guarded = defences.BitDepth(bits=3).wrap(digits_cnn)
    many, one = (
        vb.verify_attack(attack, guarded, right_batch, threat="adaptive") for attack in (PGD, attacks.FGSM(Linf(0.1)))
    )
    assert one.recovered < many.recovered


def test_nothing_that_is_given_changes(digits_cnn: nn.Module, right_batch: Batch) -> None:
    guarded = defences.BitDepth(bits=3).wrap(digits_cnn)
    with torch.no_grad():
        before = guarded(right_batch.x)
    vb.verify_attack(attacks.PGD(Linf(0.1), steps=2), guarded, right_batch, threat="adaptive")
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in guarded.modules())
    with torch.no_grad():
        assert torch.equal(guarded(right_batch.x), before)


def test_random_network(digits_cnn: nn.Module, right_batch: Batch) -> None:
    noisy = defences.GaussianNoise(sigma=0.03).wrap(digits_cnn)
    report = vb.verify_attack("pgd:eps=0.1,steps=20", noisy, right_batch.take(4), threat=threats.adaptive(eot=4))
    assert (report.planted, report.recovered) == (4, 4)
    assert report.forwards < 4000


def test_every_member_of_a_vote_gets_a_read_out(
    digits_cnn: nn.Module, digits_mlp: nn.Module, right_batch: Batch
) -> None:
    voting = defences.vote([digits_cnn, digits_mlp, digits_cnn])
    report = vb.verify_attack("pgd:eps=0.15,steps=40", voting, right_batch, threat="adaptive")
    assert report.planted >= 7
    assert report.recovered >= report.planted / 2


def test_detector_must_accept_what_is_planted(digits_cnn: nn.Module, right_batch: Batch) -> None:
    detector = FeatureSqueezing(calibration=Calibration((1.6,), (0.3,))).wrap(digits_cnn)
    report = vb.verify_attack(PGD, detector, right_batch)
    assert report.planted >= 4
    assert report.recovered >= 0.7 * report.planted
    refusing = FeatureSqueezing(calibration=Calibration((-1.0,), (0.3,))).wrap(digits_cnn)  # rejects every image
    silent = vb.verify_attack(PGD, refusing, right_batch)
    assert "fewer than 3 (8 images dropped: answered wrongly or rejected without attack)" in silent.not_applicable


def test_attacks_for_the_nearest_image_must_find_one_within_the_ball(digits_cnn: nn.Module, right_batch: Batch) -> None:
    report = vb.verify_attack("ddn:steps=40", digits_cnn, right_batch, ball=L2(0.8))
    assert report.share >= 0.8
    near = vb.verify_attack("boundary:steps=5", digits_cnn, right_batch.take(3), ball=L2(0.8))
    assert near.planted == 3
    assert near.recovered <= 1
    with pytest.raises(ContractError, match=r"got none; give ball=vb\.L2") as refusal:
        vb.verify_attack("ddn:steps=40", digits_cnn, right_batch)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ContractError, match=r"expected no ball beside an attack with the budget linf:0\.1"):
        vb.verify_attack(PGD, digits_cnn, right_batch, ball=Linf(0.2))


def test_ball_below_a_level_and_ball_of_changed_components(digits_cnn: nn.Module, right_batch: Batch) -> None:
    report = vb.verify_attack("pgd:eps=0.5/255", digits_cnn, right_batch)
    assert "the features do not move in the ball" in report.not_applicable
    counted = vb.verify_attack("sigma-zero:steps=5", digits_cnn, right_batch, ball=L0(5))
    assert counted.not_applicable == "images are planted in linf, l2 and l1, not in l0"


def test_one_radius_for_each_image(digits_cnn: nn.Module, right_batch: Batch) -> None:
    radius = torch.where(torch.arange(8) % 2 == 0, 0.1, 0.0)
    report = vb.verify_attack(attacks.PGD(Linf(radius), steps=40), digits_cnn, right_batch)
    assert (report.planted, report.recovered) == (4, 4)


def test_equal_images_are_told_apart(digits_cnn: nn.Module, right_batch: Batch) -> None:
    x, y = right_batch.x[:1].expand(4, 1, 8, 8).clone(), right_batch.y[:1].expand(4).clone()
    report = vb.verify_attack(PGD, digits_cnn, (x, y))
    assert (report.planted, report.recovered) == (4, 4)


def test_half_precision(digits_cnn: nn.Module, right_batch: Batch) -> None:
    batch = Batch(right_batch.x.half(), right_batch.y, right_batch.ids)
    report = vb.verify_attack(PGD, digits_cnn, batch)
    assert report.planted >= 7
    assert report.share >= 0.8


class Functional(nn.Module):
    """A network whose last layer is no module."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.body, self.last = inner[:-1], inner[-1]  # type: ignore[index]

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.body(x), self.last.weight, self.last.bias)


def test_where_the_test_does_not_apply(digits_cnn: nn.Module, digits_mlp: nn.Module, right_batch: Batch) -> None:
    hidden = vb.verify_attack(PGD, Functional(digits_cnn), right_batch)
    assert "no linear layer with 10 outputs is called" in hidden.sentence
    assert (hidden.severity, hidden.finding.code, hidden.planted) == ("info", SILENCE, 0)
    borrowed = vb.verify_attack(PGD, digits_cnn, right_batch, threat=threats.Transfer(digits_mlp))
    assert "the gradients of the threat are those of another network" in repr(borrowed)


def test_read_out_by_name(digits_cnn: nn.Module, right_batch: Batch) -> None:
    named = vb.verify_attack(PGD, digits_cnn, right_batch.take(3), readout="7")
    assert (named.planted, named.recovered) == (3, 3)
    for name, line in {"0": "does not$", "nowhere": "it has: 0, 1"}.items():
        with pytest.raises(ContractError, match=line) as refusal:
            vb.verify_attack(PGD, digits_cnn, right_batch, readout=name)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("recovered", "severity", "code"),
    [(18, "info", SHOWN), (17, "warning", MISSED), (10, "warning", MISSED), (9, "invalid", MISSED)],
)
def test_severity(recovered: int, severity: str, code: str) -> None:
    report = PlantedTest("a", planted=20, recovered=recovered, random=0.001)
    assert (report.severity, report.finding.code) == (severity, code)
    assert report.interval.low < recovered / 20 < report.interval.high
    assert PlantedTest("a", planted=20, recovered=recovered, random=0.03).severity == "info"
    assert "3.0% of random points are adversarial too" in PlantedTest("a", planted=20, random=0.03).not_applicable
    assert "2 images could be planted, fewer than 3" in PlantedTest("a", planted=2).not_applicable


class Blind(nn.Module):
    """A network behind rounding that has no gradient, without a card; the rounding is the network itself."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner((3 * x).round() / 3)  # type: ignore[no-any-return]


def test_threats_that_name_networks_and_modules_act_on_the_copy(
    digits_cnn: nn.Module, digits_mlp: nn.Module, right_batch: Batch
) -> None:
    """A rule for a module around the read-out, and gradients of a network that shares the read-out."""
    blind, batch = Blind(digits_cnn), right_batch.take(4)
    assert vb.verify_attack(PGD, blind, batch).recovered == 0
    rule = threats.white_box(bpda={"": digits_cnn.forward})  # differentiates the network's own last layer
    assert vb.verify_attack(PGD, blind, batch, threat=rule).planted == 4
    inner = vb.verify_attack(PGD, blind, batch, threat=threats.Transfer(digits_cnn))
    assert (inner.planted, inner.recovered) == (4, 4)
    mixed = vb.verify_attack(PGD, blind, batch, threat=threats.Ensemble([digits_cnn, digits_mlp]))
    assert "the gradients of the threat are those of another network" in mixed.not_applicable
