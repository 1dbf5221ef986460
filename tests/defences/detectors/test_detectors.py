"""Detectors: their statistics by hand, the logit that rejects, calibration, files, and an attacker who knows them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.defences import BitDepth, GaussianNoise, MeanFilter, MedianFilter
from vauban.defences.autoencoders.autoencoder import FitAutoEncoder
from vauban.defences.autoencoders.reconstruction import TrainedAutoEncoder
from vauban.defences.autoencoders.segnet import SegNet
from vauban.defences.detectors.agreement import Agreement
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.feature_squeezing import FeatureSqueezing, FitFeatureSqueezing
from vauban.defences.detectors.magnet import FitMagNet, MagNet, divergence
from vauban.evaluate.fit import fit

LOOSE = Calibration((0.5,), (0.1,))


@pytest.fixture
def batch() -> Batch:
    return vb.data.load("digits/test[:40]").all()


def auto_encoder() -> TrainedAutoEncoder:
    torch.manual_seed(0)
    return TrainedAutoEncoder(SegNet(1).eval(), (1, 8, 8))


def test_feature_squeezing_is_the_largest_l1_distance_of_predictions(batch: Batch, digits_cnn: nn.Module) -> None:
    squeezers = (BitDepth(1), MedianFilter(2), MeanFilter(3))
    network = FeatureSqueezing(squeezers, calibration=LOOSE).wrap(digits_cnn)
    logits = network(batch.x)
    plain = digits_cnn(batch.x)
    moved = [(digits_cnn(s.apply(batch.x)).softmax(1) - plain.softmax(1)).abs().sum(1) for s in squeezers]
    score = torch.stack(moved).amax(0)
    assert torch.equal(logits[:, :10], plain)
    torch.testing.assert_close(logits[:, 10], plain.amax(1) + (score - 0.5) / 0.1)
    assert torch.equal(logits.argmax(1) == 10, score > 0.5)
    assert 0 < int((score > 0.5).sum()) < len(score)


@pytest.mark.parametrize("reform", [True, False])
@pytest.mark.parametrize("error", ["l1", "l2"])
def test_the_statistics_of_magnet_by_hand(batch: Batch, digits_cnn: nn.Module, error: Any, reform: bool) -> None:
    held = auto_encoder()
    detector = MagNet(
        error=error, temperature=5.0, reform=reform, trained=held, calibration=Calibration((0, 0), (1, 1))
    )
    logits, scores = detector.scorer(digits_cnn)(digits_cnn, batch.x)
    reformed = held.network(batch.x).clamp(0, 1)
    off = (batch.x - reformed).flatten(1)
    torch.testing.assert_close(scores[:, 0], off.abs().mean(1) if error == "l1" else off.square().mean(1).sqrt())
    p, q = ((digits_cnn(z) / 5).softmax(1) for z in (batch.x, reformed))
    middle = (p + q) / 2
    js = 0.5 * ((p * (p / middle).log()).sum(1) + (q * (q / middle).log()).sum(1))
    torch.testing.assert_close(scores[:, 1], js, atol=1e-6, rtol=1e-3)
    assert torch.equal(logits, digits_cnn(reformed if reform else batch.x))


def test_agreement_rejects_what_the_reconstruction_is_answered_otherwise(batch: Batch, digits_cnn: nn.Module) -> None:
    held = auto_encoder()
    network = Agreement(trained=held, calibration=Calibration((0.0,), (2.0,))).wrap(digits_cnn)
    before, after = digits_cnn(batch.x), digits_cnn(held.network(batch.x).clamp(0, 1))
    label = before.argmax(1)
    assert torch.equal(network(batch.x).argmax(1) == 10, after.argmax(1) != label)
    margin = torch.stack([row.index_fill(0, c, -torch.inf).max() - row[c] for row, c in zip(after, label, strict=True)])
    torch.testing.assert_close(network(batch.x)[:, 10], before.amax(1) + margin / 2)


@given(st.lists(st.floats(-50, 50, width=32), min_size=4, max_size=4), st.floats(0.5, 50))
def test_the_divergence_is_between_0_and_log_2_and_symmetric(values: list[float], temperature: float) -> None:
    first, second = torch.tensor([values[:2]]), torch.tensor([values[2:]])
    one, other = divergence(first, second, temperature), divergence(second, first, temperature)
    assert -1e-6 <= float(one) <= math.log(2) + 1e-6
    assert float(one) == pytest.approx(float(other), abs=1e-6)
    assert float(divergence(first, first, temperature)) == pytest.approx(0, abs=1e-6)


class Known(nn.Module):
    """Logits whose L1 distance under squeezing is known: the image's mean, of which squeezing leaves nothing."""

    def forward(self, x: Tensor) -> Tensor:
        p = x.flatten(1).mean(1).clamp(1e-6, 1 - 1e-6)
        return torch.stack([p.log(), (1 - p).log()], 1)


@pytest.mark.parametrize(("n", "fpr"), [(200, 0.05), (200, 0.5), (80, 0.1)])
def test_the_threshold_is_the_conformal_quantile_of_every_second_image(n: int, fpr: float) -> None:
    x = torch.linspace(0.01, 0.49, n)[torch.randperm(n, generator=torch.Generator().manual_seed(1))].view(n, 1, 1, 1)
    x = x.expand(n, 1, 4, 4).contiguous()
    batches = [
        Batch(part, torch.zeros(len(part), dtype=torch.int64), torch.arange(len(part)), None) for part in x.split(17)
    ]
    fitted = FitFeatureSqueezing(fpr, (BitDepth(1),)).fit(Known(), batches)
    score = 2 * (x[:, 0, 0, 0] - 1e-6)  # all of it is black after squeezing: |p - 0| + |(1 - p) - 1|
    half = score[::2].sort().values
    assert fitted.defence.calibration is not None
    (threshold,) = fitted.defence.calibration.thresholds
    place = math.ceil((len(half) + 1) * (1 - fpr))
    assert threshold == pytest.approx(float(half[place - 1]), abs=1e-5)
    told = fitted.reached["rejected of the other half"]
    assert told == pytest.approx(float((score[1::2] > threshold).float().mean()), abs=0.011)
    assert told == pytest.approx(fpr, abs=0.1)
    assert (fitted.images, fitted.forwards) == (n, 2 * n)  # the image, and what is left of it


def test_too_few_images_and_a_threshold_that_rejects_all_are_refused(digits_cnn: nn.Module) -> None:
    data = vb.data.load("digits/train[:30]")
    with pytest.raises(ContractError, match=r"expected at least 38 images for fpr=0\.05"):
        FitFeatureSqueezing().fit(digits_cnn, [data.all()])
    bright = torch.cat([torch.full((1, 1, 4, 4), 0.01 if at % 2 == 0 else 0.45) for at in range(100)])
    batch = Batch(bright, torch.zeros(100, dtype=torch.int64), torch.arange(100), None)
    with pytest.raises(ContractError, match="rejects all 50"):
        FitFeatureSqueezing(squeezers=(BitDepth(1),)).fit(Known(), [batch])


def test_a_file_holds_thresholds_for_its_own_parameters_alone(
    digits_cnn: nn.Module, tmp_path: Path, batch: Batch
) -> None:
    data, path = vb.data.load("digits/train[:200]"), tmp_path / "squeezing.safetensors"
    fitted = fit("feature-squeezing:fpr=0.1,squeezers=[bit-depth:bits=2][median-filter:size=3]", digits_cnn, data, path)
    word = f"feature-squeezing:file={path},squeezers="
    network = defences.load(word + "[bit-depth:bits=2][median-filter:size=3]").wrap(digits_cnn)
    assert torch.equal(network(batch.x), fitted.defence.wrap(digits_cnn)(batch.x))
    with pytest.raises(ContractError, match="was calibrated for") as error:
        defences.load(word + "[bit-depth:bits=3]").wrap(digits_cnn)
    assert "\n" not in str(error.value)
    held = auto_encoder()
    with pytest.raises(ContractError, match="holds no thresholds of magnet"):
        MagNet(trained=held, file=path).wrap(digits_cnn)


def test_magnet_is_fitted_to_its_auto_encoder(digits_cnn: nn.Module, tmp_path: Path, batch: Batch) -> None:
    data = vb.data.load("digits/train[:200]")
    plain, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for seed, file in enumerate((plain, other)):
        fit(FitAutoEncoder(epochs=1), None, data, file, seed=seed)
    path = tmp_path / "magnet.safetensors"
    fitted = fit(f"magnet:fpr=0.1,autoencoder={plain}", digits_cnn, data, path)
    network = defences.load(f"magnet:file={path},autoencoder={plain}").wrap(digits_cnn)
    assert torch.equal(network(batch.x), fitted.defence.wrap(digits_cnn)(batch.x))
    assert fitted.reached["rejected of the other half"] < 0.35
    with pytest.raises(ContractError, match="was calibrated for"):
        defences.load(f"magnet:file={path},autoencoder={other}").wrap(digits_cnn)


def test_an_attacker_who_knows_magnet_passes_it(digits_cnn: nn.Module, batch: Batch) -> None:
    data = [vb.data.load("digits/train[:300]").all()]
    start = FitAutoEncoder(epochs=20, batch=32, lr=3e-3).fit(None, data).defence.trained
    network = FitMagNet(trained=start).fit(digits_cnn, data).defence.wrap(digits_cnn)
    unaware, aware = (
        vb.attack(attacks.PGD(Linf(0.25), steps=30), network, batch, threat=threat)
        for threat in (threats.gray_box(), threats.adaptive())
    )
    assert int(aware.success.sum()) > int(unaware.success.sum()) + 10
    rejected = network(aware.adversarial[aware.success]).argmax(1) == 10
    assert not rejected.any()


def test_what_is_no_squeezer_and_a_second_detector_are_refused(digits_cnn: nn.Module) -> None:
    for squeezers in ((), (GaussianNoise(0.1),), ("bit-depth",)):
        with pytest.raises(ContractError, match="squeezers"):
            FeatureSqueezing(squeezers, calibration=LOOSE)
        with pytest.raises(ContractError, match="squeezers"):
            FitFeatureSqueezing(squeezers=squeezers)
    once = FeatureSqueezing(calibration=LOOSE).wrap(digits_cnn)
    with pytest.raises(ContractError, match="without a rejection"):
        FeatureSqueezing(calibration=LOOSE).wrap(once)
    with pytest.raises(ContractError, match="expected file or calibration"):
        FeatureSqueezing()
    with pytest.raises(ContractError, match="expected 1 thresholds"):
        FeatureSqueezing(calibration=Calibration((0.1, 0.2), (1, 1))).wrap(digits_cnn)
