"""What holds for every attack at a fixed budget, on a trained network."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import attacks
from vauban.attacks.fixed_budget.mi_fgsm import MIFGSM
from vauban.core.errors import AccessError
from vauban.core.goals import LeastLikely, Targeted
from vauban.core.losses import cross_entropy, margin
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle, iterate

Digits = tuple[Tensor, Tensor]
NAMES = ("random-noise", "fgsm", "r-fgsm", "otcm", "bim", "illc", "mi-fgsm", "apgd", "apgd-t")
RADII = {"linf": Linf(0.1), "l2": L2(0.7), "l1": L1(2.0)}
PAIRS = [(name, ball) for name in NAMES for ball in RADII.values() if (name, ball.norm) != ("r-fgsm", L1)]


def made(name: str, ball: Ball) -> Any:
    return attacks.load(name, ball=ball, **({"steps": 8} if name in ("apgd", "apgd-t") else {}))


def test_the_names_and_their_facts() -> None:
    for name in NAMES:
        entry = attacks.registry.get(name)
        assert entry.facts["targeted"]
        assert entry.facts["needs"] == ("labels" if name == "random-noise" else "gradients")
        assert set(entry.facts["norms"]) == {ball.norm.name for other, ball in PAIRS if other == name}
        assert entry.summary


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 256])
@pytest.mark.parametrize(("name", "ball"), PAIRS, ids=str)
def test_the_budget_is_never_left(
    digits_cnn: nn.Module, digits_test: Digits, name: str, ball: Ball, levels: int | None
) -> None:
    x, y = digits_test[0][:30], digits_test[1][:30]
    result = made(name, ball).run(Oracle.open(BoundThreat(digits_cnn, levels=levels), x, y))
    for image in (result.crafted, result.adversarial):
        assert ball.bind(x).contains(image, x).all()
        assert ((image >= 0) & (image <= 1)).all()
        assert levels is None or on_grid(image, levels)
    assert torch.equal(digits_cnn(result.adversarial).argmax(1) != y, result.success | (digits_cnn(x).argmax(1) != y))
    assert torch.equal(result.adversarial[~result.success], x[~result.success])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ball"), PAIRS, ids=str)
def test_a_sample_gets_the_same_image_alone_and_in_a_batch(
    digits_cnn: nn.Module, digits_test: Digits, name: str, ball: Ball
) -> None:
    """In double precision, so that only what depends on batch mates could tell them apart."""
    net = copy.deepcopy(digits_cnn).double()
    x, y = digits_test[0][:5].double(), digits_test[1][:5]
    threat = BoundThreat(net, levels=None)
    together = made(name, ball).run(Oracle.open(threat, x, y))
    for i in range(5):
        alone = made(name, ball).run(Oracle.open(threat, x[i : i + 1], y[i : i + 1], ids=torch.tensor([i])))
        torch.testing.assert_close(alone.crafted[0], together.crafted[i], rtol=0, atol=1e-6)
        assert alone.forwards.item() == together.forwards[i].item()


@pytest.mark.parametrize("name", NAMES)
def test_targeted_runs_reach_their_target(digits_cnn: nn.Module, digits_test: Digits, name: str) -> None:
    x, y = digits_test[0][:60], digits_test[1][:60]
    target = (y + 1) % 10
    result = made(name, Linf(0.35)).run(Oracle.open(BoundThreat(digits_cnn), x, y, goal=Targeted(target)))
    assert (digits_cnn(result.adversarial).argmax(1) == target)[result.success].all()
    if name in ("bim", "illc", "apgd", "apgd-t"):
        assert result.success.double().mean() > 0.5
    elif name != "random-noise":
        before = margin(digits_cnn(x), Oracle.open(BoundThreat(digits_cnn), x, y, goal=Targeted(target)).goal)
        after = margin(
            digits_cnn(result.crafted), Oracle.open(BoundThreat(digits_cnn), x, y, goal=Targeted(target)).goal
        )
        assert (after > before).double().mean() > 0.8


@pytest.mark.parametrize("name", ["otcm", "illc"])
def test_without_a_target_the_least_likely_class_is_approached_and_any_error_counts(
    digits_cnn: nn.Module, digits_test: Digits, name: str
) -> None:
    x, y = digits_test[0][:60], digits_test[1][:60]
    keep = digits_cnn(x).argmax(1) == y
    x, y = x[keep], y[keep]
    threat, attack = BoundThreat(digits_cnn), made(name, Linf(0.2))
    free = iterate(attack, Oracle.open(threat, x, y), stop="never", keep="last")
    bound = iterate(attack, Oracle.open(threat, x, y, goal=LeastLikely()), stop="never", keep="last")
    assert torch.equal(free.crafted, bound.crafted)  # the same path
    assert torch.equal(free.forwards, bound.forwards + 1)  # the clean query: here the attack's, there the goal's
    assert torch.equal(free.success | bound.success, free.success)
    assert free.success.sum() > bound.success.sum()
    least = digits_cnn(x).argmin(1)
    gained = digits_cnn(free.crafted).log_softmax(1).gather(1, least[:, None]) - digits_cnn(x).log_softmax(1).gather(
        1, least[:, None]
    )
    assert (gained > 0).double().mean() > 0.9


def test_single_steps_hand_over_the_end_of_the_step(digits_cnn: nn.Module, digits_test: Digits) -> None:
    """Also where the clean image is already misclassified, which is recorded as found at no distance."""
    x, y = digits_test[0][:20], (digits_cnn(digits_test[0][:20]).argmax(1) + 1) % 10
    result = attacks.load("fgsm", ball=Linf(0.1)).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y))
    assert result.success.all()
    assert (result.distance == 0).all()
    assert torch.equal(result.adversarial, x)
    assert ((result.crafted - x).abs().amax((1, 2, 3)) > 0.09).all()


def test_bim_is_pgd_from_the_image(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test[0][:20], digits_test[1][:20]
    oracle = Oracle.open(BoundThreat(digits_cnn), x, y)
    pgd = attacks.load("pgd", ball=Linf(0.1), steps=8, rel_stepsize=1.25 / 8, random_start=False)
    assert torch.equal(attacks.load("bim", ball=Linf(0.1), steps=8).run(oracle).crafted, pgd.run(oracle).crafted)


def test_momentum_gathers_gradients_of_unit_l1_norm_per_sample(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test[0][:6], digits_test[1][:6]
    states: list[Any] = []

    def keep(t: int, oracle: Oracle, state: Any) -> None:
        states.append(state)

    attack = MIFGSM(Linf(0.1), steps=4, momentum=0.5, loss=cross_entropy)
    iterate(attack, Oracle.open(BoundThreat(digits_cnn, levels=None), x, y), stop="never", callback=keep)
    torch.testing.assert_close(states[0].momentum.abs().flatten(1).sum(1), torch.ones(6))
    for before, now in pairwise(states):
        leaf = before.x.clone().requires_grad_(True)
        (g,) = torch.autograd.grad(nn.functional.cross_entropy(digits_cnn(leaf), y, reduction="sum"), leaf)
        gathered = 0.5 * before.momentum + g / g.abs().flatten(1).sum(1)[:, None, None, None]
        torch.testing.assert_close(now.momentum, gathered, rtol=1e-3, atol=1e-6)
        clipped = torch.minimum(torch.maximum(before.x + 0.025 * gathered.sign(), x - 0.1), x + 0.1).clamp(0, 1)
        torch.testing.assert_close(now.x, clipped)


def test_random_noise_keeps_its_best_by_scores_and_needs_only_labels(
    digits_cnn: nn.Module, digits_test: Digits
) -> None:
    x, y = digits_test[0][:30], digits_test[1][:30]
    attack = attacks.load("random-noise", ball=Linf(0.05), steps=6)
    scored = Oracle.open(BoundThreat(digits_cnn, grants=frozenset({"scores", "labels"})), x, y)
    margins: list[Tensor] = []

    def note(t: int, oracle: Oracle, state: Any) -> None:
        margins.append(state.value)

    best = iterate(attack, scored, stop="never", callback=note)
    assert all((b >= a).all() for a, b in pairwise(margins))
    standing = ~best.success
    torch.testing.assert_close(margin(digits_cnn(best.crafted), scored.goal)[standing], margins[-1][standing])
    assert best.forwards.tolist() == [7] * 30
    labelled = Oracle.open(BoundThreat(digits_cnn, grants=frozenset({"labels"})), x, y)
    assert torch.equal(attack.run(labelled).success, best.success)
    with pytest.raises(AccessError, match="does not grant labels"):
        attack.run(Oracle.open(BoundThreat(digits_cnn, grants=frozenset()), x, y))


@pytest.mark.parametrize("ball", [L2(0.5), L1(2.0)])
def test_gaussian_noise_spends_the_whole_radius_where_the_box_allows(ball: Ball) -> None:
    net = nn.Linear(30, 3)
    x = torch.full((5, 30), 0.5)
    y = net(x).argmax(1)
    threat = BoundThreat(net, levels=None, grants=frozenset({"scores", "labels"}))
    for mask in (None, torch.arange(30) < 20):
        oracle = Oracle.open(threat, x, y, mask=mask)
        crafted = iterate(attacks.load("random-noise", ball=ball, steps=3), oracle, stop="never").crafted
        torch.testing.assert_close(ball.norm.size(crafted - x), torch.full((5,), float(ball.radius)))


def test_the_radius_can_be_searched_per_sample(digits_cnn: nn.Module, digits_test: Digits) -> None:
    x, y = digits_test[0][:10], digits_test[1][:10]
    radius = torch.linspace(0.0, 0.3, 10)
    for name in ("fgsm", "r-fgsm", "bim", "mi-fgsm", "apgd", "otcm", "illc", "random-noise"):
        result = iterate(made(name, Linf(0.1)), Oracle.open(BoundThreat(digits_cnn), x, y), per_sample={"eps": radius})
        assert ((result.crafted - x).abs().amax((1, 2, 3)) <= radius + 1e-6).all()
