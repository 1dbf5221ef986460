"""`vauban.attack`: one attack on one batch, judged."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import Linf, Study, attacks, threats
from vauban.core.contracts import Batch
from vauban.core.errors import AccessError, ContractError
from vauban.core.goals import Targeted
from vauban.engine import Attack, Cascade, Oracle, Restarts, Result
from vauban.engine.result import untouched


class Mean(nn.Module):
    """Class 1 where the mean is above one half; counts the images it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += len(x)
        value = 40 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-value, value, torch.full_like(value, -50.0)], 1)


def images(*means: float) -> Tensor:
    return (torch.tensor(means).view(-1, 1, 1, 1) * 255).round().expand(-1, 1, 4, 4) / 255


X, Y = images(0.4, 0.45, 0.2, 0.6), torch.tensor([0, 0, 0, 0])  # the last is misclassified as it stands


@dataclass(frozen=True)
class Hand(Attack):
    """Hands over a given image and claims success."""

    image: Tensor
    claim: bool = True

    def run(self, oracle: Oracle) -> Result:
        result = untouched(oracle.domain.x0)
        rate = torch.full((len(oracle),), float(self.claim), dtype=torch.float64)
        image = self.image.expand_as(oracle.domain.x0).clone()
        return Result(image, image, rate, result.distance, result.forwards, result.backwards, result.first)


def test_counts_and_what_is_already_misclassified_costs_nothing() -> None:
    report = vb.attack(attacks.PGD(Linf(0.125), steps=6), Mean(), (X, Y))
    assert report.success.tolist() == [True, True, False, True]
    assert (report.forwards[3], report.backwards[3], report.distance[3]) == (0, 0, 0)
    assert torch.equal(report.adversarial[3], X[3])
    assert torch.equal(report.adversarial[2], X[2])  # nothing found: the original
    assert report.backwards[2] == 6
    assert report.forwards[2] == 7  # the closing check
    assert (report.backwards[:2] >= 1).all()
    assert report.robust_accuracy == 0.25
    assert report.distance[2] == math.inf
    assert (report.crafted[2] != X[2]).any()
    d = report.distances()
    assert d["linf"][0] == pytest.approx(report.distance[0])


def test_a_model_is_not_asked_about_finished_samples() -> None:
    net = Mean()
    vb.attack(attacks.PGD(Linf(0.125), steps=50), net, (X[3:], Y[3:]))
    alone = net.seen
    net.seen = 0
    vb.attack(attacks.PGD(Linf(0.125), steps=5), net, (X[3:], Y[3:]))
    assert net.seen == alone


def test_repr_says_what_happened() -> None:
    text = repr(vb.attack(attacks.PGD(Linf(0.125), steps=6), Mean(), (X, Y)))
    assert text.startswith("4 samples, 3 fooled (1 already misclassified), median linf ")
    assert "gradients" in text
    lone = repr(vb.attack(attacks.PGD(Linf(0.125), steps=6), Mean(), (X[3:], Y[3:])))
    assert "1 sample, 1 fooled (1 already misclassified)" in lone


@pytest.mark.parametrize("claim", [True, False])
def test_the_verdict_is_not_the_attacks(claim: bool) -> None:
    lie = vb.attack(Hand(images(0.1), claim), Mean(), (X[:1], Y[:1]))
    assert lie.success.tolist() == [False]
    assert lie.robust_accuracy == 1
    modest = vb.attack(Hand(images(0.9), claim), Mean(), (X[:1], Y[:1]))
    assert modest.success.tolist() == [True]
    for wrong in (images(0.9) + 1, images(0.9) * torch.nan):
        assert vb.attack(Hand(wrong, claim), Mean(), (X[:1], Y[:1])).success.tolist() == [False]


def test_undeclared_randomness_is_judged_on_draws() -> None:
    class Coin(Mean):
        """One call in ten answers the opposite, by torch's global generator."""

        def forward(self, x: Tensor) -> Tensor:
            flip = (torch.rand(len(x)) < 0.1).float()[:, None]
            logits = super().forward(x)[:, :2]
            return logits * (1 - flip) + logits.flip(1) * flip

    state = torch.get_rng_state()
    report = vb.attack(attacks.PGD(Linf(0.03), steps=30), Coin(), (images(0.2), Y[:1]))
    assert torch.equal(torch.get_rng_state(), state)
    assert report.success.tolist() == [False]  # a lucky draw is no success
    assert 0 < report.robust_accuracy < 1 or float(report.evaluated.verdict.misclassified) == 0
    assert report.evaluated.verdict.misclassified * 20 == (report.evaluated.verdict.misclassified * 20).round()


def test_dropout_in_forward_is_found() -> None:
    class Dropping(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.flatten(1).mean(1), 1 - x.flatten(1).mean(1)], 1) * torch.empty(len(x), 2).bernoulli_(
                0.5
            )

    from vauban.evaluate.diagnostics.first_look import answers_vary

    assert answers_vary(Dropping(), X)
    assert not answers_vary(Mean(), X)
    assert not answers_vary(nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)), X)  # quiet in evaluation


def test_a_mask_is_kept() -> None:
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, :2] = True
    report = vb.attack(attacks.PGD(Linf(0.5), steps=10), Mean(), (X, Y), mask=mask)
    assert report.success[:2].all()
    assert torch.equal(report.crafted[:, :, 2:], X[:, :, 2:])
    with pytest.raises(ContractError, match="mask"):
        vb.attack(attacks.PGD(Linf(0.5), steps=2), Mean(), (X, Y), mask=torch.ones(3, 3))


def test_a_target_is_what_counts() -> None:
    report = vb.attack(attacks.PGD(Linf(0.5), steps=10), Mean(), (X, Y), goal=vb.Targeted(1))
    assert report.success.tolist() == [True, True, True, True]
    assert report.forwards[3] == 0  # class 1 as it stands
    never = vb.attack(attacks.PGD(Linf(0.5), steps=10), Mean(), (X, Y), goal=vb.Targeted(2))
    assert not never.success.any()
    assert never.forwards[3] > 0  # misclassified, and still not as class 2
    with pytest.raises(ContractError, match=r"\[0, 2\]"):
        vb.attack(attacks.PGD(Linf(0.5), steps=2), Mean(), (X, Y), goal=vb.Targeted(3))


def test_a_goal_that_asks_the_model_is_counted() -> None:
    one, two = (
        vb.attack(attacks.PGD(Linf(0.01), steps=3), Mean(), (X[2:3], Y[:1]), goal=goal)
        for goal in (vb.Targeted(2), vb.LeastLikely())
    )
    assert two.evaluated.goal.target is not None
    assert two.evaluated.goal.target.tolist() == [2]
    assert two.forwards.tolist() == (one.forwards + 1).tolist()


def test_threats_and_bad_batches() -> None:
    with pytest.raises(AccessError, match="gradients"):
        vb.attack(attacks.PGD(Linf(0.1), steps=2), Mean(), (X, Y), threat=threats.scores_only())
    bad: list[tuple[Any, Any]] = [(X * 255, Y), (X, Y.float()), (X, Y[:2]), (X + 0.0001, Y), (X, Y + 7), (X[:0], Y[:0])]
    for x, y in bad:
        with pytest.raises(ContractError, match="expected"):
            vb.attack(attacks.PGD(Linf(0.1), steps=2), Mean(), (x, y))


def test_continuous_batches_are_not_rounded() -> None:
    batch = Batch(X[:2] * 0.987, Y[:2], torch.arange(2), levels=None)
    report = vb.attack(attacks.DDN(steps=20), Mean(), batch)
    assert ((report.adversarial * 255).frac() > 0.01).any()
    assert report.success.all()


def test_the_same_seed_gives_the_same_images() -> None:
    made = [vb.attack(attacks.PGD(Linf(0.1), steps=2), Mean(), (X, Y), seed=seed).crafted for seed in (5, 5, 6)]
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("source", ["loader", "data set"])
def test_torch_data_is_attacked_as_a_pair_is(source: str) -> None:
    from torch.utils.data import DataLoader, TensorDataset

    plain = TensorDataset(X, Y)
    given = DataLoader(plain, batch_size=3, shuffle=True) if source == "loader" else plain
    report = vb.attack(attacks.PGD(Linf(0.125), steps=6), Mean(), given)
    pair = vb.attack(attacks.PGD(Linf(0.125), steps=6), Mean(), (X, Y))
    assert torch.equal(report.adversarial, pair.adversarial)
    assert torch.equal(report.success, pair.success)


def test_batches_of_any_size_give_what_each_image_gets_alone() -> None:
    attack, mask = attacks.PGD(Linf(0.125), steps=6), torch.ones_like(X, dtype=torch.bool)
    mask[0] = False
    whole = vb.attack(attack, Mean(), (X, Y), mask=mask)
    parts = vb.attack(attack, Mean(), (X, Y), mask=mask, batch_size=3)
    for name in ("adversarial", "crafted", "success", "distance", "forwards", "backwards"):
        assert torch.equal(getattr(whole, name), getattr(parts, name)), name
    assert repr(whole) == repr(parts)
    assert whole.robust_accuracy == parts.robust_accuracy
    with pytest.raises(ContractError, match="batch_size"):
        vb.attack(attack, Mean(), (X, Y), batch_size=0)


@pytest.mark.parametrize("per_component", [False, True])
def test_each_image_has_its_own_radius_in_batches_and_in_the_audit_of_quick(per_component: bool) -> None:
    """The mean must rise by 0.1, 0.05 and 0.3: the first radius is too small, the second and third are large enough."""
    radii = torch.tensor([0.05, 0.08, 0.35, 0.1])
    ball = Linf(radii.view(-1, 1, 1, 1).expand_as(X) if per_component else radii)
    for attack in (
        attacks.PGD(ball, steps=6),
        Cascade((attacks.FGSM(ball), Restarts(attacks.PGD(ball, steps=2), times=2))),
        attacks.Standard(ball, steps=6, queries=5, effort="quick"),
    ):
        for size in (None, 3, 1):
            report = vb.attack(attack, Mean(), (X, Y), batch_size=size)
            assert report.success.tolist() == [False, True, True, True]
            assert bool(((report.adversarial - X).abs().flatten(1).amax(1) <= radii + 1e-6).all())


@pytest.mark.parametrize("size", [None, 3, 1])
def test_each_image_has_its_own_target_in_batches(size: int | None) -> None:
    targets = torch.tensor([1, 2, 1, 1])  # class 2 cannot be reached
    report = vb.attack(attacks.PGD(Linf(0.4), steps=6), Mean(), (X, Y), goal=Targeted(targets), batch_size=size)
    assert report.success.tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    "odd", [{"budget": 0}, {"budget": -1}, {"batch_size": 0}, {"levels": 1}, {"seed": "ten"}, {"levels": "8"}]
)
def test_settings_of_a_study_are_refused_by_name(odd: dict[str, Any], tmp_path: Path) -> None:
    name = next(iter(odd))
    with pytest.raises(ContractError, match=f"expected {name} of Settings"):
        Study(tmp_path, data="digits/test[:4]", models="digits-cnn", attacks="fgsm", **odd)


@pytest.mark.parametrize("odd", [0.5, "ten", None, math.nan, True, [1]])
def test_a_seed_is_a_whole_number(odd: Any) -> None:
    with pytest.raises(ContractError, match=r"expected seed of vauban\.attack as a whole number"):
        vb.attack(attacks.FGSM(Linf(0.1)), Mean(), (X, Y), seed=odd)


@pytest.mark.parametrize("odd", [-1, 0.5, "ten", None, True, [1]])
def test_a_target_is_a_class(odd: Any) -> None:
    with pytest.raises(ContractError, match="expected target of Targeted as a whole number of at least 0"):
        vb.Targeted(odd)


@pytest.mark.parametrize(
    "odd", [{"device": "ten"}, {"device": ""}, {"device": "tpu"}, {"metrics": 3}, {"preflight": "no"}]
)
def test_what_a_study_is_told_is_refused_by_name(odd: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=f"expected {next(iter(odd))}"):
        Study(tmp_path, data="digits/test[:4]", models="digits-cnn", attacks="fgsm", **odd)


def test_where_no_image_is_attacked_there_is_no_median() -> None:
    text = repr(vb.attack(attacks.PGD(Linf(0.125), steps=6), Mean(), (X[3:], Y[3:])))
    assert text == "1 sample, 1 fooled (1 already misclassified), 0 gradients and 0 queries each"
