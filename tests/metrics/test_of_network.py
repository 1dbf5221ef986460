"""Metrics of a network on linear networks, where each is known in closed form."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.core.errors import ContractError, VaubanError
from vauban.core.rng import Stream
from vauban.jobs.executors.pool import SHOWN
from vauban.jobs.recall import recalled
from vauban.metrics.of_network.base import MeasuredBatch
from vauban.metrics.of_network.training_set_distance import nearest


def linear(classes: int = 2, features: int = 5) -> nn.Linear:
    network = nn.Linear(features, classes)
    with torch.no_grad():
        network.weight.copy_(torch.randn(classes, features, generator=torch.Generator().manual_seed(3)))
        network.bias.zero_()
    return network


def images(n: int = 7, features: int = 5) -> Tensor:
    return 0.2 + 0.6 * torch.rand(n, features, generator=torch.Generator().manual_seed(4))


def given(network: nn.Module, x: Tensor, image: Tensor | None = None, fooled: Tensor | None = None) -> MeasuredBatch:
    y = network(x).argmax(1)
    batch = vb.Batch(x, y, torch.arange(len(x)), None)
    return MeasuredBatch(network, batch, x if image is None else image, fooled, Stream(0, batch.ids))


def test_loss_sensitivity_of_a_linear_network() -> None:
    network, x = linear(3), images()
    p = network(x).softmax(1)
    exact = ((p - nn.functional.one_hot(network(x).argmax(1), 3)) @ network.weight).norm(dim=1)
    assert torch.allclose(vb.metrics.LossSensitivity().values(given(network, x)).float(), exact, atol=1e-6)


def test_lipschitz_constant_of_a_linear_map_is_its_largest_singular_value() -> None:
    network = linear(4)
    exact = torch.linalg.matrix_norm(network.weight, 2).item()
    estimate = vb.metrics.LocalLipschitz(radius=0.05, steps=60).values(given(network, images()))
    assert estimate.tolist() == pytest.approx([exact] * 7, rel=1e-3)
    few = vb.metrics.LocalLipschitz(radius=0.05, steps=1).values(given(network, images()))
    assert bool((few <= exact * (1 + 1e-4)).all())


def test_entropy_by_hand() -> None:
    class Given(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.zeros(len(x)), x[:, 0] * 1e4], 1)

    x = torch.tensor([[0.0], [1.0]])
    assert vb.metrics.PredictionEntropy().values(given(Given(), x)).tolist() == pytest.approx([math.log(2), 0.0])


def test_empirical_robustness_of_what_was_fooled_alone() -> None:
    network, x = linear(), images(3)
    image = x + torch.tensor([[0.1, 0, 0, 0, 0]])
    fooled = torch.tensor([True, False, True])
    values = vb.metrics.EmpiricalRobustness().values(given(network, x, image, fooled))
    assert values[[0, 2]].tolist() == pytest.approx((0.1 / x.norm(dim=1))[[0, 2]].tolist(), rel=1e-5)
    assert math.isnan(values[1])
    black = torch.zeros(1, 5)
    assert vb.metrics.EmpiricalRobustness().values(given(network, black, image[:1], fooled[:1])).isnan().all()


@pytest.mark.parametrize("layer", ["", 0, "1"])
def test_layer_distortion_by_hand(layer: str | int) -> None:
    network = nn.Sequential(linear(6), nn.ReLU(), linear(3, 6))
    x = images()
    image = (x + 0.05).clamp(0, 1)
    parts = {"": network, 0: network[0], "1": network[:2]}
    before, after = (parts[layer](z).double() for z in (x, image))
    exact = (after - before).norm(dim=1) / before.norm(dim=1)
    values = vb.metrics.LayerDistortion(layer).values(given(network, x, image))
    assert torch.allclose(values, exact, atol=1e-6)


def test_layer_distortion_behind_a_defence_by_hand() -> None:
    network = nn.Sequential(linear(6), nn.ReLU(), linear(3, 6))
    halved = vb.defences.BitDepth(1).wrap(network)
    x = torch.rand(4, 5, generator=torch.Generator().manual_seed(1))
    assert (x.round().sum(1) > 0).all()  # an image of zeros has no distortion
    image = (x + 0.2).clamp(0, 1)
    for original, one, other in (("behind", x.round(), image.round()), ("without", x, image.round())):
        before, after = (network[0](z).double() for z in (one, other))
        exact = (after - before).norm(dim=1) / before.norm(dim=1)
        metric = vb.metrics.LayerDistortion("0", original)
        assert torch.allclose(metric.values(given(halved, x, image)), exact, atol=1e-6)
        assert metric.attacked == (original == "behind")  # without the defence there is a distortion of its own


def test_a_layer_that_is_not_there_is_named() -> None:
    with pytest.raises(ContractError, match="'nine'"):
        vb.metrics.LayerDistortion("nine").values(given(linear(), images()))


def test_training_set_distance_against_brute_force() -> None:
    train, x = images(50), images(9) + 0.01
    data = vb.data.from_torch((train, torch.zeros(50, dtype=torch.int64)), levels=None)
    exact = torch.cdist(x.double(), train.double(), compute_mode="donot_use_mm_for_euclid_dist").amin(1)
    for block in (1, 7, 50):
        metric = vb.metrics.TrainingSetDistance(data, block)
        assert torch.allclose(metric.values(given(linear(), x)), exact, atol=1e-12)
    assert nearest(train.double(), train.double()).tolist() == [0.0] * 50
    fooled = torch.arange(9) % 2 == 0
    attacked = vb.metrics.TrainingSetDistance(data).values(given(linear(), x, x, fooled))
    assert torch.equal(attacked.isnan(), ~fooled)  # with an attack, of the images that fool alone
    assert torch.allclose(attacked[fooled], exact[fooled], atol=1e-12)
    with pytest.raises(ContractError, match="expected training images of the shape"):
        vb.metrics.TrainingSetDistance(data).values(given(linear(2, 3), images(2, 3)))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_incremental_fgsm_stops_at_the_first_increment_that_changes_the_label(norm: str) -> None:
    network, x = linear(), images(12)
    y, w = network(x).argmax(1), network.weight[1] - network.weight[0]
    data = vb.data.from_torch((x, y), levels=None)
    result = vb.attack(f"incremental-fgsm:norm={norm},steps=100", network, data)
    size = w.abs().sum() if norm == "linf" else w.norm()
    needed = (network(x)[:, 1] - network(x)[:, 0]).abs() / size
    moved = (result.adversarial - x).abs().amax(1) if norm == "linf" else (result.adversarial - x).norm(dim=1)
    inside = ((result.adversarial > 0) & (result.adversarial < 1)).all(1) & result.success
    assert int(inside.sum()) > 4
    assert torch.allclose(moved[inside], 0.01 * (needed[inside] / 0.01).ceil(), atol=2e-3)
    assert bool((moved[inside] >= needed[inside] - 1e-5).all())


def test_rows_are_kept_and_summarised(tmp_path: Path) -> None:
    network, x = linear(), images(12)
    data = vb.data.from_torch((x, network(x).argmax(1)), levels=None)
    words = (["empirical-robustness", "loss-sensitivity"], network, data, tmp_path)
    first = vb.measure(*words, attack="incremental-fgsm:steps=50", batch_size=5)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    again = vb.measure(*words, attack="incremental-fgsm:steps=50", batch_size=5)
    assert len(files) == 6
    assert files == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    whole = vb.measure(*words[:3], attack="incremental-fgsm:steps=50", batch_size=12)
    for name, columns in first.columns.items():
        assert np.array_equal(columns["value"], again.columns[name]["value"], equal_nan=True)
        assert np.allclose(columns["value"], whole.columns[name]["value"], atol=1e-6, equal_nan=True)
    robust = first.columns["empirical-robustness"]
    assert first.mean("empirical-robustness").p_suc == pytest.approx(robust["fooled"].mean())
    assert f"{round(robust['fooled'].sum())} of 12 images" in str(first)


def test_a_job_of_words_is_made_again_from_them(tmp_path: Path) -> None:
    words = "empirical-robustness", "digits-cnn", "digits/test[:4]", tmp_path
    (outcome,) = vb.measure(*words, attack="ddn:steps=2", batch_size=2).outcomes
    told = outcome.job.words()
    assert told is not None
    assert recalled(told.call, told.arguments).key == outcome.job.key
    assert "value" in SHOWN  # what a worker process tells of its progress


def test_workers_need_words() -> None:
    data = vb.data.from_torch((images(), torch.zeros(7, dtype=torch.int64)), levels=None)
    with pytest.raises(ContractError, match="expected a job of words for several workers"):
        vb.measure("loss-sensitivity", linear(), data, workers=2)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("empirical-robustness", "expected an attack for empirical-robustness"),
        ("local-lipschitz:radius=0", "radius"),
        ("loss-sensitivty", "did you mean 'loss-sensitivity'"),
        ("training-set-distance", "needs data"),
    ],
)
def test_bad_input_is_one_line(word: str, message: str) -> None:
    with pytest.raises(VaubanError, match=message):
        vb.measure(word, "digits-cnn", "digits/test[:4]")


def test_a_loss_that_is_not_finite_has_no_sensitivity() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x[:, 0].sqrt(), x[:, 1]], 1)

    x = torch.tensor([[0.0, 0.5], [0.25, 0.5]])
    values = vb.metrics.LossSensitivity().values(given(Root(), x))
    assert values.isnan().tolist() == [True, False]


def test_nothing_to_measure_or_to_certify_is_refused() -> None:
    with pytest.raises(ContractError, match="at least one metric"):
        vb.measure([], linear(), vb.data.from_torch((images(), torch.zeros(7, dtype=torch.int64)), levels=None))
    with pytest.raises(ContractError, match="at least one certificate"):
        vb.certify([], linear(), vb.data.from_torch((images(), torch.zeros(7, dtype=torch.int64)), levels=None))
