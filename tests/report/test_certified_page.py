"""Certificates on the page of a run, and in its text."""

from __future__ import annotations

from pathlib import Path

import pytest

from vauban.report.run import page
from vauban.report.run.certified import certified_table, remarks_of
from vauban.report.run.contradicted import contradicted
from vauban.store.certificates import CERTIFICATES

FACTS = {
    "certificate": "smoothing:sigma=0.5",
    "claim": "the smoothed <classifier>",
    "norm": "l2",
    "alpha": 0.001,
    "alpha_answer": 0.001,
    "attacks": ["pgd"],
    "model": "net",
    "defence": "none",
    "data": "digits/test",
    "n": 4,
}
COLUMNS = {
    "id": [0, 1, 2, 3],
    "y": [0, 1, 1, 0],
    "label": [0, 1, -1, 0],
    "certified": [0, 1, -1, 0],
    "radius": [0.5, 1.0, 0.0, 0.25],
    "votes": [90, 99, 50, 80],
    "p_low": [0.8, 0.9, 0.4, 0.7],
    "wrong_at": [0.7, float("inf"), 0.0, 0.1],
    "other_at": [0.7, float("inf"), float("inf"), float("inf")],
}


def stored(run: Path, **changed: object) -> None:
    folder = CERTIFICATES.of(run, "abc")
    folder.prepare({})
    CERTIFICATES.write_facts(folder, FACTS)
    folder.write(0, {**COLUMNS, **changed})


def test_a_run_of_certificates_alone_has_a_page(tmp_path: Path) -> None:
    stored(tmp_path)
    text = page.write(tmp_path).read_text()
    assert "Certified accuracy" in text
    assert "the smoothed &lt;classifier&gt;" in text
    assert "certified, at least" in text
    assert "under attack, at most" in text
    assert "No attack has finished a batch yet" not in text
    assert "No evidence of masking" not in text


def test_the_table_has_both_accuracies(tmp_path: Path) -> None:
    stored(tmp_path)
    rows = CERTIFICATES.read(CERTIFICATES.of(tmp_path, "abc"))
    lines = [line.split("|") for line in certified_table(rows).splitlines() if line.startswith("| 0")]
    shares = {float(line[1]): (line[2].split()[0], line[3].split()[0]) for line in lines}
    assert shares[0.0] == ("75.0", "75.0")
    assert shares[0.4] == ("50.0", "50.0")
    assert any("withheld on 1 image" in remark.text for remark in remarks_of(rows))


@pytest.mark.parametrize(("other", "refuted"), [(0.7, False), (0.4, True)])
def test_a_contradiction_is_an_answer_inside_the_radius(tmp_path: Path, other: float, refuted: bool) -> None:
    stored(tmp_path, other_at=[other, float("inf"), float("inf"), float("inf")])
    rows = CERTIFICATES.read(CERTIFICATES.of(tmp_path, "abc"))
    assert (contradicted(rows).count > 0) == refuted
    assert contradicted(rows).allowed == 0  # three images at three thousandths
    assert any(remark.doubt for remark in remarks_of(rows)) == refuted


def test_unfinished_rows_are_said(tmp_path: Path) -> None:
    stored(tmp_path)
    folder = CERTIFICATES.of(tmp_path, "abc")
    (folder.path / "00000.parquet").unlink()
    assert any("0 of 4 images" in remark.text for remark in remarks_of(CERTIFICATES.read(folder)))
