"""A user's file may import the files beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from vauban.core.text import parse
from vauban.words.files import from_file


def test_a_file_imports_its_neighbour_and_the_path_is_restored(tmp_path: Path) -> None:
    (tmp_path / "beside_the_model.py").write_text("ANSWER = 42\n")
    (tmp_path / "model.py").write_text("from beside_the_model import ANSWER\n")
    before = list(sys.path)
    assert from_file(parse(f"{tmp_path / 'model.py'}:ANSWER")) == 42
    assert sys.path == before
