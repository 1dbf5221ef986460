"""Pixel deflection: against a loop, its draws, wavelet shrinkage against scikit-image, and the map of activations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from vauban.core.errors import ContractError, UnknownName
from vauban.defences import PixelDeflection
from vauban.defences.inputs.activation_map import robust_map
from vauban.defences.inputs.pixel_deflection import deflected
from vauban.defences.inputs.wavelets import shrunk


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(11)
        yield


class Mapped(nn.Module):
    """Maps, their mean, and a linear layer: what class activation maps are defined for."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.active, self.last = nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Linear(6, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(self.active(self.maps(x)).mean((2, 3)))
        return logits


def test_deflections_are_those_of_a_loop() -> None:
    x = torch.rand(3, 3, 7, 5)
    p, n = torch.randint(35, (3, 40)), torch.randint(35, (3, 40))
    expected = x.clone()
    for image in range(3):
        for source, target in zip(n[image].tolist(), p[image].tolist(), strict=True):
            expected[image, :, target // 5, target % 5] = x[image, :, source // 5, source % 5]
    assert torch.equal(deflected(x, p, n), expected)


def test_pixels_are_drawn_by_the_map_and_their_sources_in_the_window_within_the_image() -> None:
    activation = torch.zeros(1, 6, 6)
    activation[0, :3] = 1
    activation[0, 3] = 0.5
    p, n = (drawn[0] for drawn in PixelDeflection(deflections=30_000, radius=2).drawn(activation))
    rows = torch.bincount(p // 6, minlength=6) / len(p)
    torch.testing.assert_close(rows, torch.tensor([0, 0, 0, 0.2, 0.4, 0.4]), atol=0.02, rtol=0)
    corner = n[p == 35]
    assert set(corner.tolist()) == {i * 6 + j for i in (3, 4, 5) for j in (3, 4, 5)}
    assert (torch.bincount(corner, minlength=36)[[21, 28, 35]] / len(corner) - 1 / 9).abs().max() < 0.05


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 37, 50), (1, 64, 33), (3, 9, 8)])
@pytest.mark.parametrize("sigma", [0.01, 0.04, 0.2])
def test_shrinkage_is_scikit_images(shape: tuple[int, int, int], sigma: float) -> None:
    restoration = pytest.importorskip("skimage.restoration")
    pytest.importorskip("pywt")
    flat = torch.linspace(0, 1, shape[2], dtype=torch.float64).expand(shape)
    x = (flat + 0.1 * torch.randn(2, *shape, dtype=torch.float64)).clamp(0, 1)
    colour = {"channel_axis": 0, "convert2ycbcr": True} if shape[0] == 3 else {}
    told = {"wavelet": "db1", "method": "BayesShrink", "mode": "soft", "sigma": sigma, "rescale_sigma": True}
    for image, result in zip(x.numpy(), shrunk(x, sigma).numpy(), strict=True):
        given = image if shape[0] == 3 else image[0]
        np.testing.assert_allclose(result.squeeze(), restoration.denoise_wavelet(given, **told, **colour), atol=1e-6)


def test_shrinkage_of_nothing_is_the_image_and_of_much_the_coarsest_scale() -> None:
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(shrunk(x, 1e-9), x)
    pooled = torch.nn.functional.avg_pool2d(x, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(shrunk(x[:, :, :, :], 10.0)[:, 0].mean((1, 2)), pooled[:, 0].mean((1, 2)))


def test_the_map_is_the_class_activation_map_of_the_five_best_classes() -> None:
    net, x = Mapped().double(), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    result = robust_map(net, net.maps, x)
    with torch.no_grad():
        maps, best = net.maps(x).relu(), net(x).topk(5, dim=1).indices
        total = sum(torch.einsum("bk,bkhw->bhw", net.last.weight[best[:, i]], maps) / 2 ** (i + 1) for i in range(5))
    wide = torch.nn.functional.interpolate(total[:, None], (8, 8), mode="bilinear", align_corners=False)[:, 0]
    low, high = wide.amin((1, 2), keepdim=True), wide.amax((1, 2), keepdim=True)
    assert result.amin() == 0
    assert result.amax() == 1
    torch.testing.assert_close(robust_map(net, net.active, x), (wide - low) / (high - low))
    assert not result.requires_grad
    assert all(p.grad is None for p in net.parameters())
    assert not net.maps._forward_hooks


def test_a_network_with_a_map_answers_and_draws_fewer_pixels_where_it_looks() -> None:
    net, x = Mapped(), torch.rand(2, 3, 8, 8, requires_grad=True)
    guarded = PixelDeflection(layer="active", radius=2).wrap(net)
    with torch.no_grad():
        assert guarded(x).shape == (2, 7)
    (gradient,) = torch.autograd.grad(guarded(x).sum(), x)
    assert (gradient.flatten(1).abs().amax(1) > 0).all()
    assert [name for name, _ in guarded.named_children()] == ["inner"]


def test_what_is_refused() -> None:
    with pytest.raises(UnknownName, match="layer of Mapped"):
        PixelDeflection(layer="map").wrap(Mapped())
    with pytest.raises(ContractError, match="expected maps"):
        PixelDeflection(layer="last").wrap(Mapped())(torch.rand(1, 3, 8, 8))
    with pytest.raises(ContractError, match="expected 1 or 3 channels for pixel deflection, got 2"):
        PixelDeflection().apply(torch.rand(1, 2, 8, 8))
    with pytest.raises(ContractError, match="expected images"):
        PixelDeflection().wrap(nn.Flatten())(torch.rand(2, 8))
