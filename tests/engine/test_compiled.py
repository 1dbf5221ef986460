"""Compiled networks: the same answers and attacks, other identities, and a line where one cannot be compiled."""

from __future__ import annotations

import gc
import logging
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban.core.norms import Linf
from vauban.engine import BoundThreat, Oracle, compiled
from vauban.evaluate.study import Study

WORDS = {"data": "digits/test[:12]", "attacks": "pgd:eps=0.1,steps=3", "preflight": False}


class Branching(nn.Module):
    """A forward that asks for a value, which is no graph."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if float(x.sum()) >= 0 else self.inner(1 - x)  # type: ignore[no-any-return]


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "vauban"]


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    compiled.compiled.cache_clear()
    torch.compiler.reset()


@pytest.mark.slow
def test_an_attack_on_a_compiled_network_is_the_same(
    digits_cnn: nn.Module, digits_test: tuple[Tensor, Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    x, y = (part[:10] for part in digits_test)
    results = [
        vb.attacks.PGD(Linf(0.1), steps=6).run(Oracle.open(BoundThreat(digits_cnn, compiled=fast), x, y))
        for fast in (False, True)
    ]
    torch.testing.assert_close(results[1].adversarial, results[0].adversarial)
    assert torch.equal(results[1].forwards, results[0].forwards)
    assert compiled.compiled(digits_cnn).failed == ""
    assert told(caplog) == []  # rows that leave the batch make no further graph


@pytest.mark.slow
def test_what_is_compiled_is_another_cell_and_what_cannot_be_is_told(
    digits_cnn: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def cell_of(network: nn.Module, **given: object) -> object:
        (cell,) = Study(tmp_path, models={"net": network}, **WORDS, **given).cells  # type: ignore[arg-type]
        return cell

    plain, fast = cell_of(digits_cnn), cell_of(digits_cnn, compile=True)
    assert "compiled" not in plain.identity()  # type: ignore[attr-defined]
    assert fast.identity()["compiled"] is True  # type: ignore[attr-defined]
    assert fast.meta()["compiled"] is True  # type: ignore[attr-defined]
    branching = Branching(digits_cnn).eval()
    with caplog.at_level(logging.WARNING, "vauban"):
        kept = cell_of(branching, compile=True)
        assert "compiled" not in kept.identity()  # type: ignore[attr-defined]
        defended = cell_of(digits_cnn, compile=True, defences="jpeg", threats="adaptive")
        assert "compiled" not in defended.identity()  # type: ignore[attr-defined]
    first, second = told(caplog)
    assert first.startswith("Branching cannot be compiled and runs as it is: ")
    assert "backward rules are hooks" in second
    assert "\n" not in first + second


def test_networks_of_long_ago_are_let_go() -> None:
    first = nn.Linear(2, 2)
    seen = weakref.ref(first)
    assert compiled.compiled(first) is compiled.compiled(first)
    del first
    for _ in range(8):
        compiled.compiled(nn.Linear(2, 2))
    gc.collect()
    assert seen() is None
