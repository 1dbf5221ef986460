"""Figure 5.1: the paths of PGD2, C&W, DDN and BP in the plane, drawn by running the attacks on a binary classifier."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.minimal.bp import BP
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.minimal.ddn import DDN
from vauban.core.norms import L2
from vauban.engine import BoundThreat, Oracle, Steps, iterate
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import ComputedFigure, Panel, Series
from vauban.reproduce.papers.printed_variants import PRINTED_BP
from vauban.reproduce.papers.thesis5.networks import SMOKE
from vauban.reproduce.papers.thesis5.setting import SOURCE
from vauban.reproduce.registry import register

START = (0.3, 0.3)
RADIUS = 0.35
STEPS = 20
SHARP = 12.0
"""Logits per unit of height: at the start the true class has a probability of 0.98."""
DRAWN = replace(SMOKE, minutes=0.1, note="computed, not measured: no data, no network")


def height(x1: Tensor) -> Tensor:
    """The boundary x2 = h(x1), a wave: so the nearest point is not the one straight ahead."""
    return 0.62 - 0.1 * torch.sin(2 * math.pi * x1)


class Wave(nn.Module):
    """A binary classifier of points `(batch, 2)`: class 0 below the boundary, 1 above it."""

    def forward(self, x: Tensor) -> Tensor:
        above = SHARP * (x[:, 1] - height(x[:, 0]))
        return torch.stack([-above / 2, above / 2], 1)


ATTACKS: dict[str, tuple[Any, dict[str, float]]] = {
    "PGD2": (PGD(L2(RADIUS), STEPS, 0.25, random_start=False), {}),
    "C&W": (CW(1, STEPS, 0.1, 0.3), {"c": 0.3}),
    "DDN": (DDN(STEPS, eps=0.1, gamma=0.1, gamma_last=0.1, alpha=0.1, alpha_last=0.01, state="quantised"), {}),
    "BP": (BP(STEPS, alpha=0.1, retreat=False, **PRINTED_BP), {}),
    "BP, OUT with retreat": (BP(STEPS, alpha=0.1, **PRINTED_BP), {}),
}
"""The attacks with steps that suit a unit square, and the constant of C&W."""


def path(name: str) -> list[tuple[float, float]]:
    """The start and every iterate of an attack."""
    attack, per_sample = ATTACKS[name]
    x, y = torch.tensor([START]), torch.zeros(1, dtype=torch.long)
    oracle = Oracle.open(BoundThreat(Wave().eval(), levels=None), x, y)
    steps: Steps[Any] = attack.inner(oracle) if isinstance(attack, CW) else attack
    points = [START]

    def record(t: int, view: Oracle, state: Any) -> None:
        a, b = steps.candidate(view, state)[0].tolist()
        points.append((a, b))

    given = {parameter: torch.tensor([value]) for parameter, value in per_sample.items()}
    iterate(steps, oracle, stop="never", callback=record, per_sample=given)
    return points


def boundary(points: int = 201) -> Series:
    """The boundary of the classifier over the unit interval."""
    x1 = torch.linspace(0, 1, points)
    return Series("boundary", x1.tolist(), height(x1).tolist())


def circle(points: int = 201) -> Series:
    """The sphere of PGD2 around the original."""
    angle = torch.linspace(0, 2 * math.pi, points)
    x1, x2 = START[0] + RADIUS * angle.cos(), START[1] + RADIUS * angle.sin()
    return Series("radius of PGD2", x1.tolist(), x2.tolist())


def draw() -> list[Series]:
    """The boundary, the sphere of PGD2, and the path of every attack."""
    paths = {name: path(name) for name in ATTACKS}
    lines = [Series(name, [x1 for x1, _ in points], [x2 for _, x2 in points]) for name, points in paths.items()]
    return [boundary(), circle(), *lines]


def panels(scale: Scale) -> list[Panel]:
    caption = (
        f"{STEPS} steps of each attack from ({START[0]}, {START[1]}) on the boundary x2 = 0.62 - 0.1 sin(2 pi x1). PGD2 "
        "ends on its sphere, the others look for the boundary's nearest point. BP crosses, then walks along it."
    )
    return [ComputedFigure("Paths of four attacks in the plane", caption, "x1", "x2", draw)]


def cells(scale: Scale) -> list[TableCell]:
    """A drawing has no numbers."""
    return []


@register("thesis-fig5.1")
def figure1() -> Experiment:
    """Figure 5.1: paths of PGD2, C&W, DDN and BP in the plane."""
    return Experiment(
        "thesis-fig5.1",
        "Figure 5.1: paths of PGD2, C&W, DDN and BP in the plane",
        SOURCE,
        cells,
        {"smoke": DRAWN, "small": DRAWN},
        None,
        ambiguous=(Ambiguity("the paper's classifier and the parameters of its drawing are not printed"),),
        notes=("The attacks are the library's own, on a classifier given by a formula.",),
        panels=panels,
    )
