"""The oracle: counts, limits, rounding and records."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban.core.errors import AccessError, BudgetSpent, ContractError
from vauban.core.goals import LeastLikely, RandomWrong, Targeted
from vauban.core.losses import auto, cross_entropy, margin
from vauban.core.norms import L2, Linf
from vauban.core.pixel_grid import on_grid
from vauban.core.rng import Stream
from vauban.engine import BoundThreat, Oracle


class Brightness(nn.Module):
    """Two classes of vectors: class 1 where the mean is above 1/2; logits (0, 4 (sum - n/2))."""

    def forward(self, x: Tensor) -> Tensor:
        z = 4 * (x.flatten(1) - 0.5).sum(1)
        return torch.stack([torch.zeros_like(z), z], 1)


NET = Brightness()


def level(*values: float) -> Tensor:
    """Vectors of four equal components."""
    return torch.tensor(values)[:, None].expand(-1, 4).clone()


def opened(x: Tensor, y: Tensor | None = None, net: nn.Module = NET, **options: object) -> Oracle:
    goal = {k: options.pop(k) for k in ("goal", "mask", "ids") if k in options}
    y = torch.zeros(len(x), dtype=torch.int64) if y is None else y
    return Oracle.open(BoundThreat(net, **{"levels": None, **options}), x, y, **goal).recording("nearest", L2)


X = level(0.2, 0.3, 0.4)


def test_counts_per_sample() -> None:
    oracle = opened(X)
    oracle.scores(X)
    part = oracle.rows(torch.tensor([2, 0]))
    part.gradient(part.domain.x0, cross_entropy, margin)
    part.rows(torch.tensor([True, False])).jacobian(X[2:], torch.tensor([[0, 1]]))
    oracle.repeat(3).labels(X.repeat_interleave(3, 0))
    assert oracle.pass_count.forwards.tolist() == [1 + 1 + 3, 1 + 3, 1 + 1 + 1 + 3]
    assert oracle.pass_count.backwards.tolist() == [2, 0, 2 + 2]
    assert part.forwards.tolist() == [6, 5]


def test_draws_and_sources_are_counted() -> None:
    other = nn.Sequential(nn.Linear(4, 2))
    oracle = opened(X, sources=((NET, 1.0), (other, 0.5)), draws=3)
    oracle.gradient(X, margin)
    assert oracle.pass_count.forwards.tolist() == oracle.pass_count.backwards.tolist() == [6, 6, 6]
    assert not oracle.succeeded.any()


def test_weighted_sources() -> None:
    other = nn.Linear(4, 2).requires_grad_(False)
    oracle = opened(X, sources=((NET, 2.0), (other, 0.5)))
    logits, (g,) = oracle.gradient(X, margin)
    torch.testing.assert_close(logits, (NET(X) + other(X)) / 2)
    torch.testing.assert_close(g, 2 * torch.full_like(X, 4.0) + 0.5 * (other.weight[1] - other.weight[0]).expand_as(X))


def test_gradients_belong_to_their_sample_and_pass_rounding() -> None:
    x = torch.tensor([[0.0, 1.0, 51 / 255, 0.2]])
    oracle = opened(x, levels=256)
    shown, (g,) = oracle.gradient(x + 0.3 / 255, margin)
    assert torch.equal(g, torch.full_like(x, 4.0))
    assert torch.equal(shown, NET(x))
    _, j = oracle.jacobian(x, torch.tensor([[1, 0]]))
    assert torch.equal(j, torch.stack([torch.full((1, 4), 4.0), torch.zeros(1, 4)], 1))


def test_records_the_nearest_reached_image_inside_the_ball() -> None:
    oracle = opened(X).confined(L2(0.7)).recording("nearest", L2)
    for step in (0.9, 0.35, 0.1, 0.22):
        oracle.scores(X + step)
    # 0.9 is outside the ball; from 0.2 nothing inside succeeds but 0.35, from 0.4 the nearest is 0.22
    assert oracle.succeeded.tolist() == [True, True, True]
    torch.testing.assert_close(oracle.distance, torch.tensor([0.7, 0.44, 0.44]))
    torch.testing.assert_close(oracle.best, X + torch.tensor([0.35, 0.22, 0.22])[:, None])


def test_records_the_first() -> None:
    oracle = opened(X).recording("first", L2)
    for step in (0.05, 0.4, 0.35):
        oracle.gradient(X + step, margin)
    torch.testing.assert_close(oracle.best, X + 0.4)
    assert oracle.best_so_far.cost.tolist() == [2, 2, 2]


def test_repeated_rows_record_the_nearest_copy() -> None:
    oracle = opened(X)
    steps = torch.tensor([0.1, 0.5, 0.4, 0.45]).repeat(3)[:, None]
    oracle.repeat(4).scores(X.repeat_interleave(4, 0) + steps)
    torch.testing.assert_close(oracle.best, X + torch.tensor([0.4, 0.4, 0.4])[:, None])


def test_repeated_rows_rank_their_highest_loss() -> None:
    oracle = opened(X).confined(L2(0.9)).recording("loss", L2)
    steps = torch.tensor([0.1, 0.3, 0.2, 0.46]).repeat(3)[:, None]  # the last is outside the ball
    oracle.repeat(4).gradient(X.repeat_interleave(4, 0) + steps, margin)
    torch.testing.assert_close(oracle.best_so_far.top, X + 0.3)
    oracle.gradient(X + 0.2, margin)
    torch.testing.assert_close(oracle.best_so_far.top, X + 0.3)


def test_masks() -> None:
    mask = torch.tensor([True, True, False, False])
    oracle = opened(X, mask=mask)
    _, (g,) = oracle.gradient(X + 0.5, margin)
    assert torch.equal(g, torch.tensor([4.0, 4, 0, 0]).expand(3, 4))
    assert torch.equal(oracle.domain.project(X + 0.1)[:, 2:], X[:, 2:])
    assert torch.equal(oracle.scores(X + 0.5), NET(torch.cat([(X + 0.5)[:, :2], X[:, 2:]], 1)))
    with pytest.raises(ContractError, match="mask that broadcasts"):
        opened(X, mask=torch.ones(3))


def test_grants_and_budget() -> None:
    oracle = opened(X, grants=frozenset({"labels"}), budget=3)
    assert oracle.labels(X).tolist() == [0, 0, 0]
    for forbidden in (lambda: oracle.scores(X), lambda: oracle.gradient(X, margin)):
        with pytest.raises(AccessError, match="grants labels"):
            forbidden()
    with pytest.raises(BudgetSpent):
        oracle.repeat(3).labels(X.repeat_interleave(3, 0))
    oracle.repeat(2).labels(X.repeat_interleave(2, 0))
    assert oracle.forwards.tolist() == [3, 3, 3]
    with pytest.raises(BudgetSpent):
        oracle.rows(torch.tensor([1])).labels(X[:1])
    assert oracle.forwards.tolist() == [3, 3, 3]


def test_a_closing_check_beyond_the_budget_claims_nothing() -> None:
    oracle = opened(X, budget=1)
    oracle.rows(torch.tensor([0, 1])).scores(X[:2] + 0.4)
    assert oracle.check(X + 0.4).tolist() == [0, 0, 1]
    assert oracle.forwards.tolist() == [1, 1, 1]


def test_a_larger_ball_than_the_limit_is_refused() -> None:
    oracle = opened(X, limit=Linf(0.1))
    with pytest.raises(AccessError, match=r"linf:0.2 is larger than the threat's limit linf:0.1"):
        oracle.confined(Linf(0.2))
    oracle.confined(Linf(0.1)).scores(X + 0.05)
    wide = oracle.confined(L2(9.0)).recording("first", L2)
    wide.scores(X + 0.4)
    assert not wide.succeeded.any()  # inside its own ball, outside the limit


def test_radii_per_sample_follow_the_rows_of_the_opened_batch() -> None:
    radius = torch.tensor([0.1, 0.2, 0.3])
    oracle = opened(X)
    part = oracle.rows(torch.tensor([2, 0]))
    assert part.confined(Linf(radius)).domain.ball.radius.tolist() == pytest.approx([0.3, 0.1])
    assert part.confined(Linf(radius), torch.tensor([0.5, 0.6])).domain.ball.radius.tolist() == pytest.approx(
        [0.5, 0.6]
    )
    whole = oracle.confined(Linf(radius))
    assert torch.equal(whole.rows(torch.tensor([1])).domain.project(X[1:2] + 1), X[1:2] + 0.2)


def test_snap_stays_in_the_ball_and_on_the_grid() -> None:
    x = (Stream(0, torch.arange(3)).uniform("x", (4,)) * 255).round() / 255
    oracle = opened(x, levels=256).confined(Linf(0.3))
    q = oracle.domain.quantise(oracle.domain.project(x + 1))
    assert on_grid(q, 256)
    assert oracle.domain.ball.contains(q, x).all()
    with pytest.raises(ContractError, match="256 pixel levels"):
        opened(x + 0.4 / 255 * (x < 0.5), levels=256)


def test_switches_and_vanished_gradients_are_counted() -> None:
    oracle = opened(level(0.0, 0.45, 0.499))
    oracle.gradient(level(0.0, 0.0, 0.499), auto)
    assert oracle.pass_count.switches.tolist() == [0, 0, 0]  # 8 logits apart is not saturated
    steep = nn.Sequential(NET, nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        steep[1].weight.copy_(torch.eye(2) * 1000)
    oracle = opened(level(0.0, 0.45, 0.5), net=steep)
    _, (g,) = oracle.gradient(level(0.0, 0.45, 0.5), auto)
    assert oracle.pass_count.switches.tolist() == [1, 1, 0]
    assert (g.abs().amax(1) > 1).all()
    oracle.gradient(level(0.0, 0.45, 0.5), cross_entropy)
    assert oracle.pass_count.vanished.tolist() == [1, 1, 0]


def test_goals_are_resolved_and_counted_once() -> None:
    assert opened(X, goal=LeastLikely()).forwards.tolist() == [1, 1, 1]
    oracle = opened(X, goal=RandomWrong())
    assert oracle.forwards.tolist() == [0, 0, 0]
    assert oracle.goal.target.tolist() == [1, 1, 1]
    assert oracle.reached(X + 0.4).all()
    assert not opened(X, goal=Targeted(0)).reached(X + 0.4).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": torch.tensor([0, 1, 2])}, "model with 2 classes"),
        ({"ids": torch.arange(2)}, "3 sample ids"),
        ({"ids": torch.arange(3).int()}, "3 sample ids"),
        ({"net": nn.Linear(5, 2)}, "float32 images of shape .1, 4., but it failed"),
        ({"net": nn.Linear(4, 1)}, "classes >= 2"),
        ({"sources": ((nn.Linear(4, 3), 1.0),)}, "2 classes"),
        ({"sources": ((NET, 0.0),)}, "weight other than zero"),
        ({"grants": frozenset({"logits"})}, "grants among"),
        ({"draws": 0}, "draws of BoundThreat as a whole number of at least 1"),
        ({"backward": {nn.Linear(1, 1): None}}, "which is not"),
    ],
)
def test_what_the_door_refuses(change: dict, words: str) -> None:
    with pytest.raises(ContractError, match=words) as caught:
        opened(X, **change)
    assert "\n" not in str(caught.value)


def test_a_model_that_writes_into_its_input_is_refused_and_the_input_kept() -> None:
    class Rude(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return NET(x.sub_(0.1))

    x = X.clone()
    with pytest.raises(ContractError, match="in place"):
        opened(x, net=Rude())
    assert torch.equal(x, X)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_without_a_path_to_the_image_is_refused(frozen: bool) -> None:
    class Votes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1), requires_grad=not frozen)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.one_hot(NET(x).argmax(1), 2).to(x.dtype) * self.scale

    with pytest.raises(ContractError, match="backward rule"):
        opened(X, net=Votes()).gradient(X, margin)
    assert opened(X, net=Votes()).labels(X + 0.4).tolist() == [1, 1, 1]


def test_images_that_require_grad_leave_no_graph() -> None:
    x = X.clone().requires_grad_(True)
    oracle = opened(x)
    assert not oracle.domain.x0.requires_grad
    assert not oracle.domain.project(oracle.domain.x0 + 1).requires_grad


def test_a_fresh_view_draws_other_numbers_and_rows_keep_theirs() -> None:
    oracle = opened(X, ids=torch.tensor([7, 8, 9]))
    draw = oracle.rng.uniform("a", (2,))
    assert not torch.equal(oracle.fresh(1).rng.uniform("a", (2,)), draw)
    assert torch.equal(oracle.rows(torch.tensor([2])).rng.uniform("a", (2,)), draw[2:])
