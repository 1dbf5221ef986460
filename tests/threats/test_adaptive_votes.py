"""The adaptive attacker on a vote: gradients of the members' summed losses, success by the vote's own answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban import attacks, defences, threats
from vauban.core.cards import Card, carded
from vauban.core.errors import ContractError, NoGradient
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.defences import BitDepth, GaussianNoise, MeanFilter
from vauban.defences.voting import log_mean
from vauban.engine import BoundThreat, Oracle, judge
from vauban.threats import members

Y = torch.tensor([0, 1, 2, 0])


@pytest.fixture(scope="module")
def nets() -> list[nn.Module]:
    def net() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3)).double()

    with seeded("tests", "votes"):
        return [net().requires_grad_(False).eval() for _ in range(3)]


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def single(function: object, x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_(True)
    return torch.autograd.grad(cross_entropy(function(leaf), ResolvedGoal(Y)).sum(), leaf)[0]


def asked(recipe: threats.Threat, net: nn.Module, x: Tensor, seed: int = 0) -> Tensor:
    return Oracle.open(recipe.bind(net, levels=None), x, Y, seed=seed).gradient(x, cross_entropy)[1][0]


@pytest.mark.slow
def test_a_vote_behind_a_filter_is_attacked_through_the_filter(nets: list[nn.Module], x: Tensor) -> None:
    smooth = MeanFilter(3, "edge")
    guarded = smooth.wrap(defences.vote(nets))
    want = sum(single(lambda v, net=net: net(smooth.apply(v)), x) for net in nets)
    torch.testing.assert_close(asked(threats.adaptive(), guarded, x), want)
    bound = threats.adaptive().bind(guarded, levels=None)
    assert bound.target is guarded
    assert not bound.direct
    assert [weight for _, weight in bound.sources] == [1.0, 1.0, 1.0]
    oracle = Oracle.open(bound, x, Y)
    oracle.gradient(x, cross_entropy)
    assert (oracle.forwards == 3).all()


def test_rules_and_draws_before_and_inside_a_vote_are_followed(nets: list[nn.Module], x: Tensor) -> None:
    outer, inner = BitDepth(2), BitDepth(3)
    guarded = outer.wrap(defences.vote([inner.wrap(nets[0]), nets[1]]))

    def through(v: Tensor, defence: BitDepth) -> Tensor:
        return v + (defence.apply(v) - v).detach()

    want = single(lambda v: nets[0](through(through(v, outer), inner)), x)
    want = want + single(lambda v: nets[1](through(v, outer)), x)
    torch.testing.assert_close(asked(threats.adaptive(), guarded, x), want)
    noisy = defences.vote([GaussianNoise(0.1).wrap(nets[0]), nets[1]])
    assert threats.adaptive().bind(noisy, levels=None).draws == 16
    assert threats.adaptive(eot=2).bind(noisy, levels=None).draws == 2


def test_every_member_sees_the_same_noise_in_a_draw(nets: list[nn.Module], x: Tensor) -> None:
    seen: list[Tensor] = []

    class Spy(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, v: Tensor) -> Tensor:
            seen.append(v.detach())
            return self.inner(v)

    guarded = GaussianNoise(0.1).wrap(defences.vote([Spy(net) for net in nets[:2]]))
    oracle = Oracle.open(threats.adaptive(eot=3).bind(guarded, levels=None), x, Y)
    seen.clear()
    oracle.gradient(x, cross_entropy)
    assert len(seen) == 6
    for draw in range(3):
        assert torch.equal(seen[2 * draw], seen[2 * draw + 1])
    assert not torch.equal(seen[0], seen[2])


def test_a_vote_inside_a_vote_is_flattened(nets: list[nn.Module], x: Tensor) -> None:
    smooth = MeanFilter(3)
    guarded = smooth.wrap(defences.vote([defences.vote(nets[:2]), nets[2]]))
    want = sum(single(lambda v, net=net: net(smooth.apply(v)), x) for net in nets)
    torch.testing.assert_close(asked(threats.adaptive(), guarded, x), want)
    assert len(threats.adaptive().bind(guarded, levels=None).sources) == 3


def test_weights_and_modules_around_a_vote_are_kept(nets: list[nn.Module], x: Tensor) -> None:
    class Doubled(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            return 2 * v

    voting = defences.vote(nets[:2])
    voting.card = Card("weighted", objective=(("members.0", 3.0), ("members.1", -0.5)))
    guarded = nn.Sequential(Doubled(), nn.Sequential(voting), Doubled())
    want = 3 * single(lambda v: 2 * nets[0](2 * v), x) - 0.5 * single(lambda v: 2 * nets[1](2 * v), x)
    torch.testing.assert_close(asked(threats.adaptive(), guarded, x), want)
    assert guarded[1][0] is voting  # the judged network is untouched
    assert [part for part, _ in carded(guarded)] == [voting]


def test_a_module_around_a_vote_keeps_its_own_rule(nets: list[nn.Module], x: Tensor) -> None:
    class Rounded(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.card = Card("rounded", backward={"": lambda v: slope(v)})

        def forward(self, v: Tensor) -> Tensor:
            return self.inner(v).round()

    def slope(v: Tensor) -> Tensor:
        return nets[2](v) * 3

    guarded = Rounded(defences.vote(nets[:2]))
    bound = threats.adaptive().bind(guarded, levels=None)
    assert [type(part) for part in bound.backward] == [Rounded, Rounded]  # a copy around each member
    assert guarded not in bound.backward
    want = sum(single(lambda v, net=net: (net(v).round() - 3 * nets[2](v)).detach() + slope(v), x) for net in nets[:2])
    torch.testing.assert_close(asked(threats.adaptive(), guarded, x), want)


def test_a_network_without_an_objective_stands_for_itself(nets: list[nn.Module]) -> None:
    guarded = MeanFilter().wrap(nets[0])
    assert members(guarded) == ((guarded, 1.0),)
    bound = threats.adaptive().bind(guarded, levels=None)
    assert bound.sources == ()
    assert bound.direct
    assert not bound.confirm


def test_the_mean_vote_is_differentiated_as_it_is(nets: list[nn.Module], x: Tensor) -> None:
    voting = defences.vote(nets, rule="mean")
    want = single(lambda v: torch.stack([net(v).softmax(1) for net in nets]).mean(0).log(), x)
    torch.testing.assert_close(asked(threats.adaptive(), voting, x), want)
    torch.testing.assert_close(asked(threats.white_box(), voting, x), want)
    plain = defences.vote(nets)
    torch.testing.assert_close(asked(threats.white_box(bpda={"count": log_mean}), plain, x), _one_hot_slope(nets, x))


def _one_hot_slope(nets: list[nn.Module], x: Tensor) -> Tensor:
    """The loss is taken at the one-hot row, its derivative goes on into the mean vote."""

    def function(v: Tensor) -> Tensor:
        mean = log_mean(torch.stack([net(v) for net in nets]))
        return mean + (defences.vote(nets)(v) - mean).detach()

    return single(function, x)


def test_the_white_box_attacker_is_told_of_the_adaptive_one(nets: list[nn.Module], x: Tensor) -> None:
    with pytest.raises(NoGradient, match=r"threats\.adaptive\(\)") as error:
        asked(threats.white_box(), MeanFilter().wrap(defences.vote(nets)), x)
    assert "\n" not in str(error.value)


def test_an_objective_that_is_no_submodule_is_refused(nets: list[nn.Module]) -> None:
    voting = defences.vote(nets)
    voting.card = Card("bad", objective=(("nowhere", 1.0),))
    with pytest.raises(ContractError, match="nowhere"):
        threats.adaptive().bind(voting, levels=None)


def by_hand(nets: list[nn.Module], x: Tensor) -> Tensor:
    """The label that two of three predict; the smallest sum rule never matters where two agree."""
    labels = torch.stack([net(x).argmax(1) for net in nets])
    return labels.mode(0).values


@pytest.fixture(scope="module")
def deployed() -> tuple[list[nn.Module], nn.Module, Tensor, Tensor]:
    """Three two-class networks (a vote never ties), images that the vote gets right."""
    with seeded("tests", "deployed"):
        nets = [nn.Sequential(nn.Flatten(), nn.Linear(36, 2)).double().requires_grad_(False) for _ in range(3)]
    smooth = MeanFilter(3, "edge")
    x = torch.rand(24, 1, 6, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return nets, smooth.wrap(defences.vote(nets)), x, by_hand(nets, smooth.apply(x))


@pytest.mark.slow
@pytest.mark.parametrize("make", [attacks.PGD, attacks.CIA])
@pytest.mark.parametrize("eps", [0.02, 0.1, 0.4])
def test_success_is_what_the_vote_answers(
    deployed: tuple[list[nn.Module], nn.Module, Tensor, Tensor], make: type, eps: float
) -> None:
    nets, guarded, x, y = deployed
    bound = threats.adaptive().bind(guarded, levels=None, limit=Linf(eps))
    result = make(Linf(eps), steps=10).run(Oracle.open(bound, x, y))
    fooled = by_hand(nets, MeanFilter(3, "edge").apply(result.adversarial)) != y
    assert torch.equal(result.success, fooled)
    assert torch.equal(judge(bound, x, result.adversarial, ResolvedGoal(y)).success, fooled)
    assert (result.backwards <= 30).all()  # three members, ten steps
    assert (result.forwards <= 30 + 10 + 1).all()  # one answer of the vote for each step and one at the end
    if eps == 0.4:
        assert fooled.all()
        assert (result.first < 30).all()  # the vote is asked after every step, so the first success is seen


@pytest.mark.slow
def test_asking_the_vote_after_every_step_finds_what_the_last_image_alone_misses(
    deployed: tuple[list[nn.Module], nn.Module, Tensor, Tensor],
) -> None:
    nets, guarded, x, y = deployed
    result = attacks.DDN(steps=30).run(Oracle.open(threats.adaptive().bind(guarded, levels=None), x, y))
    assert torch.equal(by_hand(nets, MeanFilter(3, "edge").apply(result.adversarial)) != y, result.success)
    unasked = attacks.DDN(steps=30).run(Oracle.open(BoundThreat(guarded, sources=members(guarded), levels=None), x, y))
    assert (result.distance <= unasked.distance).all()
    assert result.success.sum() > unasked.success.sum()
