"""Threats that tell a network from its defence, and attacks that ask for more than a threat grants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import Linf, attacks, threats
from vauban.core.errors import AccessError, ContractError
from vauban.defences import BitDepth
from vauban.engine import Cascade, Restarts, Steps
from vauban.engine.attack import Attack, all_needs
from vauban.evaluate.cell import Cell
from vauban.evaluate.study import Study
from vauban.words.attack import allowed_attacks
from vauban.words.labels import attack_label

FILE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.linspace(0, 900, 640).sin().view(10, 64))
        self.calls = 0

    def forward(self, x):
        return x.flatten(1) @ self.w.T

class Coarse(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner((4 * x).round() / 4)

class Copied:
    name = "copied"
    def wrap(self, module):
        import copy
        return Coarse(copy.deepcopy(module))

def coarse(module):
    return Coarse(module)

def inside(module):
    module.register_forward_pre_hook(lambda module, args: ((4 * args[0]).round() / 4,))
    return module

def behind():
    return Coarse(Net())
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(FILE)
    return str(tmp_path / "mine.py")


def cells(file: str, out: Path, **words: Any) -> list[Cell]:
    words = {"models": f"{file}:Net", "attacks": "pgd:eps=0.1,steps=2", "data": "digits/test[:6]", **words}
    return Study(out, preflight=False, **words).cells


@pytest.mark.parametrize("defence", ["coarse", "Copied", "coarse+bit-depth:bits=2", "bit-depth:bits=2+coarse"])
def test_gradients_are_those_of_the_model_below_a_plain_module(defence: str, file: str, tmp_path: Path) -> None:
    words = "+".join(part if part.startswith("bit") else f"{file}:{part}" for part in defence.split("+"))
    gray, removed = cells(file, tmp_path / "run", defences=words, threats=["gray-box", "removed"])
    net = gray.model.value
    assert gray.defended is not net
    assert [source for source, _ in gray.threat.sources] == [net]
    assert gray.threat.target is gray.defended
    assert removed.threat.target is net
    assert [source for source, _ in removed.threat.sources] == [removed.defended]
    white, named = cells(file, tmp_path / "run", defences=words, threats=["white-box", "gray-box"])
    assert white.hash != named.hash == gray.hash


def test_an_attack_sees_the_gradient_of_the_model_and_the_verdict_is_the_defended_ones(file: str) -> None:
    batch = vb.data.load("digits/test[:16]").all()
    model = f"{file}:coarse|{file}:Net"
    gray = vb.attack("pgd:eps=0.1,steps=3", model, batch, threat="gray-box")
    masked = vb.attack("pgd:eps=0.1,steps=3", model, batch, threat="white-box")
    assert (gray.crafted != masked.crafted).any()
    net: nn.Module = vb.models.load(f"{file}:Net")
    told = vb.attack("pgd:eps=0.1,steps=3", _coarse(net), batch, threat=threats.gray_box(network=net))
    assert torch.equal(told.crafted, gray.crafted)
    assert torch.equal(told.success, gray.success)


def _coarse(net: nn.Module) -> nn.Module:
    class Coarse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = net

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.inner((4 * x).round() / 4)
            return logits

    return Coarse()


@pytest.mark.parametrize("threat", ["gray-box", "removed"])
def test_a_defence_that_cannot_be_told_apart_is_refused_and_none_is_not(threat: str, file: str, tmp_path: Path) -> None:
    batch = vb.data.load("digits/test[:4]").all()
    with pytest.raises(ContractError, match="told from its defence"):
        vb.attack("pgd:eps=0.1,steps=2", _coarse(vb.models.load(f"{file}:Net")), batch, threat=threat)
    with pytest.raises(ContractError, match="told from its defence"):
        cells(file, tmp_path / "run", defences=f"{file}:inside", threats=threat)
    assert not (tmp_path / "run").exists()
    (undefended,) = cells(file, tmp_path / "run", threats=threat)
    assert undefended.threat.target is undefended.model.value
    # What --model says is the network, whatever it is made of; vauban's own defences around it are told apart.
    (whole,) = cells(file, tmp_path / "run", models=f"{file}:behind", threats=threat)
    assert whole.threat.networks[0][0] is whole.threat.target
    guarded = BitDepth(2).wrap(whole.model.value)
    (gray,) = cells(file, tmp_path / "run", models={"guarded": guarded}, threats="gray-box")
    assert gray.threat.sources[0][0] is whole.model.value


class Asking(Steps[Any]):
    """A user's attack that asks for scores and does not say so."""

    def start(self, oracle: Any, **per_sample: Tensor) -> Any:
        raise NotImplementedError

    def step(self, oracle: Any, state: Any, t: int) -> Any:
        raise NotImplementedError


PGD, SQUARE = attacks.PGD(Linf(0.1), steps=2), attacks.Square(Linf(0.1), steps=3)
NOISE = attacks.RandomNoise(Linf(0.1), steps=1)
NEEDS: dict[str, tuple[Attack, set[str]]] = {
    "pgd": (PGD, {"gradients"}),
    "square": (SQUARE, {"scores"}),
    "standard": (attacks.Standard(Linf(0.1)), {"gradients", "scores", "labels"}),
    "standard in l1": (attacks.Standard(vb.L1(3.0)), {"gradients", "labels"}),
    "restarts": (Restarts(SQUARE, 2), {"scores"}),
    "cascade": (Cascade((PGD, NOISE)), {"gradients", "labels"}),
    "nested": (Restarts(Cascade((PGD, Restarts(SQUARE, 2))), 2), {"gradients", "scores"}),
    "own": (Asking(), set()),
}
GRANTED = {
    "white-box": {"gradients", "scores", "labels"},
    "scores-only": {"scores", "labels"},
    "labels-only": {"labels"},
    "gray-box": {"gradients"},
}
LEFT = {
    "standard": {"scores-only": ("random-noise", "square", "rays"), "labels-only": ("random-noise", "rays")},
    "standard in l1": {"scores-only": ("random-noise", "hopskipjump"), "labels-only": ("random-noise", "hopskipjump")},
    "cascade": {"scores-only": ("random-noise",), "labels-only": ("random-noise",)},
    "nested": {"scores-only": ("square",)},
}
"""What is left of batteries where no gradients are granted."""


@pytest.mark.parametrize("case", NEEDS)
def test_every_grant_that_any_member_needs_is_looked_at(case: str) -> None:
    attack, needs = NEEDS[case]
    assert all_needs(attack) == needs


class Silent(nn.Module):
    """A network that must not be asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return torch.zeros(len(x), 10)


@pytest.mark.slow
@pytest.mark.parametrize("threat", GRANTED)
@pytest.mark.parametrize("case", [case for case in NEEDS if case != "own"])
def test_what_is_not_granted_is_refused_before_a_network_is_asked(case: str, threat: str, tmp_path: Path) -> None:
    attack, needs = NEEDS[case]
    net = Silent()
    recipe: Any = threats.gray_box(network=net) if threat == "gray-box" else threat

    def study() -> object:
        words: Any = {"data": "digits/test[:4]", "models": {"net": net}, "attacks": {"mine": attack}, "threats": threat}
        return Study(tmp_path / "run", **words)

    def alone() -> object:
        return vb.attack(attack, net, vb.data.load("digits/test[:4]").all(), threat=recipe)

    callers: tuple[Callable[[], object], ...] = (study, alone)
    if needs <= GRANTED[threat] or threat in LEFT.get(case, {}):
        study()
        return
    for caller in callers:
        with pytest.raises(AccessError, match=f"does not grant {min(needs - GRANTED[threat])}"):
            caller()
    assert net.asked == 0
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("case", "threat"), [(case, threat) for case in LEFT for threat in LEFT[case]])
def test_a_battery_goes_on_with_the_members_that_are_granted(case: str, threat: str) -> None:
    attack = NEEDS[case][0].under(frozenset(GRANTED[threat]), (1, 8, 8))
    assert all_needs(attack) <= GRANTED[threat]
    names = [label.split(" of ")[-1].partition(":")[0] for label in _leaves(attack)]
    assert tuple(dict.fromkeys(names)) == LEFT[case][threat]
    assert NEEDS[case][0].under(frozenset({"gradients"}), (1, 8, 8)) is NEEDS[case][0]


def _leaves(attack: Attack) -> list[str]:
    return [name for member in attack.members for name in _leaves(member)] if attack.members else [attack_label(attack)]


def test_a_goal_that_needs_logits_is_refused_under_labels(tmp_path: Path) -> None:
    net = Silent()
    words: Any = {"data": "digits/test[:4]", "models": {"net": net}, "attacks": "hopskipjump", "threats": "labels-only"}
    with pytest.raises(AccessError, match="least-likely needs the logits"):
        Study(tmp_path / "run", goal="least-likely", **words)
    assert net.asked == 0
    assert Study(tmp_path / "run", goal="random-wrong", **words).cells


def test_attacks_that_are_named_as_allowed_are_allowed() -> None:
    assert "standard" not in allowed_attacks(frozenset({"gradients"}))
    for threat in ("white-box", "scores-only", "labels-only"):
        assert "standard" in allowed_attacks(frozenset(GRANTED[threat]))
    assert "autoattack" not in allowed_attacks(frozenset({"scores", "labels"}))
    assert {"pgd", "ddn"} <= set(allowed_attacks(frozenset({"gradients"})))
