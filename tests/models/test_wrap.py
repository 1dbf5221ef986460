"""Normalisation inside, logits out."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from vauban import models
from vauban.core.errors import ContractError, VaubanError


class Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x.flatten(1))


def test_the_network_sees_normalised_images():
    x = torch.rand(4, 3, 2, 2)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.25, 2.0)
    got = models.wrap(Returns(lambda z: z), mean, std)(x)
    expected = torch.stack([(x[:, c] - mean[c]) / std[c] for c in range(3)], 1).flatten(1)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(models.wrap(Returns(lambda z: z), mean=0.5)(x), (x - 0.5).flatten(1))
    torch.testing.assert_close(models.wrap(Returns(lambda z: z), std=0.5)(x), (x / 0.5).flatten(1))
    assert torch.equal(models.wrap(Returns(lambda z: z))(x), x.flatten(1))


def test_vectors_and_double_precision():
    x = torch.rand(5, 2, dtype=torch.float64)
    got = models.wrap(Returns(lambda z: z), (0.1, 0.2), (1.0, 2.0))(x)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, (x - torch.tensor([0.1, 0.2])) / torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (lambda z: SimpleNamespace(logits=z), None),
        (lambda z: {"logits": z, "loss": 0}, None),
        (lambda z: {"scores": z}, "scores"),
        (lambda z: SimpleNamespace(out=z), "out"),
        (lambda z: (z, 1), 0),
        (lambda z: (1, {"a": z}), lambda found: found[1]["a"]),
    ],
)
def test_logits_are_found_in_what_networks_return(function, where):
    x = torch.rand(2, 1, 1, 3)
    assert torch.equal(models.wrap(Returns(function), logits=where)(x), x.flatten(1))


@pytest.mark.parametrize(
    ("function", "where", "says"),
    [
        (lambda z: (z, z), None, "logits=name, position or function"),
        (lambda z: {"a": z}, "b", "logits at 'b'"),
        (lambda z: (z,), 3, "logits at 3"),
        (lambda z: z[:, :1], None, "classes >= 2"),
        (lambda z: z[:1], None, "float logits"),
        (lambda z: z.argmax(1), None, "float logits"),
    ],
)
def test_other_outputs_are_refused(function, where, says):
    with pytest.raises(ContractError, match=says):
        models.wrap(Returns(function), logits=where)(torch.rand(2, 1, 1, 3))


def test_bad_constants_are_refused():
    net = Returns(lambda z: z)
    with pytest.raises(ContractError, match="std > 0"):
        models.wrap(net, std=(1.0, 0.0))
    with pytest.raises(ContractError, match="finite"):
        models.wrap(net, mean=float("nan"))
    with pytest.raises(ContractError, match=r"3 values of mean, got shape \(2, 1, 4, 4\)"):
        models.wrap(net, mean=(0.1, 0.2, 0.3))(torch.rand(2, 1, 4, 4))
    with pytest.raises(ContractError, match="black_box"):
        models.wrap(lambda x: x)


def test_the_constants_belong_to_the_state():
    state = models.wrap(nn.Linear(3, 2), (0.1, 0.2, 0.3), 1.0).state_dict()
    assert {"mean", "std"} <= set(state)


@pytest.mark.parametrize("key", ["out", "values", "items", "logits"])
def test_a_key_comes_before_an_attribute(key):
    x = torch.rand(2, 1, 1, 3)
    assert torch.equal(models.wrap(Returns(lambda z: {key: z}), logits=key)(x), x.flatten(1))
    with pytest.raises(ContractError, match="keys 'other'"):
        models.wrap(Returns(lambda z: {"other": z}), logits=key)(x)


@pytest.mark.parametrize("shape", [lambda z: z[:, 0], lambda z: z[:, :1]])
def test_one_logit_makes_two_classes(shape):
    x = torch.rand(5, 1, 1, 3) * 8 - 4
    logits = models.wrap(Returns(shape), binary=True)(x)
    z = x[:, 0, 0, 0]
    torch.testing.assert_close(logits.softmax(1), torch.stack([1 - z.sigmoid(), z.sigmoid()], 1))
    assert torch.equal(logits.argmax(1), (z > 0).long())
    for other in (lambda z: z, lambda z: z[:, 0].round().long()):
        with pytest.raises(ContractError, match="one float logit"):
            models.wrap(Returns(other), binary=True)(x)


def test_wrap_as_a_word(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Out(nn.Module):\n    def __init__(self, width=1):\n        super().__init__()\n"
        "        self.width = width\n    def forward(self, x):\n        return {'values': x.flatten(1)[:, :self.width]}\n"
    )
    inner, x = f"[{tmp_path}/net.py:Out:width=2]", torch.rand(4, 2, 1, 1)
    word = f"wrap:module={inner},mean=[0.5][0.25],std=0.5,logits=values"
    torch.testing.assert_close(models.load(word)(x), ((x - torch.tensor([0.5, 0.25]).view(2, 1, 1)) / 0.5).flatten(1))
    two = models.load(f"wrap:module=[{tmp_path}/net.py:Out],logits=values,binary=true")(x)
    torch.testing.assert_close(two[:, 1] - two[:, 0], x[:, 0, 0, 0])
    for wrong, says in (
        ("mean=[a][b]", "or several like"),
        ("weights=w.pt", "in the brackets"),
        ("binari=true", "binari"),
    ):
        with pytest.raises(VaubanError, match=says):
            models.load(f"wrap:module={inner},{wrong}")
    with pytest.raises(ContractError, match="the network itself"):
        models.build(f"wrap:module={inner}")


def test_mean_and_std_around_own_weights(tmp_path):
    """A class that takes normalised images, its weights from a file: mean and std are `wrap`'s, and an error says so."""
    (tmp_path / "own.py").write_text(
        "from torch import nn\nclass Own(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(4, 2))\n"
    )
    net, x = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.rand(3, 1, 2, 2)
    torch.save(net.state_dict(), tmp_path / "w.pt")
    own = f"{tmp_path}/own.py:Own:weights={tmp_path}/w.pt"
    torch.testing.assert_close(models.load(f"wrap:module=[{own}],mean=0.3,std=0.4")(x), net((x - 0.3) / 0.4))
    with pytest.raises(ContractError, match=r"unknown parameter of .*own.py:Own: 'mean'; .*wrap:module="):
        models.load(f"{own},mean=0.3,std=0.4")


def test_a_class_is_to_be_called():
    with pytest.raises(ContractError, match=r"make an object of it: Identity\(...\)"):
        models.wrap(nn.Identity)
