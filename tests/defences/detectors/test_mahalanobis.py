"""Mahalanobis distance of features: against scikit-learn, streamed, in files, and what does not fit it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from torch import Tensor, nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, UnknownName
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.kernel_density import FitKernelDensity
from vauban.defences.detectors.learned import Learned
from vauban.defences.detectors.mahalanobis import FitMahalanobis, Mahalanobis
from vauban.defences.detectors.streamed import Share
from vauban.evaluate.fit import fit


def network() -> nn.Sequential:
    with seeded("tests", 3):
        layers = nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(64, 7), nn.Tanh(), nn.Linear(7, 3)
        return nn.Sequential(*layers).double().eval()


def images(n: int = 160, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, 6, 6, generator=draw, dtype=torch.float64)
    return Batch(x, torch.randint(0, 3, (n,), generator=draw), torch.arange(n), None)


def parts(batch: Batch, size: int) -> list[Batch]:
    pieces = zip(*(part.split(size) for part in (batch.x, batch.y, batch.ids)), strict=True)
    return [Batch(*piece, None) for piece in pieces]


def by_scikit_learn(h: Tensor, y: Tensor, new: Tensor) -> np.ndarray:
    """The distance to the nearest class of rows `new`, Gaussians fitted to rows h of classes y."""
    classes = [h[y == c].numpy() for c in range(3)]
    centred = np.concatenate([rows - rows.mean(0) for rows in classes])
    tied = EmpiricalCovariance(assume_centered=True).fit(centred)
    return np.min([tied.mahalanobis(new.numpy() - rows.mean(0)) for rows in classes], 0)


def test_the_distances_are_those_of_scikit_learn_at_several_layers() -> None:
    net, batch, new = network(), images(), images(50, 1).x
    fitted = FitMahalanobis(layers=(1, "penultimate")).fit(net, [batch])
    logits, scores = fitted.defence.scorer(net)(net, new)
    learned_from = slice(0, None, 2)
    with torch.no_grad():
        for at, h in enumerate((lambda x: net[:2](x).mean((2, 3)), lambda x: net[:5](x))):
            expected = by_scikit_learn(h(batch.x[learned_from]), batch.y[learned_from], h(new))
            np.testing.assert_allclose(scores[:, at].detach().numpy(), expected, rtol=1e-8)
        assert torch.equal(logits, net(new))
    calibrating = fitted.defence.scorer(net)(net, batch.x[1::2])[1]
    thresholds = calibrating[::2].sort(0).values[round(41 * 0.975) - 1]
    assert fitted.defence.calibration.thresholds == tuple(thresholds.tolist())
    rejected = (calibrating[1::2] > thresholds).any(1).double().mean()
    assert fitted.reached["rejected of the other half"] == float(rejected)
    assert fitted.images == fitted.forwards == 160


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_fit_does_not_depend_on_how_the_images_come(size: int) -> None:
    net, batch = network(), images()
    assert torch.equal(torch.cat([part.x for part in Share(parts(batch, size), 0)]), batch.x[::2])
    assert torch.equal(torch.cat([part.ids for part in Share(parts(batch, size), 1)]), batch.ids[1::2])
    whole, streamed = (FitMahalanobis().fit(net, held) for held in ([batch], parts(batch, size)))
    one, other = (fitted.defence.wrap(net)(batch.x) for fitted in (whole, streamed))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_features_without_variance_have_no_weight() -> None:
    net, batch = network(), images()
    net[3].weight.data[2] = 0  # tanh(bias) for every image
    fitted = FitMahalanobis().fit(net, [batch])
    h = net[:5](batch.x).detach()
    kept = h[:, [0, 1, 3, 4, 5, 6]]
    expected = by_scikit_learn(kept[::2], batch.y[::2], kept)
    np.testing.assert_allclose(fitted.defence.scorer(net)(net, batch.x)[1][:, 0].detach(), expected, rtol=1e-7)


def test_the_gradient_of_the_statistic_reaches_the_image() -> None:
    net, batch = network(), images()
    scorer = FitMahalanobis(layers=(1, "penultimate")).fit(net, [batch]).defence.scorer(net)
    x = images(2, 4).x.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: scorer(net, x)[1], x)


def test_one_forward_pass_and_nothing_left_on_the_network() -> None:
    net, batch = network(), images()
    guarded = FitMahalanobis(layers=(1, "penultimate")).fit(net, [batch]).defence.wrap(net)
    calls: list[int] = []
    handle = net.register_forward_hook(lambda *_: calls.append(1))
    guarded(batch.x)
    handle.remove()
    assert len(calls) == 1
    assert not any(part._forward_hooks for part in net.modules())


def test_a_file_holds_what_was_fitted(digits_cnn: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, path = vb.data.load("digits/train[:400]"), tmp_path / "mahalanobis.safetensors"
    fitted = fit("mahalanobis:layers=[5][penultimate],fpr=0.1", digits_cnn, data, path)
    x = vb.data.load("digits/test[:20]").all().x
    detector = defences.load(f"mahalanobis:file={path}")
    guarded = detector.wrap(digits_cnn)
    assert torch.equal(guarded(x), fitted.defence.wrap(digits_cnn)(x))
    assert guarded.card.fitted_to
    assert detector.name == "mahalanobis:file=mahalanobis.safetensors"
    assert detector.statistics == ("the distance at 5", "the distance at penultimate")
    batch = vb.data.load("digits/test[:20]").all()
    for net, elsewhere in ((digits_cnn, False), (copy.deepcopy(digits_cnn), True)):
        if elsewhere:
            net[0].weight.data[0] += 0.01
        caplog.clear()
        vb.attack(attacks.FGSM(Linf(0.1)), detector.wrap(net), batch)
        assert ("fitted-elsewhere" in caplog.text) == elsewhere
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(UnknownName, match="layer of Sequential: '5'"):
        detector.wrap(other)
    with pytest.raises(ContractError, match="holds no thresholds of kernel-density"):
        defences.load(f"kernel-density:file={path}").wrap(digits_cnn)


def test_an_attacker_who_knows_the_distance_passes_it(digits_cnn: nn.Module) -> None:
    network = FitMahalanobis().fit(digits_cnn, [vb.data.load("digits/train[:400]").all()]).defence.wrap(digits_cnn)
    batch = vb.data.load("digits/test[:30]").all()
    unaware, aware = (
        vb.attack(attacks.PGD(Linf(0.2), steps=20), network, batch, threat=threat)
        for threat in (threats.gray_box(), threats.adaptive())
    )
    assert int(aware.success.sum()) > int(unaware.success.sum())
    assert not (network(aware.adversarial[aware.success]).argmax(1) == 10).any()


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    net, batch = network(), images()
    fitted = FitMahalanobis().fit(net, [batch]).defence
    wider = nn.Sequential(*network()[:5], nn.Linear(7, 4)).double()
    narrow = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.Linear(5, 3)).double()
    few = Batch(batch.x[:60], torch.arange(60) % 3, batch.ids[:60], None)
    refusals = [
        (
            lambda: FitMahalanobis(layers=("convolution",)).fit(net, [batch]),
            "unknown layer of Sequential: 'convolution'",
        ),
        (lambda: FitMahalanobis(layers=()), "expected layers of 'mahalanobis', each once"),
        (lambda: FitMahalanobis(layers=("1", 1)), "expected layers of 'mahalanobis', each once"),
        (lambda: FitMahalanobis().fit(None, [batch]), "expected a network to calibrate 'mahalanobis' on"),
        (lambda: FitMahalanobis().fit(net, iter([batch])), "can be gone through twice"),
        (lambda: FitMahalanobis().fit(net, []), "expected images of every class"),
        (lambda: FitMahalanobis().fit(net, [few]), r"expected at least 76 images for fpr=0\.05, half of them to fit"),
        (lambda: FitMahalanobis().fit(fitted.wrap(net), [batch]), "without a rejection behind 'mahalanobis'"),
        (lambda: FitMahalanobis().fit(nn.Flatten(), [batch]), "a network with a linear layer"),
        (lambda: fitted.wrap(net)(torch.zeros(2, 1, 5, 5).double()), r"expected images of shape \(1, 6, 6\)"),
        (
            lambda: fitted.wrap(wider)(batch.x),
            "expected a network of 3 classes, which mahalanobis was fitted on, got 4",
        ),
        (lambda: fitted.wrap(narrow)(batch.x), "expected 7 features of layer 'penultimate'"),
        (
            lambda: Mahalanobis(calibration=Calibration((1.0,), (1.0,))),
            "learned and calibration of 'mahalanobis' together",
        ),
        (lambda: Mahalanobis(learned=Learned({}, {})), "expected file or calibration"),
        (
            lambda: FitKernelDensity().fit(net, [Batch(batch.x, batch.y * 0, batch.ids, None)]),
            "with 2 classes without any",
        ),
    ]
    for act, message in refusals:
        with pytest.raises((ContractError, UnknownName), match=message) as error:
            act()
        assert "\n" not in str(error.value)


def test_features_far_from_zero_that_depend_on_one_another_have_the_same_distances_as_about_zero() -> None:
    batch = images(160)
    batch = Batch(batch.x.float(), batch.y, batch.ids, None)
    with seeded("tests", 5):
        net = nn.Sequential(nn.Flatten(), nn.Linear(36, 80), nn.Linear(80, 3)).eval()
    far = copy.deepcopy(net)
    with torch.no_grad():
        far[1].bias += 30
    scores = []
    for one in (net, far):
        scorer = FitMahalanobis(layers=(1,)).fit(one, [batch]).defence.scorer(one)
        with torch.no_grad():
            scores.append(scorer(one, batch.x)[1])
            alone = torch.cat([scorer(one, x)[1] for x in batch.x.split(1)])
        assert torch.allclose(alone, scores[-1], rtol=1e-3)
    assert torch.allclose(*scores, rtol=1e-3)


def test_features_that_are_the_same_for_all_images_have_no_distance() -> None:
    net, batch = network(), images()
    still = Batch(batch.x[:1].expand_as(batch.x), batch.y, batch.ids, None)
    scorer = FitMahalanobis().fit(net, [still]).defence.scorer(net)
    assert not scorer(net, still.x)[1].any()
