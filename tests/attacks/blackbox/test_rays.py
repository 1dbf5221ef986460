"""RayS against the closed form of a linear model, its queries, its order of blocks, budgets and batch mates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.attacks.blackbox.rays import RayS
from vauban.core.goals import Targeted
from vauban.core.norms import Linf
from vauban.engine import Oracle


class Border(nn.Module):
    """Class 1 where w.x > b; it keeps the images it was shown."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.w = torch.randn(features, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        self.b = float(self.w.sum()) / 2
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        z = x.flatten(1) @ self.w - self.b
        return torch.stack([-z, z], 1)

    def exact(self, x: Tensor) -> Tensor:
        """Linf distance from the border."""
        return (x.flatten(1) @ self.w - self.b).abs() / self.w.abs().sum()


def images(n: int, *shape: int) -> Tensor:
    x = 0.3 + 0.4 * torch.rand(n, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (x * 255).round() / 255


def door(net: Border, x: Tensor, y: Tensor | None = None, **options: Any) -> Oracle:
    y = net(x).argmax(1) if y is None else y
    bound = threats.labels_only().bind(net, levels=options.pop("levels", None), budget=options.pop("budget", None))
    oracle = Oracle.open(bound, x, y, **options)
    net.seen.clear()
    return oracle


@pytest.mark.parametrize("shape", [(3, 4, 4), (48,), (1,), (1, 5, 7)])
def test_reaches_the_nearest_point_of_a_border_to_its_tolerance(shape: tuple[int, ...]) -> None:
    """Every sign can be settled on its own, so a pass over the single components ends at the best direction."""
    features = int(torch.tensor(shape).prod())
    net, x = Border(features), images(6, *shape)
    result = RayS(steps=1200, tolerance=1e-4).run(door(net, x))
    assert result.success.all()
    assert (result.distance >= net.exact(x) - 1e-12).all()
    assert (result.distance <= net.exact(x) + 1e-4).all()


def test_a_finer_level_is_never_worse_and_the_first_is_far() -> None:
    net, x = Border(48), images(6, 3, 4, 4)
    sizes = [RayS(steps=steps).run(door(net, x)).distance for steps in (40, 150, 600)]
    assert (sizes[1] <= sizes[0]).all()
    assert (sizes[2] <= sizes[1]).all()
    assert sizes[2].mean() < 0.7 * sizes[0].mean()


def test_blocks_are_turned_in_the_order_of_the_paper() -> None:
    """A network that never gives way: all up, all turned, the halves, the quarters, ... of six components."""

    class Stubborn(Border):
        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(x)
            return torch.tensor([[1.0, 0.0]], dtype=x.dtype).expand(len(x), 2)

    net, x = Stubborn(6), images(1, 6)
    oracle = door(net, x)
    RayS(steps=20).run(oracle)
    shown = ["".join("+" if v else "-" for v in image[0] > 0.5) for image in net.seen[1:-1]]
    halves, thirds = ["---+++", "+++---"], ["--++++", "++--++", "++++--"]
    single = ["-+++++", "+-++++", "++-+++", "+++-++", "++++-+", "+++++-"]
    assert shown[:13] == ["++++++", "------", *halves, *thirds, *single]
    assert shown[13:] == single  # and so on
    assert torch.equal(net.seen[0], x)


def test_one_query_a_step_for_every_sample_until_the_end() -> None:
    net, x = Border(12), images(4, 3, 2, 2)
    result = RayS(steps=90).run(door(net, x))
    assert [len(image) for image in net.seen] == [4] * 91
    assert (result.forwards == 91).all()
    assert RayS(steps=90).passes == (91, 0)


def test_originals_that_are_wrong_cost_two_queries() -> None:
    net, x = Border(12), images(4, 3, 2, 2)
    y = net(x).argmax(1)
    y[2] = 1 - y[2]
    result = RayS(steps=60).run(door(net, x, y))
    assert float(result.distance[2]) == 0
    assert result.forwards.tolist() == [61, 61, 2, 61]
    assert (result.distance[[0, 1, 3]] > 0).all()


@pytest.mark.parametrize("budget", [1, 30, 200])
def test_a_budget_is_never_passed(budget: int) -> None:
    net, x = Border(48), images(4, 3, 4, 4)
    result = RayS(steps=400).run(door(net, x, budget=budget))
    assert (result.forwards <= budget).all()
    assert bool(result.success.all()) == (budget >= 30)
    if budget == 200:
        assert (result.distance < RayS(steps=400).run(door(net, x, budget=30)).distance).all()


def test_a_sample_searches_alike_in_a_batch_and_alone() -> None:
    net, x = Border(18), images(6, 2, 3, 3)
    whole = RayS(steps=120).run(door(net, x))
    for k in range(6):
        alone = RayS(steps=120).run(door(net, x[k : k + 1]))
        assert torch.equal(alone.adversarial[0], whole.adversarial[k])


def test_rounded_images_are_adversarial_and_within_two_levels() -> None:
    net, x = Border(48), images(6, 3, 4, 4)
    result = RayS(steps=800).run(door(net, x, levels=256))
    assert result.success.all()
    assert (net(result.adversarial).argmax(1) != net(x).argmax(1)).all()
    assert (result.distance <= net.exact(x) + 2 / 255).all()
    torch.testing.assert_close(Linf.size(result.adversarial - x), result.distance)


def test_a_target_on_the_way_is_reached() -> None:
    net, x = Border(12), images(4, 12)
    y = net(x).argmax(1)
    result = RayS(steps=400).run(door(net, x, y, goal=Targeted(1 - y)))
    assert result.success.all()
    assert (result.distance <= net.exact(x) + 0.002).all()
