"""Boundary attack against the closed form of a linear model, its query count, step sizes, budgets and batch mates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.attacks.blackbox.boundary import BoundaryAttack, BoundaryState
from vauban.core.errors import ContractError
from vauban.core.goals import Targeted
from vauban.core.norms import L2
from vauban.engine import Oracle


class Side(nn.Module):
    """Class 1 where w.x > b; it counts the images it was shown."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.w = torch.randn(features, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        self.b, self.shown = float(self.w.sum()) / 2, 0

    def forward(self, x: Tensor) -> Tensor:
        self.shown += len(x)
        z = x.flatten(1) @ self.w - self.b
        return torch.stack([-z, z], 1)

    def exact(self, x: Tensor) -> Tensor:
        """L2 distance from the border."""
        return (x.flatten(1) @ self.w - self.b).abs() / self.w.norm()


def images(n: int, *shape: int) -> Tensor:
    x = 0.3 + 0.4 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (x * 255).round() / 255


def door(net: nn.Module, x: Tensor, y: Tensor | None = None, **options: Any) -> Oracle:
    y = net(x).argmax(1) if y is None else y
    bound = threats.labels_only().bind(net, levels=options.pop("levels", None), budget=options.pop("budget", None))
    return Oracle.open(bound, x, y, **options)


@pytest.mark.parametrize("shape", [(3, 4, 4), (48,)])
def test_close_to_the_nearest_point_of_a_border(shape: tuple[int, ...]) -> None:
    """Within 10 % after 1000 steps, in at most 1000 + 200 queries and those of the start."""
    net, x = Side(48), images(6, *shape)
    result = BoundaryAttack(steps=1000).run(door(net, x))
    assert result.success.all()
    ratio = result.distance / net.exact(x)
    assert (ratio >= 1 - 1e-9).all()
    assert (ratio <= 1.1).all()
    assert (result.forwards <= 1000 + 200 + 30).all()


def test_points_of_the_sphere_are_at_their_distances() -> None:
    net, x0 = Side(48), images(4, 3, 4, 4)
    oracle = door(net, x0)
    x = x0 + torch.randn(x0.shape, generator=torch.Generator().manual_seed(9), dtype=x0.dtype)
    one = torch.ones(4, dtype=x0.dtype)
    state = BoundaryState(x, one > 0, 0.3 * one, 0.1 * one, 0 * one, 0 * one)
    around = BoundaryAttack()._around(oracle, state, 7)
    radius = L2.size(x - x0)
    torch.testing.assert_close(L2.size(around - x0), radius)
    cosine = ((around - x0) * (x - x0)).sum((1, 2, 3)) / radius**2
    torch.testing.assert_close(cosine, (1 / (one + 0.3**2)).sqrt())  # tan of the angle is delta


def test_steps_grow_and_shrink_with_the_answers() -> None:
    attack = BoundaryAttack(window=10, every=1)
    one = torch.ones(5, dtype=torch.float64)
    sphere, inward = torch.tensor([[6.0, 5, 2, 1, 6], [3, 2, 1, 0, 0]], dtype=torch.float64)
    state = BoundaryState(one[:, None], one > 0, 0.1 * one, 0.1 * one, sphere, inward)
    new = attack._adapted(state, one > 0, 10)
    f = 1.5
    torch.testing.assert_close(new.delta, 0.1 * torch.tensor([f, 1, 1, 1 / f, f], dtype=torch.float64))
    torch.testing.assert_close(new.epsilon, 0.1 * torch.tensor([f * f, 1, 1, 1 / f / f, 1], dtype=torch.float64))
    assert not new.sphere.any()
    assert not new.inward.any()
    unfinished = attack._adapted(state, one > 0, 9)
    assert torch.equal(unfinished.delta, state.delta)
    assert torch.equal(unfinished.sphere, sphere)


def test_every_query_is_counted_for_its_sample() -> None:
    net, x = Side(12), images(4, 3, 2, 2)
    oracle = door(net, x)
    net.shown = 0
    attack = BoundaryAttack(steps=41, every=4)
    result = attack.run(oracle)
    assert int(result.forwards.sum()) == net.shown
    assert (result.backwards == 0).all()
    walk = 40 + 10 + 1  # the steps, the sphere, the closing check
    start = 1 + 21  # the original and the bisection; at least one image of noise is tried
    assert (result.forwards > walk + 1).all()
    assert (result.forwards <= walk + start + 100).all()
    assert attack.passes == (walk + start + 100, 0)


@pytest.mark.parametrize("budget", [1, 30, 200, 701])
def test_a_budget_is_never_passed_and_the_nearest_image_is_kept(budget: int) -> None:
    net, x = Side(48), images(4, 3, 4, 4)
    result = BoundaryAttack(steps=2000).run(door(net, x, budget=budget))
    assert (result.forwards <= budget).all()
    assert bool(result.success.all()) == (budget >= 30)
    if budget >= 200:
        assert (result.forwards >= budget - 2).all()
        shorter = BoundaryAttack(steps=2000).run(door(net, x, budget=30))
        assert (result.distance < shorter.distance).all()


def test_a_sample_walks_alike_in_a_batch_and_alone() -> None:
    net, x = Side(18), images(6, 2, 3, 3)
    ids = torch.arange(70, 76)
    attack = BoundaryAttack(steps=60)
    whole = attack.run(door(net, x, ids=ids))
    for k in range(6):
        alone = attack.run(door(net, x[k : k + 1], ids=ids[k : k + 1]))
        torch.testing.assert_close(alone.adversarial[0], whole.adversarial[k], atol=1e-9, rtol=0)
        assert int(alone.forwards) == int(whole.forwards[k])


def test_a_sample_that_has_arrived_asks_no_more() -> None:
    net, x = Side(2), images(3, 2)
    result = BoundaryAttack(steps=3000, window=4, every=1).run(door(net, x))
    assert (result.forwards < 5000).all()
    torch.testing.assert_close(result.distance, net.exact(x), rtol=1e-3, atol=0)


def test_rounded_images_are_adversarial(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:6], digits_test[1][:6]
    result = BoundaryAttack(steps=300).run(door(digits_cnn, x, y, levels=256))
    start = BoundaryAttack(steps=1).run(door(digits_cnn, x, y, levels=256))
    assert result.success.all()
    assert (digits_cnn(result.adversarial).argmax(1) != y).all()
    torch.testing.assert_close(result.adversarial * 255, (result.adversarial * 255).round())
    assert ((result.distance < start.distance) | (start.distance == 0)).all()
    assert (result.distance[start.distance > 0].mean()) < 0.8 * start.distance[start.distance > 0].mean()


def test_targets_need_starts_and_reach_them(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:4], digits_test[1][:4]
    target = (y + 3) % 10
    oracle = door(digits_cnn, x, y, levels=256, goal=Targeted(target))
    with pytest.raises(ContractError, match="a targeted boundary needs images of the target classes"):
        BoundaryAttack().run(oracle)
    result = BoundaryAttack(steps=50, starts=digits_test[0][100:160]).run(oracle)
    assert result.success.all()
    assert (digits_cnn(result.adversarial).argmax(1) == target).all()


def test_an_original_that_is_wrong_already_costs_two_questions() -> None:
    net, x = Side(12), images(4, 3, 2, 2)
    y = net(x).argmax(1)
    y[1] = 1 - y[1]
    result = BoundaryAttack(steps=20).run(door(net, x, y))
    assert result.success.all()
    assert float(result.distance[1]) == 0
    assert int(result.forwards[1]) == 2
