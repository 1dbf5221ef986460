"""Gradients that are not finite reach the rows, the findings of a run and of `vauban.attack`, and change no verdict."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import L2, Linf, attacks
from vauban.evaluate.diagnostics.indicators_counts import counted, own
from vauban.evaluate.study import Study
from vauban.report.run.page import write
from vauban.statistics.combine import union
from vauban.store.query import load


class Root(nn.Module):
    """sqrt(x)^2 before a network, as digits have black pixels."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.sqrt().square())


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack",
    [attacks.DDN(steps=20), attacks.PGD(L2(1.0), steps=10), attacks.DeepFool()],
    ids=["ddn", "pgd-l2", "deepfool"],
)
def test_the_images_are_fooled_all_the_same(
    attack: Any, digits_test: tuple[Tensor, Tensor], digits_cnn: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    batch = digits_test[0][:16], digits_test[1][:16]
    with caplog.at_level(logging.WARNING, "vauban"):
        plain = vb.attack(attack, digits_cnn, batch)
    assert not [f for f in plain.findings if f.code == "nonfinite-gradients"]
    assert "nonfinite-gradients" not in caplog.text
    with caplog.at_level(logging.WARNING, "vauban"):
        root = vb.attack(attack, Root(digits_cnn), batch)
    assert root.crafted.isfinite().all()
    assert root.robust_accuracy <= plain.robust_accuracy + 1 / 16 <= 0.2
    (finding,) = [f for f in root.findings if f.code == "nonfinite-gradients"]
    assert finding.severity == "warning"
    assert finding.share == 1
    assert "nonfinite-gradients: " in caplog.text


def test_one_image_is_enough_for_an_attack_of_ones_own(digits_cnn: nn.Module) -> None:
    x = torch.full((4, 1, 8, 8), 51 / 255)
    x[2, 0, 3, 3] = 0
    label = digits_cnn(x).argmax(1)
    report = vb.attack(attacks.FGSM(Linf(1 / 255)), Root(digits_cnn), (x, label))
    (finding,) = [f for f in report.findings if f.code == "nonfinite-gradients"]
    assert finding.message.startswith("1 of 4 samples")


def cell(times: list[float], **meta: Any) -> list[Any]:
    count = np.array(times)
    columns = {"nonfinite_gradients": count, "backwards": np.full(len(count), 10)}
    return [({"hash": "h", "norm": "l2", **meta}, columns)]


def test_the_rule() -> None:
    ((label, finding),) = own(cell([4.0] * 3 + [0.0] * 997))
    assert (label, finding.code, finding.severity, finding.share) == ("h", "nonfinite-gradients", "warning", 0.003)
    assert "4 gradients each" in finding.message
    assert own(cell([4.0] * 2 + [0.0] * 98)) == own(cell([0.0] * 50)) == own(cell([4.0] * 9, clean_only=True)) == []
    assert list(counted(cell([np.nan] * 50))) == []  # written before the column was


@pytest.mark.slow
def test_a_study_counts_and_says_it(tmp_path: Path, digits_cnn: nn.Module) -> None:
    names = ["pgd:eps=0.05,steps=4", "pgd:eps=0.1,steps=4", "square:eps=0.1,steps=20"]
    Study(tmp_path, models=Root(digits_cnn), data="digits/test[:16]", attacks=names).run()
    done = load(tmp_path)
    count = {str(c.meta["attack"]).partition(",")[0]: c for c in done.cells}
    pgd = [c for name, c in count.items() if name.startswith("pgd")]
    for one in pgd:
        assert (one.columns["nonfinite_gradients"] <= one.columns["backwards"]).all()
        assert (one.columns["nonfinite_gradients"] > 0).sum() >= 12
    (square,) = [c for name, c in count.items() if name.startswith("square")]
    assert not square.columns["nonfinite_gradients"].any()
    found = [f for f in done.findings if f["code"] == "nonfinite-gradients"]
    assert {f["about"] for f in found} == {c.meta["hash"] for c in pgd}
    assert "zero-gradients" not in [f["code"] for f in done.findings]  # the preflight follows the same gradient
    both = union([c.columns for c in pgd], "linf")
    assert np.array_equal(both["nonfinite_gradients"], sum(c.columns["nonfinite_gradients"] for c in pgd))
    write(tmp_path)
    assert "NaN or infinite components" in (tmp_path / "report.html").read_text()
