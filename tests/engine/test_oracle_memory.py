"""Memory of the oracle: answers that are not asked for twice, and when they are forgotten."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vauban.core.goals import ResolvedGoal
from vauban.core.losses import auto, margin
from vauban.core.norms import L2, Linf
from vauban.engine import BoundThreat, Oracle

N = 6
NET = nn.Linear(4, 3).requires_grad_(False)
NET.weight.copy_(torch.tensor([[1.0, -2.0, 3.0, -1.0], [-1.0, 2.0, 0.5, 1.0], [0.5, 0.5, -3.0, 2.0]]))
NET.bias.zero_()


def drawn(seed: int) -> Tensor:
    return (torch.rand(N, 4, generator=torch.Generator().manual_seed(seed)) * 255).round() / 255


def opened(keep: str) -> Oracle:
    x = drawn(0)
    return Oracle.open(BoundThreat(NET), x, NET(x).argmax(1)).recording(keep, L2)


def test_what_the_last_logits_reached_belongs_to_them_and_to_the_labels() -> None:
    oracle = opened("nearest")
    logits, _ = oracle.gradient(drawn(1), margin)
    label = logits.argmax(1)
    won = oracle.won(logits)
    assert won.any()
    assert not won.all()
    assert torch.equal(won, label != oracle.goal.y)
    assert oracle.won(logits) is won
    assert torch.equal(oracle.with_goal(ResolvedGoal(label)).won(logits), torch.zeros(N, dtype=torch.bool))
    assert torch.equal(oracle.won(logits.roll(1, 1)), (label + 1) % 3 != oracle.goal.y)
    assert torch.equal(oracle.rows(torch.tensor([4, 1])).won(logits[[4, 1]]), won[[4, 1]])


def test_a_rounded_image_is_not_rounded_again_until_it_is_written_to() -> None:
    oracle = opened("nearest")
    x = oracle.domain.quantise(torch.full((N, 4), 0.3))
    assert oracle.domain.quantised(x) is x
    assert oracle.rows(torch.arange(N)).domain.quantised(x) is not x
    x.add_(0.001)
    assert torch.equal(oracle.domain.quantised(x), oracle.domain.quantise(torch.full((N, 4), 0.3)))
    assert oracle.domain.quantised(x) is not x


def test_the_edges_are_the_outermost_levels_inside_the_ball() -> None:
    """Against a search over all 256 levels; the masked components stay where they are."""
    mask = torch.tensor([True, True, False, True]).expand(N, 4)
    x = drawn(0)
    oracle = Oracle.open(BoundThreat(NET), x, NET(x).argmax(1), mask=mask).confined(Linf(0.3))
    levels = torch.arange(256, dtype=torch.float64) / 255
    inside = (levels - x[..., None].double()).abs() <= 0.3 + 1e-6
    low = torch.where(inside, levels, 2.0).amin(-1).where(mask, x.double())
    high = torch.where(inside, levels, -1.0).amax(-1).where(mask, x.double())
    everywhere = torch.arange(4).expand(N, 4)
    for end, expected in enumerate((low, high)):
        edge = oracle.domain.at_edges(x, everywhere, torch.full((N, 4), end))
        assert torch.equal((edge * 255).round(), (expected * 255).round())
        assert oracle.domain.quantised(edge) is edge
    index, ends = torch.tensor([[3, 1]]).expand(N, 2), torch.tensor([[0, 1]]).expand(N, 2)
    mixed = torch.stack([x[:, 0], high[:, 1].float(), x[:, 2], low[:, 3].float()], 1)
    assert torch.equal((oracle.domain.at_edges(x, index, ends) * 255).round(), (mixed * 255).round())


def test_a_mixture_of_shown_images_is_shown_as_it_is() -> None:
    x = drawn(0)
    for oracle in (
        Oracle.open(BoundThreat(NET), x, NET(x).argmax(1)),
        Oracle.open(BoundThreat(NET), x, NET(x).argmax(1)).confined(Linf(0.1)),
    ):
        a, b, where = drawn(1), oracle.domain.quantise(drawn(2)), drawn(3) > 0.5
        mixed = oracle.domain.mix(a, b, where)
        assert oracle.domain.quantised(mixed) is mixed
        assert torch.equal(mixed, torch.where(where, b, oracle.domain.quantise(a)))
        assert torch.equal(mixed, oracle.domain.quantise(mixed.clone()))
        assert oracle.rows(torch.arange(N)).domain.quantised(mixed) is not mixed


def test_a_mixture_inside_a_ball_that_couples_components_is_rounded_again() -> None:
    """Half of one image on the sphere and half of another may lie outside it."""
    x = torch.full((N, 4), 128 / 255)
    oracle = Oracle.open(BoundThreat(NET), x, NET(x).argmax(1)).confined(L2(0.4))
    a, b = (oracle.domain.quantise(x + 0.39 * torch.eye(4)[k]) for k in (0, 1))
    mixed = oracle.domain.mix(a, b, torch.eye(4)[1].expand(N, 4))
    assert not oracle.domain.admissible(mixed).any()
    assert oracle.domain.quantised(mixed) is not mixed


def test_the_whole_batch_is_recorded_as_its_rows_are() -> None:
    """The whole batch takes a shorter way through the ledger than rows do: here the same rows in another order."""
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for keep in ("first", "nearest"):
        whole, apart = opened(keep), opened(keep)
        part = apart.rows(order)
        for seed in range(1, 6):
            whole.gradient(drawn(seed), auto)
            part.gradient(drawn(seed)[order], auto)
        assert whole.succeeded.any()
        for name in ("success", "image", "distance", "cost"):
            assert torch.equal(getattr(whole.best_so_far, name), getattr(apart.best_so_far, name)), (keep, name)
        for name in ("forwards", "backwards", "switches", "vanished", "loss"):
            assert torch.equal(getattr(whole.pass_count, name), getattr(apart.pass_count, name)), (keep, name)
