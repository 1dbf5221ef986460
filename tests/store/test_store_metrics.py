"""Declared metric columns: stored after the fixed ones, null where a part lacks them, refused where undeclared."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from vauban.core.errors import ContractError
from vauban.store import SCHEMA, SCHEMA_VERSION, MetricColumn, Store, load
from vauban.store.metric_columns import declared_metrics

ROUGHNESS = MetricColumn("roughness", "1", "lower", "mean")
LOUDNESS = MetricColumn("loudness", "dB", "higher", "median")


@pytest.fixture
def declared(meta):
    return meta | {"metrics": [ROUGHNESS.to_json(), LOUDNESS.to_json()]}


def test_declared_columns_come_back_after_the_fixed_ones(tmp_path, declared, make_batch):
    cell = Store(tmp_path).cell("abc")
    assert cell.create(declared)["schema"] == SCHEMA_VERSION == 1
    cell.append(0, make_batch(range(4)) | {"loudness": [1.0, np.inf, None, 4.0], "roughness": [0.5, 0.25, 1.0, 2.0]})
    (rows,) = load(tmp_path).cells
    assert list(rows.columns) == [*SCHEMA.names, "roughness", "loudness"]
    assert rows.metrics == (ROUGHNESS, LOUDNESS)
    assert rows.columns["roughness"].tolist() == [0.5, 0.25, 1.0, 2.0]
    assert np.array_equal(rows.columns["loudness"], [1.0, np.inf, np.nan, 4.0], equal_nan=True)
    assert {values.dtype for name, values in rows.columns.items() if name in ("roughness", "loudness")} == {
        np.dtype(float)
    }


def test_a_part_without_a_declared_column_reads_as_null(tmp_path, declared, make_batch):
    cell = Store(tmp_path).cell("abc")
    cell.create(declared)
    for index in range(2):
        cell.append(
            index, make_batch(range(4 * index, 4 * index + 4)) | {"roughness": [0.5] * 4, "loudness": [1.0] * 4}
        )
    before = cell.files()[0]
    pq.write_table(pq.read_table(before).drop_columns(["roughness", "unsolved"]), before)
    cell.append(2, make_batch(range(8, 12)))
    (rows,) = load(tmp_path).cells
    assert np.array_equal(rows.columns["roughness"], [np.nan] * 4 + [0.5] * 4 + [np.nan] * 4, equal_nan=True)
    assert np.array_equal(rows.columns["loudness"], [1.0] * 8 + [np.nan] * 4, equal_nan=True)
    assert rows.complete
    assert rows.damaged == ()


def test_a_cell_without_parts_has_empty_metric_columns(tmp_path, declared):
    Store(tmp_path).cell("abc").create(declared)
    assert load(tmp_path).cells[0].columns["roughness"].shape == (0,)


def test_an_undeclared_column_is_refused_when_written_and_when_read(tmp_path, meta, declared, make_batch):
    plain, full = Store(tmp_path).cell("plain"), Store(tmp_path).cell("full")
    plain.create(meta)
    full.create(declared)
    columns = make_batch(range(4)) | {"roughness": [0.5] * 4}
    with pytest.raises(ContractError, match="or declared metrics, got roughness"):
        plain.append(0, columns)
    full.append(0, columns)
    (plain.path / "parts").mkdir()
    (plain.path / "parts" / "00000.parquet").write_bytes(full.files()[0].read_bytes())
    assert plain.parts() == set()


def test_a_metric_is_a_number(tmp_path, declared, make_batch):
    cell = Store(tmp_path).cell("abc")
    cell.create(declared)
    with pytest.raises(ContractError, match="'roughness': expected double"):
        cell.append(0, make_batch(range(4)) | {"roughness": ["rough"] * 4})


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ([ROUGHNESS.to_json() | {"direction": "down"}], "expected direction lower or higher, got 'down'"),
        ([ROUGHNESS.to_json() | {"aggregate": "sum"}], "expected aggregate mean or median, got 'sum'"),
        ([ROUGHNESS.to_json() | {"name": "a b"}], "expected letters, digits and _"),
        ([{"name": "roughness"}], "expected text for name, unit, direction, aggregate"),
        ([ROUGHNESS.to_json()] * 2, "expected each name once, got roughness, roughness"),
        ("roughness", "expected a list of declarations"),
        ([ROUGHNESS.to_json() | {"name": "ssim"}], "beside the fixed columns, got ssim"),
    ],
)
def test_a_wrong_declaration_is_refused_before_anything_is_written(tmp_path, meta, metrics, words):
    cell = Store(tmp_path).cell("abc")
    with pytest.raises(ContractError, match=words) as caught:
        cell.create(meta | {"metrics": metrics})
    assert "\n" not in str(caught.value)
    assert not cell.exists


def test_further_facts_of_a_metric_are_no_part_of_its_column(meta):
    assert declared_metrics(meta | {"metrics": [ROUGHNESS.to_json() | {"reads": ["image"]}]}) == (ROUGHNESS,)


def test_cells_without_a_declaration_have_no_metrics(meta):
    assert declared_metrics(meta) == ()
