"""A folder with a user's own files, and the command line run inside this process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from vauban import cli

MINE = """
from dataclasses import dataclass
import torch
from torch import nn
from vauban import data, threats
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.data.digits import pixels_and_labels
from vauban.core.norms import Ball, Linf
from vauban.data.dataset import Dataset, InMemory
from vauban.engine import Attack, BoundThreat
from vauban.engine.result import untouched

x, y = pixels_and_labels("train")
x = x.flatten(1).float() / 255
means = torch.stack([x[y == k].mean(0) for k in range(10)])

class Means(nn.Module):
    def __init__(self, scale=20.0):
        super().__init__()
        self.register_buffer("means", means)
        self.scale = scale
    def forward(self, z):
        z = z.flatten(1)
        return self.scale * (z @ self.means.T - self.means.square().sum(1) / 2)

net = Means()

class Bad(nn.Module):
    def forward(self, z):
        return z.flatten(1)[:, 0]

class Tuple(nn.Module):
    def forward(self, z):
        return z, z

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 10)
    def forward(self, z):
        return self.layer(z.flatten(1))

@dataclass(frozen=True)
class Mine(PGD):
    ball: Ball = Linf(0.15)
    steps: int = 2

mine = Mine(steps=3)

@dataclass(frozen=True)
class Own(Attack):
    eps: float = 0.1
    def run(self, oracle):
        oracle.scores(oracle.domain.x0)
        return untouched(oracle.domain.x0)

class Shift:
    name = "shift"
    def __init__(self, by=0.0):
        self.by = by
        self.name = f"shift:by={by}"
    def wrap(self, module):
        return Blur(module, self.by)

class Blur(nn.Module):
    def __init__(self, inner, by):
        super().__init__()
        self.inner, self.by = inner, by
    def forward(self, z):
        return self.inner((z + self.by).clamp(0, 1))

def halve(module, by=0.5):
    return Blur(module, -by / 10)

class Watch:
    name = "watch"
    def __init__(self, draws=1):
        self.draws = draws
    def bind(self, defended, *, levels, limit=None, budget=None):
        return BoundThreat(defended, "watch", draws=self.draws, levels=levels, budget=budget)

watch = Watch()

def lazy(defended):
    return defended

def loss(logits, goal):
    own = logits.gather(1, goal.y[:, None]).squeeze(1)
    return logits.logsumexp(1) - own

def scalar_loss(logits, goal):
    return logits.mean()

digit = data.load("digits/test[:8]")

def nan():
    pixels = digit.all().x.clone()
    pixels[6, 0, 0, 0] = torch.nan
    return Dataset("nan", "", InMemory(pixels), digit.y, digit.class_names)

def negative():
    return Dataset("negative", "", InMemory(digit.all().x - 1), digit.y, digit.class_names)

def many():
    return Dataset("many", "", digit.source, digit.y + 5, tuple("abcdefghijklmno"))

def labels():
    return Dataset("labels", "", digit.source, digit.y + 50, digit.class_names)
"""


@dataclass(frozen=True)
class Ran:
    """What a command did: exit code and the two streams."""

    code: int
    out: str
    err: str


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path, None, None]:
    """A working directory that holds mine.py; what its files import is forgotten afterwards."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(module, "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def vauban(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run `vauban` with the given words; log lines go to the error stream as they do in a process of its own."""

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["vauban", *words])
        handler = logging.StreamHandler(sys.stderr)
        handler.setLevel(logging.WARNING)
        logging.getLogger("vauban").addHandler(handler)
        try:
            with pytest.raises(SystemExit) as left:
                cli.main()
        finally:
            logging.getLogger("vauban").removeHandler(handler)
        told = capsys.readouterr()
        return Ran(int(left.value.code or 0), told.out, told.err)

    return run


@pytest.fixture
def evaluate(vauban: Callable[..., Ran]) -> Callable[..., Ran]:
    """`vauban evaluate` on eight digits with a model of the user's; later options win."""
    base = {"--model": "mine.py:net", "--data": "digits/test[:8]", "--attack": "fgsm:eps=0.2", "--out": "run"}

    def run(*words: str) -> Ran:
        kept = [part for pair in base.items() if pair[0] not in words for part in pair]
        return vauban("evaluate", *kept, *words)

    return run
