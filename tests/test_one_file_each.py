"""An attack, a defence, a threat and a metric, in one file each: they are in the faces, the CLI, conformance and report."""

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
}
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
    """A copy of the package with four more files."""
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


@pytest.mark.slow
def test_the_faces_have_them(tree: Path) -> None:
    told = json.loads(python(tree, "-c", ASK))
    assert told["faces"] == ["HalfStep", "Darker", "TwoGradients", "largest_rise"]
    assert told["shown"] == [True] * 4
    assert max(told["rise"]) == pytest.approx(0.1 * 255, abs=1)  # half of 0.2, rounded to levels


@pytest.mark.slow
def test_the_command_line_evaluates_and_reports_them(tree: Path) -> None:
    for kind, name in (
        ("attacks", "half-step"),
        ("defences", "darker"),
        ("threats", "two-gradients"),
        ("metrics", "largest_rise"),
    ):
        assert name in python(tree, "-m", "vauban", "list", kind)
    words = (
        "--model digits-cnn --data digits/test[:6] --attack half-step:eps=0.2 --defence darker --threat two-gradients"
    )
    python(tree, "-m", "vauban", "evaluate", *words.split(), "--metrics", "largest_rise", "--out", "run")
    page, table = (tree.parent / "run" / "report.html").read_text(), python(tree, "-m", "vauban", "table", "run")
    for text in (page, table):
        assert all(name in text for name in ("half-step", "darker", "two-gradients", "largest_rise"))
        assert "levels" in text


@pytest.mark.slow
def test_the_conformance_suite_judges_them(tree: Path) -> None:
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "half-step or darker", "-rA"]
    told = python(tree, *command, str(ROOT / "tests" / "conformance"))
    for test, name in (("test_every_attack", "half-step"), ("test_every_defence", "darker")):
        assert sum(line.startswith("PASSED") and test in line and name in line for line in told.splitlines()) >= 5
