"""Wrapping, chaining, naming and loading defences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from vauban import defences
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.cards import Card, Defended, bare, carded
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, UnknownName
from vauban.core.parameters import Count
from vauban.core.registry import Entry
from vauban.defences import JPEG, BitDepth, Chain, GaussianFilter, MedianFilter, chain, load
from vauban.defences.base import InputDefence, register

NAMES = [
    "bit-depth",
    "diagonal-filter",
    "gaussian-filter",
    "gaussian-noise",
    "jpeg",
    "jpeg-approximation",
    "mean-filter",
    "median-filter",
    "sign-noise",
    "uniform-noise",
]


def classifier() -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(5))
    net(torch.rand(2, 3, 16, 16))
    return net


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).mul(255).round() / 255


def test_names() -> None:
    assert set(NAMES) <= set(defences.registry.names())
    for entry in defences.registry:
        assert entry.summary.endswith(".")


def write_example(name: str) -> None:
    """The files that a defence's example names, fitted in the current folder to three-channel images of 16x16 pixels."""
    x = torch.rand(90, 3, 16, 16)
    batch = Batch(x, torch.arange(90) % 5, torch.arange(90), None)
    plain = defences.fitters.get("auto-encoder").make(epochs=1)
    plain.save(plain.fit(None, [batch]), Path("auto-encoder.safetensors"), {})
    options: dict[str, Any] = {
        "s2snet": {"first": 1, "epochs": 1},
        "magnet": {"autoencoder": "auto-encoder.safetensors"},
        "outlier-class": {"attack": FGSM(), "epochs": 1},
        "detector-subnetwork": {"attack": FGSM(), "epochs": 1},
        "convolution-statistics": {"attack": FGSM(), "epochs": 1},
        "dropout-uncertainty": {"rate": 0.5},
        "agreement": {"autoencoder": "s2snet.safetensors"},
    }
    for made in ("s2snet", name) if name == "agreement" else (name,) if name != "auto-encoder" else ():
        fitter = defences.fitters.get(made).make(**options.get(made, {}))
        fitter.save(fitter.fit(classifier(), [batch]), Path(f"{made}.safetensors"), {})


@pytest.mark.parametrize("entry", list(defences.registry), ids=lambda entry: entry.name)
def test_the_facts_of_a_class_are_those_of_its_registry_entry_and_of_its_card(
    entry: Entry[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "file=" in entry.facts.get("example", ""):
        write_example(entry.name)
    defence = load(f"{entry.name}:{entry.facts.get('example', '')}".rstrip(":"))
    card = defence.card
    facts = {name: fact for name, fact in entry.facts.items() if name != "example"}
    assert facts == {"random": card.random, "differentiable": not card.not_differentiable}
    assert card.name == entry.name
    if isinstance(defence, InputDefence):
        assert (defence.registered, defence.random, defence.draws) == (card.name, card.random, card.draws)
        assert defence.differentiable == (not card.backward)
    assert card.random == (card.draws > 1)
    guarded = defence.wrap(classifier())
    assert all(isinstance(guarded.get_submodule(name), nn.Module) for name in card.backward)


def test_a_defence_whose_parameters_have_no_defaults_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defences.registry, "_entries", dict(defences.registry._entries))

    @register("shades")
    @dataclass(frozen=True)
    class Shades(InputDefence):
        """Components cut to the multiples of 1 / steps below them."""

        differentiable: ClassVar[bool] = False
        steps: Count

        def apply(self, x: torch.Tensor) -> torch.Tensor:
            return (x * self.steps).floor() / self.steps

    entry = defences.registry.get("shades")
    assert entry.facts == {"random": False, "differentiable": False}
    shades = load("shades:steps=2")
    assert shades == Shades(2)
    assert shades.name == "shades:steps=2"
    assert Shades(2).card == Card("shades", backward={"transform": None})
    assert torch.equal(shades.wrap(nn.Identity())(torch.tensor([[0.2, 0.7]])), torch.tensor([[0.0, 0.5]]))
    for text in ("shades", "shades:steps=0"):
        with pytest.raises(ContractError):
            load(text)


@pytest.mark.parametrize("name", NAMES)
def test_every_defence_gives_logits_and_a_card_that_names_its_parts(name: str, x: torch.Tensor) -> None:
    net = classifier().eval()
    guarded = load(name).wrap(net)
    assert guarded(x).shape == (2, 5)
    ((owner, card),) = carded(guarded)
    assert owner is guarded
    assert bare(guarded) is net
    assert card.name == name
    assert card.reference
    for part, substitute in card.backward.items():
        images = guarded.get_submodule(part)(x)
        assert images.shape == x.shape
        assert torch.equal(net(images), guarded(x))
        if substitute is not None:
            assert substitute(x).shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_the_name_loads_an_equal_defence(name: str) -> None:
    defence = load(name)
    assert load(defence.name) == defence
    assert defence.name.startswith(name)
    assert hash(defence) == hash(load(name))


@pytest.mark.parametrize("name", NAMES)
def test_wrapping_keeps_every_mode_and_weight(name: str) -> None:
    net = classifier()
    net.train()
    net[1].eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    guarded = load(name).wrap(net)
    assert [m.training for m in net.modules()] == [True, True, False, True, True]
    assert guarded.training
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not load(name).wrap(net.eval()).training


@pytest.mark.parametrize("name", [n for n in NAMES if "noise" not in n])
def test_a_sample_does_not_depend_on_its_batch(name: str, x: torch.Tensor) -> None:
    transform = load(name).apply  # type: ignore[attr-defined]
    assert torch.allclose(transform(x), torch.cat([transform(x[:1]), transform(x[1:])]), atol=1e-6)


def test_a_chain_meets_its_first_defence_first(x: torch.Tensor) -> None:
    first, second = BitDepth(1), GaussianFilter(1.0, 5)
    guarded = chain(first, second).wrap(nn.Identity())
    assert torch.equal(guarded(x), second.apply(first.apply(x)))
    assert not torch.equal(guarded(x), first.apply(second.apply(x)))
    assert torch.equal(guarded(x), first.wrap(second.wrap(nn.Identity()))(x))
    assert [card.name for _, card in carded(guarded)] == ["bit-depth", "gaussian-filter"]
    assert isinstance(bare(guarded), nn.Identity)


def test_chains_flatten_and_load() -> None:
    three = chain(chain(BitDepth(3), JPEG(75)), MedianFilter(2))
    assert three == chain(BitDepth(3), chain(JPEG(75), MedianFilter(2)))
    assert three.name == "bit-depth:bits=3+jpeg:quality=75+median-filter:size=2"
    assert load(three.name) == three
    assert load("bit-depth:bits=3 + jpeg+median-filter:size=2") == three
    assert load("jpeg+none") == JPEG()
    assert chain(JPEG()) == JPEG()


def test_none_is_the_module_itself() -> None:
    net = nn.Identity()
    assert load("none").wrap(net) is net
    assert load("none") == chain() == Chain()
    assert load("none").name == "none"


USER = """
import torch
from torch import nn
from vauban.core.cards import Card, Defended

class Half(Defended):
    def __init__(self, inner, factor=0.5):
        super().__init__(inner, Card("half"))
        self.factor = factor
    def forward(self, x):
        return self.inner(self.factor * x)

def quarter(module):
    return Half(module, 0.25)

class Parametric:
    def __init__(self, factor=1.0):
        self.factor = factor
        self.name = f"parametric-{factor}"
    def wrap(self, module):
        return Half(module, self.factor)

ready = Parametric(0.125)
number = 3
def wrong(module):
    return 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c++more" / "mine.py"
    path.parent.mkdir()
    path.write_text(USER)
    return path


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("Half", 0.5),
        ("Half:factor=1/5", 0.2),
        ("quarter", 0.25),
        ("Parametric", 1.0),
        ("Parametric:factor=0.75", 0.75),
        ("ready", 0.125),
    ],
)
def test_a_users_defence(file: Path, name: str, factor: float, x: torch.Tensor) -> None:
    defence = load(f"{file}:{name}")
    guarded = defence.wrap(nn.Identity())
    assert torch.equal(guarded(x), factor * x)
    assert isinstance(guarded, Defended)
    assert defence.name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "function from module to module"),
        ("ready:factor=2", "to take the parameters"),
        ("Parametric:speed=2", r"parameter of .*mine\.py:Parametric: 'speed'; known: factor"),
        ("wrong", "to return a torch.nn.Module, got int"),
        ("quarter:speed=2", "parameter of .*:quarter: 'speed'"),
    ],
)
def test_a_users_mistake(file: Path, name: str, message: str) -> None:
    with pytest.raises((ContractError, UnknownName), match=message):
        load(f"{file}:{name}").wrap(nn.Identity())


def test_a_chain_with_a_users_defence(tmp_path: Path, x: torch.Tensor) -> None:
    path = tmp_path / "mine.py"
    path.write_text(USER)
    guarded = load(f"bit-depth:bits=1+{path}:quarter").wrap(nn.Identity())
    assert torch.equal(guarded(x), 0.25 * x.round())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bit-depth:bits=0", "expected bits of BitDepth as a whole number of at least 1 and at most 8, got 0"),
        ("bit-depth:bits=2.5", "got 2.5"),
        ("bit-depth:bits=true", "got True"),
        ("jpeg:quality=200", "expected quality of JPEG as a whole number of at least 1 and at most 100, got 200"),
        ("gaussian-filter:size=4", "window of odd size, so that"),
        ("gaussian-filter:sigma=0", "expected sigma of GaussianFilter as a number of at least 0.001, got 0"),
        ("mean-filter:size=0", "size of MeanFilter as a whole number"),
        ("mean-filter:border=mirror", "border of MeanFilter as one of reflect, edge, zero, got 'mirror'"),
        ("diagonal-filter:size=2", "window of odd size, so that"),
        ("median-filter:size=big", "got 'big'"),
        ("gaussian-noise:sigma=-1", "above 0 and at most 1, got -1"),
        ("uniform-noise:width=3", "at most 1, got 3"),
        ("sign-noise:eps=none", "got None"),
    ],
)
def test_bad_parameters(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        load(text)
    assert "\n" not in str(caught.value)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'jpeg'"):
        load("jpg")
    with pytest.raises(UnknownName, match="did you mean 'quality'"):
        load("jpeg:qualty=50")
    with pytest.raises(ContractError, match=r"expected a torch\.nn\.Module to defend, got function"):
        JPEG().wrap(lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match=r"expected a torch\.nn\.Module to defend, got int"):
        load("none").wrap(3)  # type: ignore[arg-type]
