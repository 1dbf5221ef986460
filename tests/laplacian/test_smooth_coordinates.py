"""The chart of smooth perturbations: inside [0,1], smooth like the image, `pull` the transpose of `image`'s derivative."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.rng import Stream
from vauban.core.tensors import take
from vauban.laplacian.coordinates import SmoothCoordinates
from vauban.laplacian.smoothing import DIGITS

IDS = torch.arange(4)
X0 = Stream(3, IDS).uniform("x0", (2, 7, 8), dtype=torch.float64)
X0[0, :, :3] = 0.0  # on the edge of the box, as the background of a digit is
METHODS = ["direct", "iterative"]
methods = pytest.mark.parametrize("method", METHODS)


def chart(method: str = "direct") -> SmoothCoordinates:
    return SmoothCoordinates(X0, 0.95, DIGITS, tol=1e-13, method=method)


def noise(seed: int, scale: float = 1.0) -> Tensor:
    return scale * Stream(seed, IDS).normal("z", (2, 7, 8), dtype=torch.float64)


@pytest.mark.slow
@methods
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_pull_against_finite_differences(method: str, scale: float) -> None:
    c, z, g, step = chart(method), noise(1, scale), noise(2), 1e-6
    pulled = c.pull(z, g)
    checked = 0
    for k in range(20):
        direction = noise(10 + k)
        ahead, behind = (c.value(z + sign * step * direction).value for sign in (1, -1))
        # away from the kinks of the clip the quotient is exact
        kink = ((X0 + ahead).clamp(0, 1) - (X0 + ahead) == 0) != ((X0 + behind).clamp(0, 1) - (X0 + behind) == 0)
        smooth = ~kink.flatten(1).any(1)
        slope = ((c.place(ahead) - c.place(behind)) * g).sum((1, 2, 3)) / (2 * step)
        along = (pulled * direction).sum((1, 2, 3))
        torch.testing.assert_close(along[smooth], slope[smooth], atol=1e-6, rtol=1e-6)
        checked += int(smooth.sum())
    assert checked > 40


@methods
def test_pull_against_autograd_of_the_clip(method: str) -> None:
    c, z, g = chart(method), noise(4, 3.0), noise(5)
    r = c.value(z).value
    leaf = r.clone().requires_grad_(True)
    (through,) = torch.autograd.grad(((X0 + leaf).clamp(0, 1) * g).sum(), leaf)
    assert (through == 0).any()
    torch.testing.assert_close(c.pull(z, g), c.smoothing.pull(through).value, atol=1e-12, rtol=0)
    torch.testing.assert_close(c.adjoint(r, g).value, c.pull(z, g), atol=1e-12, rtol=0)


def test_a_background_at_the_edge_keeps_its_gradient() -> None:
    c = chart()
    assert (c.pull(c.start(X0), torch.ones_like(X0))[0, :, :3] != 0).all()


@methods
def test_images(method: str) -> None:
    c = chart(method)
    z = c.start(X0)
    assert torch.equal(c.image(z), X0)
    x = c.image(noise(6, 50.0))
    assert x.min() >= 0
    assert x.max() <= 1
    assert torch.equal(x, (X0 + c.smoothing.apply(noise(6, 50.0)).value).clamp(0, 1))


def test_rows_are_taken_without_factorising_again() -> None:
    @dataclass(frozen=True, eq=False)
    class State:
        chart: SmoothCoordinates
        z: Tensor

    keep = torch.tensor([True, False, False, True])
    state = State(chart(), noise(7))
    less = take(state, keep)
    assert torch.equal(less.chart.x0, X0[keep])
    assert torch.equal(less.chart.smoothing.p, state.chart.smoothing.p[keep])
    torch.testing.assert_close(less.chart.image(less.z), state.chart.image(state.z)[keep], atol=1e-12, rtol=0)
    torch.testing.assert_close(
        less.chart.pull(less.z, less.z), state.chart.pull(state.z, state.z)[keep], atol=1e-12, rtol=0
    )


def test_other_images_are_refused() -> None:
    with pytest.raises(ContractError, match="images that guide the smoothing"):
        chart().start(X0[:2])
    with pytest.raises(ContractError, match="alpha"):
        SmoothCoordinates(X0, 1.0)
