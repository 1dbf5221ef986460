"""A reproduction whose judge rejects images: the rates are those that an evaluation of the same images gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import vauban as vb
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.core.norms import Linf
from vauban.reproduce import Craft, Experiment, Judge, Scale, TableCell, WeightedNetwork, reproduce

DETECTOR = """
import torch
from vauban.core.cards import Card
from {nets} import Means

class Detector(Means):
    card = Card("detector", rejects=True)

    def forward(self, x):
        black = (x < 0.02).flatten(1).double().mean(1)  # which the attack does not see: it has no gradient
        return torch.cat([super().forward(x), torch.where(black < 0.31, 1e3, -1e3)[:, None]], 1)
"""


def test_fooled_and_fooled_or_rejected_are_those_of_an_evaluation(
    register: Callable[[Experiment], None], tmp_path: Path
) -> None:
    (tmp_path / "means.py").write_text(Path(__file__).with_name("nets.py").read_text())
    (tmp_path / "detector.py").write_text(DETECTOR.format(nets="means"))
    network, attack = f"{tmp_path}/detector.py:Detector", FGSM(Linf(40 / 255))
    craft = Craft(attack, (WeightedNetwork("D"),), targeted=False, keep="best", grid=256)
    metrics = ("accuracy", "misclassification_rate", "fooled_or_rejected", "P_suc")
    cells = [TableCell(craft, Judge(("D",)), metric, {}, metric) for metric in metrics]
    scale = Scale("digits/test[:40]", {"D": network}, 40, (0,), 0.1, "stand-in", "forty digits")
    register(Experiment("rejecting", "A judge that rejects", "nobody", lambda scale: cells, {"smoke": scale}, None))
    record = json.loads((reproduce("rejecting", "smoke", tmp_path / "out") / "reproduction.json").read_text())
    told = {row["label"]: row["ours"] for row in record["beyond"]}

    report = vb.attack(attack, network, "digits/test[:40]")
    verdict, right = report.evaluated.verdict, report.evaluated.clean.error == 0
    refused = float(verdict.rejected.mean())
    assert 0 < refused < 1
    assert told["misclassification_rate"] == pytest.approx(float(verdict.misclassified.mean()))
    assert told["fooled_or_rejected"] == pytest.approx(float((verdict.misclassified + verdict.rejected).mean()))
    assert told["misclassification_rate"] < told["fooled_or_rejected"] == pytest.approx(1 - told["accuracy"])
    assert told["P_suc"] == pytest.approx(float(report.success[right].double().mean()))
    assert all(f"The judge rejects {refused:.1%} of these images" in row["why"] for row in record["beyond"])
