"""Parameters of a user's file.py:name that do not fit: the file and the name are said, with the parameters there are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vauban as vb
from vauban.core.errors import ContractError, UnknownName, VaubanError
from vauban.words import data, defence, loss, metric, model, recipe, threat
from vauban.words.attack import attack_of

FILE = """import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
def net(width=8): return Net(widht=width)
ready = nn.Identity()
def guard(module, bits=2): return module
class Guard:
    name = "guard"
    def __init__(self, bits=2): pass
    def wrap(self, module): return module
def loss(logits, y, heat=1.0): return (logits / heat)[:, 0]
def change(x0, x, window=3): return (x - x0).flatten(1).abs().amax(1)
def digits(n=4): return torch.zeros(n, 1, 2, 2), torch.zeros(n, dtype=torch.long)
class Attack:
    def __init__(self, k=1): pass
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(FILE)
    return str(tmp_path / "mine.py")


@pytest.mark.parametrize(
    ("load", "name", "known"),
    [
        (model.load, "Net", "width"),
        (model.load, "net", "width"),
        (lambda word: defence.load(word).wrap(vb.models.load("digits-cnn")), "guard", "bits"),
        (defence.load, "Guard", "bits"),
        (loss.load, "loss", "heat"),
        (data.load, "digits", "n"),
        (attack_of, "Attack", "k"),
        (threat.load, "Attack", "k"),
        (recipe.load, "Attack", "k"),
    ],
)
def test_an_unknown_parameter_is_told_with_those_there_are(load, name: str, known: str, file: str) -> None:
    with pytest.raises(UnknownName, match=rf"mine\.py:{name}'?: 'odd'; known: .*{known}") as told:
        load(f"{file}:{name}:odd=1")
    assert "\n" not in str(told.value)


def test_an_error_of_the_users_own_code_says_its_line(file: str) -> None:
    with pytest.raises(ContractError, match=r"mine\.py:net cannot be made: TypeError: .*'widht' \(line 6\)$"):
        model.load(f"{file}:net:width=3")
    with pytest.raises(ContractError, match="expected a class or a function to take the parameters of"):
        model.load(f"{file}:ready:width=3")


def test_parameters_of_a_loss_and_of_a_metric(file: str) -> None:
    logits, y = torch.tensor([[4.0, 1.0]]), torch.tensor([0])
    assert loss.load(f"{file}:loss:heat=2")(logits, y) == 2.0  # type: ignore[arg-type]
    x = torch.zeros(1, 1, 2, 2)
    assert metric.load(f"{file}:change:window=5")(x, x + 0.5) == 0.5
    with pytest.raises(UnknownName, match="'windw'; did you mean 'window'"):
        metric.load(f"{file}:change:windw=5")
    with pytest.raises(VaubanError, match="expected a metric without parameters"):
        metric.metric_of(f"{file}:change:window=5")
