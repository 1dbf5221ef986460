"""Orthogonal PGD: the projection, a detector that a joint loss does not pass, and PGD where nothing rejects."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import vauban as vb
from vauban import Linf
from vauban.attacks.fixed_budget.orthogonal_pgd import orthogonal
from vauban.core.cards import Card


@given(st.integers(0, 1000), st.integers(2, 9))
def test_what_is_left_is_orthogonal_and_the_rest_is_along_the_other(seed: int, n: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    g, h = (torch.randn(3, 1, n, generator=generator, dtype=torch.float64) for _ in range(2))
    left = orthogonal(g, h)
    assert torch.allclose((left * h).sum((1, 2)), torch.zeros(3, dtype=torch.float64), atol=1e-9)
    removed = g - left
    cosine = nn.functional.cosine_similarity(removed.flatten(1), h.flatten(1)).abs()
    assert torch.allclose(cosine, torch.ones(3, dtype=torch.float64), atol=1e-9)


def test_parallel_gradients_and_none_are_taken_whole() -> None:
    g = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    assert torch.equal(orthogonal(g, torch.stack([3 * g[0], torch.zeros(2)])), g)


class Guarded(nn.Module):
    """Two pixels a, b: class 1 where a > 0.6, rejected where 10 |b - (1 - a)| > 0.5: the way over is along b = 1 - a."""

    card = Card("guarded", rejects=True)

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.flatten(1).unbind(1)
        z = torch.stack([torch.zeros_like(a), 5 * (a - 0.6)], 1)
        odd = 10 * (b - (1 - a)).abs() - 0.5
        return torch.cat([z, (z.amax(1) + odd)[:, None]], 1)


def test_it_passes_a_detector_of_which_both_gradients_are_known() -> None:
    x, y = torch.tensor([128.0, 127.0]).view(1, 1, 1, 2) / 255, torch.tensor([0])
    ball = Linf(0.15)
    report = vb.attack(vb.attacks.OrthogonalPGD(ball, steps=40, random_start=False), Guarded(), (x, y))
    assert report.success.tolist() == [True]
    assert (report.forwards <= 41).all()
    assert (report.backwards <= 80).all()
    logits = Guarded()(report.adversarial)
    assert int(logits.argmax(1)) == 1


def test_without_a_rejection_it_is_pgd_on_the_margin(digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor]) -> None:
    x, y = digits_test[0][:10], digits_test[1][:10]
    mine = vb.attack(vb.attacks.OrthogonalPGD(Linf(0.1), steps=5), digits_cnn, (x, y))
    theirs = vb.attack(vb.attacks.PGD(Linf(0.1), steps=5, loss=vb.margin), digits_cnn, (x, y))
    assert torch.equal(mine.crafted, theirs.crafted)
    assert torch.equal(mine.backwards, theirs.backwards)
