"""Attack, defence, threat, metric and parts of recipes, in one file each: faces, CLI, conformance and report know them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "attacks/fixed_budget/half_step.py": '''"""Half step: one step of half the radius."""

from dataclasses import dataclass

from torch import Tensor

from vauban.attacks import registry
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.parts.ball_steps import ascend
from vauban.engine import Oracle, Point


@registry.register("half-step", norms=("linf",), needs="gradients", targeted=True)
@dataclass(frozen=True)
class HalfStep(FGSM):
    """One step of half the radius along the sign of the gradient."""

    def move(self, oracle: Oracle, state: Point, t: int, logits: Tensor, g: Tensor) -> Point:
        return Point(ascend(oracle, state.x, g, 0.5))
''',
    "defences/inputs/darker.py": '''"""Darker images before the network."""

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from vauban.core.parameters import Range
from vauban.defences.base import InputDefence, register


@register("darker")
@dataclass(frozen=True)
class Darker(InputDefence):
    """The image times a factor."""

    factor: Annotated[float, Range(0, 1, open_low=True)] = 0.9

    def apply(self, x: Tensor) -> Tensor:
        return self.factor * x
''',
    "threats/two_gradients.py": '''"""Threat of an attacker who averages two gradients."""

from dataclasses import dataclass
from typing import ClassVar

from vauban.threats.access import WhiteBox
from vauban.threats import registry


@registry.register("two-gradients")
@dataclass(frozen=True)
class TwoGradients(WhiteBox):
    """Everything, two gradients a call."""

    draws: int = 2
    registered: ClassVar[str] = "two-gradients"
''',
    "metrics/largest_rise.py": '''"""Largest rise of a component."""

from torch import Tensor

from vauban.metrics import registry
from vauban.metrics.base import pair


@registry.register("largest_rise", unit="levels", direction="lower", aggregate="median", reads="pair")
def largest_rise(x0: Tensor, x: Tensor) -> Tensor:
    """255 max(x - x0) per image, `(batch,)`."""
    x0, x = pair(x0, x)
    return 255 * (x - x0).flatten(1).amax(1)
''',
    "training/objectives/unsure.py": '''"""Training that keeps logits small."""

from dataclasses import dataclass

from torch import nn

from vauban.core.contracts import Batch
from vauban.core.parameters import NonNegative
from vauban.training import registry
from vauban.training.objective import Criterion, Staged, Value, logits_of
from vauban.training.recipe import CRITERION, ObjectivePart


@dataclass
class SmallLogits(Staged[None]):
    weight: float
    criterion: Criterion

    def made(self, network: nn.Module, batch: Batch, step: int) -> None:
        return None

    def value(self, network: nn.Module, batch: Batch, made: None) -> Value:
        logits = logits_of(network, batch.x, batch.y)
        return self.criterion(logits, batch.y) + self.weight * logits.square().mean(), logits


@registry.register("unsure", words=CRITERION)
@dataclass(frozen=True)
class Unsure(ObjectivePart):
    """The criterion, and the mean square of the logits."""

    weight: NonNegative = 0.1

    def objective(self, seed: int) -> SmallLogits:
        return SmallLogits(self.weight, self.criterion)
''',
    "models/edits/scaled.py": '''"""Logits times a factor."""

from dataclasses import dataclass

from torch import Tensor, nn

from vauban.core.parameters import Positive
from vauban.training import registry
from vauban.training.recipe import RecipePart


class Factor(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return self.by * x


@registry.register("scaled")
@dataclass(frozen=True)
class Scaled(RecipePart):
    """The network with its logits times a factor."""

    by: Positive = 2.0

    def edit(self, module: nn.Module) -> nn.Module:
        return nn.Sequential(module, Factor(self.by))
''',
    "training/criteria/brier.py": '''"""Brier score."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from vauban.core.parameters import Parameters
from vauban.training.criteria import registry


@registry.register("brier")
@dataclass(frozen=True)
class Brier(Parameters):
    """Mean squared distance of the probabilities from the label's."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        return (logits.softmax(1) - F.one_hot(y, logits.shape[1])).square().sum(1).mean()
''',
    "training/selections/first.py": '''"""The first epoch."""

from dataclasses import dataclass
from typing import Any

from vauban.training.selection import Selection
from vauban.training.selections import registry


@registry.register("first")
@dataclass(frozen=True)
class FirstEpoch(Selection):
    """The network of the first epoch."""

    def score(self, network: Any, held: Any, seed: int) -> float:
        return 1.0
''',
}
COMMANDS = """
import shlex, sys
from vauban.cli import main
for line in sys.argv[1:]:
    print("$", line)
    sys.argv = ["vauban", *shlex.split(line)]
    try:
        main()
    except SystemExit as leave:
        assert not leave.code, (line, leave.code)
"""
ASK = """
import json, vauban as vb
x = vb.data.load("digits/test[:4]").all()
report = vb.attack("half-step:eps=0.2", vb.models.load("digits-cnn"), x, threat="two-gradients")
print(json.dumps({
    "faces": [vb.attacks.HalfStep.__name__, vb.defences.Darker.__name__, vb.threats.TwoGradients.__name__,
              vb.metrics.largest_rise.__name__],
    "shown": ["HalfStep" in dir(vb.attacks), "Darker" in dir(vb.defences), "TwoGradients" in dir(vb.threats),
              "largest_rise" in dir(vb.metrics)],
    "rise": vb.metrics.largest_rise(x.x, report.crafted).tolist(),
}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with more files."""
    source = tmp_path_factory.mktemp("one") / "src"
    skipped = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.csv")
    shutil.copytree(ROOT / "src" / "vauban", source / "vauban", ignore=skipped)
    for kept in (ROOT / "src" / "vauban").rglob("*.safetensors"):
        if "digits" in kept.name:
            shutil.copy(kept, source / "vauban" / kept.relative_to(ROOT / "src" / "vauban"))
    for name, text in FILES.items():
        (source / "vauban" / name).write_text(text)
    return source


def python(tree: Path, *arguments: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"}
    done = subprocess.run([sys.executable, *arguments], env=env, cwd=tree.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commands(tree: Path, *lines: str) -> list[str]:
    """What commands print, typed one after the other in one process, whose start takes longer than most of them."""
    printed = python(tree, "-c", COMMANDS, *lines)
    return [after.partition("\n")[2] for after in ("\n" + printed).split("\n$ ")[1:]]


@pytest.mark.slow
def test_the_faces_have_them(tree: Path) -> None:
    told = json.loads(python(tree, "-c", ASK))
    assert told["faces"] == ["HalfStep", "Darker", "TwoGradients", "largest_rise"]
    assert told["shown"] == [True] * 4
    assert max(told["rise"]) == pytest.approx(0.1 * 255, abs=1)  # half of 0.2, rounded to levels


@pytest.mark.slow
def test_the_command_line_evaluates_and_reports_them(tree: Path) -> None:
    made = {"attacks": "half-step", "defences": "darker", "threats": "two-gradients", "metrics": "largest_rise"}
    words = (
        "--model digits-cnn --data digits/test[:6] --attack half-step:eps=0.2 --defence darker --threat two-gradients"
    )
    evaluate = f"evaluate {words} --metrics largest_rise --out run"
    *lists, _, table = commands(tree, *(f"list {kind}" for kind in made), evaluate, "table run")
    for name, listed in zip(made.values(), lists, strict=True):
        assert name in listed
    for text in ((tree.parent / "run" / "report.html").read_text(), table):
        assert all(name in text for name in made.values())
        assert "levels" in text


@pytest.mark.slow
def test_the_conformance_suite_judges_them(tree: Path) -> None:
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "half-step or darker", "-rA"]
    told = python(tree, *command, str(ROOT / "tests" / "conformance"))
    for test, name in (("test_every_attack", "half-step"), ("test_every_defence", "darker")):
        assert sum(line.startswith("PASSED") and test in line and name in line for line in told.splitlines()) >= 5


@pytest.mark.slow
def test_a_recipe_of_new_parts_trains_and_its_network_loads_with_its_edit(tree: Path) -> None:
    words = "--model digits-cnn --data digits/train[:40] --epochs 3 --selection first --out w.safetensors"
    recipe = "scaled:by=3+awp:objective=[unsure:weight=0.2,criterion=brier]"
    lists = [f"list {kind}" for kind in ("recipes", "criteria", "selections")]
    recipes, criteria, selections, trained = commands(tree, *lists, f"train {words} --recipe {recipe}")
    assert "unsure" in recipes
    assert "scaled" in recipes
    assert "brier" in criteria
    assert "first" in selections
    assert "kept epoch 1" in trained
    factor, passes = "vb.models.load('w.safetensors')[1].by", "vb.load('recipe', 'unsure').objective(0).passes"
    assert python(tree, "-c", f"import vauban as vb; print({factor}, {passes})").strip() == "3 (1, 1)"
