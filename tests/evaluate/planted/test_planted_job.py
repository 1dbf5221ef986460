"""The planted test in studies: of which cell, on which images, stored once, beside the number it doubts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

import vauban as vb
from vauban import attacks, defences
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.norms import Linf
from vauban.evaluate.job import CellJob
from vauban.evaluate.planted import job as planted_job
from vauban.evaluate.planted.outcome import MISSED, SHOWN, SILENCE
from vauban.evaluate.study import Study
from vauban.report.run.doubts import cell_doubts
from vauban.statistics.summary import robust
from vauban.store import query

FGSM, PGD = attacks.FGSM(Linf(0.06)), attacks.PGD(Linf(0.06), steps=10)


@pytest.fixture(scope="module")
def digits(digits_test: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return digits_test[0][:24], digits_test[1][:24]


def study(out: Path, network: nn.Module, digits: tuple[Tensor, Tensor], **changes: Any) -> Study:
    given: dict[str, Any] = {"attacks": {"fgsm": FGSM, "pgd": PGD}, "threats": "white-box", "planted": 5, **changes}
    return Study(out, data=digits, models={"net": network}, **given)


def planted_findings(whole: Study) -> list[dict[str, Any]]:
    return [finding for finding in whole.store.findings() if "planted" in finding["code"]]


def test_worst_cell_is_tested_on_images_that_all_attacks_leave(
    digits_cnn: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    whole = study(
        tmp_path, digits_cnn, digits, attacks={"fgsm": attacks.FGSM(Linf(0.1)), "pgd": attacks.PGD(Linf(0.1))}
    )
    whole.run(progress=False)
    (finding,) = planted_findings(whole)
    cells = {cell.meta["attack"]: cell for cell in query.load(tmp_path).cells}
    worst = min(cells.values(), key=lambda cell: robust(cell.columns).mean())
    assert worst is cells["pgd"]
    assert (finding["about"], finding["code"], finding["severity"]) == (worst.meta["hash"], SHOWN, "info")
    assert finding["message"].startswith("pgd found 5 of 5 adversarial images known to exist (random points find ")
    assert "forwards an image to plant" in finding["message"]
    facts = whole.store.cell(worst.meta["hash"]).planted()
    assert facts is not None
    assert facts["test"]["planted"] == 5


def test_images_are_drawn_among_those_left_standing(
    digits_cnn: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[planted_job.PlantedJob] = []

    def noted(jobs: Sequence[CellJob], n: int) -> list[planted_job.PlantedJob]:
        made.extend(planted_job.planted_jobs(jobs, n))
        return made

    monkeypatch.setattr("vauban.evaluate.study_run.planted_jobs", noted)
    study(tmp_path, digits_cnn, digits).run(progress=False)
    (test,) = made
    cells = query.load(tmp_path).cells
    standing = set.intersection(*({int(i) for i in c.columns["id"][robust(c.columns) > 0.5]} for c in cells))
    assert len(test.ids) == 5
    assert standing.issuperset(test.ids)


def test_finished_test_is_not_repeated_and_more_images_are_another_one(
    digits_cnn: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study(tmp_path, digits_cnn, digits).run(progress=False)
    asked: list[int] = []
    trial = planted_job.Trial.run
    monkeypatch.setattr(planted_job.Trial, "run", lambda self, batch: asked.append(len(batch)) or trial(self, batch))
    again = study(tmp_path, digits_cnn, digits)
    again.run(progress=False)
    assert asked == []
    assert len(planted_findings(again)) == 1
    study(tmp_path, digits_cnn, digits, planted=4).run(progress=False)
    assert asked == [4]


def test_nothing_is_planted_where_it_was_switched_off_or_nothing_stands(
    digits_cnn: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    cases = {
        "off": {"planted": 0},
        "unchecked": {"preflight": False},
        "all": {"attacks": attacks.PGD(Linf(0.5), steps=10)},
    }
    for name, changes in cases.items():
        whole = study(tmp_path / name, digits_cnn, digits, **changes)
        whole.run(progress=False)
        assert planted_findings(whole) == []
        assert not list((tmp_path / name).rglob("planted.json"))


def test_attack_that_misses_what_exists_is_no_evidence(
    digits_cnn: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    whole = study(tmp_path, digits_cnn, digits, defences={"bits": defences.BitDepth(bits=2)}, attacks={"pgd": PGD})
    whole.run(progress=False)
    (finding,) = planted_findings(whole)
    assert (finding["code"], finding["severity"]) == (MISSED, "invalid")
    assert "found 0 of 5" in finding["message"]
    (cell,) = query.load(tmp_path).cells
    assert MISSED in cell_doubts(cell, whole.store.findings())
    page = whole.report().read_text()
    assert "adversarial images known to exist" in page
    assert "not that the number is wrong" in page


def test_attacks_for_the_nearest_image_are_tested_at_the_budget_of_the_data(
    digits_cnn: nn.Module, tmp_path: Path
) -> None:
    whole = study(
        tmp_path, digits_cnn, vb.data.load("digits/test[:24]"), attacks={"ddn": attacks.DDN(steps=3)}, planted=3
    )
    budget = whole.data.budgets["l2"]
    whole.run(progress=False)
    (cell,) = query.load(tmp_path).cells
    within = cell.columns["success"] & (cell.columns["l2"] <= budget)
    standing = (cell.columns["clean_correct"] > 0.5) & ~within
    assert len(planted_findings(whole)) == int(np.sum(standing) >= 3)


def test_test_that_cannot_be_made_ends_no_run(
    digits_cnn: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: planted_job.Trial, batch: Batch) -> None:
        raise ContractError("expected another network")

    monkeypatch.setattr(planted_job.Trial, "run", refuse)
    whole = study(tmp_path, digits_cnn, digits)
    assert [outcome.state for outcome in whole.run(progress=False)] == ["finished", "finished"]
    (finding,) = planted_findings(whole)
    assert (finding["code"], finding["severity"]) == (SILENCE, "info")
    assert "expected another network" in finding["message"]


@pytest.mark.slow
def test_worker_processes_give_the_same_test(tmp_path: Path) -> None:
    tests = []
    for workers in (1, 2):
        out = tmp_path / str(workers)
        Study(
            out, data="digits/test[:12]", models="digits-cnn", attacks="pgd:eps=0.05,steps=5", planted=3, batch_size=6
        ).run(progress=False, workers=workers)
        (path,) = out.rglob("planted.json")
        tests.append({k: v for k, v in json.loads(path.read_text()).items() if k != "seconds"})
    assert tests[0] == tests[1]


def test_number_of_images_is_checked(digits_cnn: nn.Module, digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    for number in (-1, 2.5, True):
        with pytest.raises(ContractError, match="planted"):
            study(tmp_path, digits_cnn, digits, planted=number)
