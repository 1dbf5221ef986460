"""Answers by the nearest training images: votes by scikit-learn, ties and the soft vote by hand, the fit, files."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn

import vauban as vb
from vauban import attacks, defences, threats
from vauban.core.cards import Card, Defended
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, VaubanError
from vauban.core.norms import Linf
from vauban.core.rng import seeded
from vauban.defences.features.neighbour_vote import ABSENT, LabelledFeatures, NeighbourVote, SoftNeighbours
from vauban.defences.features.neighbours import FitNeighbours, Neighbours
from vauban.evaluate.fit import fit
from vauban.evaluate.training import carry_out
from vauban.training.run import TrainingRun
from vauban.words.model import architecture


def drawn(n: int, seed: int, width: int = 6) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).float().double()


def gallery(n: int = 60, classes: int = 4, seed: int = 0) -> LabelledFeatures:
    labels = torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(seed))
    return LabelledFeatures(drawn(n, seed), labels, classes, "penultimate")


def network() -> nn.Sequential:
    with seeded("tests", 5):
        return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.Tanh(), nn.Linear(6, 3)).eval()


def images(n: int, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, 4, 4, generator=draw)
    return Batch(x, torch.randint(0, 3, (n,), generator=draw), torch.arange(n), None)


@pytest.mark.parametrize("k", [1, 3, 7, 60, 100])
def test_votes_are_those_of_scikit_learn(k: int) -> None:
    held, new = gallery(), drawn(50, 9)
    reference = KNeighborsClassifier(min(k, 60)).fit(held.features.numpy(), held.labels.numpy())
    votes = reference.predict_proba(new.numpy()) * min(k, 60)
    np.testing.assert_allclose(NeighbourVote(held, k)(new).expm1().numpy(), votes, atol=2e-3)


def test_of_equal_votes_the_nearest_image_wins_and_of_equally_near_ones_the_first() -> None:
    features = torch.tensor([[3.0], [1.0], [2.0], [-1.0]])
    held = LabelledFeatures(features, torch.tensor([0, 2, 1, 0]), 3, "penultimate")
    at = torch.tensor([[0.9], [2.6], [0.0]], dtype=torch.float64)
    assert NeighbourVote(held, 2)(at).argmax(1).tolist() == [2, 0, 2]  # nearest two: 1 and 2; 3 and 2; 1 and -1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 2, 10, 100, 200, 400])
def test_the_nearest_wins_in_every_type(k: int, dtype: torch.dtype) -> None:
    held = LabelledFeatures(torch.arange(400.0)[:, None], (torch.arange(400) + 1) % 2, 2, "penultimate")
    at = torch.tensor([[0.0], [1.25], [200.0], [322.0], [700.0]], dtype=dtype)
    logits = NeighbourVote(held, k)(at)
    assert logits.dtype == dtype
    assert logits.argmax(1).tolist() == [counted(h, held, k) for h in at.double()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("k", [1, 2, 5, 30, 250])
def test_votes_of_many_classes_are_counted_in_every_type(k: int, dtype: torch.dtype) -> None:
    held, at = gallery(400, classes=3), drawn(30, 7).to(dtype)
    assert NeighbourVote(held, k)(at).argmax(1).tolist() == [counted(h, held, k) for h in at.double()]


def counted(h: Tensor, held: LabelledFeatures, k: int) -> int:
    """The class of most votes, of equal ones that whose image is nearest, by a loop; rows of the gallery are float32."""
    apart = (held.features.float().double() - h).square().sum(1).tolist()
    near = [int(held.labels[i]) for i in sorted(range(len(apart)), key=lambda i: (apart[i], i))[:k]]
    return max(set(near), key=lambda c: (near.count(c), -near.index(c)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_squares_beyond_half_precision(dtype: torch.dtype) -> None:
    vote = NeighbourVote(LabelledFeatures(torch.tensor([[0.0], [300.0], [600.0]]), torch.tensor([0, 1, 2]), 3, "x"), 2)
    h = torch.tensor([[590.0]], dtype=dtype, requires_grad=True)
    assert vote(h).argmax(1).tolist() == [2]
    assert vote(h)[0, 0] == 0  # the farthest has none
    soft = SoftNeighbours(vote)(h)
    assert (soft.dtype, soft.argmax(1).tolist()) == (dtype, [2])
    assert torch.autograd.grad(soft[0, 1], h)[0].isfinite().all()
    wide = NeighbourVote(LabelledFeatures(torch.full((1, 2000), 100.0), torch.tensor([1]), 2, "x"), 1)
    assert wide(torch.full((1, 2000), 100.0, dtype=dtype)).isfinite().all()  # the sum of these is above 65504


def test_a_feature_that_is_nan_is_seen_in_the_votes() -> None:
    h = drawn(3, 1)
    h[1, 2] = torch.nan
    assert NeighbourVote(gallery(), 3)(h).isnan().any(1).tolist() == [False, True, False]


def test_the_soft_vote_is_a_sum_of_kernels_by_class() -> None:
    held, h = gallery(classes=5), drawn(7, 3).requires_grad_(True)
    labels = held.labels.clamp_max(3)  # nobody has the last class
    soft = SoftNeighbours(NeighbourVote(LabelledFeatures(held.features, labels, 5, "penultimate"), 4))
    logits = soft(h)
    squared = (h[:, None] - held.features).square().sum(2)
    scale = squared.detach().sort(1).values[:, 3:4]
    for c in range(4):
        torch.testing.assert_close(logits[:, c], (-squared / scale).exp()[:, labels == c].sum(1).log())
    assert bool((logits[:, 4] < ABSENT / 2).all())
    (g,) = torch.autograd.grad(logits[:, :4].sum(), h)
    assert bool((g.norm(dim=1) > 0).all())


def test_the_soft_vote_of_a_query_on_an_image_of_the_gallery_is_finite() -> None:
    held = gallery()
    h = held.features[:3].clone().requires_grad_(True)
    logits = SoftNeighbours(NeighbourVote(held, 1))(h)
    assert logits.isfinite().all()
    assert logits.argmax(1).tolist() == held.labels[:3].tolist()
    assert torch.autograd.grad(logits.sum(), h)[0].isfinite().all()


def test_the_fit_holds_the_first_images_of_each_class_of_the_stream() -> None:
    net, batch = network(), images(50)
    batches = [Batch(batch.x[i : i + 7], batch.y[i : i + 7], batch.ids[i : i + 7], None) for i in range(0, 50, 7)]
    fitted = FitNeighbours(most=5).fit(net, batches)
    expected = [i for i in range(50) if int((batch.y[:i] == batch.y[i]).sum()) < 5]
    with torch.no_grad():
        torch.testing.assert_close(fitted.defence.held.features, net[:3](batch.x[expected]))
    assert fitted.defence.held.labels.tolist() == batch.y[expected].tolist()
    assert (fitted.images, fitted.forwards, fitted.reached) == (50, 50, {"held": float(len(expected))})


def test_a_file_holds_all_of_it(tmp_path: Path) -> None:
    net, batch, path = network(), images(40), tmp_path / "gallery.safetensors"
    fitter = FitNeighbours(layer="1", most=8)
    fitted = fitter.fit(net, [batch])
    fitter.save(fitted, path, {})
    read = defences.load(f"neighbours:file={path},k=3")
    assert read.name == "neighbours:file=gallery.safetensors,k=3"
    assert (read.held.layer, len(read.held.labels)) == ("1", 24)
    new = images(20, 4).x
    torch.testing.assert_close(read.wrap(net)(new), Neighbours(k=3, gallery=fitted.defence.held).wrap(net)(new))


def test_an_attacker_who_knows_it_does_better_than_one_who_ignores_it(digits_cnn: nn.Module) -> None:
    fitted = FitNeighbours(most=50).fit(digits_cnn, [vb.data.load("digits/train").all()])
    guarded = fitted.defence.wrap(digits_cnn)
    data = vb.data.load("digits/test[:100]").all()
    with torch.no_grad():
        assert float((guarded(data.x).argmax(1) == data.y).double().mean()) > 0.95
    attack = attacks.PGD(Linf(0.15), steps=20)
    ignoring, knowing = (
        vb.attack(attack, guarded, data, threat=threat).robust_accuracy
        for threat in (threats.transfer([digits_cnn]), threats.adaptive())
    )
    assert knowing < ignoring - 0.1


def test_without_a_backward_rule_the_gradient_is_zero_and_an_attack_runs() -> None:
    guarded, batch = Neighbours(gallery=gallery(classes=3)).wrap(network()), images(4)
    x = batch.x.clone().requires_grad_(True)
    assert not torch.autograd.grad(guarded(x).sum(), x)[0].any()
    assert vb.attack(attacks.FGSM(Linf(0.1)), guarded, batch, threat=threats.white_box()).adversarial.shape == x.shape


def test_votes_are_not_trained_through() -> None:
    guarded, data = Neighbours(gallery=gallery(classes=10)), vb.data.load("digits/train[:20]")
    with pytest.raises(ContractError, match="behind neighbours; votes cannot be trained through") as refused:
        carry_out(TrainingRun("", "digits/train", 1), data, module=guarded.wrap(digits_network()))
    assert "\n" not in str(refused.value)


def test_training_behind_a_file_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    data, path, out = vb.data.load("digits/train[:40]"), tmp_path / "g.safetensors", tmp_path / "net.safetensors"
    fitter = FitNeighbours()
    fitter.save(fitter.fit(architecture("digits-cnn").build(0), [data.all()]), path, {})
    run = TrainingRun("digits-cnn", "digits/train", 1, defence=f"neighbours:file={path}")
    with pytest.raises(ContractError, match="votes cannot be trained through"):
        carry_out(run, data, out)
    assert not out.exists()


def digits_network() -> nn.Sequential:
    with seeded("tests", 6):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 10))


def test_features_of_another_network_are_found(digits_cnn: nn.Module, tmp_path: Path, caplog: Any) -> None:
    path, batch = tmp_path / "g.safetensors", vb.data.load("digits/test[:8]").all()
    fit("neighbours:most=5", digits_cnn, vb.data.load("digits/train[:100]"), path)
    other = copy.deepcopy(digits_cnn)
    with torch.no_grad():
        next(other.parameters()).mul_(1.5)
    for net, elsewhere in ((digits_cnn, False), (other, True)):
        caplog.clear()
        guarded = defences.load(f"neighbours:file={path}").wrap(net)
        vb.attack(attacks.FGSM(Linf(0.1)), guarded, batch, threat=threats.adaptive())
        assert ("fitted-elsewhere" in caplog.text) == elsewhere


def test_a_random_network_gives_the_same_features_and_leaves_the_generator() -> None:
    net, batch = nn.Sequential(Noise(), *network()), images(12)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = FitNeighbours(most=4).fit(net, [batch], seed=3).defence.held.features
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(FitNeighbours(most=4).fit(net, [batch], seed=3).defence.held.features, one)
    assert not torch.equal(FitNeighbours(most=4).fit(net, [batch], seed=4).defence.held.features, one)


class Noise(nn.Module):
    """Images with noise from torch's global generator."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


def rejecting() -> nn.Module:
    """A network whose last logit means 'rejected'."""
    return Defended(network(), Card("detector", rejects=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Neighbours(), "neither"),
        (lambda: Neighbours("a.safetensors", gallery=gallery()), "both"),
        (lambda: Neighbours(k=0, gallery=gallery()), "k"),
        (lambda: LabelledFeatures(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 3, "0"), "at least one image"),
        (lambda: LabelledFeatures(torch.zeros(2, 3), torch.tensor([0, 3]), 3, "0"), "labels in [0, 2]"),
        (lambda: FitNeighbours().fit(None, [images(4)]), "network"),
        (lambda: FitNeighbours(layer="9").fit(network(), [images(4)]), "'9'"),
        (lambda: FitNeighbours().fit(network(), []), "got none"),
        (lambda: FitNeighbours().fit(rejecting(), [images(4)]), "without a rejection behind 'neighbours'"),
        (lambda: Neighbours(gallery=gallery()).wrap(rejecting()), "without a rejection behind 'neighbours'"),
        (lambda: Neighbours(gallery=gallery()).wrap(network())(images(2).x), "6 features"),
        (lambda: Neighbours(gallery=LabelledFeatures(drawn(9, 0), torch.arange(9) % 4, 4, "9")).wrap(network()), "'9'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make: object, message: str) -> None:
    with pytest.raises(VaubanError, match=re.escape(message)) as refused:
        make()  # type: ignore[operator]
    assert "\n" not in str(refused.value)


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    from vauban.models import weights

    weights.save(network(), tmp_path / "net.safetensors", {})
    with pytest.raises(ContractError, match=r"net\.safetensors holds no features"):
        Neighbours(tmp_path / "net.safetensors").wrap(network())
