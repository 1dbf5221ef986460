"""What a weights file says of its training, and what is put back when it is loaded: edits, defence, a user's network."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vauban as vb
from vauban import models
from vauban.core.errors import ContractError
from vauban.evaluate.train import train
from vauban.jobs.identity import state_digest
from vauban.models import weights
from vauban.models.bounded_relu import BoundedReLU, LearnedReLU
from vauban.models.edits.brelu import BoundedActivations
from vauban.models.edits.feature_denoising import DenoisingBlock
from vauban.models.edits.thermometer import Thermometer
from vauban.training.recipe import RecipePart
from vauban.training.run import TrainingRun
from vauban.words.opened import open_network

NET = """
from dataclasses import dataclass
from torch import nn
from vauban.training.recipe import RecipePart

def make(width=7):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))

@dataclass(frozen=True)
class Square(RecipePart):
    power: int = 2
    def edit(self, module):
        return nn.Sequential(module, Power(self.power))

class Power(nn.Module):
    def __init__(self, power):
        super().__init__()
        self.power = power
    def forward(self, x):
        return x.sign() * x.abs() ** self.power

def twice(module):
    return nn.Sequential(module, Power(1))
"""


def digits() -> Any:
    return vb.data.load("digits/train[:60]")


def made(path: Path, model: str = "digits-cnn", recipe: Any = "standard", **fields: Any) -> Path:
    out = path / "w.safetensors"
    train(TrainingRun(model, "digits/train", 1, recipe=recipe, holdout=0, **fields), digits(), out)
    return out


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ("brelu:t=2", BoundedReLU),
        ("brelu:t=0.5,learned=true+gda:n=1,sigma=0.05", LearnedReLU),
        (BoundedActivations(0.25) + BoundedActivations(2.0), BoundedReLU),
    ],
)
def test_edits_are_replayed_on_load(recipe: Any, kind: type[nn.Module], tmp_path: Path) -> None:
    path = made(tmp_path, "digits-cnn", recipe)
    meta = weights.metadata(path)
    assert "brelu" in meta["edits"]
    assert "gda" not in meta["edits"]
    x = digits().all().x
    plain = models.build("digits-cnn")
    for loaded in (models.load(path), models.load(f"digits-cnn:weights={path}"), models.load(plain, weights=path)):
        bounded = [part for part in loaded.modules() if isinstance(part, kind)]
        assert len(bounded) == sum(isinstance(part, nn.ReLU) for part in plain.modules()) > 0
        if (isinstance(recipe, str) and kind is BoundedReLU) or not isinstance(recipe, str):
            assert {part.max_val for part in bounded} == {2.0}
        right = (loaded(x).argmax(1) == digits().all().y).float().mean().item()
        assert right == pytest.approx(meta["train_accuracy"])
    assert not any(isinstance(part, kind) for part in plain.modules())


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ("thermometer:levels=4", Thermometer),
        ("feature-denoising:denoiser=dot+thermometer:levels=3", Thermometer),
        ("feature-denoising:denoiser=mean+feature-denoising:denoiser=dot", DenoisingBlock),
    ],
)
def test_edits_with_modules_of_their_own_are_replayed_on_load(
    recipe: str, kind: type[nn.Module], tmp_path: Path
) -> None:
    path = made(tmp_path, "digits-cnn", recipe)
    meta, batch = weights.metadata(path), digits().all()
    first, second = models.load(path), models.load(f"digits-cnn:weights={path}")
    assert any(isinstance(part, kind) for part in first.modules())
    assert torch.equal(first(batch.x), second(batch.x))
    assert (first(batch.x).argmax(1) == batch.y).float().mean().item() == pytest.approx(meta["train_accuracy"])


def test_training_goes_on_from_an_edited_network_with_its_edits(tmp_path: Path) -> None:
    first = made(tmp_path, "digits-cnn", "brelu:t=2")
    again = tmp_path / "again"
    again.mkdir()
    path = made(again, "digits-cnn", "standard", start=str(first))
    assert weights.metadata(path)["edits"] == "brelu:t=2"
    assert any(isinstance(part, BoundedReLU) for part in models.load(path).modules())
    other = tmp_path / "other"
    other.mkdir()
    path = made(other, "digits-cnn", "brelu:t=1", start=str(first))
    assert weights.metadata(path)["edits"] == "brelu:t=2+brelu:t=1"
    assert {part.max_val for part in models.load(path).modules() if isinstance(part, BoundedReLU)} == {1.0}


def test_a_network_and_an_edit_of_a_users_file_load_again(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(NET)
    path = made(tmp_path, f"{file}:make:width=5", f"brelu+{file}:Square:power=3")
    meta = weights.metadata(path)
    assert meta["architecture"] == "net.py:make"
    assert meta["params"] == {"width": 5}
    x, y = digits().all().x, digits().all().y
    for word in (f"{file}:make:weights={path}", f"{file}:make:width=5,weights={path}"):
        loaded = models.load(word)
        assert (loaded(x).argmax(1) == y).float().mean().item() == pytest.approx(meta["train_accuracy"])
        assert loaded[1].power == 3
        assert isinstance(loaded[0][2], BoundedReLU)
    with pytest.raises(ContractError, match="trained with width=5, got width=7"):
        models.load(f"{file}:make:width=7,weights={path}")
    with pytest.raises(ContractError, match=r"use --model net\.py:make:weights="):
        models.load(path)


class Nameless(RecipePart):
    """An edit that no text names."""

    def edit(self, module: nn.Module) -> nn.Module:
        return nn.Sequential(module)


def test_an_edit_that_a_file_cannot_name_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="an edit that a weights file can name"):
        made(tmp_path, "digits-cnn", Nameless())


def test_the_teacher_is_in_the_file_by_its_hash(tmp_path: Path) -> None:
    first = made(tmp_path)
    student = tmp_path / "student"
    student.mkdir()
    path = made(student, "digits-cnn", f"distillation:teacher=[{first}],temperature=5")
    meta = weights.metadata(path)
    assert meta["networks"] == {"teacher": [state_digest(models.load(first))]}
    assert meta["run"]["recipe"].endswith("temperature=5")
    inside = tmp_path / "inside"
    inside.mkdir()
    path = made(inside, "digits-cnn", f"awp:objective=[ensemble:attack=[fgsm:eps=0.1],sources=[{first}][digits-cnn]]")
    there = [state_digest(models.load(word)) for word in (first, "digits-cnn")]
    assert weights.metadata(path)["networks"] == {"sources": there}
    assert meta["format"] == 3
    assert json.dumps(meta)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "was trained behind" in record.getMessage()]


def test_what_it_was_trained_behind_is_put_back_or_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = made(tmp_path, "digits-cnn", "standard", defence="bit-depth:bits=2")
    x = digits().all().x[:8]
    with caplog.at_level(logging.WARNING, logger="vauban"):
        behind = models.load(f"trained|{path}")
        assert torch.equal(behind(x), models.load(f"bit-depth:bits=2|{path}")(x))
        assert told(caplog) == []
        alone = models.load(path)
        assert len(told(caplog)) == 1
        assert "bit-depth:bits=2" in told(caplog)[0]
        assert not torch.equal(behind(x), alone(x))
        caplog.clear()
        vb.attack("fgsm:eps=0.1", str(path), "digits/test[:4]")
        assert len(told(caplog)) == 1
        caplog.clear()
        vb.attack("fgsm:eps=0.1", f"trained|{path}", "digits/test[:4]")
        assert told(caplog) == []


@pytest.mark.parametrize(("defences", "warnings"), [("trained", 0), ("bit-depth:bits=2", 0), ("none", 1), ("jpeg", 1)])
def test_a_study_puts_it_back(defences: str, warnings: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = made(tmp_path, "digits-cnn", "standard", defence="bit-depth:bits=2")
    with caplog.at_level(logging.WARNING, logger="vauban"):
        study = vb.Study(
            tmp_path / "run", models=[str(path)], data="digits/test[:4]", attacks=["fgsm:eps=0.1"], defences=[defences]
        )
    assert len(told(caplog)) == warnings
    wanted = "bit-depth:bits=2" if defences == "trained" else defences
    assert {cell.defence.name for cell in study.cells} == {wanted}


@pytest.mark.parametrize(("defence", "warnings"), [("trained", 0), ("bit-depth:bits=2", 0), ("none", 1), ("jpeg", 1)])
def test_certify_and_measure_put_it_back(
    defence: str, warnings: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = made(tmp_path, "digits-cnn", "standard", defence="bit-depth:bits=2")
    x = digits().all().x[:8]
    with caplog.at_level(logging.WARNING, logger="vauban"):
        opened = open_network(str(path), "digits/test[:4]", defence=defence)
    assert len(told(caplog)) == warnings
    assert opened.defence.name == ("bit-depth:bits=2" if defence == "trained" else defence)
    if not warnings:
        assert torch.equal(opened.defended(x), models.load(f"bit-depth:bits=2|{path}")(x))


def test_trained_is_no_defence_of_a_network_that_was_trained_behind_none(tmp_path: Path) -> None:
    path = made(tmp_path)
    assert torch.equal(*(models.load(word)(digits().all().x[:4]) for word in (f"trained|{path}", str(path))))
    with pytest.raises(ContractError, match="'trained' alone"):
        vb.defences.load("trained+jpeg")
