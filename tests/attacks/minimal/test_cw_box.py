"""Carlini and Wagner inside CIA's interval: the bound holds without clipping, and without a bound nothing has changed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.minimal.cw_l2 import CW, CWSteps
from vauban.core.coordinates import IntervalCoordinates
from vauban.core.errors import AccessError, ContractError
from vauban.core.norms import Linf
from vauban.core.pixel_grid import on_grid
from vauban.engine import BoundThreat, Oracle, iterate


@pytest.mark.slow
@pytest.mark.parametrize("levels", [None, 256])
@pytest.mark.parametrize("box", [16 / 255, 0.15, 0.3])  # 0.15 and 0.3 are no whole levels
def test_no_image_leaves_the_box(
    box: float, levels: int | None, digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module
) -> None:
    x, y = (part[:12] for part in digits_test)
    mask = torch.ones(1, 8, 8, dtype=torch.bool)
    mask[:, 3] = False
    seen = []

    class Spy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach().clone())
            return digits_cnn(images)  # type: ignore[no-any-return]

    result = CW(3, 10, box=box).run(Oracle.open(BoundThreat(Spy(), levels=levels), x, y, mask=mask))
    for image in [*seen[1:], result.crafted]:
        assert ((image - x).abs() <= box + 1e-6).all()
        assert torch.equal(image[..., 3, :], x[..., 3, :])
        assert levels is None or on_grid(image, levels)
    torch.testing.assert_close(seen[1], x, atol=1e-5 if levels is None else 1 / 255, rtol=0)
    if box == 0.3:
        assert result.success.any()


def test_the_same_loop_by_torch(digits_test: tuple[Tensor, Tensor], digits_mlp: nn.Module) -> None:
    x, y, box, c = digits_test[0][:4].double(), digits_test[1][:4], 0.1, 5.0
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, dtype=torch.float64)).requires_grad_(False)
    net[1].weight.copy_(torch.arange(640.0).view(10, 64).sin())
    y = net(x).argmax(1)
    images: list[Tensor] = []
    oracle = Oracle.open(BoundThreat(net, levels=None), x, y).confined(Linf(box))
    inner = CWSteps(6, 0.1, 0.0, boxed=True)
    weights = torch.full((4,), c, dtype=torch.float64)
    iterate(
        inner,
        oracle,
        per_sample={"c": weights},
        callback=lambda t, view, state: images.append(inner.candidate(view, state)),
    )
    lo, hi = (x - box).clamp_min(0), (x + box).clamp_max(1)
    z = IntervalCoordinates(lo, hi).start(x).requires_grad_(True)
    adam = torch.optim.Adam([z], lr=0.1)
    for found in images:
        at = (lo + hi) / 2 + (hi - lo) / 2 * z.tanh()
        logits = net(at)
        own = logits.gather(1, y[:, None])[:, 0]
        gap = own - logits.scatter(1, y[:, None], -torch.inf).amax(1)
        adam.zero_grad()
        ((at - x).square().sum() + c * gap.clamp_min(0).sum()).backward()
        adam.step()
        want = (lo + hi) / 2 + (hi - lo) / 2 * z.tanh()
        torch.testing.assert_close(found, want.detach(), atol=1e-6, rtol=0)


def test_a_box_of_the_whole_range_is_no_box(digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> None:
    x, y = (part[:6] for part in digits_test)
    boxed, free = (
        CW(2, 8, box=box).run(Oracle.open(BoundThreat(digits_cnn, levels=None), x, y)) for box in (1.0, None)
    )
    torch.testing.assert_close(boxed.crafted, free.crafted, atol=1e-4, rtol=0)


def test_a_box_is_checked(digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module) -> None:
    x, y = (part[:2] for part in digits_test)
    with pytest.raises(ContractError, match=r"^expected box of CW as a number of at least 0 or none, got -0.1$"):
        CW(box=-0.1)
    with pytest.raises(AccessError, match="larger than the threat's limit"):
        CW(box=0.2).run(Oracle.open(BoundThreat(digits_cnn, limit=Linf(0.1)), x, y))
