"""Auto-encoders in front of a network: what each stage leaves alone, what it makes smaller, files, and who is told what."""

from __future__ import annotations

import copy
import logging
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.core.cards import carded
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.defences.autoencoders.autoencoder import FitAutoEncoder
from vauban.defences.autoencoders.reconstruction import Reconstruction, TrainedAutoEncoder
from vauban.defences.autoencoders.s2snet import FitS2SNet, S2SNet
from vauban.defences.autoencoders.segnet import WIDTHS, SegNet
from vauban.defences.autoencoders.stages import ReconstructionObjective
from vauban.engine import Oracle
from vauban.evaluate.fit import fit
from vauban.models import weights


def digits(n: int = 120) -> Any:
    return vb.data.load(f"digits/train[:{n}]")


def trained(form: str = "shallow", shape: tuple[int, ...] = (1, 8, 8)) -> TrainedAutoEncoder:
    torch.manual_seed(0)
    return TrainedAutoEncoder(SegNet(shape[0], form).eval(), shape)


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (33, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_come_out_as_they_went_in(size: tuple[int, int], channels: int) -> None:
    x = torch.rand(2, channels, *size)
    assert SegNet(channels).eval()(x).shape == x.shape


def test_the_widths_of_segnet_are_those_of_vgg_16_and_mirrored() -> None:
    net = SegNet(3, "segnet")
    inside = [(c.in_channels, c.out_channels) for c in net.encoder.modules() if isinstance(c, nn.Conv2d)]
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert inside == list(pairwise(widths))
    outside = [(c.in_channels, c.out_channels) for c in net.decoder.modules() if isinstance(c, nn.Conv2d)]
    assert outside == [(b, a) for a, b in reversed(inside)]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == 13 + 12  # the last layer is linear
    assert len(net.encoder.blocks) == len(WIDTHS["segnet"]) == 5


def test_values_go_back_to_where_the_maxima_stood() -> None:
    net = SegNet(1)
    for module in net.modules():  # one channel goes through unchanged
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
            module.weight.data[0, 0, 1, 1] = 1
    x = torch.rand(3, 1, 16, 16)
    out = net.eval()(x)
    largest = F.max_pool2d(x, 8)
    kept = torch.where(x == F.interpolate(largest, scale_factor=8), x, torch.zeros(()))
    scale = (1 / (1 + 1e-5) ** 0.5) ** 5  # of five batch normalisations with the statistics of new layers
    torch.testing.assert_close(out, kept * scale)


def test_the_loss_of_the_first_stage_is_the_mean_squared_error() -> None:
    net, x = SegNet(1).eval(), torch.rand(5, 1, 8, 8)
    batch = Batch(x, torch.zeros(5, dtype=torch.int64), torch.arange(5), None)
    value, logits = ReconstructionObjective()(net, batch, 0)
    assert logits is None
    assert value.item() == pytest.approx(((net(x) - x) ** 2).mean().item())


def test_the_first_stage_reconstructs_and_the_second_leaves_encoder_and_network_bit_for_bit(
    digits_cnn: nn.Module,
) -> None:
    data = digits()
    start = FitAutoEncoder(epochs=15, batch=16, lr=3e-3).train(None, data)
    begun = start.defence.trained
    assert begun is not None
    with torch.no_grad():
        error = float(((begun.network(data.all().x) - data.all().x) ** 2).mean())
    assert error < 0.5 * float(data.all().x.var(0).mean())  # nearer than the mean image
    before, network = copy.deepcopy(begun.network.state_dict()), copy.deepcopy(digits_cnn.state_dict())
    fitted = FitS2SNet(epochs=2, begun=begun).train(digits_cnn, data)
    after = fitted.defence.trained.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("encoder"))
    assert not all(torch.equal(before[name], after[name]) for name in before if name.startswith("decoder"))
    assert all(torch.equal(network[name], value) for name, value in digits_cnn.state_dict().items())
    assert all(torch.equal(before[name], value) for name, value in begun.network.state_dict().items())
    assert fitted.forwards == 2 * len(data)

    def loss(net: nn.Module) -> float:
        batch = data.all()
        return float(F.cross_entropy(digits_cnn(net(batch.x)), batch.y))

    with torch.no_grad():
        assert loss(fitted.defence.trained.network) < loss(begun.network)


def test_a_fit_that_was_killed_ends_with_the_same_weights(
    digits_cnn: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, fitter = digits(40), FitS2SNet(first=2, epochs=3)
    whole = fitter.train(digits_cnn, data, seed=3)
    calls = []

    def killed(images: int) -> None:
        calls.append(images)
        if len(calls) == 4:  # in the second epoch of the second stage
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitter.train(digits_cnn, data, seed=3, checkpoint=tmp_path / "fit.checkpoint", callback=killed)
    again = fitter.train(digits_cnn, data, seed=3, checkpoint=tmp_path / "fit.checkpoint", callback=calls.append)
    assert len(calls) == 4 + 1
    for one, other in zip(
        whole.defence.trained.network.state_dict().values(),
        again.defence.trained.network.state_dict().values(),
        strict=True,
    ):
        assert torch.equal(one, other)


def test_a_file_is_a_defence_and_says_to_which_network_it_was_fitted(
    digits_cnn: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, batch = digits(60), vb.data.load("digits/test[:16]").all()
    path = tmp_path / "s2s.safetensors"
    result = fit("s2snet:first=1,epochs=1", digits_cnn, data, path, name="digits-cnn")
    guarded = defences.load(f"s2snet:file={path}").wrap(digits_cnn)
    direct = result.defence.wrap(digits_cnn)
    assert torch.equal(guarded(batch.x), direct(batch.x))
    network = result.defence.trained.network
    assert torch.equal(guarded(batch.x), digits_cnn(network(batch.x).clamp(0, 1)))
    (card,) = [card for _, card in carded(guarded)]
    assert card.fitted_to
    assert not card.backward
    with caplog.at_level(logging.WARNING):
        vb.attack(attacks.FGSM(Linf(0.1)), guarded, batch)
    assert "fitted-elsewhere" not in caplog.text
    other = vb.models.build("digits-cnn")
    with caplog.at_level(logging.WARNING):
        vb.attack(attacks.FGSM(Linf(0.1)), defences.load(f"s2snet:file={path}").wrap(other), batch)
    assert "fitted-elsewhere" in caplog.text


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_the_type_of_the_images_comes_back(dtype: torch.dtype) -> None:
    made = Reconstruction(trained(), "a test")
    x = torch.rand(2, 1, 8, 8).to(dtype)
    assert made(x).dtype == dtype
    torch.testing.assert_close(made(x).float(), made(x.float()), atol=2e-3, rtol=0)


def test_training_mode_does_not_reach_the_auto_encoder(digits_cnn: nn.Module) -> None:
    guarded = S2SNet(trained=trained()).wrap(copy.deepcopy(digits_cnn))
    guarded.train()
    assert not any(part.training for part in guarded.get_submodule("transform.autoencoder").modules())


def test_bpda_differentiates_the_identity_where_it_is_asked_for(digits_cnn: nn.Module) -> None:
    batch, held = vb.data.load("digits/test[:8]").all(), trained()
    own, identity = (S2SNet(trained=held, backward=rule) for rule in ("own", "identity"))
    assert not own.card.backward
    bound = threats.adaptive().bind(identity.wrap(digits_cnn), levels=None)
    seen = held.network(batch.x).clamp(0, 1).detach().requires_grad_(True)
    (exact,) = torch.autograd.grad(F.cross_entropy(digits_cnn(seen), batch.y, reduction="sum"), seen)
    oracle = Oracle.open(bound, batch.x, batch.y)
    _, (given,) = oracle.gradient(batch.x, cross_entropy)
    torch.testing.assert_close(given, exact, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("s2snet", "expected file or trained"),
        ("auto-encoder", "expected file or trained"),
        ("s2snet:file={plain}", "holds no auto-encoder of the kind s2snet"),
        ("auto-encoder:file={weights}", "holds no auto-encoder of the kind auto-encoder"),
        ("auto-encoder:file=nowhere.safetensors", "does not exist"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(word: str, told: str, digits_cnn: nn.Module, tmp_path: Path) -> None:
    plain, held = tmp_path / "plain.safetensors", tmp_path / "weights.safetensors"
    fit("auto-encoder:epochs=1", None, digits(20), plain)
    weights.save(digits_cnn, held, {})
    with pytest.raises(ContractError, match=told) as error:
        defences.load(word.format(plain=plain, weights=held)).wrap(digits_cnn)
    assert "\n" not in str(error.value)


def test_images_of_another_size_are_refused_by_file_and_fit(digits_cnn: nn.Module, tmp_path: Path) -> None:
    guarded = S2SNet(trained=trained(shape=(1, 8, 8))).wrap(nn.Flatten())
    with pytest.raises(ContractError, match=r"expected images of shape \(1, 8, 8\)"):
        guarded(torch.rand(1, 1, 9, 8))
    with pytest.raises(ContractError, match=r"expected images of shape \(3, 32, 32\)"):
        FitS2SNet(begun=trained(shape=(3, 32, 32))).train(digits_cnn, digits(10))
    small = Batch(torch.rand(4, 1, 5, 5), torch.zeros(4, dtype=torch.int64), torch.arange(4), None)
    with pytest.raises(ContractError, match="at least 8x8 pixels"):
        FitAutoEncoder().fit(None, [small])
    with pytest.raises(ContractError, match="at least one batch"):
        FitAutoEncoder().fit(None, [])
    with pytest.raises(ContractError, match="expected the network"):
        FitS2SNet().fit(None, [small])


def test_batches_and_samples_give_the_same_fit() -> None:
    data = digits(30)
    parts = [data.batch(index) for index in torch.split(torch.arange(30), 7)]
    one, other = FitAutoEncoder(epochs=1).fit(None, parts), FitAutoEncoder(epochs=1).train(None, data)
    for a, b in zip(one.defence.trained.network.parameters(), other.defence.trained.network.parameters(), strict=True):
        assert torch.equal(a, b)
