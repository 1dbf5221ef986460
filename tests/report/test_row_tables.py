"""Measurements and certificates of a run directory: on its page, in its tables and in its status."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from vauban.cli.screens import show_status
from vauban.report import render
from vauban.report.run import page
from vauban.report.run.measured import doubts_of, measured_line
from vauban.store import load
from vauban.store.certificates import CERTIFICATES
from vauban.store.measurements import MEASUREMENTS

SAME = {"model": "net", "defence": "jpeg", "data": "digits/test", "n": 4}
MEASURED = SAME | {"metric": "robust<ness", "unit": "pixel units", "direction": "higher", "attack": "ddn"}
CERTIFIED = SAME | {"certificate": "ibp", "claim": "the network itself", "norm": "linf"}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    measured, certified = MEASUREMENTS.of(tmp_path, "m1"), CERTIFICATES.of(tmp_path, "c1")
    for kind, folder, facts in ((MEASUREMENTS, measured, MEASURED), (CERTIFICATES, certified, CERTIFIED)):
        folder.prepare({})
        kind.write_facts(folder, facts)
    ids = {"id": [0, 1, 2, 3], "y": [0, 1, 1, 0]}
    measured.write(0, ids | {"fooled": [True, True, True, False], "value": [1.0, 2.0, 3.0, float("nan")]})
    empty = dict.fromkeys(("votes", "p_low", "wrong_at", "other_at"), [None] * 4)
    certified.write(0, ids | empty | {"label": [0, 1, 1, 1], "certified": [0, 1, 1, 1], "radius": [0.1, 0.2, 0.3, 0.4]})
    return tmp_path


def test_the_page_shows_mean_interval_number_unit_and_direction(run: Path) -> None:
    text = page.write(run).read_text()
    assert "No attack has finished a batch yet" not in text
    for field in ("net behind jpeg", "robust&lt;ness", "0.8684 to 3.132", "pixel units", "3 of 4 images", "↑"):
        assert f">{field}</t" in text, field
    assert "Certified accuracy" in text


def test_a_mean_is_of_the_images_with_a_value(run: Path) -> None:
    (rows,) = load(run).measurements
    assert measured_line(rows)[4] == "2"  # of 1, 2, 3
    assert not doubts_of(rows)


def test_csv_has_a_block_for_each_kind(run: Path) -> None:
    certified, measured = (list(csv.DictReader(io.StringIO(block))) for block in render(load(run), "csv").split("\n\n"))
    (line,) = measured
    assert (line["metric"], float(line["mean"]), line["with_value"], line["n"]) == ("robust<ness", 2.0, "3", "4")
    at = {round(float(line["radius"]), 3): float(line["certified_accuracy"]) for line in certified}
    assert at[0.2] == 0.5  # of 0, 1, 1, 0 the last is certified as another class; at 0.2 itself the second still is
    assert certified[0]["attacked_accuracy"] == ""


@pytest.mark.parametrize("form", ["md", "latex"])
def test_other_forms_have_both(run: Path, form: str) -> None:
    text = render(load(run), form)
    assert "robust" in text
    assert "the network itself" in text
    assert "P_suc" not in text  # no cells, no table of cells


def test_status_names_every_job_and_what_is_missing(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_status(run)
    text = capsys.readouterr().out
    assert "1 certificate: 1 complete" in text
    assert "1 measurement: 1 complete" in text
    (run / "measurements" / "m1" / "00000.parquet").unlink()
    MEASUREMENTS.of(run, "m1").fail(0, "no memory")
    show_status(run)
    assert "failed: 1 batch, the last with no memory" in capsys.readouterr().out
    assert any("no memory" in doubt for doubt in doubts_of(load(run).measurements[0]))
