"""Where the terminal says that a finding was made: model, defence and threat, never a hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vauban.cli.screens.study import _show_findings
from vauban.store import CellRows, Run


def test_a_finding_between_cells_names_the_cell_that_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    facts: dict[str, Any] = {"hash": "970b909395ae4c82", "model": "net", "defence": "jpeg", "threat": "white-box"}
    finding = {"severity": "warning", "code": "c", "message": "square won", "about": "970b909395ae4c82"}
    _show_findings(Run(Path("run"), {}, [CellRows(facts, {}, [], [], True)], [finding]))
    printed = capsys.readouterr().out
    assert "warning c: net | jpeg | white-box: square won" in printed
    assert "970b909395ae4c82" not in printed


def test_findings_are_in_the_order_of_gravity_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Not in that of the cells, whose hashes change with the code: a transcript would change with them."""
    codes = {"a": ("warning", "apart"), "b": ("invalid", "worse"), "c": ("invalid", "grave")}
    cells = [
        CellRows(
            {"hash": key, "model": "net", "defence": "jpeg", "threat": key},
            {},
            [
                {"severity": severity, "code": code, "message": "said"},
                {"severity": "warning", "code": "z", "message": "of all"},
            ],
            [],
            True,
        )
        for key, (severity, code) in codes.items()
    ]
    printed = []
    for order in (cells, cells[::-1]):
        _show_findings(Run(Path("run"), {}, order, []))
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert [line.split(":")[0].strip() for line in printed[0].splitlines() if line.strip()] == [
        "invalid grave",
        "invalid worse",
        "warning apart",
        "warning z",
    ]
    assert "warning z: net | jpeg | a and 2 more: of all" in printed[0]
