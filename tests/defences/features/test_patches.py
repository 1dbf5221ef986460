"""The defence `patches`: limit cases, layers, its card, codebooks learned from a stream, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.core.cards import bare, carded
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, UnknownName, VaubanError
from vauban.core.losses import margin
from vauban.defences.features.codebook import Codebook
from vauban.defences.features.patch_fitter import FitPatches
from vauban.defences.features.patch_sample import PatchSample
from vauban.defences.features.patches import Patches
from vauban.engine import Oracle


class Net(nn.Module):
    """Two convolutions and a head, on grey images of 8x8 pixels."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3, padding=1)
        self.second = nn.Sequential(nn.ReLU(), nn.Conv2d(8, 4, 3))
        self.head = nn.Linear(4 * 36, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).flatten(1))  # type: ignore[no-any-return]


torch.manual_seed(0)
NET = Net().eval()
X = (torch.rand(12, 1, 8, 8) * 255).round() / 255
Y = NET(X).argmax(1)
BATCH = Batch(X, Y, torch.arange(12))


def fitted(**options: Any) -> Patches:
    return FitPatches(**{"codewords": 12, **options}).fit(NET, [BATCH]).defence


@pytest.fixture(scope="module", params=["image", "first", "second.1"])
def book(request: pytest.FixtureRequest) -> Codebook:
    made = fitted(layer=request.param, depth=1 if request.param == "image" else 2).book
    assert made is not None
    return made


@pytest.mark.parametrize("strategy", ["l2", "linf", "linear"])
def test_epsilon_0_is_the_bare_network_bit_for_bit_and_large_is_plain(book: Codebook, strategy: Any) -> None:
    plain = Patches(book=book).wrap(NET)(X)
    for step in (1, 2, 3):
        assert torch.equal(Patches(book=book, strategy=strategy, step=step).wrap(NET)(X), NET(X))
        large = Patches(book=book, strategy=strategy, epsilon=1.0 if strategy == "linear" else 99.0, step=step)
        assert torch.equal(large.wrap(NET)(X), Patches(book=book, step=step).wrap(NET)(X))
    assert not torch.equal(plain, NET(X))


def test_the_image_is_replaced_as_a_loop_does(book: Codebook) -> None:
    if book.layer != "image":
        pytest.skip("image only")
    words = book.codewords[0]
    want, count = torch.zeros_like(X), torch.zeros_like(X)
    for b in range(len(X)):
        for i in range(6):
            for j in range(6):
                patch = X[b, 0, i : i + 3, j : j + 3].flatten()
                q = words[(words - patch).square().sum(1).argmin()]
                want[b, 0, i : i + 3, j : j + 3] += q.view(3, 3)
                count[b, 0, i : i + 3, j : j + 3] += 1
    torch.testing.assert_close(Patches(book=book).wrap(NET).transform(X), want / count, atol=1e-5, rtol=0)


def test_the_network_is_untouched_and_known_below(book: Codebook) -> None:
    before = {name: value.clone() for name, value in NET.state_dict().items()}
    guarded = Patches(book=book).wrap(NET)
    guarded(X)
    assert bare(guarded) is NET
    assert all(torch.equal(value, before[name]) for name, value in NET.state_dict().items())
    assert {id(p) for p in guarded.parameters()} == {id(p) for p in NET.parameters()}
    assert not torch.equal(guarded(X), NET(X))
    assert torch.equal(NET(X), Net.forward(NET, X))


def test_layers_one_behind_the_other_in_either_order() -> None:
    image, first, inner = fitted(), fitted(layer="first", depth=4), fitted(layer="second.1", depth=4)
    by_hand = NET.second[1](NET.second[0](first._replacement()(NET.first(image._replacement()(X)))))
    want = NET.head(inner._replacement()(by_hand).flatten(1))
    for order in ((image, first, inner), (inner, first, image), (first, image, inner)):
        guarded = vb.defences.chain(*order).wrap(NET)
        torch.testing.assert_close(guarded(X), want)
        assert bare(guarded) is NET
        assert [card.name for _, card in carded(guarded)][:3] == ["patches"] * 3
    twice = vb.defences.chain(first, first).wrap(NET)
    again = first._replacement()(first._replacement()(NET.first(X)))
    torch.testing.assert_close(twice(X), NET.head(NET.second(again).flatten(1)))


def test_bpda_is_the_true_gradient_where_nothing_is_replaced(book: Codebook) -> None:
    guarded = Patches(book=book, strategy="linf", epsilon=0.0).wrap(NET)
    bare_network, defended = (vb.threats.adaptive().bind(net, levels=None) for net in (NET, guarded))
    (g,) = Oracle.open(bare_network, X, Y).gradient(X, margin)[1]
    assert torch.equal(Oracle.open(defended, X, Y).gradient(X, margin)[1][0], g)


def test_bpda_acts_at_the_layer() -> None:
    """The gradient is that of the network before and behind the layer, the latter at the replaced feature."""
    first = fitted(layer="first", depth=2)
    x = X.clone().requires_grad_(True)
    feature = NET.first(x)
    replaced = first._replacement()(feature).detach() + (feature - feature.detach())
    (want,) = torch.autograd.grad(NET.head(NET.second(replaced).flatten(1))[:, 0].sum(), x)
    bound = vb.threats.adaptive().bind(first.wrap(NET), levels=None)
    (got,) = Oracle.open(bound, X, Y).gradient(X, lambda z, goal: z[:, 0])[1]
    torch.testing.assert_close(got, want)


def test_own_derivative_and_plain_ones_zero(book: Codebook) -> None:
    half = Patches(book=book, strategy="linear", epsilon=0.25, backward="own")
    assert not half.card.backward
    x = torch.rand(2, *book.feature).requires_grad_(True)
    weights = torch.rand_like(x)
    (g,) = torch.autograd.grad((half._replacement()(x) * weights).sum(), x)
    torch.testing.assert_close(g, 0.75 * weights)
    plain = Patches(book=book)._replacement()
    (g,) = torch.autograd.grad((plain(x) * weights).sum(), x)
    assert bool((g == 0).all())


def test_soft_assignment_is_smooth_and_hardens(book: Codebook) -> None:
    soft = Patches(book=book, backward="soft", temperature=0.5)
    (rule,) = soft.card.backward.values()
    x = torch.rand(2, *book.feature, dtype=torch.float64).requires_grad_(True)
    (g,) = torch.autograd.grad(rule(x).square().sum(), x)
    assert bool(g.isfinite().all())
    assert bool((g != 0).any())
    direction, h = torch.randn_like(x), 1e-6
    module = soft._replacement()
    hard = dataclasses.replace(rule, replacement=module, temperature=1e-4)
    torch.testing.assert_close(
        hard(x.detach()),
        module.windows.averaged(module.quantised(module.windows.patches(x.detach())), x.shape),
        atol=1e-3,
        rtol=0,
    )
    slope = (rule(x.detach() + h * direction).square().sum() - rule(x.detach() - h * direction).square().sum()) / (
        2 * h
    )
    # The scale of a patch's distances is held fixed while differentiating, so slopes agree in direction, not exactly.
    assert float(slope * (g * direction).sum()) > 0 or abs(float(slope)) < 0.05
    bound = vb.threats.adaptive().bind(soft.wrap(NET), levels=None)
    assert Oracle.open(bound, X, Y).gradient(X, margin)[1][0].abs().sum() > 0


def test_an_attacker_with_a_codebook_of_his_own_has_gradients() -> None:
    """Those of BPDA through his, whatever the codebook of the target."""
    own, target = fitted(codewords=9).wrap(NET), fitted(codewords=12).wrap(NET)
    adaptive = Oracle.open(vb.threats.adaptive().bind(own, levels=None), X, Y).gradient(X, margin)[1][0]
    for threat in (vb.threats.transfer(own), vb.threats.ensemble([own])):
        got = Oracle.open(threat.bind(target, levels=None), X, Y).gradient(X, margin)[1][0]
        assert bool((got.flatten(1).abs().amax(1) > 0).all())
        assert torch.equal(got, adaptive)


def stream(*sizes: int, images: Tensor = X) -> Iterator[Batch]:
    ids = torch.arange(len(images))
    for x, i in zip(images.split(sizes), ids.split(sizes), strict=True):
        yield Batch(x, torch.zeros(len(x), dtype=torch.int64), i)


def test_the_sample_depends_on_images_alone_and_stays_small() -> None:
    kept, held = [], []
    for sizes in ((12,), (5, 7), (1,) * 12):
        sample = PatchSample(3, 40, seed=1)
        for batch in stream(*sizes):
            sample.add(batch.x, batch)
            assert sample.patches is not None
            held.append(len(sample.patches))
        kept.append(sample.patches)
        assert sample.places == 12 * 36
    assert max(held) <= 40
    assert all(torch.equal(kept[0], other) for other in kept)
    every = PatchSample(3, 10**6, seed=1)
    for batch in stream(12):
        every.add(batch.x, batch)
    assert every.patches is not None
    rows = every.patches.flatten(1)
    assert torch.equal(rows[:40], kept[0].flatten(1))
    want = torch.nn.functional.unfold(X, 3).transpose(1, 2).reshape(-1, 9)
    assert torch.equal(rows.unique(dim=0), want.unique(dim=0))


def test_a_codebook_of_more_images_takes_no_more_memory() -> None:
    images = (torch.rand(300, 1, 8, 8) * 255).round() / 255
    peaks = []
    for n in (60, 300):
        sample, peak = PatchSample(3, 100, seed=0), 0
        for batch in stream(*[20] * (n // 20), images=images[:n]):
            sample.add(batch.x, batch)
            assert sample.patches is not None
            peak = max(peak, sample.patches.numel() + len(sample._keys))
        peaks.append(peak)
    assert peaks[0] == peaks[1]


def test_share_and_universal() -> None:
    assert fitted(share=0.1, sample=200).book.codewords.shape == (1, 20, 9)  # type: ignore[union-attr]
    assert fitted(layer="first", depth=2).book.codewords.shape == (4, 12, 18)  # type: ignore[union-attr]
    one = fitted(layer="first", depth=2, universal=True)
    assert one.book.codewords.shape == (1, 12, 18)  # type: ignore[union-attr]
    assert one.wrap(NET)(X).shape == (12, 5)
    every = fitted(share=1.0, sample=10**6)  # each patch is a codeword: nothing moves
    torch.testing.assert_close(every.wrap(NET)(X), NET(X))


@pytest.mark.parametrize("layer", ["image", "first"])
def test_the_lattice_needs_no_fit(layer: str) -> None:
    guarded = Patches(layer=layer, lattice=0.3).wrap(NET)
    assert guarded(X).isfinite().all()
    fine = Patches(layer=layer, lattice=1e-4).wrap(NET)
    torch.testing.assert_close(fine(X), NET(X), atol=2e-3, rtol=0)


def test_files_words_and_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = vb.fit(
        "patches:layer=0,depth=4,codewords=20", vb.models.load("digits-cnn"), "digits/train[:30]", "b.safetensors"
    )
    again = vb.defences.load("patches:file=b.safetensors,strategy=l2,epsilon=0.1,backward=own")
    assert torch.equal(again.book.codewords, done.defence.book.codewords)
    assert again.layer == "0"
    meta = vb.models.weights.metadata(tmp_path / "b.safetensors")
    assert (meta["defence"], meta["layer"], meta["depth"], meta["codewords"]) == ("patches", "0", 4, 20)
    assert meta["image"] == [1, 8, 8]
    assert meta["data"]["samples"] == 30
    vb.fit("patches:codewords=30", None, "digits/train[30:60]", "other.safetensors", seed=3)
    own = "transfer:sources=[patches:file=other.safetensors|digits-cnn]"
    words = {"data": "digits/test[:6]", "models": "digits-cnn", "attacks": "pgd:eps=0.1,steps=2"}
    study = vb.Study(
        tmp_path / "run",
        **words,
        defences="patches:file=b.safetensors",
        threats=["gray-box", "adaptive", own],
        preflight=False,
    )
    study.run(progress=False)
    assert len(study.cells) == 3


def refused(act: Any, *words: str) -> None:
    with pytest.raises(VaubanError) as error:
        act()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400
    assert all(word in str(error.value) for word in words), str(error.value)


def test_what_is_refused_in_one_line(tmp_path: Path) -> None:
    image, first = fitted(), fitted(layer="first", depth=2)
    path = tmp_path / "book.safetensors"
    first.book.save(path, {})  # type: ignore[union-attr]
    refused(lambda: Patches(file=path, layer="second"), "layer=first", "'second'")
    refused(lambda: Patches(file=tmp_path / "none.safetensors"), "none.safetensors")
    vb.models.weights.save(NET, tmp_path / "net.safetensors", {})
    refused(lambda: Patches(file=tmp_path / "net.safetensors"), "net.safetensors", "no codebook", "vauban fit")
    refused(lambda: Patches(epsilon=-0.1), "epsilon")
    refused(lambda: Patches(epsilon=0.1), "plain")
    refused(lambda: Patches(strategy="linear", epsilon=1.5), "linear")
    refused(lambda: Patches(book=image.book, step=4), "step")
    refused(lambda: Patches(book=image.book, lattice=0.3), "no lattice beside a codebook", "0.3")
    refused(lambda: Patches(backward="own"), "own")
    refused(lambda: Patches(backward="soft"), "codebook")
    with pytest.raises(UnknownName, match="did you mean 'first'"):
        Patches(layer="frist").wrap(NET)
    refused(lambda: first.wrap(nn.Sequential(NET.second, NET.head)), "first")
    refused(lambda: image.wrap(NET)(torch.rand(2, 1, 9, 9)), "(1, 8, 8)", "(1, 9, 9)")
    refused(lambda: first.wrap(Net())(torch.rand(2, 1, 9, 9)), "(8, 8, 8)")
    refused(lambda: Patches(layer="head").wrap(NET)(X), "maps")
    refused(lambda: Patches().wrap(NET)(torch.rand(2, 1, 8, 7)), "1x8")
    refused(lambda: Patches(layer="second.1").wrap(NET)(X), "4 channels")
    with pytest.raises(ContractError, match="finite"):
        Codebook(torch.full((1, 2, 9), torch.nan), "image", 3, 1, (1, 8, 8), (1, 8, 8))
    for options, words in (
        ({"codewords": 500, "sample": 100}, ("sample",)),
        ({"codewords": 500}, ("at most 432",)),
        ({"size": 9}, ("9x9", "8x8")),
        ({"size": 2}, ("size",)),
        ({"layer": "first", "depth": 3}, ("3", "8 channels")),
        ({"layer": "fisrt"}, ("first",)),
        ({"layer": "head"}, ("maps",)),
        ({"share": 0.0}, ("share",)),
    ):
        refused(lambda options=options: fitted(**options), *words)  # type: ignore[misc]
    wide = Batch(torch.rand(2, 1, 9, 9), torch.zeros(2, dtype=torch.int64), torch.arange(2))
    refused(lambda: FitPatches(codewords=2).fit(None, [BATCH, wide]), "one shape")
    refused(lambda: FitPatches(codewords=2).fit(None, []), "at least one batch")
