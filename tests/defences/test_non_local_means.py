"""Non-local means against scikit-image's and against the formula pixel by pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vauban.core.errors import ContractError
from vauban.defences import NonLocalMeans


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("search", "patch"), [(5, 3), (11, 5), (21, 7)])
def test_against_scikit_image(channels: int, search: int, patch: int) -> None:
    restoration = pytest.importorskip("skimage.restoration")
    images = np.random.default_rng(0).uniform(0.4, 0.52, (2, channels, 14, 11))
    # Their exponential is a fast approximation, off by some percent; so close no patch falls under their cut-offs.
    ours = NonLocalMeans(search, patch, 0.1).apply(torch.tensor(images))
    for image, out in zip(images, ours, strict=True):
        last = np.ascontiguousarray(image.transpose(1, 2, 0))
        theirs = restoration.denoise_nl_means(
            last, patch_size=patch, patch_distance=search // 2, h=0.1, fast_mode=False, channel_axis=-1
        )
        np.testing.assert_allclose(out.numpy().transpose(1, 2, 0), theirs.reshape(last.shape), atol=1e-3)


def test_against_the_formula() -> None:
    x = torch.rand(1, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    out = NonLocalMeans(5, 3, 0.3).apply(x)
    g = [math.exp(-(k**2) / 0.5) for k in (-1, 0, 1)]

    def at(channel: int, row: int, column: int) -> float:
        mirrored = [abs(v) if v < n else 2 * n - 2 - v for v, n in ((row, 6), (column, 5))]
        return float(x[0, channel, mirrored[0], mirrored[1]])

    def weight(r: int, c: int, s: int, d: int) -> float:
        terms = [
            g[a + 1] * g[b + 1] * sum((at(k, r + a, c + b) - at(k, s + a, d + b)) ** 2 for k in (0, 1)) / 2
            for a in (-1, 0, 1)
            for b in (-1, 0, 1)
        ]
        return math.exp(-sum(terms) / sum(g) ** 2 / 0.3**2)

    for r in range(6):
        for c in range(5):
            near = [(s, d) for s in range(max(0, r - 2), min(6, r + 3)) for d in range(max(0, c - 2), min(5, c + 3))]
            weights = [weight(r, c, s, d) for s, d in near]
            mean = sum(w * at(1, s, d) for w, (s, d) in zip(weights, near, strict=True)) / sum(weights)
            assert float(out[0, 1, r, c]) == pytest.approx(mean, abs=1e-12)


def test_the_gradient_is_true_and_an_edge_stays() -> None:
    x = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: NonLocalMeans(3, 3, 0.5).apply(z), (x,))
    edge = torch.zeros(1, 1, 12, 12)
    edge[..., 6:] = 1
    torch.testing.assert_close(NonLocalMeans().apply(edge), edge)


@pytest.mark.parametrize(("fields", "match"), [({"search": 4}, "search of odd"), ({"patch": 4}, "patch of odd")])
def test_even_sizes_are_refused(fields: dict[str, int], match: str) -> None:
    with pytest.raises(ContractError, match=match):
        NonLocalMeans(**fields)  # type: ignore[arg-type]


def test_an_image_smaller_than_half_a_patch_or_a_vector_is_refused() -> None:
    for shape in ((1, 1, 3, 3), (2, 9)):
        with pytest.raises(ContractError, match="expected images"):
            NonLocalMeans(patch=9).apply(torch.zeros(shape))
