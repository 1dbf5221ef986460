"""LPIPS against a loop over positions, and what it says when weights are missing or do not fit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from vauban.core.errors import ContractError
from vauban.core.rng import seeded
from vauban.metrics import Perception, lpips, torchvision_lpips


def images(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def small() -> Perception:
    with seeded("tests", "lpips"):
        first, second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3, stride=2)

    def features(x: Tensor) -> list[Tensor]:
        a = first(x).relu()
        return [a, second(a).relu()]

    return Perception(features, [images(1, 4), images(2, 6)])


def by_hand(network: Perception, x: Tensor, y: Tensor) -> float:
    """Equation 1, one position and one channel at a time."""
    total = 0.0
    for a, b, weight in zip(network.features(x), network.features(y), network.weights, strict=True):
        _, channels, rows, columns = a.shape
        layer = 0.0
        for i in range(rows):
            for j in range(columns):
                p, q = (f[0, :, i, j].tolist() for f in (a, b))
                n, m = (math.sqrt(sum(v * v for v in u)) for u in (p, q))
                p, q = [v / n if n else 0.0 for v in p], [v / m if m else 0.0 for v in q]
                layer += sum(float(weight[c]) * (p[c] - q[c]) ** 2 for c in range(channels))
        total += layer / (rows * columns)
    return total


def test_it_is_the_sum_over_layers_of_the_mean_over_positions() -> None:
    network, x, y = small(), images(3, 3, 3, 9, 8), images(4, 3, 3, 9, 8)
    score = lpips(x, y, network)
    assert score.dtype == torch.float64
    assert not score.requires_grad
    assert score.tolist() == pytest.approx(
        [by_hand(network, a[None], b[None]) for a, b in zip(x, y, strict=True)], rel=1e-5
    )


def test_zero_for_equal_images_symmetric_and_positive() -> None:
    network, x, y = small(), images(3, 2, 3, 9, 8), images(4, 2, 3, 9, 8)
    assert lpips(x, x, network).tolist() == [0, 0]
    assert torch.equal(lpips(x, y, network), lpips(y, x, network))
    assert (lpips(x, y, network) > 0).all()


def test_the_length_of_features_does_not_count() -> None:
    network = small()
    scaled = Perception(lambda x: [3 * f for f in network.features(x)], network.weights)
    x, y = images(3, 2, 3, 9, 8), images(4, 2, 3, 9, 8)
    torch.testing.assert_close(lpips(x, y, scaled), lpips(x, y, network))


def test_opposite_features_of_one_channel_are_four_apart() -> None:
    network = Perception(lambda x: [x[:, :1] - 0.5], [torch.tensor([0.25])])
    x = torch.zeros(1, 1, 4, 4)
    assert lpips(x, x + 1, network).tolist() == pytest.approx([0.25 * 4])
    assert lpips(x, x + 0.5, network).tolist() == pytest.approx([0.25])  # no features against some


def write(path: Path, channels: tuple[int, ...]) -> Path:
    lin = {f"lin{k}.model.1.weight": images(k, 1, c, 1, 1) for k, c in enumerate(channels)}
    save_file(dict(reversed(lin.items())), path)
    return path


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("alexnet", (64, 192, 384, 256, 256)),
        ("vgg16", (64, 128, 256, 512, 512)),
        ("squeezenet1_1", (64, 128, 256, 384, 384, 512, 512)),
    ],
)
def test_the_layers_of_torchvisions_networks(name: str, channels: tuple[int, ...], tmp_path: Path) -> None:
    """The widths are those of the paper's layers, each after its ReLU."""
    backbone = nn.Module()
    with torch.device("meta"):
        backbone.features = getattr(models, name)().features
    backbone.features.to_empty(device="cpu")
    for p in backbone.parameters():
        p.data.normal_(0, 0.05, generator=torch.Generator().manual_seed(p.numel()))
    network = torchvision_lpips(name, backbone, write(tmp_path / "lin.safetensors", channels))
    assert [len(w) for w in network.weights] == list(channels)
    x, y = images(3, 1, 3, 64, 64), images(4, 1, 3, 64, 64)
    maps = network.features(x)
    assert [f.shape[1] for f in maps] == list(channels)
    assert all((f >= 0).all() for f in maps)
    assert (lpips(x, y, network) > 0).all()


def test_images_are_normalised_before_the_backbone(tmp_path: Path) -> None:
    backbone = nn.Module()
    backbone.features = nn.Sequential(*[nn.Identity() for _ in range(13)])
    network = torchvision_lpips("alexnet", backbone, write(tmp_path / "lin.safetensors", (3,) * 5))
    white = network.features(torch.ones(1, 3, 1, 1))
    assert len(white) == 5
    assert white[0].flatten().tolist() == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])


def test_without_weights_it_says_what_to_give() -> None:
    x = torch.zeros(1, 3, 8, 8)
    with pytest.raises(ContractError, match="lpips needs weights: give network=torchvision_lpips"):
        lpips(x, x)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    network, x = small(), images(3, 1, 3, 9, 8)
    with pytest.raises(ContractError, match=r"each map \[4, 6\], got weights \[4\]"):
        lpips(x, x, Perception(network.features, network.weights[:1]))
    with pytest.raises(ContractError, match="same shape"):
        lpips(x, x[..., :5], network)
    with torch.device("meta"):
        backbone = models.alexnet()
    with pytest.raises(ContractError, match="one of alexnet, vgg16, squeezenet1_1, got 'resnet18'"):
        torchvision_lpips("resnet18", backbone, tmp_path)
    with pytest.raises(ContractError, match="torchvision's vgg16 as the backbone of lpips, got AlexNet"):
        torchvision_lpips("vgg16", backbone, tmp_path)
    with pytest.raises(ContractError, match="not a readable safetensors file"):
        torchvision_lpips("alexnet", backbone, tmp_path / "none.safetensors")
    save_file({"w": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ContractError, match=r"expected tensors named lin0.model.1.weight, ... in .*, got w"):
        torchvision_lpips("alexnet", backbone, tmp_path / "other.safetensors")
