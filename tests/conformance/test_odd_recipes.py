"""Recipes that cannot be trained: one line that says why, before anything is trained or written."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vauban as vb
from vauban.core.errors import VaubanError
from vauban.training import registry

FUNCTIONAL = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.act = nn.Linear(64, 8), nn.Linear(8, 10), nn.ReLU()
    def forward(self, x):
        return self.second(torch.relu(self.act(self.first(x.flatten(1)))))
class None_(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(64, 10)
    def forward(self, x):
        return torch.relu(self.first(x.flatten(1)))
def five():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
"""
PGD = "[pgd:eps=0.1,steps=2]"
BAD = {
    "brelu:t=0": "t of BoundedActivations",
    "brelu:t=-1": "t of BoundedActivations",
    "brelu:t=[1][0]": "t of BoundedActivations",
    "brelu:t=[1][1][1][1][1][1]": "t for each of the",
    "brelu:t=big": "expected t as a number",
    "gda:sigma=-0.1": "sigma of GaussianAugmentation",
    "gda:sigma=nan": "sigma of GaussianAugmentation",
    "gda:n=0": "n of GaussianAugmentation",
    "gda:noise=salt": "noise of GaussianAugmentation as one of gaussian, uniform",
    "distillation:teacher=[digits-cnn],temperature=0": "temperature of Distillation",
    "distillation:teacher=[digits-cnn],temperature=-2": "temperature of Distillation",
    "distillation": "needs teacher",
    "distillation:teacher=[FILE:five]": "teacher of 10 classes as the network to train has, got one of 5",
    f"ensemble:attack={PGD},sources=[digits-cnn][FILE:five]": "source 2 of 10 classes as the network to train has",
    f"at:attack={PGD}+trades:attack={PGD}": "expected one objective",
    f"vat+awp:objective=[at:attack={PGD}]": "expected one objective",
    f"at:attack={PGD},alpha=1": "alpha of AdversarialTraining",
    f"at:attack={PGD},batch_norm=frozen": "batch_norm of AdversarialTraining as one of evaluation, training",
    "at:attack=[pgd:eps=0.1,loss=FILE:broken]": "name in",
    "at": "needs attack",
    "trades:attack=[deepfool]": "an attack with a loss for trades, got deepfool",
    f"trades:attack={PGD},beta=-1": "beta of Trades",
    "awp:objective=[mirror-shift]": "objective of awp to be one",
    "awp:objective=[standard],gamma=0+gda:n=1": "gamma",
    "awp:objective=[standard+gda]": "one part of a recipe for objective",
    "free:eps=0": "eps of FreeTraining",
    "free:replays=0": "replays of FreeTraining",
    "fast:alpha=0": "alpha of FastTraining",
    "vat:xi=0": "xi of VirtualTraining",
    "vat:eps=-1": "eps of VirtualTraining",
    "jacobian:weight=-1": "weight of JacobianPenalty",
    "squeezing:bits=9": "bits of Squeezing",
    "standard:criterion=[label-smoothing:share=0]": "share of LabelSmoothing",
    "standard:criterion=hinge": "unknown criterion 'hinge'",
    "goodness": "unknown recipe 'goodness'",
    f"gda:clip=false,n=1+at:attack={PGD}": "these samples alone, got pgd.*images in",
}


def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Trainings that have begun."""
    calls: list[Any] = []
    training = importlib.import_module("vauban.evaluate.training")
    monkeypatch.setattr(training, "optimise", lambda *args, **kwargs: calls.append(args))
    return calls


@pytest.mark.parametrize("recipe", BAD)
def test_one_line_before_anything_is_trained(recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, file = begun(monkeypatch), tmp_path / "net.py"
    file.write_text(FUNCTIONAL)
    with pytest.raises(VaubanError, match=BAD[recipe]) as caught:
        vb.train(
            "digits-cnn", "digits/train[:30]", tmp_path / "w.safetensors", recipe=recipe.replace("FILE", str(file))
        )
    assert "\n" not in str(caught.value)
    assert calls == []
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".py" and path.name != "__pycache__"] == []


@pytest.mark.parametrize(("name", "says"), [("Net", "got 1 call of functions"), ("None_", "got 0 among the 2 modules")])
def test_functional_activations(name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, file = begun(monkeypatch), tmp_path / "net.py"
    file.write_text(FUNCTIONAL)
    with pytest.raises(VaubanError, match=says):
        vb.train(f"{file}:{name}", "digits/train[:30]", recipe="brelu")
    assert calls == []


class Blind(nn.Module):
    """A network whose answer has no gradient in the image."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dense(x.detach().flatten(1))


@pytest.mark.parametrize("recipe", [f"at:attack={PGD}", f"trades:attack={PGD}", f"epoch-at:attack={PGD}"])
def test_an_attack_that_cannot_run_is_told_before_training(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = begun(monkeypatch)
    with pytest.raises(VaubanError, match="an attack that works with labels, white-box access") as caught:
        vb.train(Blind(), "digits/train[:30]", recipe=recipe)
    assert "\n" not in str(caught.value)
    assert calls == []


GOOD = {
    "at": {"attack": PGD},
    "epoch-at": {"attack": PGD},
    "trades": {"attack": PGD},
    "ensemble": {"attack": PGD, "sources": "[digits-cnn]"},
    "distillation": {"teacher": "[digits-cnn]"},
    "awp": {"objective": "[standard]"},
}


def test_every_part_that_is_registered_trains_by_its_name() -> None:
    """With what it needs and nothing else, two epochs, from text; and it prints as text."""
    for entry in registry:
        params = ",".join(f"{key}={value}" for key, value in GOOD.get(entry.name, {}).items())
        text = f"{entry.name}:{params}" if params else entry.name
        trained = vb.train("digits-cnn", "digits/train[:24]", recipe=text, epochs=2, batch=12, holdout=0)
        assert len(trained.history) == 2
        assert all(epoch.loss == epoch.loss for epoch in trained.history)
        made = vb.load("recipe", text)
        assert str(made).startswith(entry.name)
        if entry.name not in ("ensemble", "distillation"):  # a network prints as its class
            assert vb.load("recipe", str(made)) == made
