"""The columns of a result row against hand formulas."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vauban import metrics
from vauban.core.errors import ContractError
from vauban.core.registry import Entry
from vauban.metrics import COLUMNS, l0, l1, l2, linf, measure
from vauban.metrics.declared import FACTS


def test_columns_by_hand() -> None:
    x0 = torch.full((2, 1, 12, 12), 0.5, dtype=torch.float64)
    x = x0.clone()
    x[0, 0, 0, 0] += 0.3
    x[0, 0, 5, 7] -= 0.4
    row = measure(x0, x)
    assert tuple(row) == COLUMNS
    assert all(v.dtype == torch.float64 and v.shape == (2,) for v in row.values())
    assert row["l0"].tolist() == [2, 0]
    assert row["l1"].tolist() == pytest.approx([0.7, 0])
    assert row["l2"].tolist() == pytest.approx([0.5, 0])
    assert row["linf"].tolist() == pytest.approx([0.4, 0])
    assert row["psnr_db"].tolist() == pytest.approx([10 * math.log10(144 / 0.25), math.inf])
    assert row["ssim"][0] < 1
    assert row["ssim"][1] == pytest.approx(1)


def test_vectors_have_distances_but_no_similarity() -> None:
    row = measure(torch.zeros(3, 4), torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]))
    assert row["l0"].tolist() == [1, 0, 4]
    assert row["l1"].tolist() == [1, 0, 4]
    assert row["l2"].tolist() == [1, 0, 2]
    assert row["linf"].tolist() == [1, 0, 1]
    assert row["ssim"].isnan().all()
    assert row["psnr_db"].isnan().all()


@given(values=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=30))
@settings(deadline=None)
def test_distances_against_plain_python(values: list[tuple[int, int]]) -> None:
    a, b = (torch.tensor([[v[i] for v in values]], dtype=torch.float32) / 255 for i in (0, 1))
    differences = [abs(p - q) / 255 for p, q in values]
    assert float(l0(a, b)) == sum(p != q for p, q in values)
    assert float(l1(a, b)) == pytest.approx(sum(differences), abs=1e-6)
    assert float(l2(a, b)) == pytest.approx(math.sqrt(sum(d * d for d in differences)), abs=1e-6)
    assert float(linf(a, b)) == pytest.approx(max(differences), abs=1e-6)


def test_many_tiny_changes_add_up_in_double_precision() -> None:
    x0 = torch.full((1, 3, 224, 224), 0.5)
    x = x0 + 1e-4
    delta = float(x[0, 0, 0, 0].double() - 0.5)
    assert float(l1(x0, x)) == pytest.approx(150528 * delta, rel=1e-12)


def test_the_registry_lists_every_column() -> None:
    assert set(COLUMNS) <= set(metrics.registry.names())
    x0, x = torch.zeros(2, 1, 12, 12), torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    row = measure(x0, x)
    for entry in metrics.registry:
        assert entry.summary.endswith(".")
        assert set(entry.facts) == {"unit", *FACTS}
        assert all(entry.facts[fact] in choices for fact, choices in FACTS.items())
        if entry.name in COLUMNS:
            assert torch.equal(entry.make(x0, x), row[entry.name])


def test_the_declared_direction_is_the_truth() -> None:
    """More noise is farther from the original: a distance grows with it, a similarity falls."""
    g = torch.Generator().manual_seed(0)
    x0, noise = 0.25 + 0.5 * torch.rand(1, 3, 32, 32, generator=g), torch.rand(1, 3, 32, 32, generator=g) - 0.5
    near, far = x0 + 0.1 * noise * (noise > 0), x0 + 0.4 * noise
    for entry in metrics.registry:
        if entry.name in ("lpips", "roughness"):  # the one needs a network, the other has the size taken out
            continue
        grows = bool(entry.make(x0, far) > entry.make(x0, near))
        assert grows == (entry.facts["direction"] == "lower"), entry.name


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"direction": "lower", "aggregate": "mean", "reads": "pair"}, "the unit of the metric 'mine', got none"),
        ({"unit": "1", "aggregate": "mean", "reads": "pair"}, "direction of the metric 'mine' as 'lower' or"),
        ({"unit": "1", "direction": "up", "aggregate": "mean", "reads": "pair"}, "got 'up'"),
        ({"unit": "1", "direction": "lower", "aggregate": "sum", "reads": "pair"}, "'mean' or 'median', got 'sum'"),
    ],
)
def test_a_metric_declares_what_a_report_needs(facts: dict[str, str], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        metrics.registry.register("mine", **facts)(lambda x0, x: x0)
    assert "mine" not in metrics.registry.names()


def test_different_shapes() -> None:
    with pytest.raises(ContractError, match=r"same shape .* got \(2, 3\) and \(2, 4\)"):
        measure(torch.zeros(2, 3), torch.zeros(2, 4))


@pytest.mark.parametrize("entry", list(metrics.registry), ids=lambda entry: str(entry.name))
@pytest.mark.parametrize(
    "wrong", [3.0, None, np.zeros((1, 1, 8, 8)), "cat.png"], ids=["number", "none", "numpy", "text"]
)
def test_what_is_no_tensor_is_told_in_one_line(entry: Entry[Any], wrong: Any) -> None:
    right = torch.zeros(1, 3, 64, 64)
    for images in ((wrong, right), (right, wrong)):
        with pytest.raises(ContractError, match="torch tensor") as refused:
            entry.make(*images)
        assert "\n" not in str(refused.value)
