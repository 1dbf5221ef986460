"""Printed rows by key; and of every experiment that vauban has: each key finds its row, each row its cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from vauban.core.errors import ContractError, VaubanError
from vauban.reproduce import Experiment, Judge, TableCell, load, registry
from vauban.reproduce.jobs import JUDGED
from vauban.reproduce.judged import per_image
from vauban.reproduce.panels import needed
from vauban.reproduce.printed import beside, printed, rows_of, unmatched
from vauban.reproduce.training_seeds import AGAIN, seeded_recipes
from vauban.statistics.estimates import conditional_mean

JUDGE = Judge(("A",))


def test_a_key_finds_its_row_and_a_row_its_cell(registered: None) -> None:
    experiment = load("demo")
    cells = list(experiment.cells(experiment.scales["smoke"]))
    rows = printed("demo.csv")
    assert [beside(cell, rows) for cell in cells] == [*rows, None]
    assert unmatched(experiment, cells) == []
    assert [row["network"] for row in unmatched(experiment, cells[:-2])] == ["B"]
    assert (rows[0].value, rows[0].certain, rows[0].raw) == (0.9, True, "90%")
    assert (rows[3].value, rows[3].certain, rows[3].note) == (None, False, "damaged")


WRONG = {
    "no such row": ({"attack": "fgsm"}, "accuracy", "x", "got 0"),
    "no such column": ({"attak": "none"}, "accuracy", "x", "got 0"),
    "two rows": ({"network": "A", "attack": "pgd"}, "accuracy", "x", "got 2"),
    "metric of another row": ({"attack": "none"}, "target_confidence", "x", "expected the metric accuracy"),
    "metric that is none": ({"attack": "none"}, "acuracy", "x", "targeted_success_rate"),
    "neither key nor label": ({}, "accuracy", "", "label"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_key_that_does_not_hold(case: str, registered: None) -> None:
    key, metric, label, told = WRONG[case]
    with pytest.raises(ContractError, match=told):
        beside(TableCell(None, JUDGE, metric, key, label), printed("demo.csv"))


def test_no_file() -> None:
    assert printed(None) == []
    with pytest.raises(ContractError, match=r"cia-table99\.csv"):
        rows_of("cia-table99.csv")


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.names())
def test_every_experiment(name: str) -> None:
    """At every scale a key finds one row; at scale paper every printed row has a cell."""
    experiment = load(name)
    rows = printed(experiment.printed)
    for scale in experiment.scales.values():
        cells = list(experiment.cells(scale))
        drawn = [] if experiment.panels is None else list(experiment.panels(scale))
        assert cells or drawn
        for cell in cells:
            beside(cell, rows)
        known = {*scale.models, *scale.recipes, *seeded_recipes(scale), *scale.defended}
        for cell in [*cells, *needed(drawn)]:
            named = {
                *cell.judge.networks,
                *(t.network for craft in (cell.craft, *cell.also) if craft for t in craft.through),
            }
            assert len(scale.training_seeds) > 1 or not any(role.endswith(AGAIN) for role in named)
            roles = {role.removesuffix(AGAIN) for role in named}
            assert roles <= known, f"{name}: {roles - known} have no network"
    if "paper" in experiment.scales:
        assert unmatched(experiment, list(experiment.cells(experiment.scales["paper"]))) == []
    assert {"smoke", "small"} <= set(experiment.scales)


TABLE = pa.table(
    {
        "id": [0, 1, 2],
        "y": [0, 1, 2],
        "target": [1, 2, 0],
        "label": [0, 2, 1],
        "rejected": [False, False, True],
        "p_target": [0.1, 0.8, 0.3],
        "p_label": [0.5, 0.8, 0.4],
        "linf": [0.0] * 3,
        "l2": [0.0] * 3,
        "seconds": [0.0] * 3,
    },
    schema=JUDGED,
)


def test_metrics() -> None:
    values = {
        "accuracy": [1, 0, 0],
        "misclassification_rate": [0, 1, 0],
        "fooled_or_rejected": [0, 1, 1],
        "targeted_success_rate": [0, 1, 0],
        "target_confidence": [0.1, 0.8, 0.3],
    }
    for metric, expected in values.items():
        assert per_image(metric, TABLE).tolist() == expected


def test_rates_about_the_target_leave_out_the_images_whose_label_it_is() -> None:
    own = TABLE.set_column(TABLE.column_names.index("target"), "target", pa.array([0, 2, 0]))  # the first is of class 0
    assert per_image("targeted_success_rate", own).tolist() == [1, 0]
    assert per_image("target_confidence", own).tolist() == [0.8, 0.3]
    assert len(per_image("accuracy", own)) == 3


def test_interval_of_a_mean() -> None:
    """mean +- 1.96 s / sqrt(n) over images, seeds averaged first; one image knows nothing."""
    values = np.array([[0.2, 0.4, 0.9], [0.4, 0.4, 0.7]])
    image = np.array([0.3, 0.4, 0.8])
    half = 1.959964 * image.std(ddof=1) / np.sqrt(3)
    assert conditional_mean(values, highest=1.0).interval == pytest.approx((0.5 - half, 0.5 + half))
    assert conditional_mean(values[:, :1], highest=1.0).interval == (0.0, 1.0)


def test_factories_return_their_own_id(register: object) -> None:
    experiment = Experiment("a", "", "", lambda scale: [], {}, None)
    registry.register("b")(lambda: experiment)
    with pytest.raises(VaubanError, match="'b'"):
        load("b")


MINE = """
from vauban.reproduce import Experiment

def factory(name="mine-1"):
    return Experiment(name, "", "", lambda scale: [], {}, None)

value = factory()
"""


def test_an_experiment_in_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    assert load(f"{file}:factory").id == load(f"{file}:value").id == "mine-1"
    assert load(f"{file}:factory:name=other").id == "other"
    for word, told in (
        ("factory:name=../up", "letters"),
        ("Experiment:id=3", "expected title, .* of .*mine.py:Experiment, got none"),
        ("lost", "lost"),
    ):
        with pytest.raises(VaubanError, match=told):
            load(f"{file}:{word}")


def test_printed_values_in_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("metric,value,certain,note\naccuracy,0.5,yes,\n")
    assert rows_of(str(file)) == [{"metric": "accuracy", "value": "0.5", "certain": "yes", "note": ""}]
    file.write_text("metric,value\naccuracy,0.5\n")
    with pytest.raises(ContractError, match="expected the columns metric, value, certain, note"):
        rows_of(str(file))
