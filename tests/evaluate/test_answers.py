"""Answers that are no label: non-finite logits under one rule, and images whose own label is the target."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import Linf, attacks
from vauban.attacks.universal.uap import Universal
from vauban.cli.screens.study import show_outcomes
from vauban.core.answers import NO_LABEL
from vauban.core.cards import Card
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal, Targeted
from vauban.data.dataset import Dataset, InMemory
from vauban.engine import BoundThreat, judge
from vauban.evaluate.study import Study
from vauban.evaluate.verify import verify
from vauban.report.run.page import write
from vauban.report.run.tables import render
from vauban.store import load


class Mean(nn.Module):
    """Class 0 below a mean of one half, class 1 above it, never class 2; `bad` from a mean of `beyond` on."""

    def __init__(self, beyond: float = 2.0, bad: float = math.nan) -> None:
        super().__init__()
        self.beyond, self.bad = beyond, bad

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        value = 40 * (mean - 0.5)
        logits = torch.stack([-value, value, torch.full_like(value, -50.0)], 1)
        return logits.where((mean < self.beyond)[:, None], self.bad)


def images(*levels: int) -> Tensor:
    return (torch.tensor(levels).view(-1, 1, 1, 1) / 255).expand(-1, 1, 4, 4)


# 0.2 and 0.45 are right and 0.55 is wrong; 0.94 is beyond.
X, Y = images(51, 115, 140, 240), torch.tensor([0, 0, 0, 0])
PGD = attacks.PGD(Linf(20 / 255), steps=5)


def dataset(x: Tensor = X, y: Tensor = Y) -> Dataset:
    return Dataset("grey", "", InMemory((x * 255).round().to(torch.uint8)), y[: len(x)], ("a", "b", "c"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_clean_image_without_finite_logits_is_misclassified(bad: float, caplog: pytest.LogCaptureFixture) -> None:
    """Argmax calls it class 0, which is its label."""
    with caplog.at_level(logging.WARNING, "vauban"):
        report = vb.attack(PGD, Mean(0.9, bad), (X, Y))
    assert report.evaluated.clean.misclassified.tolist() == [0, 0, 1, 1]
    assert report.evaluated.clean.label.tolist() == [0, 0, 1, NO_LABEL]
    assert report.evaluated.clean.confidence[3] == 0
    assert report.forwards[3] == 0  # nothing to attack
    assert (report.robust_accuracy, report.not_finite) == (0.25, (1, 0))
    assert "1 non-finite before the attack" in repr(report)
    assert "1 of 4 samples has NaN or infinite logits, 1 before" in caplog.text


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_right_before_and_not_finite_after_is_broken_in_both_numbers(bad: float) -> None:
    """The network is right up to 0.47 and answers nothing beyond: each image is broken, none has another label."""
    report = vb.attack(PGD, Mean(0.47, bad), (X[:2], Y[:2]))
    assert report.success.tolist() == [False, True]
    assert (report.robust_accuracy, report.not_finite) == (0.5, (0, 1))
    assert report.evaluated.verdict.label[1] == NO_LABEL
    target = vb.attack(PGD, Mean(0.47, bad), (X[:2], Y[:2]), goal=Targeted(1))
    assert not target.success.any()


def test_of_a_random_network_the_draws_count() -> None:
    class Flaky(Mean):
        card = Card("flaky", random=True)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).where((torch.rand(len(x)) < 0.75)[:, None], torch.nan)

    x = X[:1].expand(400, -1, -1, -1)
    verdict = judge(BoundThreat(Flaky(), random=True), x, x, ResolvedGoal(Y[:1].expand(400)))
    assert (verdict.label == 0).all()  # of the draws that have one
    torch.testing.assert_close(verdict.misclassified, verdict.not_finite)
    torch.testing.assert_close(verdict.misclassified, verdict.reached)
    assert float(verdict.not_finite.mean()) == pytest.approx(0.25, abs=0.03)
    assert (verdict.confidence > 0.99).all()


@pytest.mark.slow
def test_a_study_tells_of_both_in_table_page_terminal_and_findings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Study(tmp_path, data=dataset(images(51, 110, 240)), models={"m": Mean(0.47)}, attacks={"pgd": PGD})
    study.run()
    (cell,) = load(tmp_path).cells
    assert cell.columns["clean_label"].tolist() == [0, 0, NO_LABEL]
    assert cell.columns["clean_not_finite"].tolist() == [0, 0, 1]
    assert cell.columns["not_finite"].tolist() == [0, 1, 1]
    show_outcomes(study, write(tmp_path))
    told = " ".join(capsys.readouterr().out.split())
    for text in (render(load(tmp_path)), write(tmp_path).read_text(), told):
        assert "1 image with non-finite logits before any attack, counted as misclassified" in text
        assert "1 image with non-finite logits after an attack alone, counted as broken" in text
    assert "2 of 3 samples have NaN or infinite logits, 1 before the attack and 1 after it alone" in told
    assert "50.0\u00a0%" in render(load(tmp_path))  # P_suc over the two that are right


def test_images_that_somebody_else_made() -> None:
    told = verify(Mean(0.9), dataset(), X.clone(), "linf:0").as_dict()
    assert (told["clean_accuracy"], told["clean_not_finite"], told["not_finite"]) == (0.5, 0.25, 0.25)
    assert told["robust_accuracy"] == 0.5


def test_own_labels_need_answers(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="NaN or infinity on 1 of 4 images"):
        Study(tmp_path, data=dataset(), models={"m": Mean(0.9)}, attacks={"pgd": PGD}, labels="own")


def test_a_fit_is_not_stopped_by_them() -> None:
    fitted = Universal(Linf(20 / 255), epochs=1).fit(BoundThreat(Mean(0.9)), [Batch(X, Y, torch.arange(4))])
    assert fitted.rate >= 0.5  # the image at 0.45, and the one without an answer


def test_an_image_whose_label_is_the_target_is_left_out(tmp_path: Path) -> None:
    """FGSM of size 0 toward class 1, the own label of two of four images, one of which is right."""
    y = torch.tensor([0, 1, 1, 0])
    nothing = attacks.FGSM(Linf(0.0))
    report = vb.attack(nothing, Mean(), (X, y), goal=Targeted(1))
    assert report.success.tolist() == [False, False, False, True]  # the last is answered as class 1 before the attack
    assert report.left_out == 2
    assert report.forwards.tolist()[1:3] == [0, 0]
    assert report.robust_accuracy == 0.5
    assert "1 already at their target, 2 left out, the target is their own label" in repr(report)
    Study(tmp_path, data=dataset(y=y), models={"m": Mean()}, attacks={"fgsm": nothing}, goal="targeted:1").run()
    text = render(load(tmp_path))
    assert "2 images left out: the target is their own label" in text
    assert "| 1 | 50.0\u00a0% | 50.0\u00a0% [" in text  # n, clean accuracy over all four, robust accuracy over two
    assert "0.0\u00a0% [0.0" in text


def test_a_universal_perturbation_toward_a_class_is_rated_over_the_others() -> None:
    """Two images are answered as class 1 as they stand; of the other two one is near enough."""
    batches = [Batch(X, Y, torch.arange(4))]
    fitted = Universal(Linf(30 / 255), epochs=2).fit(BoundThreat(Mean()), batches, Targeted(1))
    assert fitted.rate == 0.5
