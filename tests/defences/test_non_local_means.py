"""Non-local means: against scikit-image's slow mode and against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vauban.core.errors import ContractError
from vauban.defences import NonLocalMeans


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "distance"), [(3, 2), (5, 3), (7, 20)])
def test_non_local_means_is_scikit_images_in_its_slow_mode(channels: int, size: int, distance: int) -> None:
    restoration = pytest.importorskip("skimage.restoration")
    x = torch.rand(2, channels, 11, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    out = NonLocalMeans(size, distance, strength=0.4).apply(x)
    assert (out - x).abs().max() > 0.2
    for image, result in zip(x.movedim(1, 3).numpy(), out.movedim(1, 3).numpy(), strict=True):
        given = image if channels == 3 else image[..., 0]
        colour = {"channel_axis": -1} if channels == 3 else {}
        told = {"patch_size": size, "patch_distance": distance, "h": 0.4, "fast_mode": False}
        expected = restoration.denoise_nl_means(given, **told, **colour).reshape(image.shape)
        np.testing.assert_allclose(result, expected, atol=0.01)  # its exponential is an approximate one


def test_non_local_means_by_loops() -> None:
    x = torch.rand(1, 1, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wide = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")[0, 0]
    kernel = torch.tensor([[math.exp(-2 * (i * i + j * j)) for j in (-1, 0, 1)] for i in (-1, 0, 1)]).double()
    kernel = kernel / kernel.sum()
    out = NonLocalMeans(3, 2, 0.05).apply(x)[0, 0]
    for i in range(5):
        for j in range(4):
            near = [(k, m) for k in range(5) for m in range(4) if abs(k - i) <= 2 and abs(m - j) <= 2]
            own = wide[i : i + 3, j : j + 3]
            weights = [
                math.exp(-float((kernel * (own - wide[k : k + 3, m : m + 3]) ** 2).sum()) / 0.05**2) for k, m in near
            ]
            expected = sum(w * float(x[0, 0, k, m]) for w, (k, m) in zip(weights, near, strict=True)) / sum(weights)
            assert float(out[i, j]) == pytest.approx(expected)


def test_gradient_and_what_is_refused() -> None:
    x = torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    assert torch.autograd.gradcheck(NonLocalMeans(3, 2, 0.3).apply, x)
    with pytest.raises(ContractError, match="a patch of odd size"):
        NonLocalMeans(size=4)
    with pytest.raises(ContractError, match="larger than 2 pixels"):
        NonLocalMeans().apply(torch.rand(1, 1, 2, 9))
