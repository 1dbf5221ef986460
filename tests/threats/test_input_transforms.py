"""Input diversity and the translation-invariant gradient, against scipy and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from vauban import threats
from vauban.core.cards import bare, carded
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import cross_entropy
from vauban.core.rng import seeded
from vauban.engine import Oracle
from vauban.threats import Diverse, Translated


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with seeded("tests", "decorators"):
        net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 7 * 6, 4))
    return net.double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(3, 2, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


Y = torch.tensor([0, 1, 2])


def asked(source: nn.Module, target: nn.Module, x: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    oracle = Oracle.open(threats.transfer(source).bind(target, levels=None), x, Y, seed=seed)
    logits, (g,) = oracle.gradient(x, cross_entropy)
    return logits, g


@pytest.mark.parametrize(("size", "sigma"), [(1, 1.0), (3, 0.7), (7, 3.0)])
def test_the_translated_gradient_is_the_correlation_of_the_gradient(
    net: nn.Module, x: Tensor, size: int, sigma: float
) -> None:
    leaf = x.clone().requires_grad_(True)
    plain = torch.autograd.grad(cross_entropy(net(leaf), ResolvedGoal(Y)).sum(), leaf)[0].numpy()
    half = size // 2
    kernel = np.array(
        [[math.exp(-(i * i + j * j) / (2 * sigma**2)) for j in range(-half, half + 1)] for i in range(-half, half + 1)]
    )
    want = ndimage.correlate(plain, (kernel / kernel.sum())[None, None], mode="constant")
    logits, g = asked(Translated(size, sigma).wrap(net), net, x)
    np.testing.assert_allclose(g.numpy(), want, atol=1e-12)
    assert torch.equal(logits, net(x))


def test_the_translated_network_answers_as_the_network_does(net: nn.Module, x: Tensor) -> None:
    wrapped = Translated().wrap(net)
    assert torch.equal(wrapped(x), net(x))
    assert torch.equal(wrapped(x.clone().requires_grad_(True)), net(x))
    assert bare(wrapped) is net
    assert not wrapped.training


def blank(x: Tensor) -> list[int]:
    """Rows above and below, columns left and right of what is not zero, of a positive image."""
    rows, columns = x[0, 0].amax(1).nonzero(), x[0, 0].amax(0).nonzero()
    height, width = x.shape[2:]
    return [int(rows[0]), height - 1 - int(rows[-1]), int(columns[0]), width - 1 - int(columns[-1])]


def test_diverse_images_are_shrunk_and_put_back_anywhere() -> None:
    x = torch.full((2, 1, 20, 10), 0.5)
    sizes, places = set(), set()
    with seeded("tests", "diverse"):
        for _ in range(400):
            out = Diverse(0.8, 1.0)(x)
            assert out.shape == x.shape
            assert torch.equal(out[0], out[1])  # one draw for the whole batch
            above, below, left, right = blank(out)
            h, w = 20 - above - below, 10 - left - right
            assert w == round(10 * h / 20)
            torch.testing.assert_close(out[0, 0, above : above + h, left : left + w], torch.full((h, w), 0.5))
            sizes.add(h)
            if h == 16:
                places.add(above)
    assert sizes == {16, 17, 18, 19, 20}
    assert places == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(("p", "share"), [(0.0, 0.0), (0.3, 0.3), (1.0, 1.0)])
def test_diverse_leaves_images_alone_with_probability_one_minus_p(p: float, share: float) -> None:
    x = torch.full((1, 1, 50, 50), 0.5)
    with seeded("tests", "p"):
        changed = np.mean([not torch.equal(Diverse(0.5, p)(x), x) for _ in range(500)])
    assert changed == pytest.approx(share, abs=5 * math.sqrt(p * (1 - p) / 500) + 0.04 * (p > 0))


def test_a_diverse_source_is_drawn_from_the_seed_and_not_from_the_global_generator(net: nn.Module, x: Tensor) -> None:
    source = Diverse(0.6, 1.0).wrap(net)
    ((_, card),) = carded(source)
    assert card.random
    state = torch.get_rng_state()
    one, same, other = (asked(source, net, x, seed)[1] for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_decorators_stack_and_name_every_parameter(net: nn.Module, x: Tensor) -> None:
    assert Diverse().name == "diverse:low=0.9,p=0.5"
    assert Translated(5, 1.5).name == "translated:size=5,sigma=1.5"
    both = Translated(3, 1.0).wrap(Diverse(0.7, 1.0).wrap(net))
    assert [card.name for _, card in carded(both)] == ["translated", "diverse"]
    with seeded(1):
        first = both(x)
    with seeded(1):
        assert torch.equal(first, Diverse(0.7, 1.0).wrap(net)(x))


def test_bad_decorators_are_refused_in_one_line(net: nn.Module) -> None:
    cases = {
        "low of Diverse as a number above 0 and at most 1": lambda: Diverse(low=0.0),
        "p of Diverse as a number of at least 0 and at most 1, got 1.5": lambda: Diverse(p=1.5),
        "kernel of odd size": lambda: Translated(size=4),
        "sigma of Translated as a number above 0": lambda: Translated(sigma=0.0),
        "Module": lambda: Diverse().wrap(torch.tanh),
        "shape \\(2, 3\\)": lambda: Translated().wrap(net)(torch.zeros(2, 3)),
    }
    for message, call in cases.items():
        with pytest.raises(ContractError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
