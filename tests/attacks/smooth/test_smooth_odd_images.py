"""Images that leave the graph little to do: flat ones, single pixels, isolated pixels; and values it cannot take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.parts.guided import SMALL, WORTH, GuidedSmoothing
from vauban.attacks.smooth.bp import SmoothBP
from vauban.attacks.smooth.ddn import SmoothDDN
from vauban.attacks.smooth.pairwise import PairwiseCW
from vauban.attacks.smooth.qpgd2 import QPGD2
from vauban.attacks.smooth.scw import SCW
from vauban.core.errors import ContractError
from vauban.core.norms import L2
from vauban.engine import BoundThreat, Oracle

ATTACKS: list[Any] = [QPGD2(L2(2.0), 10), SmoothBP(10), SmoothDDN(15), SCW(2, 15, lr=0.2), PairwiseCW(2, 15, lr=0.2)]
every = pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__.lower())


def network(pixels: int) -> nn.Module:
    """The mean brightness against one half, and one pixel's against it."""
    layer = nn.Linear(pixels, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.full((pixels,), -8.0 / pixels), torch.full((pixels,), 8.0 / pixels)]))
        layer.bias.copy_(torch.tensor([4.0, -4.0]))
    return nn.Sequential(nn.Flatten(), layer).requires_grad_(False).eval()


def attacked(attack: Any, x: Tensor) -> Tensor:
    net = network(x[0].numel())
    oracle = Oracle.open(BoundThreat(net, levels=None), x, net(x).argmax(1))
    result = attack.run(oracle)
    assert result.crafted.isfinite().all()
    assert result.success.all()
    assert not oracle.pass_count.unsolved.any()
    return result.adversarial - x


@every
def test_a_flat_image_is_broken_by_a_nearly_flat_perturbation(attack: Any) -> None:
    r = attacked(attack, torch.full((2, 1, 6, 6), 0.4, dtype=torch.float64))
    assert (r > 0).all()
    if attack is not ATTACKS[-1]:  # the pairwise penalty divides by the degrees, which are fewer at the border
        assert ((r.amax((1, 2, 3)) - r.amin((1, 2, 3))) < 0.05 * r.amax((1, 2, 3))).all()


@pytest.mark.slow
@every
@pytest.mark.parametrize("channels", [1, 3])
def test_a_single_pixel_has_no_neighbours_and_is_attacked_as_it_is(attack: Any, channels: int) -> None:
    r = attacked(attack, torch.full((3, channels, 1, 1), 0.4, dtype=torch.float64))
    assert (r > 0).all()


def test_isolated_pixels_are_attacked_as_without_smoothing() -> None:
    """Every neighbour differs by 0.8: the weights are exp(-192), the degrees are at their floor."""
    x = torch.full((1, 1, 6, 6), 0.05, dtype=torch.float64)
    x[..., ::2, ::2] = x[..., 1::2, 1::2] = 0.85
    plain = attacked(PGD(L2(2.0), 10, 0.6, random_start=False), x)
    torch.testing.assert_close(attacked(QPGD2(L2(2.0), 10), x), plain, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", [QPGD2, SmoothBP, SmoothDDN, SCW])
@pytest.mark.parametrize("smoothness", [1.0, -0.01, 2.0, float("nan")])
def test_smoothness_outside_is_refused_in_one_line(kind: Any, smoothness: float) -> None:
    with pytest.raises(
        ContractError, match=r"expected smoothness of .* as a number of at least 0 and below 1, got"
    ) as caught:
        kind(smoothness=smoothness)
    assert "\n" not in str(caught.value)


def test_large_images_are_not_factorised_for_a_few_solves() -> None:
    x = torch.rand(1, 1, SMALL + 1, SMALL + 1, generator=torch.Generator().manual_seed(0))
    z = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    few, many = (GuidedSmoothing().chart(x, solves).value(z) for solves in (WORTH - 1, WORTH))
    assert int(few.iterations) > 0 == int(many.iterations)
    assert int(GuidedSmoothing().chart(x[..., 1:], 1).value(z[..., 1:]).iterations) == 0
    torch.testing.assert_close(few.value, many.value, atol=1e-2 * float(many.value.abs().max()), rtol=0)
