"""Every parameter of everything that is registered, given odd values: refused by name before anything runs, or it runs."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from vauban import attacks, data, defences, metrics, models, threats, words
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError, VaubanError
from vauban.core.norms import L0, L1, L2, Linf, Norm
from vauban.core.registry import Entry, Registry
from vauban.core.secret import Secret
from vauban.core.text import parse, written
from vauban.data.location import DataLocation
from vauban.defences.autoencoders.reconstruction import TrainedAutoEncoder
from vauban.defences.autoencoders.segnet import SegNet
from vauban.defences.detectors.base import Calibration
from vauban.defences.detectors.convolution_stages import LayerStages
from vauban.defences.detectors.detector_subnetwork import Subnetwork
from vauban.defences.detectors.learned import Learned
from vauban.defences.detectors.outlier_class import widened
from vauban.defences.features.neighbour_vote import LabelledFeatures
from vauban.defences.keyed.permutation import PixelPermutation
from vauban.engine import BoundThreat, Oracle
from vauban.threats.fitter import fitters as network_fitters
from vauban.training import registry as recipes
from vauban.training.objectives.standard import StandardTraining
from vauban.words import attack as attack_words

ODD: tuple[Any, ...] = (
    *(0, -1, -0.5, 1, 2.5, 1e9, 1e-9, 5e-324, 1e30, 0.999999999),
    *(math.nan, math.inf, -math.inf, None, True, False, "ten", "", "yes", [1], (-1,), object(), torch.tensor(1.0)),
)
TEXTS = (*(written(value) for value in ODD if isinstance(value, int | float | str | None)), "[x]", "no")
COUNT = 5  # queries that an attack may spend on an image here

torch.manual_seed(0)
NET = nn.Sequential(nn.Flatten(), nn.Linear(64, 4)).eval()
X = (torch.rand(3, 1, 8, 8) * 255).round() / 255
Y = NET(X).argmax(1)
NOWHERE = DataLocation(Path("nowhere"), False)

REGISTRIES: dict[str, Registry[Any]] = {
    "attack": attacks.registry,
    "fitter": attacks.fitters,
    "defence fitter": defences.fitters,
    "network fitter": network_fitters,
    "defence": defences.registry,
    "threat": threats.registry,
    "metric": metrics.registry,
    "recipe": recipes,
    "data": data.registry,
    "model": models.registry,
}
OF_NET = {"image": [1, 8, 8], "classes": 4, "layers": ["penultimate"]}
AUTO = TrainedAutoEncoder(SegNet(1), (1, 8, 8))
NEEDED: dict[str, Mapping[str, Any]] = {
    "minimal-eps": {"attack": FGSM()},
    "restarts": {"attack": FGSM()},
    "cascade": {"attacks": (FGSM(),)},
    "universal": {"v": torch.zeros(1, 8, 8), "ball": Linf(0.1)},
    "wrap": {"module": NET},
    "transfer": {"sources": NET},
    "ensemble": {"models": [NET]},
    "hybrid": {"models": NET, "path": defences.registry.get("bit-depth").make()},
    **{
        entry.name: {"key": Secret.public(7)}
        for entry in defences.registry
        if "key" in inspect.signature(entry.make).parameters
    },
    "keyed-channels": {"transform": PixelPermutation(Secret.public(7))},
    "keyed": {"surrogates": NET},
    "chosen-inputs": {"guess": NET},
    "leaked-activation": {"guess": NET},
    "substitute": {"model": "digits-cnn", "data": "digits/train", "trained": NET},
    "distilled": {"model": "digits-cnn", "data": "digits/train", "trained": NET},
    "auto-encoder": {"trained": AUTO},
    "s2snet": {"trained": AUTO},
    "defence magnet": {"trained": AUTO, "calibration": Calibration((0.1, 0.1), (1.0, 1.0))},
    "defence fitter magnet": {"trained": AUTO},
    "defence agreement": {"trained": AUTO, "calibration": Calibration((0.1,), (1.0,))},
    "defence fitter agreement": {"trained": AUTO},
    "defence feature-squeezing": {"calibration": Calibration((0.1,), (1.0,))},
    "defence outlier-class": {
        "learned": Learned(widened(NET).state_dict(), {"image": [1, 8, 8], "classes": 4}),
        "calibration": Calibration((0.1,), (1.0,)),
    },
    "defence fitter outlier-class": {"attack": FGSM()},
    "defence detector-subnetwork": {
        "learned": Learned(Subnetwork((64,), 2).state_dict(), {**OF_NET, "shape": [64], "width": 2}),
        "calibration": Calibration((0.1,), (1.0,)),
    },
    "defence fitter detector-subnetwork": {"attack": FGSM()},
    "defence convolution-statistics": {
        "learned": Learned(LayerStages([[1, 1]]).state_dict(), {**OF_NET, "layers": ["0"], "sizes": [[1, 1]]}),
        "calibration": Calibration((0.1,), (1.0,)),
    },
    "defence fitter convolution-statistics": {"attack": FGSM()},
    "defence noise-reduction": {"calibration": Calibration((0.1,), (1.0,))},
    "defence dropout-uncertainty": {"rate": 0.5, "passes": 3, "calibration": Calibration((0.1,), (1.0,))},
    "defence pca-whitening": {
        "learned": Learned({"mean": torch.zeros(64), "axes": torch.eye(64)}, {**OF_NET, "layers": []}),
        "calibration": Calibration((0.1,), (1.0,)),
    },
    "defence mahalanobis": {
        "learned": Learned({"means.0": torch.zeros(4, 64), "whitening.0": torch.eye(64)}, OF_NET),
        "calibration": Calibration((0.1,), (1.0,)),
    },
    "defence kernel-density": {
        "learned": Learned(
            {"features": torch.zeros(4, 1, 64), "count": torch.ones(4, dtype=torch.int64)}, {**OF_NET, "bandwidth": 1.0}
        ),
        "calibration": Calibration((0.1,), (1.0,)),
    },
    "defence neighbours": {"gallery": LabelledFeatures(torch.zeros(4, 64), torch.arange(4), 4, "penultimate")},
    "at": {"attack": FGSM()},
    "epoch-at": {"attack": FGSM()},
    "trades": {"attack": FGSM()},
    "recipe ensemble": {"attack": FGSM(), "sources": (NET,)},
    "distillation": {"teacher": NET},
    "awp": {"objective": StandardTraining()},
    "torchvision": {"name": "resnet18"},
    "timm": {"name": "resnet18"},
    "hf": {"path": "nowhere"},
    "http": {"url": "http://localhost:1/predict"},
    "onnx": {"file": "nowhere.onnx"},
    "robustbench": {"arch": "preact-resnet-18", "file": "nowhere.pt"},
}
QUICK = {"codewords": 4, "epochs": 1, "first": 1}
FEW = {"steps": 2, "search_steps": 1, "n_target": 2, "queries": 8, "most": 20, "tries": 4, "inner": 2}


MISSING = ("nowhere", "expected images", "to be a folder")  # refused for another reason: there are no files
STANDS_FOR = {
    "ball": ("perturbation",),
    "v": ("perturbation",),
    "weights": ("weight",),
    "start": ("weights file",),
    "module": ("Module",),
    "name": ("torchvision model", "timm cannot make"),
    "path": ("folder of a saved image classifier",),
    "normalise": ("statistics",),
}


class Library(ModuleType):
    """timm and torchvision.models with one network, which costs nothing and is never downloaded."""

    @staticmethod
    def create_model(name: str, pretrained: bool, num_classes: int = 1000) -> nn.Module:
        if name != "resnet18":
            raise RuntimeError(f"Unknown model ({name})")
        network = nn.Identity()
        network.pretrained_cfg = {}  # type: ignore[assignment]
        return network


@pytest.fixture(autouse=True, scope="module")
def no_downloads() -> Iterator[None]:
    """Networks of other libraries without them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "timm", Library("timm"))
        patch.setattr(torchvision.models, "list_models", lambda module: ["resnet18"])
        patch.setattr(torchvision.models, "get_model", lambda *_, **__: nn.Identity())
        yield


def parameters(kind: str, entry: Entry[Any]) -> list[str]:
    """The names of the parameters that a user gives."""
    names = list(inspect.signature(entry.make).parameters)
    return names[2:] if kind == "metric" else [name for name in names if name != "place"]


CASES = [
    (kind, entry, name) for kind, known in REGISTRIES.items() for entry in known for name in parameters(kind, entry)
]
every = pytest.mark.parametrize(
    ("kind", "entry", "name"), CASES, ids=[f"{kind}-{entry.name}-{name}" for kind, entry, name in CASES]
)


def make(kind: str, entry: Entry[Any], given: Mapping[str, Any]) -> Any:
    """The thing, with what it cannot do without and few steps where nothing else is given."""
    base: dict[str, Any] = dict(
        NEEDED.get(f"{kind} {entry.name}", {} if kind.endswith("fitter") else NEEDED.get(entry.name, {}))
    )
    if kind == "data":
        base |= {"split": None, "place": NOWHERE} | ({"path": "nowhere"} if entry.name in ("folder", "hf") else {})
    if kind == "attack" and dataclasses.is_dataclass(entry.make):
        known = {field.name for field in dataclasses.fields(entry.make) if field.init}
        base |= {key: value for key, value in FEW.items() if key in known}
    if kind == "fitter":
        base |= {"epochs": 1, "steps": 2}
    if kind == "defence fitter":
        base |= {key: value for key, value in QUICK.items() if key in parameters(kind, entry)}
    if kind == "network fitter":
        base |= {"model": "digits-cnn"}
    if kind == "metric":
        return words.load("metric", entry.name, **given)
    return entry.build(kind, {**base, **given})


def refused(act: Callable[[], Any], *names: str) -> Any:
    """What `act` returns; None where it refuses in one line that names the parameter, or one it stands beside."""
    try:
        return act()
    except VaubanError as error:
        text = str(error)
        assert "\n" not in text
        assert len(text) < 400
        words_for = [word for name in names for word in (name, *STANDS_FOR.get(name, ()))]
        assert any(word in text for word in (*words_for, *MISSING)), text
        return None


@pytest.mark.slow
@every
def test_odd_values_are_refused_by_name(kind: str, entry: Entry[Any], name: str) -> None:
    for value in ODD:
        refused(functools.partial(make, kind, entry, {name: value}), name)


def spoken(kind: str, entry: Entry[Any], name: str, text: str) -> Any:
    """The thing made from a text, as a user writes it."""
    given = {key: value for key, value in parse(f"a:{name}={text}").params.items() if key == name}
    if kind in ("attack", "fitter"):
        eps = {"eps": 0.1} if "ball" in parameters(kind, entry) else {}
        given = attack_words.arguments(entry, {**eps, **given}, None)
    return make(kind, entry, given)


@pytest.mark.slow
@every
def test_odd_texts_are_refused_by_name(kind: str, entry: Entry[Any], name: str) -> None:
    if name in entry.words or name in ("ball", "loss", "norm"):
        return  # a name, which its own reader refuses
    for text in TEXTS:
        refused(functools.partial(spoken, kind, entry, name, text), name)


@pytest.mark.parametrize("eps", ["0.1x", "-1", "nan", "inf", "-inf", "none", "true", "''", "[0.1]", "ten"])
@pytest.mark.parametrize("attack", ["pgd", "cia", "r-fgsm", "standard", "square", "restarts:attack=[pgd]"])
def test_a_radius_is_refused_by_name(attack: str, eps: str) -> None:
    text = f"restarts:attack=[pgd:eps={eps}]" if "[" in attack else f"{attack}:eps={eps}"
    with pytest.raises(ContractError, match="eps"):
        words.load("attack", text)


@pytest.mark.parametrize("norm", [L0, L1, L2, Linf])
@pytest.mark.parametrize("radius", [-1, math.nan, math.inf, "ten", None, True, [1], torch.tensor([0.1, math.inf])])
def test_a_ball_of_an_odd_radius_is_refused(norm: Norm, radius: Any) -> None:
    with pytest.raises(ContractError, match=f"radi.*{norm.name}|{norm.name}"):
        norm(radius)


def run(kind: str, entry: Entry[Any], thing: Any) -> None:
    """Use a thing on three tiny images. Raises where it cannot, or hands over what is no image."""
    if kind == "attack":
        result = thing.run(Oracle.open(BoundThreat(NET, budget=COUNT), X, Y))
        for image in (result.crafted, result.adversarial):
            assert ((image >= 0) & (image <= 1)).all()
    elif kind == "defence":
        assert thing.wrap(NET)(X).isfinite().all()
    elif kind == "threat":
        FGSM().run(Oracle.open(thing.bind(NET, levels=256), X, Y))
    elif kind == "metric":
        assert thing(X, (X + 0.1).clamp(0, 1)).isfinite().all()
    elif kind == "fitter":
        thing.fit(BoundThreat(NET), [Batch(X, Y, torch.arange(3))])
    elif kind == "defence fitter":
        thing.fit(NET, [Batch(X, Y, torch.arange(3))])
    elif kind == "data":
        assert len(thing.take(2)) == 2


REFUSED_WHEN_RUN = (
    "images within|rounding of torch.float32|submodule|for which the universal|larger than|of shape"
    "|unknown layer of|expected maps|codewords, |activations that are modules|for fpr=|training loss|rejects all"
    "|of every class|network with dropout|network with convolutions"
)
"""What only the images or the network can tell."""


def use(kind: str, entry: Entry[Any], given: Mapping[str, Any]) -> None:
    """Make it; what is accepted runs."""
    if any(isinstance(value, int) and value > 1000 for value in given.values()):
        return
    if kind in ("model", "recipe", "network fitter") or (kind == "metric" and entry.name == "lpips"):
        return
    thing = refused(functools.partial(make, kind, entry, given), *given)
    if thing is None:
        return
    try:
        run(kind, entry, thing)
    except ContractError as error:
        if not re.search(REFUSED_WHEN_RUN, str(error)):
            raise


@pytest.mark.slow
@every
def test_what_is_accepted_runs(kind: str, entry: Entry[Any], name: str) -> None:
    for value in (0, 1e-9, 5e-324, 1.0, 2.5, 1e30, 0.999999999, False):
        use(kind, entry, {name: value})


@pytest.mark.slow
@given(case=st.sampled_from(CASES), more=st.data())
def test_two_odd_values_at_once(case: tuple[str, Entry[Any], str], more: st.DataObject) -> None:
    kind, entry, name = case
    other = more.draw(st.sampled_from(parameters(kind, entry)))
    numbers = st.sampled_from((0, 1, 2, 1e-9, 0.5, 1.0, 1e30, True, False, None))
    assume(other != name)
    use(kind, entry, {name: more.draw(numbers), other: more.draw(numbers)})
