"""On a linear model the optimum of every norm is known in closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban import attacks
from vauban.core.errors import ContractError, UnknownName
from vauban.core.goals import ResolvedGoal, Targeted
from vauban.core.losses import auto, cross_entropy, dlr, margin, switched
from vauban.core.norms import L0, L1, L2, Linf, Norm
from vauban.core.tensors import flat
from vauban.engine import BoundThreat, Oracle, iterate

FEATURES, EPS = 40, 0.05


@pytest.fixture
def linear() -> nn.Linear:
    generator = torch.Generator().manual_seed(0)
    net = nn.Linear(FEATURES, 2).double()
    with torch.no_grad():
        net.weight.copy_(torch.randn(2, FEATURES, generator=generator))
        net.bias.zero_()
    return net


@pytest.fixture
def images() -> Tensor:
    """Far enough from 0 and 1 that the box never binds."""
    return 0.4 + 0.2 * torch.rand(6, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def opened(net: nn.Module, x: Tensor, y: Tensor, **options: object) -> Oracle:
    """A door whose goal no small step reaches, so that runs go to their end."""
    return Oracle.open(BoundThreat(net, levels=None), x, y, **options)  # type: ignore[arg-type]


def gain(net: nn.Linear, x: Tensor, x0: Tensor, y: Tensor) -> Tensor:
    """By how much the margin of a two-class linear model rose."""
    return margin(net(x), ResolvedGoal(y)).detach() - margin(net(x0), ResolvedGoal(y)).detach()


def best_gain(net: nn.Linear, norm: Norm, eps: Tensor | float) -> Tensor:
    """eps times the dual norm of the difference of the rows."""
    w = (net.weight[1] - net.weight[0]).detach()[None]
    return norm.dual(w) * eps


@pytest.mark.parametrize("norm", [Linf, L2])
@pytest.mark.parametrize("name", ["fgsm", "bim", "mi-fgsm", "apgd", "pgd"])
def test_gradient_attacks_reach_the_optimum_of_a_linear_model(
    linear: nn.Linear, images: Tensor, name: str, norm: Norm
) -> None:
    y = linear(images).argmax(1)
    result = iterate(
        attacks.load(name, ball=norm(EPS), loss=margin), opened(linear, images, y), stop="never", keep="last"
    )
    tolerance = {"apgd": 2e-3, "pgd": 2e-2}.get(name, 1e-9)  # from a random start, L2 turns toward w step by step
    torch.testing.assert_close(
        gain(linear, result.crafted, images, y), best_gain(linear, norm, EPS).expand(6), rtol=tolerance, atol=0
    )


def test_l1_apgd_puts_the_radius_on_the_largest_weights(linear: nn.Linear, images: Tensor) -> None:
    """In L1 the optimum fills components in the order of |w| up to the box."""
    eps, y = 1.5, linear(images).argmax(1)
    w = (linear.weight[1] - linear.weight[0]).detach() * torch.where(y == 0, 1, -1)[:, None]
    room = torch.where(w > 0, 1 - images, images)
    order = w.abs().argsort(1, descending=True)
    filled = room.gather(1, order).cumsum(1).clamp_max(eps)
    amount = filled - torch.cat([torch.zeros(6, 1).double(), filled[:, :-1]], 1)
    optimum = (w.abs().gather(1, order) * amount).sum(1)
    for name, share in (("apgd", 0.999), ("bim", 0.9)):
        attack = attacks.load(name, ball=L1(eps), loss=margin, steps=100)
        result = iterate(attack, opened(linear, images, y), stop="never", keep="loss")
        risen = gain(linear, result.crafted, images, y)
        assert (risen <= optimum + 1e-6).all()
        assert (risen >= share * optimum).all(), name


def test_fgsm_l2_and_linf_are_the_formulas(linear: nn.Linear, images: Tensor) -> None:
    y = torch.zeros(6, dtype=torch.int64)
    w = (linear.weight[1] - linear.weight[0]).detach()
    signed = attacks.load("fgsm", ball=Linf(EPS)).run(opened(linear, images, y)).crafted
    torch.testing.assert_close(signed, images + EPS * w.sign())
    straight = attacks.load("fgsm", ball=L2(EPS)).run(opened(linear, images, y)).crafted
    torch.testing.assert_close(straight, images + EPS * w / w.norm())


def test_r_fgsm_is_a_random_sign_step_then_the_rest_of_the_radius(linear: nn.Linear, images: Tensor) -> None:
    y = torch.zeros(6, dtype=torch.int64)
    w = (linear.weight[1] - linear.weight[0]).detach()
    crafted = attacks.load("r-fgsm", ball=Linf(EPS), alpha=0.3 * EPS).run(opened(linear, images, y)).crafted
    noise = crafted - images - 0.7 * EPS * w.sign()
    torch.testing.assert_close(noise.abs(), torch.full_like(noise, 0.3 * EPS))
    assert 0.3 < (noise > 0).double().mean() < 0.7
    assert (noise[0] != noise[1]).any()
    with pytest.raises(ContractError, match=r"expected alpha of RFGSM as a number of at least 0 or none, got -2.0"):
        attacks.load("r-fgsm", eps=0.1, alpha=-2.0)


def test_the_clipped_random_step_stays_within_alpha(linear: nn.Linear, images: Tensor) -> None:
    """Some components move by less than alpha, none by more; then comes the rest of the radius."""
    y = torch.zeros(6, dtype=torch.int64)
    w = (linear.weight[1] - linear.weight[0]).detach()
    attack = attacks.load("r-fgsm", ball=Linf(EPS), alpha=0.3 * EPS, first="clipped")
    noise = (attack.run(opened(linear, images, y)).crafted - images - 0.7 * EPS * w.sign()).abs()
    assert float(noise.max()) <= 0.3 * EPS + 1e-12
    assert 0.0 < float(noise.min()) < 0.29 * EPS
    with pytest.raises(ContractError, match="in linf for first='clipped'"):
        attacks.load("r-fgsm", ball=L2(EPS), first="clipped")


@pytest.mark.parametrize("alpha", [None, EPS * 1.001, 5 * EPS])
def test_r_fgsm_below_its_own_random_step_takes_half_the_radius_for_it(
    linear: nn.Linear, images: Tensor, alpha: float | None
) -> None:
    y = torch.zeros(6, dtype=torch.int64)
    w = (linear.weight[1] - linear.weight[0]).detach()
    crafted = attacks.load("r-fgsm", ball=Linf(EPS), alpha=alpha).run(opened(linear, images, y)).crafted
    noise = crafted - images - 0.5 * EPS * w.sign()
    torch.testing.assert_close(noise.abs(), torch.full_like(noise, 0.5 * EPS))


def test_r_fgsm_at_its_own_random_step_is_that_step(linear: nn.Linear, images: Tensor) -> None:
    y = torch.zeros(6, dtype=torch.int64)
    crafted = attacks.load("r-fgsm", ball=Linf(EPS), alpha=EPS).run(opened(linear, images, y)).crafted
    torch.testing.assert_close((crafted - images).abs(), torch.full_like(images, EPS))


STEPPED = ("bim", "pgd", "mi-fgsm", "illc")


@pytest.mark.parametrize("name", STEPPED)
@pytest.mark.parametrize("norm", [Linf, L2])
def test_a_step_relative_to_eps_is_the_absolute_one_divided_by_eps(
    name: str, norm: Norm, linear: nn.Linear, images: Tensor
) -> None:
    y = torch.zeros(6, dtype=torch.int64)
    fixed = {"random_start": False} if name == "pgd" else {}
    pair = [{"rel_stepsize": 0.25}, {"abs_stepsize": 0.25 * EPS}]
    both = [attacks.load(name, ball=norm(EPS), steps=3, **fixed, **length) for length in pair]
    made = [iterate(attack, opened(linear, images, y), stop="never", keep="last").crafted for attack in both]
    torch.testing.assert_close(made[0], made[1])
    moved = norm.size(made[0] - images)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.75 * EPS))


@pytest.mark.parametrize("name", [*STEPPED, "qbim", "qpgd2"])
def test_two_step_sizes_are_refused(name: str) -> None:
    with pytest.raises(ContractError, match=r"expected one of rel_stepsize and abs_stepsize, got 0\.5 and 0\.1"):
        attacks.load(f"{name}:eps=1,rel_stepsize=0.5,abs_stepsize=0.1")
    with pytest.raises(UnknownName, match="rel_stepsize"):
        attacks.load(f"{name}:eps=1,step_size=0.5")


@pytest.mark.parametrize("name", ["fgsm", "r-fgsm", "bim", "mi-fgsm", "pgd", "apgd"])
def test_radii_per_sample_and_per_component(linear: nn.Linear, images: Tensor, name: str) -> None:
    y = linear(images).argmax(1)
    w = (linear.weight[1] - linear.weight[0]).detach()
    per_sample = torch.linspace(0, 0.05, 6, dtype=torch.float64)
    per_component = torch.linspace(0, 0.05, FEATURES, dtype=torch.float64)[None]
    for radius, room in ((per_sample, per_sample[:, None]), (per_component, per_component)):
        attack = attacks.load(name, ball=Linf(radius), loss=margin)
        result = iterate(attack, opened(linear, images, y), stop="never", keep="last")
        moved = result.crafted - images
        assert (moved.abs() <= room + 1e-12).all()
        assert (moved[(room == 0).expand_as(moved)] == 0).all()
        if name in ("fgsm", "bim", "mi-fgsm"):
            expected = (w.abs() * room).sum(1).expand(6)
            torch.testing.assert_close(gain(linear, result.crafted, images, y), expected, rtol=1e-9, atol=1e-12)


def test_a_step_is_a_share_of_each_radius(linear: nn.Linear, images: Tensor) -> None:
    """One BIM or PGD step of half the radius moves half of each sample's, or each component's, own radius."""
    y = linear(images).argmax(1)
    per_sample = torch.linspace(0, 0.05, 6, dtype=torch.float64)
    per_component = torch.linspace(0, 0.05, FEATURES, dtype=torch.float64)[None]
    for name, options in (("bim", {}), ("mi-fgsm", {}), ("pgd", {"random_start": False})):
        for radius, room in ((per_sample, per_sample[:, None]), (per_component, per_component)):
            attack = attacks.load(name, ball=Linf(radius), loss=margin, steps=1, rel_stepsize=0.5, **options)
            crafted = iterate(attack, opened(linear, images, y), stop="never", keep="last").crafted
            torch.testing.assert_close((crafted - images).abs(), (room / 2).expand_as(images), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("norm", [Linf, L2, L1])
@pytest.mark.parametrize("name", ["random-noise", "fgsm", "r-fgsm", "otcm", "bim", "illc", "mi-fgsm", "apgd", "apgd-t"])
def test_masked_components_never_move_and_the_rest_do(linear: nn.Linear, images: Tensor, name: str, norm: Norm) -> None:
    if norm.name not in attacks.registry.get(name).facts["norms"]:
        pytest.skip(f"{name} does not work in {norm}")
    y = linear(images).argmax(1)
    mask = torch.arange(FEATURES) % 2 == 0
    attack = attacks.load(name, ball=norm(EPS))
    oracle = opened(linear, images, y, mask=mask)
    crafted = (attack.run(oracle) if name == "apgd-t" else iterate(attack, oracle, stop="never", keep="last")).crafted
    moved = (crafted - images).abs()
    assert (moved[:, ~mask] == 0).all()
    if name != "random-noise":
        assert (moved.sum(1) > 0).all()
    if name in ("fgsm", "bim", "mi-fgsm") and norm is L2:  # the whole radius is spent on what may move
        torch.testing.assert_close(flat(moved).norm(dim=1), torch.full((6,), EPS, dtype=torch.float64))


def test_a_heading_steers_the_losses_and_leaves_success_alone() -> None:
    logits = torch.tensor([[4.0, 1.0, 2.0, 0.0, -1.0]]).double()
    goal = ResolvedGoal(torch.tensor([0]), toward=torch.tensor([3]))
    with_goal = ResolvedGoal(torch.tensor([0]), target=torch.tensor([3]))
    for loss in (cross_entropy, margin, dlr):
        torch.testing.assert_close(loss(logits, goal), loss(logits, with_goal))
    assert dlr(logits, goal).item() == pytest.approx(-4 / (4 - 1 / 2))
    assert not switched(auto(logits, goal), goal)
    won = torch.tensor([[0.0, 5.0, 0, 0, 0]])
    assert goal.reached(won)
    assert not with_goal.reached(won)
    both = ResolvedGoal(torch.tensor([0, 1]), toward=torch.tensor([3, 4])).rows(torch.tensor([1]))
    assert both.heading is not None
    assert both.heading.tolist() == [4]


def test_wrong_classes_are_ordered_and_leave_out_the_true_and_the_rejected_one() -> None:
    logits = torch.tensor([[4.0, 1.0, 2.0, -float("inf"), 9.0], [0.0, -float("inf"), 2.0, 3.0, 9.0]])
    y = torch.tensor([0, 1])
    assert ResolvedGoal(y).wrong_classes(logits).tolist() == [[3, 1, 2, 4], [0, 2, 3, 4]]
    assert ResolvedGoal(y, rejects=True).wrong_classes(logits).tolist() == [[3, 1, 2], [0, 2, 3]]


def test_a_targeted_goal_is_one_step_along_the_targets_gradient(linear: nn.Linear, images: Tensor) -> None:
    y, w = torch.zeros(6, dtype=torch.int64), (linear.weight[1] - linear.weight[0]).detach()
    for name in ("fgsm", "otcm"):
        result = attacks.load(name, ball=Linf(EPS)).run(opened(linear, images, y, goal=Targeted(1)))
        torch.testing.assert_close(result.crafted, images + EPS * w.sign())
        assert result.forwards.tolist() == [2] * 6  # one gradient, one closing check: no clean query


@pytest.mark.parametrize("name", ["random-noise", "apgd", "apgd-t"])
def test_a_norm_that_an_attack_cannot_use_is_refused(name: str) -> None:
    with pytest.raises(ContractError, match="expected a ball of linf, l2, l1"):
        attacks.load(name, ball=L0(3))
