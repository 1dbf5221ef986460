"""Total variation: the objective by hand, its least value by another solver, and the mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from vauban.core.errors import ContractError
from vauban.defences import TotalVariation
from vauban.defences.inputs.total_variation import minimised, objective


def test_objective_by_hand() -> None:
    z = torch.tensor([[[[0.0, 3.0], [4.0, 3.0]]]])
    x = torch.tensor([[[[0.0, 0.0], [0.0, 3.0]]]])
    mask = torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]])
    # |(0, 3, 4)| = 5; rows differ by (4, 0): 4; columns by (3, -1): sqrt 10
    assert float(objective(z, x, mask, 0.5)) == pytest.approx(5 + 0.5 * (4 + 10**0.5))


@pytest.mark.parametrize("weight", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_the_objective_is_as_low_as_another_solver_gets(weight: float, keep: float) -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 2, 4, 5, dtype=torch.float64, generator=generator)
    mask = (torch.rand(x.shape, dtype=torch.float64, generator=generator) < keep).double()
    reached = objective(minimised(x, mask, weight, 2000), x, mask, weight)

    def smooth(flat: np.ndarray, k: int, width: float) -> tuple[float, np.ndarray]:
        z = torch.from_numpy(flat).view(1, 2, 4, 5).requires_grad_()
        rows, columns = z.diff(dim=2).square().sum(3), z.diff(dim=3).square().sum(2)
        data = (mask[k] * (z - x[k])).square().sum()
        value = (data + width).sqrt() + weight * ((rows + width).sqrt().sum() + (columns + width).sqrt().sum())
        (gradient,) = torch.autograd.grad(value, z)
        return float(value.detach()), gradient.numpy().ravel()

    for k in range(2):
        z = x[k].numpy().ravel()
        for width in (1e-2, 1e-4, 1e-6, 1e-8, 1e-10):
            z = minimize(smooth, z, (k, width), jac=True, method="L-BFGS-B", options={"maxiter": 3000}).x
        best = float(objective(torch.from_numpy(z).view(1, 2, 4, 5), x[k : k + 1], mask[k : k + 1], weight))
        assert float(reached[k]) == pytest.approx(best, abs=2e-4)


def test_more_iterations_come_nearer_and_the_default_is_near() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.rand(3, 1, 16, 16, generator=generator)
    mask = (torch.rand(x.shape, generator=generator) < 0.5).float()
    values = torch.stack([objective(minimised(x, mask, 0.1, n), x, mask, 0.1) for n in (1, 10, 100, 3000)])
    assert (values.diff(dim=0) < 1e-5).all()
    assert (values[2] / values[3] < 1.02).all()


def test_limits_of_the_weight() -> None:
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    assert torch.equal(TotalVariation(keep=1.0, weight=0.0).apply(x), x)
    flat = TotalVariation(keep=1.0, weight=100.0, iterations=3000).apply(x)
    torch.testing.assert_close(flat, x.mean((2, 3), keepdim=True).expand_as(x), atol=1e-4, rtol=0)


def test_the_mask_is_drawn_and_what_is_no_image_refused() -> None:
    x = torch.rand(4, 1, 32, 32)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        one = TotalVariation(keep=0.25, weight=0.0).apply(x)
    assert float((one == x).float().mean()) == pytest.approx(0.25, abs=0.05)
    with pytest.raises(ContractError, match="for total variation, got shape \\(2, 8\\)"):
        TotalVariation().apply(torch.rand(2, 8))
