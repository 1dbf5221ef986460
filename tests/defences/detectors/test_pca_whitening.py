"""PCA whitening: against scikit-learn, streamed, images of too many components, and what it detects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

import vauban as vb
from vauban import defences
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.defences.detectors.pca_whitening import FitPCAWhitening
from vauban.evaluate.fit import fit


def images(n: int, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(16, 16, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    x = (0.5 + 0.02 * torch.randn(n, 16, generator=draw, dtype=torch.float64) @ mixing).clamp(0, 1).view(n, 1, 4, 4)
    return Batch(x, torch.zeros(n, dtype=torch.int64), torch.arange(n), None)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double().eval()


@pytest.mark.parametrize("late", [0.25, 1.0])
def test_the_variance_is_that_of_scikit_learns_components(late: float) -> None:
    net, batch, new = network(), images(300), images(20, 1).x
    fitted = FitPCAWhitening(late=late, floor=1e-12).fit(net, [batch])
    n = 150
    pca = PCA(whiten=True, svd_solver="full").fit(batch.x[::2].flatten(1).numpy())
    z = pca.transform(new.flatten(1).numpy()) * np.sqrt(n / (n - 1))  # its covariance divides by n - 1
    expected = (z[:, 16 - round(late * 16) :] ** 2).mean(1)
    logits, scores = fitted.defence.scorer(net)(net, new)
    np.testing.assert_allclose(scores[:, 0].numpy(force=True), expected, rtol=1e-6)
    assert torch.equal(logits, net(new))
    assert (fitted.images, fitted.forwards) == (300, 151)  # one image tells the number of classes


def test_a_stream_of_any_batches_gives_the_same() -> None:
    net, batch = network(), images(300)
    split = [Batch(*piece, None) for piece in zip(*(p.split(11) for p in (batch.x, batch.y, batch.ids)), strict=True)]
    one, other = (FitPCAWhitening().fit(net, held).defence.scorer(net)(net, batch.x)[1] for held in ([batch], split))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def test_pixels_that_never_change_weigh_by_the_floor_and_noise_is_seen(digits_cnn: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "pca.safetensors"
    fitted = fit("pca-whitening", digits_cnn, vb.data.load("digits/train"), path)
    x = vb.data.load("digits/test[:100]").all().x
    network = defences.load(f"pca-whitening:file={path}").wrap(digits_cnn)
    assert torch.equal(network(x), fitted.defence.wrap(digits_cnn)(x))
    assert x[:, 0, 0, 0].max() == 0  # a corner that is black
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()).clamp(0, 1)
    clean, moved = (float((network(z).argmax(1) == 10).double().mean()) for z in (x, noisy))
    assert clean < 0.2
    assert moved > 0.9


def test_the_gradient_of_the_statistic_reaches_the_image() -> None:
    net = network()
    scorer = FitPCAWhitening().fit(net, [images(200)]).defence.scorer(net)
    assert torch.autograd.gradcheck(lambda x: scorer(net, x)[1], images(2, 5).x.requires_grad_())


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    net, wide = network(), torch.zeros(90, 3, 40, 40)
    big = Batch(wide, torch.zeros(90, dtype=torch.int64), torch.arange(90), None)
    other = Batch(torch.zeros(4, 1, 2, 8).double(), torch.zeros(4, dtype=torch.int64), torch.arange(4), None)
    for batches, message in (
        ([big], "at most 4096 components for 'pca-whitening', whose covariance is held, got 4800"),
        ([], "expected images to fit 'pca-whitening'"),
        ([images(30)], r"expected at least 76 images for fpr=0\.05"),
        ([images(100), other], r"expected images of one shape for 'pca-whitening', got \[1, 4, 4\] and \[1, 2, 8\]"),
    ):
        with pytest.raises(ContractError, match=message) as error:
            FitPCAWhitening().fit(net, batches)
        assert "\n" not in str(error.value)
    with pytest.raises(ContractError, match=r"expected images of shape \(1, 4, 4\), which pca-whitening was fitted on"):
        FitPCAWhitening().fit(net, [images(100)]).defence.wrap(net)(torch.zeros(2, 1, 2, 8).double())
