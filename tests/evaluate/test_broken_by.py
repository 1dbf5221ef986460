"""Which attack of a cascade broke an image: in Python, in the store, in tables, for known images."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import Linf, Study, attacks
from vauban.data.dataset import Dataset, InMemory
from vauban.engine import Attack, Cascade, Oracle, Restarts, Result
from vauban.engine.result import untouched
from vauban.report.run.attack_stages import cell_stages
from vauban.report.run.headlines import headlines
from vauban.report.run.page import write
from vauban.report.shared import format as fmt
from vauban.store import query
from vauban.words.labels import stage_labels


class Bright(nn.Module):
    """Class 1 where the mean is above one half, class 0 below."""

    def forward(self, x: Tensor) -> Tensor:
        value = 40 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-value, value, torch.full_like(value, -50.0)], 1)


class Noisy(Bright):
    """The same with noise on the mean."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.05 * torch.randn(len(x), 1, 1, 1))


@dataclass(frozen=True)
class Lift(Attack):
    """Makes every pixel brighter by a number of levels: breaks what is that close to one half."""

    levels: int = 1
    ball = Linf(64 / 255)

    def run(self, oracle: Oracle) -> Result:
        x0 = oracle.domain.x0
        image = oracle.domain.quantise(x0 + self.levels / 255)
        rate = oracle.check(image)
        distance = torch.where(rate > 0.5, self.norm.size(image - x0), torch.inf)
        return replace(untouched(x0), crafted=image, adversarial=image, rate=rate, distance=distance)


LEVELS = [120, 110, 100, 90, 80, 20, 200]  # the last is wrong without an attack
PIXELS = torch.tensor(LEVELS, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
X, Y = PIXELS.float() / 255, torch.zeros(len(LEVELS), dtype=torch.int64)
CHAIN = Cascade((Lift(10), Lift(30), Lift(20), Cascade((Lift(40), Restarts(Lift(50), 2)))))
STAGES = ("lift:levels=10", "lift:levels=30", "lift:levels=20", "lift:levels=40", "restarts of lift")
BROKEN_BY = [0, 1, 1, 3, 4, -1, -1]


def test_python_says_it_of_every_image_and_prints_the_accuracies() -> None:
    report = vb.attack(CHAIN, Bright(), (X, Y))
    assert report.stages == STAGES
    assert report.broken_by.tolist() == BROKEN_BY
    assert [(after.stage, after.broke) for after in report.after_each] == list(
        zip(STAGES, [1, 2, 0, 1, 1], strict=True)
    )
    assert [round(7 * after.accuracy.value) for after in report.after_each] == [5, 3, 3, 2, 1]
    assert report.after_each[-1].accuracy.value == pytest.approx(report.robust_accuracy) == pytest.approx(1 / 7)
    told = "accuracy after each attack: lift:levels=10 71.4%, lift:levels=30 42.9%, lift:levels=20 42.9%, "
    assert told + "lift:levels=40 28.6%, restarts of lift 14.3%" in repr(report)


def test_the_number_of_images_attacked_at_a_time_does_not_matter() -> None:
    assert vb.attack(CHAIN, Bright(), (X, Y), batch_size=2).broken_by.tolist() == BROKEN_BY


def test_an_attack_of_one_stage_prints_nothing_more() -> None:
    report = vb.attack(Lift(30), Bright(), (X, Y))
    assert (report.stages, report.after_each) == ((), ())
    assert report.broken_by.tolist() == [-1] * 7
    assert "after each" not in repr(report)


def test_a_targeted_attack_leaves_out_what_has_its_target() -> None:
    y = torch.tensor([0, 0, 0, 0, 1, 0, 1])
    report = vb.attack(CHAIN, Bright(), (X, y), goal="targeted:1")
    assert report.broken_by.tolist() == [0, 1, 1, 3, -1, -1, -1]
    assert [(round(5 * after.accuracy.value), after.accuracy.n) for after in report.after_each] == [
        (4, 5), (2, 5), (2, 5), (1, 5), (1, 5)
    ]  # fmt: skip


def test_on_a_randomised_model_the_last_accuracy_is_that_of_the_attack() -> None:
    report = vb.attack(CHAIN, Noisy(), (X, Y))
    values = [after.accuracy.value for after in report.after_each]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(report.robust_accuracy, abs=1e-12)
    assert any(0 < rate < 1 for rate in report.evaluated.verdict.misclassified.tolist())
    broken = report.evaluated.verdict.misclassified > 0
    assert (report.broken_by[broken & report.evaluated.attacked] >= 0).all()


def test_the_battery_names_its_attacks() -> None:
    battery = attacks.standard(Linf(8 / 255))
    assert stage_labels(battery, (1, 4, 4)) == ("random-noise", "apgd", "apgd-t", "fmn", "square", "rays")
    twice = stage_labels(Cascade((attacks.FGSM(Linf(0.1)), attacks.FGSM(Linf(0.1)), battery)), (1, 4, 4))
    assert twice[:3] == ("fgsm (1)", "fgsm (2)", "random-noise")
    report = vb.attack(attacks.Standard(Linf(64 / 255), steps=5, n_target=1, queries=5), Bright(), (X, Y))
    assert (report.broken_by[:5] >= 0).all()
    assert report.after_each[-1].accuracy.value == pytest.approx(report.robust_accuracy)


@pytest.mark.slow
def test_the_store_has_a_column_and_the_labels_among_the_facts(tmp_path: Path) -> None:
    data = Dataset("levels", "", InMemory(PIXELS), Y, ("a", "b", "c"))
    study = Study(tmp_path, data=data, models={"m": Bright()}, attacks={"chain": CHAIN, "one": Lift(30)}, batch_size=3)
    results = study.run(progress=False)
    cells = {cell.meta["attack"]: cell for cell in query.load(tmp_path).cells}
    chain, one = cells["chain"], cells["one"]
    assert tuple(chain.meta["stages"]) == STAGES
    assert [-1 if by != by else int(by) for by in chain.columns["broken_by"].tolist()] == BROKEN_BY
    assert [round(7 * after.accuracy.value) for after in cell_stages(chain)] == [5, 3, 3, 2, 1]
    assert (one.meta["stages"], cell_stages(one)) == ([], ())
    assert f"{fmt.percent(3 / 7)} after lift:levels=20, {fmt.percent(2 / 7)} after lift:levels=40" in results.table()
    json.dumps(chain.meta)
    (sentence,) = headlines(query.load(tmp_path))[0].stages
    assert sentence.startswith("Accuracy after each attack of chain (L∞ ≤ 64/255, 7 images): lift:levels=10 71.4")
    assert sentence in write(tmp_path).read_text()
