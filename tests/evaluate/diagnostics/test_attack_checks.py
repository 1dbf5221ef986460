"""What an attack's own parameters say before it runs, and an attack that does nothing, in Python and on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

import vauban as vb
from vauban import L0, L1, L2, Linf, attacks
from vauban.cli.app import app
from vauban.core.errors import ContractError
from vauban.engine import Attack, Oracle, Result
from vauban.engine.result import untouched
from vauban.evaluate.diagnostics.attack_checks import parameter_findings
from vauban.evaluate.fit import fit

LEVEL = 1 / 255
BALL = Linf(0.2)
SHAPE = (3, 4, 4)  # 48 components


def codes(attack: Attack, levels: int | None = 256) -> set[str]:
    return {finding.code for finding in parameter_findings(attack, SHAPE, 8, levels)}


@pytest.mark.parametrize(
    ("ball", "code"),
    [
        (Linf(8), "radius-above-range"),
        (Linf(1.01), "radius-above-range"),
        (L2(7.0), "radius-above-range"),  # the diagonal is 6.93
        (L1(49.0), "radius-above-range"),
        (Linf(0.9 * LEVEL), "radius-below-level"),
        (L2(0.9 * LEVEL), "radius-below-level"),
        (L1(0.9 * LEVEL), "radius-below-level"),
        (Linf(0), "radius-below-level"),
        (Linf(1), None),
        (L2(6.9), None),
        (L1(48.0), None),
        (Linf(LEVEL), None),
        (L2(LEVEL), None),
        (Linf(torch.full((8,), 9.0)), None),  # one radius for each image is nobody's slip
    ],
)
def test_balls_that_hold_everything_or_nothing(ball: Any, code: str | None) -> None:
    attack = attacks.PGD(ball)
    assert codes(attack) == ({code} if code else set())
    assert codes(vb.attacks.Restarts(attack, 2)) == codes(attack)
    assert codes(attack, levels=None) == ({code} if code == "radius-above-range" else set())


def test_below_a_level_is_no_fault_of_an_attack_that_does_not_round() -> None:
    ball = Linf(LEVEL / 2)
    assert "radius-below-level" in codes(attacks.AutoAttack(ball, rounded=True))
    assert "radius-below-level" not in codes(attacks.AutoAttack(ball))  # nor of its members
    assert "radius-above-range" in codes(attacks.AutoAttack(Linf(8)))


def test_a_ball_of_components_is_counted() -> None:
    @dataclass(frozen=True)
    class Few(Attack):
        ball: Any

        def run(self, oracle: Oracle) -> Result:
            raise NotImplementedError

    assert codes(Few(L0(49))) == {"radius-above-range"}
    assert codes(Few(L0(0.5))) == {"radius-below-level"}
    assert codes(Few(L0(1))) == set()


def test_255_is_suggested_where_it_makes_sense() -> None:
    (finding,) = parameter_findings(attacks.FGSM(Linf(8)), SHAPE, 16, 256)
    assert "16 of 16" in finding.message
    assert "Did you mean 8/255?" in finding.message
    (finding,) = parameter_findings(attacks.FGSM(Linf(1000)), SHAPE, 16, 256)
    assert "255" not in finding.message
    (finding,) = parameter_findings(attacks.PGD(L2(1000)), SHAPE, 16, 256)
    assert "255" not in finding.message


@pytest.mark.parametrize("make", [attacks.PGD, attacks.BIM, attacks.MIFGSM, attacks.ILLC])
def test_steps_that_do_not_reach_the_edge_or_are_not_seen(make: Any) -> None:
    ball = Linf(8 * LEVEL)
    assert codes(make(ball)) == codes(make(ball, steps=1000)) == set()  # its own length is its own matter
    assert codes(make(ball, steps=8, rel_stepsize=1 / 8)) == set()
    assert codes(make(ball, steps=8, abs_stepsize=LEVEL)) == set()
    assert codes(make(ball, steps=7, abs_stepsize=LEVEL)) == {"edge-out-of-reach"}
    assert codes(make(ball, steps=7, rel_stepsize=1 / 8)) == {"edge-out-of-reach"}
    assert codes(make(ball, steps=100, abs_stepsize=0.4 * LEVEL)) == {"step-below-half-level"}
    assert codes(make(ball, steps=100, abs_stepsize=0.4 * LEVEL), levels=None) == set()
    assert codes(make(ball, steps=100, abs_stepsize=0.5 * LEVEL)) == set()
    # what is absolute elsewhere is copied as it stands: 2/255 of the radius
    assert codes(make(ball, steps=10, rel_stepsize=2 / 255)) == {"edge-out-of-reach", "step-below-half-level"}
    assert codes(attacks.Cascade((attacks.FGSM(ball), make(ball, steps=1, rel_stepsize=0.5)))) == {"edge-out-of-reach"}


class Mean(nn.Module):
    """Class 1 where the mean is above one half."""

    def forward(self, x: Tensor) -> Tensor:
        value = 40 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-value, value], 1)


X, Y = (
    (torch.tensor([[0.4], [0.45], [0.2], [0.3]]) * 255).round().expand(-1, 6) / 255,
    torch.zeros(4, dtype=torch.int64),
)


@dataclass(frozen=True)
class Idle(Attack):
    """Hands the images back."""

    asks: bool = False
    ball: Any = BALL
    needs: ClassVar[str] = "labels"

    def run(self, oracle: Oracle) -> Result:
        if self.asks:
            oracle.labels(oracle.domain.x0)
        result = untouched(oracle.domain.x0)
        return Result(**{**vars(result), "forwards": result.forwards + int(self.asks)})


def test_an_attack_that_does_nothing_is_told() -> None:
    assert {f.code for f in vb.attack(Idle(), Mean(), (X, Y)).findings} >= {"nothing-asked", "nothing-changed"}
    told = {f.code for f in vb.attack(Idle(asks=True), Mean(), (X, Y)).findings}
    assert "nothing-changed" in told
    assert "nothing-asked" not in told
    report = vb.attack(attacks.FGSM(Linf(0.02)), Mean(), (X, Y))
    assert not {f.code for f in report.findings} & {"nothing-asked", "nothing-changed"}
    assert not report.success.all()  # failing is not doing nothing


def test_it_is_said_in_python(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="vauban"):
        vb.attack(attacks.PGD(Linf(8), steps=2), Mean(), (X, Y))
    assert "Did you mean 8/255?" in caplog.text


def test_it_is_said_of_every_ball_that_is_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def said(call: Callable[[], object]) -> bool:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="vauban"):
            call()
        return "Did you mean 8/255?" in caplog.text

    assert said(lambda: vb.verify(Mean(), (X, Y), X, "linf:8"))
    assert said(lambda: vb.verify(Mean(), (X, Y), X, Linf(8)))
    assert not said(lambda: vb.verify(Mean(), (X, Y), X, "linf:8/255"))
    net = nn.Sequential(nn.Flatten(), nn.Linear(X[0].numel(), 2))
    assert said(lambda: fit("universal:eps=8,epochs=1", net, (X, Y), tmp_path / "fitted.safetensors"))
    digits = vb.data.load("digits/train[:8]")
    run = vb.TrainingRun("digits-cnn", "digits/train[:8]", epochs=1, recipe="at:attack=[fgsm:eps=8]", holdout=0)
    assert said(lambda: vb.train(run, digits, tmp_path / "trained.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("pgd:eps=8,steps=2", "Did you mean 8/255?"),
        ("pgd:eps=0.001,steps=2", "radius-below-level"),
        ("pgd:eps=0.1,steps=2,rel_stepsize=0.1", "edge-out-of-reach"),
        ("fgsm:eps=0", "nothing-changed"),
    ],
)
def test_it_is_said_on_the_terminal(attack: str, said: str, tmp_path: Path) -> None:
    arguments = [
        "--model",
        "digits-cnn",
        "--data",
        "digits/test[:8]",
        "--attack",
        attack,
        "--out",
        str(tmp_path / "run"),
    ]
    shown = CliRunner().invoke(app, ["evaluate", *arguments])
    assert said in " ".join(shown.output.split())


@pytest.mark.parametrize("loss", ["margin", "ten", 3, None])
def test_a_loss_that_is_none_is_refused_by_name(loss: Any) -> None:
    with pytest.raises(ContractError, match="expected loss of PGD as a function"):
        attacks.PGD(Linf(0.2), loss=loss)
