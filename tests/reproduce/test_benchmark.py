"""The benchmark of broken defences: what counts as found, flagged, silent; entries without cards; a study as a cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import Tensor, nn

from vauban import L2, Linf, attacks, threats
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.core.cards import carded
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.defences.features.neighbours import FitNeighbours
from vauban.defences.inputs.bit_depth import BitDepth
from vauban.defences.inputs.jpeg import JPEG
from vauban.engine.network import predict
from vauban.jobs import runner
from vauban.reproduce.benchmark_results import judged, known, masking
from vauban.reproduce.context import Context
from vauban.reproduce.declarations import Craft, Evaluation, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.papers.broken import entries
from vauban.reproduce.papers.broken.entries import controls, registered, written
from vauban.reproduce.papers.broken.networks import GALLERY, SCALES, SMOKE
from vauban.reproduce.papers.broken.setting import Claimed, Made, Unwrapped
from vauban.reproduce.plan import plan
from vauban.reproduce.planned import Options, opened
from vauban.reproduce.study_job import STUDIED, within, worst

Digits = tuple[Tensor, Tensor]
BROKEN = [*registered(), *written()]


@pytest.mark.parametrize(
    ("clean", "best", "reached", "fired", "outcome"),
    [
        (0.95, 0.20, 0.25, False, "found"),
        (0.95, 0.20, 0.10, False, "found"),  # the evaluation is the best attack known
        (0.95, 0.20, 0.26, True, "flagged"),
        (0.95, 0.20, 0.26, False, "silent"),
        (0.95, 0.90, 0.95, False, "nothing to find"),
        (0.95, 0.95, 0.50, False, "found"),
    ],
)
def test_an_outcome(clean: float, best: float, reached: float, fired: bool, outcome: str) -> None:
    assert judged(clean, best, reached, fired) == outcome


def test_the_best_attack_known_is_the_worst_case_of_each_image() -> None:
    first, second = np.array([True, True, False, True]), np.array([True, False, True, True])
    assert known([first, second], np.array([True, True, True, False])) == 0.25


def test_findings_that_count() -> None:
    told = [
        {"threat": "white-box", "code": "no-gradients", "severity": "invalid"},
        {"threat": "white-box", "code": "gradient-explains-little", "severity": "warning"},
        {"threat": "white-box", "code": "low-accuracy", "severity": "warning"},
        {"threat": "auto:bare()", "code": "nothing-changed", "severity": "invalid"},
        {"threat": "", "code": "transfer-beats-white-box", "severity": "warning"},
    ]
    assert masking(told, looked=False) == ("no-gradients",)
    seen = ("gradient-explains-little", "no-gradients", "nothing-changed", "transfer-beats-white-box")
    assert masking(told, looked=True) == seen


def test_the_worst_case_over_threats() -> None:
    y = np.array([1, 2, 3])
    assert worst(y, [np.array([1, 5, 3]), np.array([1, 6, 4])]).tolist() == [1, 5, 4]
    labels = [[("white-box", 1), ("auto:a", 7)], [("white-box", 0), ("auto:a", 2)]]
    rows = {name: [0, 0] for name in ("id", "target")} | {"y": [1, 2], "label": [7, 0], "labels": labels}
    table = pa.table(rows, schema=pa.schema([STUDIED.field(name) for name in rows]))
    assert within(table, ["white-box"])["label"].to_pylist() == [1, 0]
    assert within(table, ["auto:a"])["label"].to_pylist() == [7, 2]
    with pytest.raises(ContractError, match="expected a threat among white-box, auto:a, got adaptive"):
        within(table, ["adaptive"])


def test_there_are_enough_entries_and_controls() -> None:
    names = [entry.name for entry in (*BROKEN, *controls())]
    assert len(set(names)) == len(names)
    assert sum(entry.claim is not None for entry in BROKEN) >= 20
    assert len({(entry.role, entry.ball) for entry in controls()}) >= 4
    assert {entry.role for entry in controls()} <= {*SCALES["small"].recipes}
    tried = entries.entries(SMOKE)
    assert {entry.name for entry in tried} == set(entries.TRIED)


def test_a_claim_covers_its_norm_and_on_mnist_its_radius() -> None:
    claim = Claimed("linf", "MNIST", "a", "b", 0.3)
    assert claim.covers(Linf(0.3))
    assert not claim.covers(Linf(0.31))
    assert not claim.covers(L2(0.1))
    assert Claimed("linf", "ImageNet", "a", "b").covers(Linf(0.5))


def test_an_unwrapped_defence_answers_alike_and_has_no_card(digits_cnn: nn.Module, digits_test: Digits) -> None:
    for defence in (BitDepth(2), JPEG(quality=40, backward="identity")):
        carrying = defence.wrap(digits_cnn)
        plain = Unwrapped(defence).wrap(digits_cnn)
        assert list(carded(carrying))
        assert not list(carded(plain))
        assert torch.equal(predict(plain, digits_test[0][:8]), predict(carrying, digits_test[0][:8]))


@pytest.mark.parametrize("entry", BROKEN, ids=lambda entry: entry.name)
def test_an_entry_answers_and_is_random_where_it_says_so(
    entry: entries.Examined, digits_cnn: nn.Module, digits_test: Digits
) -> None:
    x, y = digits_test[0][:16], digits_test[1][:16]
    if entry.fitted:
        assert entry.role == GALLERY
        held = FitNeighbours(most=100).fit(digits_cnn, [Batch(x, y, torch.arange(16), None)]).defence
        defended = held.wrap(digits_cnn)
    else:
        assert entry.defence is not None
        defended = entry.defence.wrap(digits_cnn)
    declared = any(card.random for _, card in carded(defended))
    torch.manual_seed(0)
    with torch.no_grad():
        answers = [defended(x) for _ in range(3)]
    assert answers[0].shape == (16, 10)
    assert bool(answers[0].isfinite().all())
    assert declared == (not all(torch.equal(answers[0], other) for other in answers[1:]))
    assert declared or not isinstance(entry.defence, Made) or not entry.defence.random


def studied(tmp_path: Path, cells: list[TableCell]) -> tuple[Context, list[pa.Table]]:
    scale = Scale("digits/test[:12]", {"plain": "digits-cnn"}, 12, (0,), 1, "stand-in", "")
    context = opened(scale, tmp_path, Options())
    work = plan(context, [[cell] for cell in cells], (0,))
    assert all(outcome.state == "finished" for outcome in runner.run(work.jobs()))
    assert len(work.studies) == 1
    return context, [cell.rows().runs[0][0] for cell in work.cells]


def test_a_study_is_a_cell_of_a_table(tmp_path: Path) -> None:
    """Two cells of one study, by other threats; with auto at most what white-box leaves, and what a transfer leaves."""
    ball = Linf(0.15)
    front = Unwrapped(BitDepth(2))
    study = Evaluation(
        attacks.Standard(ball, steps=3, n_target=1, queries=3, blind_queries=3), (threats.white_box(), threats.auto())
    )
    judge = Judge(("plain",), (front,))
    every = TableCell(None, judge, "accuracy", {}, "every", study=study)
    first = TableCell(None, judge, "accuracy", {}, "first", study=study, within=("white-box",))
    hand = TableCell(Craft(PGD(ball, steps=10), (WeightedNetwork("plain"),), False), judge, "accuracy", {}, "hand")
    _, (all_threats, white_box, crafted) = studied(tmp_path, [every, first, hand])
    right = [(rows["label"].to_numpy() == rows["y"].to_numpy()).mean() for rows in (all_threats, white_box, crafted)]
    assert right[0] < right[1]
    assert right[0] <= right[2] + 0.1
    named = dict(all_threats["labels"][0].as_py())
    assert "white-box" in named
    assert any(name.startswith("auto:") for name in named)
    assert all_threats["looked"][0].as_py() > 10
    assert {"gradient-explains-little"} <= {one["code"] for one in all_threats["findings"][0].as_py()}
    assert (tmp_path / "studies").is_dir()


def test_a_study_has_no_craft_and_one_network(tmp_path: Path) -> None:
    study = Evaluation(PGD(Linf(0.1)), (threats.white_box(),))
    craft = Craft(PGD(Linf(0.1)), (WeightedNetwork("plain"),))
    for cell in (
        TableCell(craft, Judge(("plain",)), "accuracy", {}, "a", study=study),
        TableCell(None, Judge(("plain",)), "P_suc", {}, "b", study=study),
        TableCell(None, Judge(("plain", "plain")), "accuracy", {}, "c", study=study),
    ):
        with pytest.raises(ContractError, match="expected one network, a rate and no craft beside a study"):
            studied(tmp_path, [cell])
