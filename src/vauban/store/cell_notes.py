"""Notes of a cell: what is said of its rows as a whole, in a file each beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vauban.core.errors import ContractError
from vauban.store import files
from vauban.store.ledger import write_noted_json


@dataclass(frozen=True)
class CellNotes:
    """Findings, the planted test and the drift of one cell.

    Attributes:
        path: The folder of the cell.
    """

    path: Path

    def findings(self) -> list[dict[str, Any]]:
        """Findings: keys code, severity (info, warning or invalid), message, advice, share, threshold."""
        return stored_findings(self.path / "findings.json")

    @property
    def checked(self) -> bool:
        """Whether findings were written, be it none."""
        return (self.path / "findings.json").exists()

    def write_findings(self, findings: list[dict[str, Any]]) -> None:
        """Replace the findings."""
        write_noted_json(self.path, "findings.json", findings)

    def planted(self) -> dict[str, Any] | None:
        """The planted test of the attack: keys key, seconds, test; None where there was none."""
        path = self.path / "planted.json"
        return files.read_facts(path) if path.exists() else None

    def write_planted(self, test: Mapping[str, Any]) -> None:
        """Replace the planted test."""
        write_noted_json(self.path, "planted.json", dict(test))

    def drift(self) -> dict[str, Any] | None:
        """Answers to clean images that have moved: keys asked, moved, scores, scores_moved; None where nobody asked."""
        path = self.path / "drift.json"
        return files.read_facts(path) if path.exists() else None

    def write_drift(self, counts: Mapping[str, int]) -> None:
        """Replace these counts."""
        write_noted_json(self.path, "drift.json", dict(counts))


def stored_findings(path: Path) -> list[dict[str, Any]]:
    """The findings of a file, a warning each unless it says more; none where it is absent.

    Raises:
        ContractError: The file holds something else, or is a symbolic link.
    """
    if not path.exists():
        return []
    findings = files.read_json(path, follow=False)
    if not isinstance(findings, list) or not all(
        isinstance(f, dict) and {"code", "message"} <= set(f) for f in findings
    ):
        raise ContractError(f"{path}: expected a list of findings with code and message; delete it and run again")
    return [{"severity": "warning", **finding} for finding in findings]
