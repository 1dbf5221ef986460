"""`vauban certify` from words to a page, and its errors in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from vauban.cli.app import app
from vauban.core.errors import VaubanError

BASE = ["certify", "--model", "digits-cnn", "--data", "digits/test[:6]"]
SMOOTH = "smoothing:sigma=0.2,n0=5,n=60,predictions=40,gradients=2"


def test_rows_are_made_once_and_shown(tmp_path: Path) -> None:
    command = [*BASE, "--certificate", SMOOTH, "--attack", "pgd:norm=l2,eps=3,steps=4", "--out", str(tmp_path)]
    first = CliRunner().invoke(app, command, catch_exceptions=False)
    assert first.exit_code == 0
    assert "certified, at least" in first.output
    assert "the smoothed classifier" in first.output
    assert "Certified accuracy" in (tmp_path / "report.html").read_text()
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.glob("certificates/*/*.parquet")}
    assert len(parts) == 1
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("certificates/*/*.parquet")} == parts


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--certificate", "smothing:sigma=1"], "unknown certificate 'smothing'; did you mean 'smoothing'"),
        (["--certificate", "smoothing"], "needs sigma"),
        (["--certificate", "smoothing:sigma=0"], "sigma"),
        (["--certificate", SMOOTH, "--attack", "pgd:eps=0.1"], "expected attacks in l2"),
    ],
)
def test_bad_input_is_one_line(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(VaubanError, match=message) as refusal:
        CliRunner().invoke(app, [*BASE, *words, "--out", str(tmp_path / "r")], catch_exceptions=False)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "r").exists()
