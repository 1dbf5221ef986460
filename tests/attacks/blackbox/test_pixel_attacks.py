"""Local search and the one-pixel attack on networks in which one pixel decides, and each of their parts by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban import threats
from vauban.attacks.blackbox.local_search import LocalSearch, cyclic, neighbours
from vauban.attacks.blackbox.one_pixel import OnePixel, OnePixelState, others
from vauban.attacks.parts.pixel_trials import colours, painted, worth
from vauban.core.errors import ContractError
from vauban.core.goals import Targeted
from vauban.engine import Oracle

BOTH = pytest.mark.parametrize("make", [LocalSearch, OnePixel])


class Decisive(nn.Module):
    """Class 1 where one pixel has a mean above a level; else class 0, and the nearer the less sure."""

    def __init__(self, row: int, column: int, level: float = 0.7) -> None:
        super().__init__()
        self.at, self.level, self.shown = (row, column), level, 0

    def forward(self, x: Tensor) -> Tensor:
        self.shown += len(x)
        pixel = x[:, :, self.at[0], self.at[1]].mean(1) if x.dim() == 4 else x[:, self.at[1]]
        lead = self.level - pixel
        return torch.stack([lead, -lead], 1)


class Single(Decisive):
    """As a function of vectors, the pixel `column`."""


def door(net: nn.Module, x: Tensor, levels: int | None = None, **options: Any) -> Oracle:
    bound = threats.scores_only().bind(net, levels=levels, budget=options.pop("budget", None))
    return Oracle.open(bound, x, options.pop("y", torch.zeros(len(x), dtype=torch.int64)), **options)


def dark(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)).mul(60).round() / 255


def only_pixel(result: Any, x: Tensor, row: int, column: int) -> bool:
    changed = (result.adversarial != x).any(1).nonzero()
    return bool((changed[:, 1:] == torch.tensor([row, column])).all()) and len(changed) == len(x)


@pytest.mark.parametrize("levels", [None, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_local_search_asks_about_every_pixel_of_a_small_image(channels: int, levels: int | None) -> None:
    """A round of all 30 pixels finds the one that decides, alone, in 31 queries."""
    x = dark(4, channels, 5, 6)
    result = LocalSearch().run(door(Decisive(3, 4), x, levels))
    assert result.success.all()
    assert (result.forwards == 31).all()
    assert only_pixel(result, x, 3, 4)
    assert (result.distance == channels).all()


def test_local_search_walks_to_the_pixel_that_decides() -> None:
    """Every pixel pulls the more the nearer it is to the one that decides, which only a neighbourhood reaches."""

    class Valley(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            rows, columns = torch.arange(20.0)[:, None], torch.arange(20.0)
            pull = 0.001 / (1 + (rows - 17).abs() + (columns - 16).abs())
            lead = 1 - (pull * x[:, 0]).sum((1, 2)) - 2 * (x[:, 0, 17, 16] > 0.7)
            return torch.stack([lead, -lead], 1)

    x = dark(6, 1, 20, 20)
    result = LocalSearch(candidates=16, changed=2, side=3, steps=40).run(door(Valley(), x))
    assert result.success.all()
    assert (result.forwards <= 40 * 17).all()
    blind = 400 / 16 * 17 / 2  # queries that draws without a neighbourhood need in the mean
    assert result.forwards.double().mean() < blind
    assert (result.adversarial[:, 0, 17, 16] > 0.7).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_one_pixel_finds_the_pixel_that_decides(channels: int) -> None:
    """8 of 400 members of the first population fall on it, a third of them bright enough."""
    x = dark(4, channels, 7, 7)
    result = OnePixel(steps=30).run(door(Decisive(2, 5), x, 256))
    assert result.success.all()
    assert only_pixel(result, x, 2, 5)
    assert (result.distance <= channels).all()
    assert (result.forwards <= 2 * 400).all()


def test_evolution_finds_what_the_first_population_does_not() -> None:
    """One colour in a corridor 0.02 wide, on one of four pixels, with a slope that leads there."""

    class Corridor(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            lead = (x[:, 0, 1, 1] - 0.731).abs() - 0.01
            return torch.stack([lead, -lead], 1)

    x = dark(5, 1, 2, 2)
    result = OnePixel(steps=40, population=16).run(door(Corridor(), x))
    assert result.success.all()
    assert (result.forwards > 16).any(), "generations were needed"
    assert ((result.adversarial[:, 0, 1, 1] - 0.731).abs() <= 0.0101).all()


@pytest.mark.parametrize("pixels", [1, 3])
def test_one_pixel_changes_no_more_pixels_than_it_says(pixels: int) -> None:
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            lead = 100 - x.flatten(1).sum(1)
            return torch.stack([lead, -lead], 1)

    x = dark(4, 3, 5, 5)
    oracle = door(Never(), x)
    attack = OnePixel(steps=6, pixels=pixels, population=12)
    result = attack.run(oracle)
    assert not result.success.any()
    assert ((result.crafted != x).any(1).flatten(1).sum(1) <= pixels).all()
    assert ((result.crafted - x).flatten(1).sum(1) > 0).all()  # what raises the sum is kept


def test_both_work_on_vectors() -> None:
    x = dark(3, 9)
    for attack in (LocalSearch(steps=3), OnePixel(steps=10, population=40)):
        result = attack.run(door(Single(0, 6), x))
        assert result.success.all()
        assert torch.equal((result.adversarial != x).nonzero()[:, 1], torch.full((3,), 6))


def test_queries_are_those_of_the_docstrings() -> None:
    class Deaf(Decisive):
        def forward(self, x: Tensor) -> Tensor:
            self.shown += len(x)
            return torch.tensor([1.0, 0.0]).expand(len(x), 2)

    x = dark(4, 1, 6, 6)
    cases = ((LocalSearch(5, candidates=20, lot=7), 5 * 21 + 1), (OnePixel(5, population=20, lot=7), 5 * 20 + 1))
    for attack, queries in cases:
        net = Deaf(0, 0)
        oracle = door(net, x)
        net.shown = 0
        result = attack.run(oracle)
        assert (result.forwards == queries).all()
        assert attack.passes == (queries, 0)
        assert net.shown == 4 * queries
    assert (LocalSearch(5).run(door(Deaf(0, 0), x)).forwards == 5 * 37 + 1).all()  # it has 36 pixels


@BOTH
def test_the_lot_is_a_matter_of_memory(make: Any, digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:3], digits_test[1][:3]
    few, whole = (
        make(steps=4, lot=lot, **({"population": 20} if make is OnePixel else {})).run(door(digits_cnn, x, 256, y=y))
        for lot in (7, 500)
    )
    assert torch.equal(few.crafted, whole.crafted)
    assert torch.equal(few.forwards, whole.forwards)


@BOTH
def test_targets(make: Any) -> None:
    class Three(nn.Module):
        """The class is a matter of the first two pixels of the first row; 2 needs the second."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.full_like(x[:, 0, 0, 0], 0.5), x[:, 0, 0, 0], 0.9 * x[:, 0, 0, 1]], 1)

    x = dark(4, 1, 3, 3)
    options = {"population": 60} if make is OnePixel else {"changed": 1}
    oracle = door(Three(), x, goal=Targeted(torch.tensor([2, 1, 2, 1])))
    result = make(steps=20, **options).run(oracle)
    assert result.success.all()
    assert Three()(result.adversarial).argmax(1).tolist() == [2, 1, 2, 1]


def test_the_cyclic_perturbation_by_hand() -> None:
    x = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.6, 0.9, 1.0], dtype=torch.float64)
    torch.testing.assert_close(
        cyclic(x, 1.5), torch.tensor([0.75, 0.9, 0.2, 0.5, 0.65, 0.1, 0.25], dtype=torch.float64)
    )
    every = torch.linspace(0, 1, 1001)
    for r in (1.01, 1.5, 2.0):
        assert (cyclic(every, r) >= 0).all()
        assert (cyclic(every, r) <= 1).all()


def test_neighbours_by_hand() -> None:
    near = torch.zeros(2, 4, 5, dtype=torch.bool)
    got = neighbours(near, torch.tensor([[0, 19], [7, 7]]), 1)
    first = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]])
    second = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
    assert torch.equal(got, torch.stack([first, second]).bool())


def test_painted_pixels_and_their_colours() -> None:
    x = torch.rand(2, 3, 2, 4, generator=torch.Generator().manual_seed(1))
    place = torch.tensor([[[5, 0], [2, 2]], [[7, 1], [3, 4]]])
    colour = torch.rand(2, 2, 2, 3, generator=torch.Generator().manual_seed(2))
    images = painted(x, place, colour)
    for row in range(2):
        for k in range(2):
            by_hand = x[row].clone()
            for n in range(2):  # the later of two at one place on top
                at = int(place[row, k, n])
                by_hand[:, at // 4, at % 4] = colour[row, k, n]
            assert torch.equal(images[row, k], by_hand)
    assert torch.equal(colours(x, torch.tensor([[5], [3]]), 3)[:, 0], torch.stack([x[0, :, 1, 1], x[1, :, 0, 3]]))


def test_three_others_are_others_and_equally_likely() -> None:
    n, draws = 5, 6000
    u = torch.rand(draws, n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one, two, three = others(u)
    own = torch.arange(n).expand(draws, n)
    stacked = torch.stack([own, one, two, three], 2).sort(2).values
    assert (stacked[..., 1:] != stacked[..., :-1]).all()
    seen = torch.bincount((one * 25 + two * 5 + three)[:, 0], minlength=125)
    assert int((seen > 0).sum()) == 4 * 3 * 2
    share = seen[seen > 0].double() / draws
    assert ((share - 1 / 24).abs() < 5 * (1 / 24 / draws) ** 0.5).all()


def test_a_generation_is_the_formula() -> None:
    """Children take the place of parents that are no fitter, and only of those."""
    x = dark(2, 1, 4, 4)
    oracle = door(Decisive(1, 1, level=2.0), x)
    attack = OnePixel(population=6, pixels=2)
    state: OnePixelState = attack.start(oracle)
    state = attack.step(oracle, state, 0)
    child = attack._children(oracle, state.genes, 1)
    one, two, three = others(oracle.rng.uniform("parents", (6, 3), t=1, dtype=torch.float64))
    for row in range(2):
        for k in range(6):
            g = state.genes[row]
            plain = g[one[row, k]] + 0.5 * (g[two[row, k]] - g[three[row, k]])
            inside = (plain[:, :2] >= 0) & (plain[:, :2] < 1)
            torch.testing.assert_close(child[row, k, :, :2][inside], plain[:, :2][inside])
            torch.testing.assert_close(child[row, k, :, 2:], plain[:, 2:].clamp(0, 1))
    assert (child >= 0).all()
    assert (child <= 1).all()
    new = attack.step(oracle, state, 1)
    theirs = worth(oracle, attack._images(oracle, child))
    assert torch.equal(new.value, torch.maximum(theirs, state.value))
    kept = (theirs < state.value)[:, :, None, None]
    assert torch.equal(new.genes, torch.where(kept, state.genes, child))


@BOTH
def test_other_shapes_are_refused_in_one_line(make: Any) -> None:
    class Mean(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.flatten(1).mean(1), 1 - x.flatten(1).mean(1)], 1)

    with pytest.raises(ContractError, match=r"expected images \(batch, channel, height, width\) or vectors") as refusal:
        make().run(door(Mean(), dark(2, 3, 4)))
    assert "\n" not in str(refusal.value)
