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
