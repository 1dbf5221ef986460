"""Feature denoising block: its operations against loops, its start, and where it is put."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vauban.core.errors import ContractError, UnknownName
from vauban.models.edits.feature_denoising import DenoisingBlock, FeatureDenoising
from vauban.training.recipe import Recipe

X = torch.randn(2, 4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_non_local_means_against_the_sum_over_places() -> None:
    for denoiser in ("gaussian", "dot"):
        block = DenoisingBlock(4, denoiser).double()  # type: ignore[arg-type]
        out = block.denoised(X).flatten(2)
        flat = X.flatten(2)
        if denoiser == "gaussian":
            theta, phi = block.theta(X).flatten(2), block.phi(X).flatten(2)
        for i in range(15):
            expected = torch.zeros(4, dtype=torch.float64)
            total = 0.0
            for j in range(15):
                if denoiser == "gaussian":
                    weight = math.exp(float(theta[1, :, i] @ phi[1, :, j]) / math.sqrt(2))
                    total += weight
                else:
                    weight, total = float(flat[1, :, i] @ flat[1, :, j]), 15.0
                expected += weight * flat[1, :, j]
            torch.testing.assert_close(out[1, :, i], expected / total)


def test_local_filters_against_windows() -> None:
    mean, median = (DenoisingBlock(4, name).double().denoised(X) for name in ("mean", "median"))  # type: ignore[arg-type]
    window = X[0, 2, 0:3, 1:4].flatten()
    torch.testing.assert_close(mean[0, 2, 1, 2], window.mean())
    torch.testing.assert_close(median[0, 2, 1, 2], window.sort().values[4])
    corner = X[0, 2][[0, 0, 1]][:, [0, 0, 1]].flatten()
    torch.testing.assert_close(mean[0, 2, 0, 0], corner.mean())


def test_a_block_adds_its_convolution_and_starts_as_nothing() -> None:
    block = DenoisingBlock(4, "gaussian").double().eval()
    assert torch.equal(block(X), X)
    nn.init.ones_(block.norm.weight)
    scale = 1 / math.sqrt(1 + block.norm.eps)
    torch.testing.assert_close(block(X), X + scale * block.weight(block.denoised(X)))


@pytest.mark.parametrize("denoiser", ["gaussian", "dot", "mean", "median"])
def test_the_edit_puts_blocks_behind_layers_and_changes_nothing_yet(denoiser: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 1), nn.Flatten()).eval()
    recipe = Recipe((FeatureDenoising(1, denoiser), FeatureDenoising(None, denoiser)))  # type: ignore[arg-type]
    edited = recipe.edit(net)
    x = torch.rand(2, 1, 6, 6)
    blocks = {name: part for name, part in edited.named_modules() if isinstance(part, DenoisingBlock)}
    assert set(blocks) == {"1.1"} | {name for name in blocks if name != "1.1"}
    assert len(blocks) == 2
    assert torch.equal(edited(x), net(x))
    assert not any(isinstance(part, DenoisingBlock) for part in net.modules())
    nn.init.ones_(blocks["1.1"].norm.weight)  # type: ignore[arg-type]
    assert not torch.equal(edited(x), net(x))


def test_what_has_no_channels_is_refused() -> None:
    with pytest.raises(ContractError, match="expected a layer with a convolution"):
        FeatureDenoising().edit(nn.Linear(3, 3))
    with pytest.raises(UnknownName, match="layr"):
        FeatureDenoising("layr").edit(nn.Sequential(nn.Conv2d(1, 1, 1)))
