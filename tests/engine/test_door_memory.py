"""What the door remembers, so as not to do it twice, and when it forgets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vauban.core.goals import Aim
from vauban.core.losses import auto, margin
from vauban.core.norms import L2
from vauban.engine import Ask, Threat

N = 6
NET = nn.Linear(4, 3).requires_grad_(False)
NET.weight.copy_(torch.tensor([[1.0, -2.0, 3.0, -1.0], [-1.0, 2.0, 0.5, 1.0], [0.5, 0.5, -3.0, 2.0]]))
NET.bias.zero_()


def drawn(seed: int) -> Tensor:
    return (torch.rand(N, 4, generator=torch.Generator().manual_seed(seed)) * 255).round() / 255


def opened(keep: str) -> Ask:
    x = drawn(0)
    return Threat(NET).open(x, NET(x).argmax(1)).recording(keep, L2)


def test_what_the_last_logits_reached_belongs_to_them_and_to_the_labels() -> None:
    ask = opened("nearest")
    logits, _ = ask.gradient(drawn(1), margin)
    label = logits.argmax(1)
    won = ask.won(logits)
    assert won.any()
    assert not won.all()
    assert torch.equal(won, label != ask.aim.y)
    assert ask.won(logits) is won
    assert torch.equal(ask.aimed(Aim(label)).won(logits), torch.zeros(N, dtype=torch.bool))
    assert torch.equal(ask.won(logits.roll(1, 1)), (label + 1) % 3 != ask.aim.y)
    assert torch.equal(ask.rows(torch.tensor([4, 1])).won(logits[[4, 1]]), won[[4, 1]])


def test_a_rounded_image_is_not_rounded_again_until_it_is_written_to() -> None:
    ask = opened("nearest")
    x = ask.snap(torch.full((N, 4), 0.3))
    assert ask.shown(x) is x
    assert ask.rows(torch.arange(N)).shown(x) is not x
    x.add_(0.001)
    assert torch.equal(ask.shown(x), ask.snap(torch.full((N, 4), 0.3)))
    assert ask.shown(x) is not x


def test_the_whole_batch_is_recorded_as_its_rows_are() -> None:
    """The whole batch takes a shorter way through the ledger than rows do: here the same rows in another order."""
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    for keep in ("first", "nearest"):
        whole, apart = opened(keep), opened(keep)
        part = apart.rows(order)
        for seed in range(1, 6):
            whole.gradient(drawn(seed), auto)
            part.gradient(drawn(seed)[order], auto)
        assert whole.done.any()
        for name in ("found", "image", "distance", "cost"):
            assert torch.equal(getattr(whole.finds, name), getattr(apart.finds, name)), (keep, name)
        for name in ("forwards", "backwards", "switches", "vanished", "loss"):
            assert torch.equal(getattr(whole.ledger, name), getattr(apart.ledger, name)), (keep, name)
