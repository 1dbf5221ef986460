"""A user's code that ends the process, and networks whose weights change under the attack: never a success."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import Linf, attacks
from vauban.core.errors import ContractError, ExitCalled, StateChanged, exits_are_errors
from vauban.engine import BoundThreat
from vauban.evaluate.fit import fit
from vauban.evaluate.study import Study
from vauban.evaluate.unchanged import check_unchanged, state_of
from vauban.evaluate.verify import verify
from vauban.store import query
from vauban.training.run import TrainingRun

MINE = """
import sys
from dataclasses import dataclass
import torch
from torch import nn
from vauban import Linf, data
from vauban.attacks import PGD
from vauban.engine import BoundThreat

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.linspace(0, 900, 640).sin().view(10, 64))

    def forward(self, x):
        return x.flatten(1) @ self.w.T

class Leaves(Net):
    def forward(self, x):
        sys.exit(0)

class LeavesLate(Net):
    def forward(self, x):
        if len(x) == 3:
            sys.exit(0)
        return super().forward(x)

class Panics(Net):
    def forward(self, x):
        if len(x) == 3:
            raise BaseException("a panic of an extension")
        return super().forward(x)

def build():
    sys.exit()

def defence(module):
    sys.exit("done")

class Attack(PGD):
    def step(self, oracle, state, t):
        sys.exit(0)

class Built(PGD):
    def __post_init__(self):
        sys.exit(0)

class Threat:
    name = "leaving"
    def bind(self, defended, *, levels, limit=None, budget=None):
        sys.exit(0)

def loss(logits, goal):
    sys.exit(0)

def images():
    sys.exit(0)

class Learns(nn.Module):
    def __init__(self, channels=1, classes=10):
        super().__init__()
        self.layer = nn.Linear(64, classes)
    def forward(self, x):
        if self.training:
            sys.exit(0)
        return self.layer(x.flatten(1))
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "leaving.py").write_text("import sys\nsys.exit(0)\n")
    (tmp_path / "panicking.py").write_text("raise BaseException('gone')\n")
    return str(tmp_path / "mine.py")


WORDS: dict[str, dict[str, str]] = {
    "model, at import": {"models": "leaving.py:net"},
    "model, a panic at import": {"models": "panicking.py:net"},
    "model, when made": {"models": "mine.py:build"},
    "model, when asked": {"models": "mine.py:Leaves"},
    "defence": {"defences": "mine.py:defence"},
    "attack, when made": {"attacks": "mine.py:Built:eps=0.1"},
    "threat": {"threats": "mine.py:Threat"},
    "data": {"data": "mine.py:images"},
    "attack, at import": {"attacks": "leaving.py:attack"},
    "loss, at import": {"attacks": "pgd:eps=0.1,loss=leaving.py:loss"},
    "data, at import": {"data": "leaving.py:images"},
}
BATCHES: dict[str, dict[str, str]] = {
    "model, later": {"models": "mine.py:LeavesLate"},
    "model, a panic": {"models": "mine.py:Panics"},
    "attack": {"attacks": "mine.py:Attack:eps=0.1,steps=2"},
    "loss": {"attacks": "pgd:eps=0.1,steps=2,loss=mine.py:loss"},
}


def study(out: Path, file: str, words: dict[str, str], **options: Any) -> Study:
    folder = Path(file).parent
    given = {"models": "mine.py:Net", "attacks": "pgd:eps=0.1,steps=2", "data": "digits/test[:9]", **words}
    placed = {name: text.replace("mine.py", file) for name, text in given.items()}
    for other in ("leaving.py", "panicking.py"):
        placed = {name: text.replace(other, str(folder / other)) for name, text in placed.items()}
    return Study(out, preflight=False, batch_size=6, **placed, **options)


@pytest.mark.parametrize("case", WORDS)
def test_a_word_that_ends_the_process_is_an_error(case: str, mine: str, tmp_path: Path) -> None:
    with pytest.raises((ContractError, ExitCalled)):
        study(tmp_path / "run", mine, WORDS[case]).run()


@pytest.mark.slow
@pytest.mark.parametrize("case", BATCHES)
def test_a_batch_that_ends_the_process_has_failed(case: str, mine: str, tmp_path: Path) -> None:
    (outcome,) = study(tmp_path / "run", mine, BATCHES[case]).run()
    assert outcome.state == "failed"
    (cell,) = query.load(tmp_path / "run").cells
    assert len(cell.failures) == outcome.failures > 0
    assert not cell.complete


def test_an_end_in_the_preflight_is_told_and_the_batches_decide(mine: str, tmp_path: Path) -> None:
    words = {"data": "digits/test[:3]", "models": f"{mine}:Net", "attacks": f"{mine}:Attack:eps=0.1,steps=2"}
    (outcome,) = Study(tmp_path / "run", **words).run()  # type: ignore[arg-type]
    assert outcome.state == "failed"


ENTRIES: dict[str, Callable[[str, Path], object]] = {
    "attack": lambda file, out: vb.attack("pgd:eps=0.1", f"{file}:Leaves", "digits/test[:4]"),
    "words": lambda file, out: vb.load("model", f"{file}:build"),
    "verify": lambda file, out: verify(f"{file}:Leaves", "digits/test[:4]", torch.zeros(4, 1, 8, 8), "linf:0.1"),
    "train": lambda file, out: vb.train(
        TrainingRun(f"{file}:Learns", "digits/train[:40]", epochs=1),
        vb.data.load("digits/train[:40]"),
        out / "w.safetensors",
    ),
    "fit": lambda file, out: fit(
        "universal:eps=0.1", vb.models.load(f"{file}:Leaves"), vb.data.load("digits/train[:8]"), out / "u.safetensors"
    ),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_entry_of_python_lets_an_end_of_the_process_out(entry: str, mine: str, tmp_path: Path) -> None:
    with pytest.raises(ExitCalled, match=r"sys\.exit\((0|None|)\)"):
        ENTRIES[entry](mine, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_ctrl_c_stays_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), exits_are_errors():
        raise KeyboardInterrupt
    with pytest.raises(ExitCalled, match=r"sys\.exit"), exits_are_errors():
        sys.exit(3)
    with pytest.raises(ValueError, match="own"), exits_are_errors():
        raise ValueError("own")


class Adapting(nn.Module):
    """A network that changes a weight or a buffer of itself in its forward pass, from the call number `after` on."""

    def __init__(self, way: str, after: int = 0) -> None:
        super().__init__()
        self.way, self.left = way, after
        self.layer = nn.Linear(64, 10)
        self.norm = nn.BatchNorm1d(10)
        self.register_buffer("halves", torch.zeros(3, dtype=torch.float16))
        self.register_buffer("phase", torch.zeros(3, dtype=torch.complex64))
        self.register_buffer("counts", torch.zeros(4, dtype=torch.int64))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(0, 900, 640).sin().view(10, 64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.left -= 1
        if self.left < 0:
            self.change()
        out: Tensor = self.norm(self.layer(x.flatten(1)))
        return out

    @torch.no_grad()
    def change(self) -> None:
        if self.way == "weight":
            self.layer.weight.add_(1e-3)
        elif self.way == "data":
            self.layer.bias.data[3] += 1e-7
        elif self.way == "numpy":
            self.layer.bias.detach().numpy()[:] += 1
        elif self.way == "exchanged":
            self.layer.weight = nn.Parameter(self.layer.weight * 2)
        elif self.way == "statistics":
            self.norm.running_mean.mul_(0.9).add_(0.1)  # type: ignore[union-attr]
        elif self.way in ("halves", "phase", "counts"):
            self.get_buffer(self.way).add_(1)


CHANGES = ["weight", "data", "numpy", "exchanged", "statistics", "halves", "phase", "counts"]


@pytest.mark.slow
@pytest.mark.parametrize("way", CHANGES)
def test_a_network_that_changes_during_a_run_fails_its_cells(way: str, tmp_path: Path) -> None:
    nets = {"still": Adapting("none"), "changing": Adapting(way, after=2)}
    run = Study(
        tmp_path / "run",
        data="digits/test[:8]",
        models=nets,
        attacks="pgd:eps=0.1,steps=2",
        batch_size=4,
        preflight=False,
    )
    states = {outcome.job.cell.model.name: outcome.state for outcome in run.run()}  # type: ignore[attr-defined]
    assert states == {"still": "finished", "changing": "failed"}
    changed = next(cell for cell in query.load(tmp_path / "run").cells if cell.meta["model"] == "changing")
    assert "has changed" in changed.failures[-1]["error"]
    assert "\n" not in changed.failures[-1]["error"]
    with pytest.raises(StateChanged, match="has changed"):
        vb.attack(attacks.PGD(Linf(0.1), steps=2), Adapting(way, after=2), vb.data.load("digits/test[:8]").all())


@pytest.mark.parametrize("way", CHANGES)
def test_a_network_that_changes_while_images_are_verified(way: str) -> None:
    data = vb.data.load("digits/test[:8]")
    verify(Adapting("none"), data, data.all().x, "linf:0.1")
    with pytest.raises(StateChanged, match="has changed"):
        verify(Adapting(way, after=2), data, data.all().x, "linf:0.1")


def test_a_change_between_planning_and_running_is_noticed(tmp_path: Path) -> None:
    net = Adapting("none")
    run = Study(tmp_path / "run", data="digits/test[:4]", models={"net": net}, attacks="fgsm:eps=0.1", preflight=False)
    with torch.no_grad():
        net.layer.bias[0] += 1
    assert [outcome.state for outcome in run.run()] == ["failed"]


def test_a_state_is_that_of_every_network_and_not_of_the_layout() -> None:
    one, two = nn.Conv2d(3, 4, 2), nn.Conv2d(3, 4, 2)
    threat = BoundThreat(one, sources=((two, 1.0),))
    before = state_of(threat.parts)
    assert len(before) == 4
    one.to(memory_format=torch.channels_last)
    check_unchanged(threat.parts, before)
    with torch.no_grad():
        two.bias[0] = torch.nextafter(two.bias[0], torch.tensor(9.0))
    with pytest.raises(StateChanged, match="'bias' of Conv2d"):
        check_unchanged(threat.parts, before)
    assert state_of(nn.Identity().modules()) == {}
