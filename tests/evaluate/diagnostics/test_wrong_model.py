"""A network that does not belong to the data, or has no weights, is a warning on the terminal and in Python."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.cli.screens.study import show_outcomes
from vauban.core.cards import Card, Defended
from vauban.core.goals import ResolvedGoal
from vauban.core.rng import seeded
from vauban.engine import BoundThreat
from vauban.evaluate.diagnostics.findings import Finding
from vauban.evaluate.diagnostics.preflight import before

N = 32
Y = torch.arange(N) % 10
X = nn.functional.one_hot(Y, 16).float() / 2  # one pixel says the class, the last one which image it is
X[:, 15] = torch.arange(N) / 255


class Reads(nn.Module):
    """Right on the first `right` images of N, with a number of outputs."""

    def __init__(self, outputs: int = 10, right: int = N) -> None:
        super().__init__()
        self.outputs, self.right = outputs, right

    def forward(self, x: Tensor) -> Tensor:
        z = nn.functional.pad(20 * x[:, : min(self.outputs, 10)], (0, max(0, self.outputs - 10)))
        wrong = (x[:, 15] * 255).round() >= self.right
        return torch.where(wrong[:, None], z.roll(1, 1), z)


def found(net: nn.Module, classes: int | None = 10, y: Tensor = Y) -> dict[str, Finding]:
    return {f.code: f for f in before(BoundThreat(net, levels=None), X, y, ResolvedGoal(y), classes=classes)}


def test_more_outputs_than_the_data_has_classes() -> None:
    assert not found(Reads()).keys() & {"extra-classes", "low-accuracy"}
    finding = found(Reads(1000))["extra-classes"]
    assert finding.severity == "warning"
    assert "1000 outputs for data of 10 classes" in finding.message
    assert "undeclared-rejection" not in found(Reads(1000))
    assert "extra-classes" not in found(Reads(11))
    assert "11 logits" in found(Reads(11))["undeclared-rejection"].message
    assert "extra-classes" not in found(Reads(1000), classes=None)


def test_a_marked_rejection_is_no_class_too_many() -> None:
    class Rejecting(Defended):
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.inner(x)
            return logits

    assert "extra-classes" not in found(Rejecting(Reads(11), Card("detector", rejects=True)))
    assert "extra-classes" in found(Rejecting(Reads(12), Card("detector", rejects=True)))


@pytest.mark.parametrize(("right", "told"), [(0, True), (3, True), (12, True), (13, False), (32, False)])
def test_what_is_hardly_right_at_all(right: int, told: bool) -> None:
    findings = found(Reads(right=right))
    assert ("low-accuracy" in findings) is told  # 60 % of 32 wrong are 19.2
    if told:
        assert findings["low-accuracy"].severity == "warning"
        assert "weights" in findings["low-accuracy"].message


def test_of_two_classes_half_is_chance() -> None:
    """Guessing gets 16 of 32 wrong: more than four fifths of that is a warning, and 60 % of 32 would not be reached."""
    y = Y % 2

    class Coin(nn.Module):
        def __init__(self, wrong: int) -> None:
            super().__init__()
            self.wrong = wrong

        def forward(self, x: Tensor) -> Tensor:
            own = y if len(x) == N else y[: len(x)]
            label = torch.where(torch.arange(len(own)) < self.wrong, 1 - own, own)
            return 9 * nn.functional.one_hot(label, 2).float() + 0 * x.sum(1, keepdim=True)

    assert "low-accuracy" in found(Coin(14), 2, y)
    assert "low-accuracy" not in found(Coin(12), 2, y)


def test_statistics_that_never_saw_an_image() -> None:
    with seeded("fresh"):
        net = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 10), nn.BatchNorm1d(10)).eval()
    finding = found(net)["untrained-statistics"]
    assert finding.severity == "warning"
    assert "2 of 2 layers" in finding.message
    for layer in (net[0], net[2]):
        layer.running_mean.add_(0.1)
    assert "untrained-statistics" not in found(net)


def wide() -> nn.Module:
    with seeded("wide"):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 1000))


def test_the_terminal_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words: Any = {"data": "digits/test[:16]", "models": {"net": wide()}, "attacks": "fgsm:eps=0.1"}
    study = vb.Study(tmp_path / "run", **words)
    study.run()
    show_outcomes(study, study.report())
    shown = " ".join(capsys.readouterr().out.split())
    assert "warning extra-classes: net | none | white-box: 16 of 16 samples get 1000 outputs for data of 10" in shown
    assert "warning low-accuracy: net | none | white-box: 16 of 16 samples are misclassified before any attack" in shown


def test_python_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="vauban"):
        report = vb.attack("fgsm:eps=0.1", wide(), "digits/test[:16]")
    told = {record.getMessage().split(":")[0] for record in caplog.records}
    assert {"extra-classes", "low-accuracy"} <= told
    assert {"extra-classes", "low-accuracy"} <= {finding.code for finding in report.findings}


def test_labels_that_were_only_counted_prove_nothing() -> None:
    x, y = torch.rand(8, 1, 8, 8).mul(255).round() / 255, torch.arange(8)
    counted = vb.data.from_torch((x, y))
    assert (counted.classes, counted.known_classes) == (8, None)
    assert vb.data.from_torch((x, y), class_names=tuple("abcdefgh")).known_classes == 8
    assert vb.data.load("digits/test[:3]").known_classes == 10
    assert vb.data.load("digits/test[:3]", labels="own").known_classes is None
