"""The names of the classes stand beside the rows, where a report finds them."""

from __future__ import annotations

from pathlib import Path

import vauban as vb
from vauban.store import load


def test_a_cell_says_how_its_classes_are_called(tmp_path: Path) -> None:
    study = vb.Study(tmp_path / "run", data="digits/test[:2]", models="digits-cnn", attacks="fgsm", preflight=False)
    study.run()
    (cell,) = load(tmp_path / "run").cells
    assert cell.meta["class_names"] == [str(k) for k in range(10)]
