"""Statistics of convolutions: the summary against scikit-learn and numpy, the least logit, what it learns, in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from torch import nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, UnknownName
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.defences.detectors.convolution_stages import summary
from vauban.defences.detectors.convolution_statistics import FitConvolutionStatistics
from vauban.evaluate.fit import fit

ATTACK = FGSM(Linf(0.15), loss=cross_entropy)


@pytest.fixture
def batch() -> Batch:
    return vb.data.load("digits/test[:40]").all()


def test_the_summary_of_whitened_components_is_that_of_scikit_learn_and_numpy(
    digits_cnn: nn.Module, batch: Batch
) -> None:
    train = vb.data.load("digits/train[:200]").all()
    fitter = FitConvolutionStatistics(attack=ATTACK, layers=(3,), components=5, epochs=1)
    learned = fitter.fit(digits_cnn, [train]).defence.held
    assert learned.facts["sizes"] == [[16, 5]]
    with torch.no_grad():
        seen, new = (digits_cnn[:4](x).movedim(1, 3).double() for x in (train.x[::2], batch.x))
        maps = digits_cnn[:4](batch.x)
    pca = PCA(whiten=True, svd_solver="full").fit(seen.flatten(0, 2).numpy())
    n = len(seen.flatten(0, 2))
    z = pca.transform(new.flatten(0, 2).numpy())[:, 4::-1] * np.sqrt(n / (n - 1))  # ours has the largest last
    z = z.reshape(40, -1, 5)
    told = summary(maps, learned.tensors["mean_0"], learned.tensors["axes_0"], "3").numpy()
    signs = np.sign((pca.components_[4::-1] * learned.tensors["axes_0"].numpy().T).sum(1))
    z = z * signs
    expected = [np.abs(z).mean(1), z.min(1), z.max(1), *(np.quantile(z, q, axis=1) for q in (0.25, 0.5, 0.75))]
    np.testing.assert_allclose(told, np.concatenate(expected, 1), rtol=2e-3, atol=2e-3)


def test_the_statistic_is_the_least_logit_of_the_layers(digits_cnn: nn.Module, batch: Batch) -> None:
    fitter = FitConvolutionStatistics(attack=ATTACK, epochs=2, batch=32)
    scorer = fitter.fit(digits_cnn, [vb.data.load("digits/train[:200]").all()]).defence.scorer(digits_cnn)
    assert scorer.layers == ("0", "3")
    held, least = scorer.stages.state_dict(), []
    for at, depth in enumerate((1, 4)):
        told = summary(digits_cnn[:depth](batch.x), held[f"mean_{at}"], held[f"axes_{at}"], "")
        z = (told - held[f"centre_{at}"]) / held[f"spread_{at}"]
        least.append(F.linear(z, held[f"weight_{at}"][None], held[f"bias_{at}"]))
    logits, score = scorer(digits_cnn, batch.x)
    torch.testing.assert_close(score, torch.cat(least, 1).amin(1, keepdim=True))
    assert torch.equal(logits, digits_cnn(batch.x))
    assert not list(scorer.parameters())


def test_it_learns_to_tell_goes_on_after_a_kill_and_an_attacker_who_knows_it_passes(
    digits_cnn: nn.Module, batch: Batch, tmp_path: Path
) -> None:
    fitter = FitConvolutionStatistics(attack=ATTACK, epochs=6, batch=32, lr=1e-2)
    data, kill = vb.data.load("digits/train[:500]"), tmp_path / "killed.checkpoint"

    def after(images: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitter.train(digits_cnn, data, checkpoint=kill, callback=after)
    fitted, resumed = fitter.train(digits_cnn, data), fitter.train(digits_cnn, data, checkpoint=kill)
    for name, value in fitted.defence.held.tensors.items():
        assert torch.equal(value, resumed.defence.held.tensors[name])
    network = fitted.defence.wrap(digits_cnn)
    x = batch.x.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.cross_entropy(digits_cnn(x), batch.y), x)
    made = (batch.x + 0.15 * g.sign()).clamp(0, 1)
    clean, attacked = (float((network(images).argmax(1) == 10).double().mean()) for images in (batch.x, made))
    assert clean < 0.2
    assert attacked > clean + 0.3
    aware = vb.attack(attacks.PGD(Linf(0.2), steps=20), network, batch, threat=threats.adaptive())
    assert int(aware.success.sum()) > 15
    assert not (network(aware.adversarial[aware.success]).argmax(1) == 10).any()


def test_a_file_and_what_does_not_fit(digits_cnn: nn.Module, batch: Batch, tmp_path: Path) -> None:
    path = tmp_path / "statistics.safetensors"
    word = "convolution-statistics:attack=[fgsm:eps=0.1],layers=[0][3],epochs=1"
    fitted = fit(word, digits_cnn, "digits/train[:200]", path)
    network = defences.load(f"convolution-statistics:file={path}").wrap(digits_cnn)
    assert torch.equal(network(batch.x), fitted.defence.wrap(digits_cnn)(batch.x))
    train, flat = [vb.data.load("digits/train[:100]").all()], nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    make = FitConvolutionStatistics
    for act, message in (
        (lambda: make(attack=ATTACK).fit(flat, train), "expected a network with convolutions"),
        (lambda: make(attack=ATTACK, layers="penultimate").fit(digits_cnn, train), r"expected maps \(batch, channels"),
        (lambda: make(attack=ATTACK, layers="first").fit(digits_cnn, train), "unknown layer of Sequential: 'first'"),
        (lambda: make(attack=ATTACK, layers=("0", 0)), "expected layers of 'convolution-statistics', each once"),
        (lambda: defences.load(f"convolution-statistics:file={path}").wrap(flat), "unknown layer of Sequential: '3'"),
    ):
        with pytest.raises((ContractError, UnknownName), match=message) as error:
            act()
        assert "\n" not in str(error.value)
