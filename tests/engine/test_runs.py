"""The loop, the combinators and the verdict, on networks whose nearest adversarial image is known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.core.errors import BudgetSpent, ContractError
from vauban.core.losses import margin
from vauban.core.norms import L1, L2, Ball, Linf
from vauban.core.rng import Stream
from vauban.core.tensors import take
from vauban.engine import Bisection, BoundThreat, Cascade, Oracle, Point, Restarts, Result, Steps, iterate, judge
from vauban.engine.result import untouched


class Brightness(nn.Module):
    """Class 1 where the mean of four components is above 1/2."""

    def forward(self, x: Tensor) -> Tensor:
        z = 4 * (x.flatten(1) - 0.5).sum(1)
        return torch.stack([torch.zeros_like(z), z], 1)


class Coin(nn.Module):
    """Class 1 with probability 0.45, whatever the image; the gradient is that of Brightness."""

    def forward(self, x: Tensor) -> Tensor:
        lucky = torch.rand(len(x)) < 0.45
        z = Brightness()(x)
        return z - z.detach() + torch.stack([torch.zeros(len(x)), torch.where(lucky, 1.0, -1.0)], 1)


X = torch.tensor([0.2, 0.3, 0.45])[:, None].expand(-1, 4).clone()
Y = torch.zeros(3, dtype=torch.int64)


def opened(net: nn.Module | None = None, x: Tensor = X, **options: Any) -> Oracle:
    return Oracle.open(
        BoundThreat(net or Brightness(), **{"levels": None, **options}), x, torch.zeros(len(x), dtype=torch.int64)
    )


@dataclass(frozen=True)
class Climb(Steps[Point]):
    """Adds `pace` to every component at each step, after one gradient."""

    steps: int = 10
    pace: float = 0.1
    ball: Ball | None = None

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
        return Point(oracle.domain.x0)

    def step(self, oracle: Oracle, state: Point, t: int) -> Point:
        oracle.gradient(state.x, margin)
        return Point(oracle.domain.project(state.x + self.pace))


@dataclass(frozen=True)
class Noise(Climb):
    """A random point of the ball at each step, one query."""

    def step(self, oracle: Oracle, state: Point, t: int) -> Point:
        x = oracle.domain.project(oracle.domain.x0 + 2 * oracle.rng.uniform("n", (4,), t) - 1)
        oracle.scores(x)
        return Point(x)


def spread(result: Result) -> list[float]:
    return [round(float(v), 3) for v in (result.adversarial - X)[:, 0]]


def test_stop_first_drops_rows_and_keeps_the_first_success() -> None:
    seen: list[tuple[int, int]] = []
    oracle = opened()
    result = iterate(Climb(), oracle, callback=lambda t, view, state: seen.append((t, len(view))))
    assert result.success.all()
    assert spread(result) == [0.4, 0.3, 0.1]  # 0.5 itself is not beyond the boundary, but 0.3 + 0.1 + 0.1 rounds above
    assert torch.equal(result.crafted, result.adversarial)
    assert result.backwards.tolist() == result.first.tolist() == [5, 4, 2]
    assert seen == [(0, 3), (1, 3), (2, 2), (3, 2), (4, 1)]


def test_stop_never_runs_to_the_end_and_keeps_what_is_asked() -> None:
    for keep, crafted in {"last": 0.8, "nearest": 0.4, "first": 0.4, "loss": 0.7}.items():
        result = iterate(Climb(steps=8), opened(), stop="never", keep=keep)
        assert result.backwards.tolist() == [8, 8, 8]
        assert result.crafted[0, 0].item() - 0.2 == pytest.approx(crafted, abs=1e-5)
        assert result.adversarial[0, 0].item() - 0.2 == pytest.approx(0.4, abs=1e-5)
        assert result.first.tolist() == [5, 4, 2]


def test_the_last_image_of_a_row_that_stopped_is_the_one_it_stopped_at() -> None:
    result = iterate(Climb(), opened(), stop="first", keep="last")
    assert torch.equal(result.crafted, result.adversarial)
    assert (result.crafted != X).all()


def test_the_closing_check_finds_what_the_loop_did_not_ask() -> None:
    result = iterate(Climb(steps=4), opened(x=X[:1]))
    assert result.success.all()
    assert (result.first.tolist(), result.forwards.tolist()) == ([4], [5])


def test_failures_are_the_original() -> None:
    result = iterate(Climb(steps=2, pace=0.04), opened())
    assert result.success.tolist() == [False, False, True]
    assert torch.equal(result.adversarial[:2], X[:2])
    assert (result.crafted[:2] != X[:2]).all()
    assert result.distance[:2].isinf().all()
    assert result.first.tolist() == [-1, -1, 2]


@pytest.mark.parametrize("keep", ["first", "nearest"])
@pytest.mark.parametrize("stop", ["first", "never"])
def test_a_spent_budget_keeps_what_was_found(stop: Any, keep: Any) -> None:
    result = iterate(Climb(), opened(budget=4), stop=stop, keep=keep)
    assert result.success.tolist() == [False, True, True]
    assert spread(result) == [0.0, 0.3, 0.1]
    assert (result.forwards <= 4).all()
    torch.testing.assert_close(result.crafted[0], X[0] + 0.4)


def test_a_spent_budget_never_turns_the_last_image_into_a_success() -> None:
    """The last iterate is nearer than the success, but nobody may ask whether it is adversarial."""

    @dataclass(frozen=True)
    class Back(Climb):
        def step(self, oracle: Oracle, state: Point, t: int) -> Point:
            oracle.gradient(oracle.domain.x0 + 0.6, margin)
            return Point(oracle.domain.x0 + 0.001)

    result = iterate(Back(steps=5), opened(budget=2), stop="never", keep="nearest")
    assert spread(result) == [0.6, 0.6, pytest.approx(0.55, abs=1e-5)]


def test_a_budget_spent_in_the_start_keeps_what_was_found() -> None:
    @dataclass(frozen=True)
    class Eager(Climb):
        def start(self, oracle: Oracle, **per_sample: Tensor) -> Point:
            for k in range(10):
                oracle.scores(oracle.domain.x0 + 0.1 * k)
            return Point(oracle.domain.x0)

    oracle = opened(budget=5)
    oracle.rows(torch.tensor([0, 1])).scores(X[:2])
    result = Eager().run(oracle)
    assert result.success.tolist() == [False, True, True]  # 0.3 + 3 * 0.1 was asked before the fifth query
    assert result.forwards.tolist() == [4, 4, 5]


def test_rows_with_budget_left_repeat_the_step_that_was_refused() -> None:
    """So that a sample takes the same steps whatever its batch mates have spent."""
    oracle = opened(budget=6)
    oracle.rows(torch.tensor([1, 2])).scores(X[1:])
    oracle.rows(torch.tensor([2])).scores(X[2:])
    together = iterate(Climb(steps=9, pace=0.01), oracle, stop="never")
    alone = iterate(Climb(steps=9, pace=0.01), opened(x=X[:1], budget=6), stop="never")
    torch.testing.assert_close(together.crafted[:1], alone.crafted)
    torch.testing.assert_close((together.crafted - X)[:, 0], torch.tensor([0.06, 0.05, 0.04]))


def test_a_randomised_target_with_a_budget_is_still_judged() -> None:
    result = iterate(Noise(ball=Linf(1.0)), opened(random=True, budget=3), stop="never")
    assert result.forwards.tolist() == [3, 3, 3]
    assert ((result.rate == 0) | (result.rate == 1)).all()
    assert torch.equal(result.rate == 1, Brightness()(result.crafted).argmax(1) == 1)


def test_lucky_draws_are_not_successes() -> None:
    """Keep-best over 40 draws would call every sample broken; the truth is 0.45."""
    x = X[:1].expand(200, -1)
    threat = BoundThreat(Coin(), levels=None, random=True)
    state = torch.get_rng_state()
    for attack in (Climb(steps=40, ball=Linf(0.3)), Restarts(Climb(steps=5, ball=Linf(0.3)), 4)):
        oracle = Oracle.open(threat, x, torch.zeros(200, dtype=torch.int64))
        result = attack.run(oracle)
        verdict = judge(threat, x, result.crafted, oracle.goal, draws=20)
        assert float(verdict.reached.mean()) == pytest.approx(0.45, abs=0.03)
        assert verdict.success.double().mean() < 0.4
        assert not result.success.all()
    assert torch.equal(torch.get_rng_state(), state)


def test_the_verdict_draws_afresh_and_repeatably() -> None:
    threat = BoundThreat(Coin(), levels=None, random=True)
    goal = Oracle.open(threat, X, Y).goal
    first, again, other = (judge(threat, X, X, goal, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.reached, again.reached)
    assert not torch.equal(first.reached, other.reached)
    assert not first.reached.eq(0).all()


def test_the_verdict_on_a_deterministic_network() -> None:
    threat = BoundThreat(Brightness(), levels=None, limit=Linf(0.3))
    goal = Oracle.open(threat, X, Y).goal
    image = torch.stack([X[0] + 0.4, X[1] + 0.25, X[2] + 0.6])
    image[1, 0] = torch.nan
    verdict = judge(threat, X, image, goal)
    assert verdict.reached.tolist() == [1, 1, 1]  # without a finite answer the network errs; the image does not count
    assert verdict.not_finite.tolist() == [0, 1, 0]
    assert verdict.admissible.tolist() == [False, False, False]
    assert not verdict.success.any()
    good = judge(threat, X, X + 0.25, goal)
    assert good.success.tolist() == [False, True, True]
    assert good.label.tolist() == [0, 1, 1]
    logit = 4 * 4 * (X[:, 0] + 0.25 - 0.5)
    torch.testing.assert_close(good.confidence, torch.sigmoid(logit.abs()))
    assert judge(threat, X, X + 0.25, goal, limit=Linf(0.1)).success.tolist() == [False, False, False]


def test_transfer_is_decided_by_the_target_alone() -> None:
    source = nn.Linear(4, 2)
    result = iterate(Climb(steps=10), opened(sources=((source, 1.0),), grants=frozenset({"gradients"})))
    assert result.forwards.tolist() == result.backwards.tolist() == [10, 10, 10]
    assert torch.equal(result.success, Brightness()(result.crafted).argmax(1) == 1)


# ---- combinators -------------------------------------------------------------------------------------------------


def test_restarts_repeat_what_still_stands_with_other_numbers() -> None:
    one = Noise(steps=1, ball=Linf(1.0)).run(opened())
    many = Restarts(Noise(steps=1, ball=Linf(1.0)), 30).run(opened())
    assert many.success.all()
    assert not one.success.all()
    assert torch.equal(many.adversarial[one.success], one.adversarial[one.success])
    assert (many.forwards[one.success] <= one.forwards[one.success]).all()
    assert (many.forwards[~one.success] > one.forwards[~one.success]).all()


def test_restarts_for_the_nearest_image() -> None:
    noise = Noise(steps=20, ball=Linf(1.0))
    single = [iterate(noise, opened().fresh(r) if r else opened()).distance for r in range(5)]
    nearest = Restarts(noise, 5, want="nearest").run(opened())
    torch.testing.assert_close(nearest.distance, torch.stack(single).amin(0))


def test_restarts_of_an_attack_with_one_radius_per_sample() -> None:
    radius = torch.tensor([1.0, 0.01, 0.6])
    oracle = opened()
    result = Restarts(Noise(steps=2, ball=Linf(radius)), 20).run(oracle)
    assert result.success.tolist() == [True, False, True]
    assert Linf(radius).bind(X).contains(result.crafted, X).all()


def test_cascade_adds_costs_and_keeps_the_first_success() -> None:
    weak, strong = Climb(steps=2), Climb(steps=8)
    result = Cascade((weak, strong)).run(opened())
    assert result.success.all()
    assert result.backwards.tolist() == [2 + 5, 2 + 4, 2]
    assert result.first.tolist() == [2 + 5, 2 + 4, 2]
    assert spread(result) == [0.4, 0.3, 0.1]


def test_cascade_for_the_nearest_runs_everything() -> None:
    result = Cascade((Climb(steps=8, pace=0.2), Climb(steps=20, pace=0.03)), want="nearest").run(opened())
    assert spread(result) == [0.33, 0.21, 0.06]
    assert result.first[0] == 3  # seen first by the coarse attack


@pytest.mark.parametrize(
    "make",
    [
        lambda: Restarts(Climb(), 0),
        lambda: Cascade(()),
        lambda: Bisection(Climb(), "eps", -1.0),
        lambda: Cascade((Climb(ball=Linf(0.1)), Climb(ball=L1(0.1))), want="nearest"),
    ],
)
def test_combinators_that_make_no_sense(make: Callable[[], Any]) -> None:
    with pytest.raises(ContractError):
        make()


def test_search_of_a_knob_needs_a_ball_for_eps() -> None:
    with pytest.raises(ContractError, match="inside a ball"):
        Bisection(Climb(), "eps", 0.1).run(opened())


def test_search_of_a_knob_nobody_takes_is_refused() -> None:
    with pytest.raises(ContractError, match="parameter that Climb takes"):
        Bisection(Climb(), "c", 0.1).run(opened())


def bisection(needed: float, start: float, rounds: int, growth: float) -> float:
    """The smallest value that succeeded, by the textbook loop in Python floats."""
    value, low, high = start, 0.0, float("inf")
    for _ in range(rounds):
        low, high = (low, value) if value > needed else (value, high)
        value = low * growth if high == float("inf") else (low + high) / 2
    return high


@pytest.mark.parametrize(("start", "rounds", "growth"), [(0.01, 9, 10.0), (0.5, 6, 2.0), (0.001, 4, 2.0)])
def test_search_is_a_bisection_per_sample(start: float, rounds: int, growth: float) -> None:
    search = Bisection(Climb(steps=3, pace=1.0, ball=Linf(0.0)), "eps", start, rounds, growth)
    result = search.run(opened(x=X.double()))
    for i, needed in enumerate([0.3, 0.2, 0.05]):
        want = bisection(needed, start, rounds, growth)
        assert bool(result.success[i]) == (want < float("inf"))
        if want < float("inf"):
            moved = (result.adversarial - X.double())[i, 0].item()
            assert moved == pytest.approx(min(want, 1 - X[i, 0].item()), abs=1e-6)


# ---- results -----------------------------------------------------------------------------------------------------


def result_of(rate: list[float], first: list[int], cost: int) -> Result:
    n = len(rate)
    image = torch.full((n, 2), float(cost))
    whole = torch.full((n,), cost)
    return Result(
        image, image, torch.tensor(rate).double(), torch.full((n,), 1.0 * cost), whole, whole, torch.tensor(first)
    )


def test_choose_and_spread() -> None:
    a, b = result_of([1, 0, 0, 1], [2, -1, -1, 3], 5), result_of([1, 1, 0, 1], [1, 4, -1, 2], 7)
    better = torch.tensor([True, True, False, False])
    both = a.choose(b, better)
    assert both.crafted[:, 0].tolist() == both.distance.tolist() == [7, 7, 5, 5]
    assert both.forwards.tolist() == [12] * 4
    assert both.first.tolist() == [2, 5 + 4, -1, 3]
    index = torch.tensor([3, 1])
    put = a.spread(index, b.at(index))
    assert put.crafted[:, 0].tolist() == [5, 7, 5, 7]
    assert a.crafted[:, 0].tolist() == [5] * 4
    nothing = untouched(X)
    assert not nothing.success.any()
    assert nothing.distance.isinf().all()


def test_budget_signal_is_an_error_elsewhere() -> None:
    oracle = opened(budget=1)
    oracle.scores(X)
    with pytest.raises(BudgetSpent, match="budget 1"):
        oracle.scores(X)


def test_states_follow_their_rows() -> None:
    ids = torch.arange(3)
    point = take(Point(Stream(0, ids).uniform("a", (2,))), torch.tensor([2]))
    assert torch.equal(point.x, Stream(0, ids[2:]).uniform("a", (2,)))
    assert Climb(ball=L2(1.0)).norm is L2
