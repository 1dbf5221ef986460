"""Claims: what a comparison of cells answers, and where it can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vauban.attacks.fixed_budget.pgd import PGD
from vauban.cli.screens import show_reproduction
from vauban.core.norms import Linf
from vauban.reproduce import (
    AnyOf,
    Claim,
    Craft,
    CurveAbove,
    Experiment,
    Judge,
    Larger,
    Scale,
    TableCell,
    WeightedNetwork,
    reproduce,
)
from vauban.reproduce.claims import answered
from vauban.statistics.difference import difference
from vauban.statistics.estimates import Estimate, rate


def of(hits: int, n: int = 400) -> Estimate:
    return rate(np.arange(n) < hits)


NUMBERS = {"high": of(300), "middle": of(210), "near": of(215), "low": of(100), "few": of(9, 10)}


@pytest.mark.parametrize(
    ("needs", "answer"),
    [
        ([Larger("high", "low")], "holds"),
        ([Larger("low", "high")], "does not hold"),
        ([Larger("near", "middle")], "within noise"),
        ([Larger("high", "middle"), Larger("near", "middle")], "within noise"),
        ([Larger("high", "middle"), Larger("low", "middle")], "does not hold"),
        ([Larger("middle", "near", by=-0.1)], "holds"),
        ([Larger("high", "low", by=0.6)], "does not hold"),
        ([Larger("high", 0.6)], "holds"),
        ([Larger("high", 0.75)], "within noise"),
        ([Larger("few", "low")], "cannot be told here"),
        ([Larger("high", "absent")], "cannot be told here"),
        ([], "cannot be told here"),
    ],
)
def test_answers(needs: list[Larger], answer: str) -> None:
    claim = Claim("a sentence", "section 1", tuple(needs))
    told = answered(claim, NUMBERS, "same")
    assert (told["answer"], told["seen"], len(told["comparisons"])) == (answer, answer, len(needs))
    stand_in = answered(claim, NUMBERS, "stand-in")
    assert (stand_in["answer"], stand_in["seen"]) == ("cannot be told here", answer)


CURVES = {
    **{f"x{i}": of(100 * i) for i in (1, 2, 3)},
    **{f"up{i}": of(90 * i) for i in (1, 2, 3)},
    **{"between x": of(150), "between y": of(60), "outside x": of(390), "outside y": of(1)},
}
UP = tuple((f"x{i}", f"up{i}") for i in (3, 1, 2))


def test_a_curve_above_another_at_equal_x() -> None:
    lower = (("between x", "between y"), ("outside x", "outside y"))
    told = answered(Claim("above", "here", (CurveAbove("up", "down", UP, lower),)), CURVES, "same")
    assert told["seen"] == "holds"  # 135 of 400 on the line at 150 of 400, against 60
    line, point = of(135), of(60)
    (words,) = told["comparisons"]
    assert "at 1 of 2 points" in words
    low, high = (float(end) for end in words[words.index("[") + 1 : words.index("]")].split(", "))
    exact = difference(line, point)
    assert (low, high) == (pytest.approx(exact.low, abs=0.01), pytest.approx(exact.high, abs=0.01))
    below = CurveAbove("down", "up", (*lower, ("x1", "between y")), UP)
    assert answered(Claim("below", "here", (below,)), CURVES, "same")["seen"] == "does not hold"


def test_curves_without_a_common_x_or_with_a_missing_cell_tell_nothing() -> None:
    for other in ((("outside x", "outside y"),), (("x1", "absent"),)):
        told = answered(Claim("above", "here", (CurveAbove("up", "down", UP, other),)), CURVES, "same")
        assert told["seen"] == "cannot be told here"


@pytest.mark.parametrize(
    ("needs", "answer"),
    [
        ((Larger("low", "high"), Larger("high", "low")), "holds"),
        ((Larger("low", "high"), Larger("low", "middle")), "does not hold"),
        ((Larger("low", "high"), Larger("near", "middle")), "within noise"),
        ((Larger("high", "low"), Larger("high", "absent")), "cannot be told here"),
    ],
)
def test_any_of_several(needs: tuple[Larger, ...], answer: str) -> None:
    assert answered(Claim("any", "here", (AnyOf(needs),)), NUMBERS, "same")["seen"] == answer


def test_claims_stand_in_the_record_the_page_and_the_table(
    register: Callable[[Experiment], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scale = Scale("digits/test[:40]", {"net": "digits-cnn"}, 40, (0,), 0.1, "same", "forty digits")
    craft = Craft(PGD(Linf(0.3), steps=5), (WeightedNetwork("net"),), targeted=False, keep="best")
    cells = [
        TableCell(None, Judge(("net",)), "accuracy", {}, "clean"),
        TableCell(craft, Judge(("net",)), "accuracy", {}, "attacked"),
    ]
    claims = (
        Claim("An attack lowers the <b>accuracy</b>", "section 1", (Larger("clean", "attacked"),)),
        Claim("It is the colour", "section 2", (), "colour is not measured"),
    )
    register(Experiment("mine", "Mine", "nobody", lambda scale: cells, {"smoke": scale}, None, claims=claims))
    folder = reproduce("mine", "smoke", tmp_path)
    told = json.loads((folder / "reproduction.json").read_text())["claims"]
    assert [claim["answer"] for claim in told] == ["holds", "cannot be told here"]
    page, table = (folder / "report.html").read_text(), (folder / "table.md").read_text()
    assert "An attack lowers the &lt;b&gt;accuracy&lt;/b&gt;" in page
    assert "colour is not measured" in page
    assert "clean &gt; attacked: " in page
    assert "| It is the colour (section 2) | cannot be told here |" in table
    show_reproduction(folder)
    said = capsys.readouterr().out
    assert "<b>accuracy</b>" in said  # not read as markup
    assert "cannot be told here" in said
