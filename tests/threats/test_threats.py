"""What each threat grants, whose gradients it gives and whose verdict counts, by independent arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.core.cards import Card, Defended
from vauban.core.errors import AccessError, ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.engine import Oracle, Point, Steps, judge

GRANTS = {
    "white-box": {"gradients", "scores", "labels"},
    "adaptive": {"gradients", "scores", "labels"},
    "auto": {"gradients", "scores", "labels"},
    "scores-only": {"scores", "labels"},
    "labels-only": {"labels"},
    "gray-box": {"gradients"},
    "removed": {"gradients"},
    "transfer": {"gradients"},
    "ensemble": {"gradients"},
    "hybrid": {"gradients"},
    "keyed": {"gradients"},
    "leaked-key": {"gradients", "scores", "labels"},
    "chosen-inputs": {"gradients", "labels"},
    "leaked-activation": {"gradients", "labels"},
    "substitute": {"gradients"},
    "distilled": {"gradients"},
}


def summed(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    return logits[:, 1] - logits[:, 0]


class Net(nn.Module):
    """Logits (0, w.x - b): the image gradient of `summed` is w."""

    def __init__(self, *w: float, b: float = 0.0) -> None:
        super().__init__()
        self.w, self.b = torch.tensor(w, dtype=torch.float64), b

    def forward(self, x: Tensor) -> Tensor:
        z = x.flatten(1) @ self.w - self.b
        return torch.stack([torch.zeros_like(z), z], 1)


class Steep(nn.Module):
    """Rounds to one of three values: no useful gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 2).round() / 2


class Scaled(nn.Module):
    """x times a factor of torch's global generator."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (0.5 + torch.rand(len(x), 1, dtype=x.dtype))


class Guard(Defended):
    """inner(transform(x)), as often as asked."""

    def __init__(self, inner: nn.Module, card: Card, transform: nn.Module, times: int = 1) -> None:
        super().__init__(inner, card)
        self.transform, self.times = transform, times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.transform(x)
        return self.inner(x)


def images(n: int = 4, features: int = 3) -> Tensor:
    return torch.rand(n, features, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def zeros(n: int = 4) -> Tensor:
    return torch.zeros(n, dtype=torch.int64)


def gradient(recipe: threats.Threat, net: nn.Module, x: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    logits, (g,) = Oracle.open(recipe.bind(net, levels=None), x, zeros(len(x)), seed=seed).gradient(x, summed)
    return logits, g


STEEP = Card("steep", backward={"transform": None})
RANDOM = Card("scaled", random=True, draws=7)


class Halved:
    """A path: f(x/2)."""

    name = "halved"

    def wrap(self, module: nn.Module) -> nn.Module:
        class Half(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return x / 2

        return nn.Sequential(Half(), module)


def make(name: str) -> threats.Threat:
    params = {
        "transfer": {"sources": Net(1.0, 2.0, 3.0)},
        "ensemble": {"models": [Net(1.0, 2.0, 3.0)]},
        "hybrid": {"models": Net(1.0, 2.0, 3.0), "path": Halved()},
        "keyed": {"surrogates": Net(1.0, 2.0, 3.0)},
        "chosen-inputs": {"guess": Net(1.0, 2.0, 3.0)},
        "leaked-activation": {"guess": Net(1.0, 2.0, 3.0)},
        "substitute": {"model": "", "data": "", "trained": Net(1.0, 2.0, 3.0)},
        "distilled": {"model": "", "data": "", "trained": Net(1.0, 2.0, 3.0)},
    }
    return threats.load(name, **params.get(name, {}))


@pytest.mark.parametrize("name", sorted(GRANTS))
def test_what_is_not_granted_is_refused(name: str) -> None:
    recipe = make(name)
    told = {"hybrid": ":path=halved", "substitute": ":model=,data=", "distilled": ":model=,data="}
    assert recipe.name == name + told.get(name, "")
    assert recipe.grants == GRANTS[name]
    x = images()
    oracle = Oracle.open(recipe.bind(Guard(Net(1.0, -1.0, 0.5), STEEP, Steep()), levels=None), x, zeros())
    calls = {
        "gradients": lambda: oracle.gradient(x, summed),
        "scores": lambda: oracle.scores(x),
        "labels": lambda: oracle.labels(x),
    }
    for grant, call in calls.items():
        if grant in GRANTS[name]:
            call()
        else:
            with pytest.raises(AccessError, match=f"{recipe.name!r} does not grant {grant}"):
                call()


def test_every_threat_is_registered_and_has_a_constructor() -> None:
    assert threats.registry.names() == sorted(GRANTS)
    for entry in threats.registry:
        assert getattr(threats, entry.name.replace("-", "_")) is entry.make
        assert entry.summary


@pytest.mark.parametrize("name", sorted(GRANTS))
def test_levels_limit_and_budget_reach_the_threat(name: str) -> None:
    bound = make(name).bind(Net(1.0, 2.0, 3.0), levels=16, limit=Linf(0.1), budget=9)
    assert (bound.levels, bound.limit, bound.budget, bound.name) == (16, Linf(0.1), 9, make(name).name)


class Jump(Steps[Point]):
    """One gradient step of a given length."""

    steps = 1
    keep = "last"

    def start(self, oracle: object, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def step(self, oracle: object, state: Point, t: int) -> Point:
        _, (g,) = oracle.gradient(state.x, summed)
        return Point((state.x + 0.2 * g.sign()).clamp(0, 1))


@pytest.mark.parametrize("defence_wins", [True, False])
def test_gray_box_has_the_gradients_of_the_bare_network_and_the_verdict_of_the_defended(defence_wins: bool) -> None:
    class Minus(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -x if defence_wins else x

    inner = Net(1.0, 1.0, 1.0, b=1.5)
    net = Guard(inner, Card("minus"), Minus())
    x = torch.full((2, 3), 0.45, dtype=torch.float64)  # w.x = 1.35 < 1.5, after the step 1.95 > 1.5
    bound = threats.gray_box().bind(net, levels=None)
    assert bound.target is net
    oracle = Oracle.open(bound, x, zeros(2))
    torch.testing.assert_close(oracle.gradient(x, summed)[1][0], torch.ones_like(x))
    result = Jump().run(Oracle.open(bound, x, zeros(2)))
    torch.testing.assert_close(result.crafted, x + 0.2)
    assert (inner(result.crafted).argmax(1) == 1).all()
    assert bool(result.success.any()) is not defence_wins
    assert bool(judge(bound, x, result.crafted, ResolvedGoal(zeros(2))).success.any()) is not defence_wins


def test_gray_box_looks_below_every_defence() -> None:
    inner = Net(1.0, 2.0, 3.0)
    net = Guard(Guard(inner, STEEP, Steep()), RANDOM, Scaled())
    x = images()
    torch.testing.assert_close(gradient(threats.gray_box(), net, x)[1], inner.w.expand(4, 3))


def test_removed_has_the_gradients_of_the_defended_network_and_the_verdict_of_the_bare() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / 2

    inner = Net(1.0, 1.0, 1.0, b=1.5)
    net = Guard(inner, Card("half"), Half())
    x = torch.full((2, 3), 0.45, dtype=torch.float64)
    bound = threats.removed().bind(net, levels=None)
    assert bound.target is inner
    torch.testing.assert_close(Oracle.open(bound, x, zeros(2)).gradient(x, summed)[1][0], torch.full_like(x, 0.5))
    result = Jump().run(Oracle.open(bound, x, zeros(2)))
    assert (net(result.crafted).argmax(1) == 0).all()  # the defended network is not fooled
    assert result.success.all()  # the bare one is


def test_removed_draws_a_random_defence_from_the_seed_and_not_from_the_global_generator() -> None:
    net, x = Guard(Net(1.0, 2.0, 3.0), RANDOM, Scaled()), images()
    with seeded(1):
        _, first = gradient(threats.removed(draws=3), net, x, seed=4)
    state = torch.get_rng_state()
    with seeded(2):
        _, again = gradient(threats.removed(draws=3), net, x, seed=4)
    assert torch.equal(first, again)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first, gradient(threats.removed(draws=3), net, x, seed=5)[1])


def test_transfer_sums_the_weighted_losses_of_its_sources_and_judges_the_target() -> None:
    a, b, target = Net(1.0, 0.0, 0.0), Net(0.0, 2.0, 0.0), Net(0.0, 0.0, 1.0, b=9.0)
    x = images()
    bound = threats.transfer([a, b], [3.0, -0.5]).bind(target, levels=None)
    assert bound.target is target
    oracle = Oracle.open(bound, x, zeros())
    _, (g,) = oracle.gradient(x, summed)
    torch.testing.assert_close(g, torch.tensor([3.0, -1.0, 0.0], dtype=torch.float64).expand(4, 3))
    assert (oracle.forwards == 2).all()
    assert not Jump().run(oracle).success.any()


def test_an_ensemble_has_equal_weights_by_default() -> None:
    nets = [Net(1.0, 0.0, 0.0), Net(0.0, 2.0, 0.0), Net(0.0, 0.0, 6.0)]
    _, g = gradient(threats.ensemble(nets), nets[0], images())
    torch.testing.assert_close(g, torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64).expand(4, 3) / 3)


class Three(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3]


@pytest.mark.parametrize("make", [threats.transfer, threats.ensemble])
def test_bad_ensembles_are_refused_in_one_line(make: object) -> None:
    a, b, x = Net(1.0, 0.0, 0.0), Net(0.0, 1.0, 0.0), images()
    cases = {
        "all zero": lambda: make([a, b], [0.0, 0.0]),
        "one weight for each": lambda: make([a, b], [1.0]),
        "each a number": lambda: make([a, b], [1.0, float("nan")]),
        "Module": lambda: make([]),
        "classes": lambda: Oracle.open(make([a, Three()]).bind(a, levels=None), x, zeros()),
    }
    for message, call in cases.items():
        with pytest.raises(ContractError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_refusal_names_the_threat_the_need_and_the_attacks_that_are_allowed() -> None:
    assert threats.refusal("gradients", threats.white_box()) is None
    assert threats.refusal("nothing", threats.labels_only()) is None
    assert threats.refusal("labels", threats.scores_only()) is None
    message = threats.refusal("scores", threats.gray_box(), ["pgd", "fgsm"])
    assert message is not None
    for word in ("gray-box", "scores", "gradients", "fgsm, pgd"):
        assert word in message
    assert "\n" not in message
    assert "none" in str(threats.refusal("scores", threats.labels_only(), []))


def test_a_recipe_says_what_was_changed() -> None:
    assert threats.adaptive(eot=16).name == "adaptive:eot=16"
    assert threats.white_box(bpda={"transform": None, "inner": torch.tanh}, draws=2).name == (
        "white-box:bpda=transform+inner(tanh),draws=2"
    )
    assert threats.load("white-box", bpda="a+b").name == "white-box:bpda=a+b"
    with pytest.raises(ContractError, match="expected eot of Adaptive as a whole number of at least 1 or none, got 0"):
        threats.load("adaptive", eot=0)
