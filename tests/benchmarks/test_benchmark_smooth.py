"""sC&W beside C&W: the setup is taken off, and both walk the same number of iterations."""

from __future__ import annotations

import torch
from benchmarks.passes import Traced
from torch import Tensor, nn

from benchmarks import smooth
from vauban import attacks
from vauban.engine import BoundThreat, Oracle


def net(pixels: int) -> nn.Module:
    layer = nn.Linear(pixels, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(-1, 1, 4 * pixels).mul(1e3).sin().view(4, pixels))
        layer.bias.zero_()
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False).eval()


def test_a_row_by_a_clock_that_counts() -> None:
    """Readings 0 10 | 10 25 | 25 28: C&W takes 10, sC&W 15, of which 3 are its setup."""
    x, network = smooth.photographs(2, 8), net(192)
    readings = iter([0.0, 10.0, 10.0, 25.0, 25.0, 28.0])
    row = smooth.contest(network, x, network(x).argmax(1), 4, 1, readings.__next__, rate=10.0)
    assert row == [2, 2500.0, 3000.0, 1.2, 1500.0]


def test_both_attacks_make_the_same_passes() -> None:
    x = smooth.photographs(2, 8)
    traced = Traced(net(192))
    y: Tensor = traced(x).argmax(1)
    counts = []
    for made in (attacks.CW(search_steps=1, steps=5), attacks.SCW(search_steps=1, steps=5)):
        oracle = Oracle.open(BoundThreat(traced), x, y)
        traced.reset()
        made.run(oracle)
        counts.append(traced.backwards)
    assert counts[0] == counts[1] == 10


def test_photographs_are_on_the_grid_and_differ() -> None:
    x = smooth.photographs(4)
    assert x.shape == (4, 3, 224, 224)
    assert torch.equal((x * 255).round() / 255, x)
    assert all(float(x[i].std()) > 0.05 and not torch.equal(x[i], x[i - 1]) for i in range(4))
