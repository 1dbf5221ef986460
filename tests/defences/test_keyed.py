"""Keyed transforms: what the key gives, their inverses, their gradients, and the network that goes with a key."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import defences, models, threats
from vauban.core.cards import carded, keys_of
from vauban.core.errors import ContractError
from vauban.core.secret import Secret
from vauban.defences.keyed.signs import basis

KEY = Secret.public(7)
TRANSFORMS = (
    "pixel-permutation",
    "pixel-permutation:channels=apart",
    "block-permutation:block=4",
    "block-permutation:block=2,within=false",
    "pixel-substitution",
    "pixel-substitution:values=table",
    "keyed-signs",
    "keyed-signs:domain=hadamard,share=0.5",
)


def made(text: str, key: Secret = KEY) -> defences.KeyedDefence:
    loaded = defences.load(text, key=key)
    assert isinstance(loaded, defences.KeyedDefence)
    return loaded


@pytest.fixture
def x() -> Tensor:
    return torch.rand(3, 2, 8, 16, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255


@pytest.mark.parametrize("text", TRANSFORMS)
def test_the_inverse_and_the_key(text: str, x: Tensor) -> None:
    defence = made(text)
    hidden = defence.apply(x)
    assert hidden.shape == x.shape
    assert not torch.allclose(hidden, x)
    torch.testing.assert_close(defence.inverse(hidden), x, rtol=0, atol=1e-5)
    assert torch.equal(made(text).apply(x), hidden)
    assert not torch.allclose(made(text, Secret.public(8)).apply(x), hidden)
    torch.testing.assert_close(defence.apply(x[:1]), hidden[:1], rtol=0, atol=1e-6)
    ((_, card),) = carded(defence.wrap(nn.Flatten()))
    assert (card.keyed, card.keys) == (True, (KEY.id,))
    assert KEY.id in defence.name


def test_the_permutation_is_that_of_equation_3(x: Tensor) -> None:
    order = KEY.permutation(8 * 16, f"{made('pixel-permutation').use}|128")
    flat, expected = x.flatten(2), torch.empty(3, 2, 128)
    for i in range(128):
        expected[:, :, i] = flat[:, :, order[i]]
    assert torch.equal(made("pixel-permutation").apply(x), expected.view(x.shape))
    vectors = x.flatten(1)
    assert torch.equal(made("pixel-permutation").apply(vectors).sort(1).values, vectors.sort(1).values)


def test_every_block_has_the_same_order(x: Tensor) -> None:
    same = x[:, :, :4, :4].repeat(1, 1, 2, 4)
    hidden = made("block-permutation:block=4").apply(same)
    assert torch.equal(hidden, hidden[:, :, :4, :4].repeat(1, 1, 2, 4))
    moved = made("block-permutation:block=4,within=false").apply(x)
    tiles = {tuple(tile.flatten().tolist()) for tile in x[0].unfold(1, 4, 4).unfold(2, 4, 4).flatten(1, 2).unbind(1)}
    assert tiles == {
        tuple(tile.flatten().tolist()) for tile in moved[0].unfold(1, 4, 4).unfold(2, 4, 4).flatten(1, 2).unbind(1)
    }


@pytest.mark.parametrize("domain", ["dct", "hadamard"])
def test_bases_are_orthonormal_and_signs_keep_distances(domain: str, x: Tensor) -> None:
    for side in (1, 2, 8, 16):
        matrix = basis(domain, side)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(side), rtol=0, atol=1e-5)
    hidden = made(f"keyed-signs:domain={domain}").apply(x)
    torch.testing.assert_close(hidden.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))
    torch.testing.assert_close(hidden.mean((2, 3)), x.mean((2, 3)))  # the constant coefficient keeps its sign
    low = made(f"keyed-signs:domain={domain},share=0").apply(x)
    torch.testing.assert_close(low, x, rtol=0, atol=1e-5)
    vectors = x.flatten(1)
    torch.testing.assert_close(made(f"keyed-signs:domain={domain}").apply(vectors).norm(dim=1), vectors.norm(dim=1))


@pytest.mark.parametrize("text", [text for text in TRANSFORMS if "table" not in text])
def test_the_gradient_of_a_linear_transform_is_its_own(text: str, x: Tensor) -> None:
    """T(x + d) - T(x) is linear in d, so autograd's product equals a finite difference of any length."""
    defence, d = made(text), torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) - 0.5
    _, product = torch.func.jvp(defence.apply, (x,), (d,))
    torch.testing.assert_close(product, defence.apply(x + d) - defence.apply(x), rtol=0, atol=1e-5)


def test_channels_are_the_mean_of_keyed_networks(x: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(256, 5)).eval()
    transform = made("keyed-signs")
    guarded = defences.KeyedChannels(transform, 3).wrap(net)
    parts = [net(transform.with_key(KEY.derived(f"channel {i}")).apply(x)) for i in range(3)]
    torch.testing.assert_close(guarded(x), sum(parts) / 3)
    assert keys_of(guarded) == (KEY.id,)
    text = defences.load("keyed-channels:transform=[keyed-signs:key=public:7],channels=3")
    torch.testing.assert_close(text.wrap(net)(x), guarded(x))
    with pytest.raises(ContractError, match="expected transform"):
        defences.load("keyed-channels:transform=jpeg")


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        ("block-permutation:block=3", (1, 8, 16), "block=3 for 8x16 pixels"),
        ("block-permutation:block=4", (128,), "expected images"),
        ("keyed-signs:domain=hadamard", (1, 12, 8), "power of two for domain=hadamard, got 12"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_in_one_line(text: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ContractError, match=message) as told:
        made(text).wrap(nn.Flatten())(torch.rand(2, *shape))
    assert "\n" not in str(told.value)


VECTORS = tuple(text for text in TRANSFORMS if not text.startswith("block"))


@pytest.mark.parametrize("text", VECTORS)
def test_vectors(text: str) -> None:
    """Every transform but that of blocks takes feature vectors; an inverse and a guess of the key go with it."""
    v = torch.rand(4, 64, generator=torch.Generator().manual_seed(2)).mul(255).round() / 255
    defence = made(text)
    hidden = defence.apply(v)
    assert hidden.shape == v.shape
    assert not torch.allclose(hidden, v)
    torch.testing.assert_close(defence.inverse(hidden), v, rtol=0, atol=1e-5)
    if "table" in text:
        return
    kind, n = defence.unknowns((64,))
    assert n == 64
    if kind == "order":
        (order,) = defence.made((64,))
        guess = torch.eye(64)[order]
        assert torch.equal(defence.marked(v[:1], torch.eye(64)[3:5])[1] - v[0], torch.eye(64)[4])
    else:
        parts = defence.made((64,))
        guess = parts[0].flatten().float() if parts[0].dtype != torch.bool else parts[0].flatten() * 2.0 - 1
    torch.testing.assert_close(defence.softly(v, guess), hidden, rtol=0, atol=1e-5)


def test_channels_of_vectors() -> None:
    net, v = nn.Linear(64, 3).eval(), torch.rand(2, 64)
    guarded = defences.KeyedChannels(made("pixel-permutation"), 2).wrap(net)
    parts = [net(made("pixel-permutation", KEY.derived(f"channel {i}")).apply(v)) for i in range(2)]
    torch.testing.assert_close(guarded(v), sum(parts) / 2)
    with pytest.raises(ContractError, match="expected images"):
        defences.KeyedChannels(made("block-permutation"), 2).wrap(net)(v)


def test_a_network_goes_with_its_key(tmp_path: Path) -> None:
    """The weights hold the key's id; another key is refused wherever it is put in front, and none is warned of."""
    file = tmp_path / "w.safetensors"
    data = vb.data.load("digits/train[:40]")
    trained = vb.train("digits-cnn", data, file, defence="pixel-permutation:key=public:7", epochs=1, holdout=0)
    assert keys_of(trained.defended) == (KEY.id,)
    assert models.weights.metadata(file)["keys"] == [KEY.id]
    network = models.load(str(file))
    right = made("pixel-permutation").wrap(network)
    images = vb.data.load("digits/test[:8]")
    assert torch.equal(right(images.all().x), trained.defended(images.all().x))
    other = "pixel-permutation:key=public:8"
    for attempt in (
        lambda: defences.load(other).wrap(network),
        lambda: models.load(f"{other}|{file}"),
        lambda: vb.attack("fgsm", f"{other}|{file}", images),
        lambda: vb.measure("loss-sensitivity", str(file), images, defence=other),
        lambda: defences.load("bit-depth+" + other).wrap(network),
        lambda: defences.load("keyed-channels:transform=[keyed-signs:key=public:8]").wrap(network),
    ):
        with pytest.raises(ContractError, match=f"expected the key {KEY.id}, behind which this network was trained"):
            attempt()
    made("pixel-permutation", Secret.public(8)).around(network)  # by design, for an attacker who tries keys


def test_plain_gradients_are_refused_and_a_leaked_key_is_not() -> None:
    guarded = made("pixel-permutation").wrap(models.load("digits-cnn"))
    for threat in (threats.white_box(), threats.adaptive(), threats.removed()):
        with pytest.raises(ContractError, match=r"name keyed .* or leaked-key"):
            threat.bind(guarded, levels=256)
    assert threats.leaked_key().bind(guarded, levels=256).direct
    assert threats.labels_only().bind(guarded, levels=256).grants == {"labels"}
