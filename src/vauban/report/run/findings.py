"""Findings as the page shows them: one article per code, one line per measurement, the cells it was made in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vauban.report.run.judged_cells import judged_network
from vauban.store import CellRows, Run

_ORDER = {"invalid": 0, "warning": 1, "info": 2}
_MEANINGS = {
    "invalid": "the numbers of the cells named here cannot be relied on",
    "warning": "the attack may be weaker than it looks",
    "info": "good to know",
}


@dataclass
class FindingCase:
    """One measurement and the cells it was made in.

    Attributes:
        message: The measurement as a sentence.
        share: The share of samples, None where it has none.
        threshold: The share from which on it is a finding, None where it has none.
        places: Attacks by 'defence · threat'.
    """

    message: str
    share: float | None
    threshold: float | None
    places: dict[str, list[str]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The places in one line."""
        return "; ".join(f"{at}: {', '.join(attacks)}" if attacks else at for at, attacks in self.places.items())


@dataclass
class FindingGroup:
    """All measurements of one code, by their messages."""

    code: str
    severity: str
    advice: str
    cases: dict[str, FindingCase] = field(default_factory=dict)

    @property
    def meaning(self) -> str:
        """The severity in words."""
        return _MEANINGS.get(self.severity, self.severity)


def finding_groups(run: Run, labels: dict[str, str]) -> list[FindingGroup]:
    """The findings of the run and of its cells, the gravest first.

    Args:
        run: The run.
        labels: The attacks' labels by cell hash.
    """
    several = len({cell.meta.get("model") for cell in run.cells}) > 1
    places = {cell.meta["hash"]: (_place(cell, several), labels[cell.meta["hash"]]) for cell in run.cells}
    groups: dict[tuple[str, str], FindingGroup] = {}
    for cell in run.cells:
        for finding in cell.findings:
            _add(groups, finding, *places[cell.meta["hash"]])
    for finding in run.findings:
        about = str(finding.get("about") or "whole run")
        # What is about a cell that is gone has no name here; its hash says nothing to a reader.
        named = about.replace(" | ", " · ") if " " in about else "a cell of an earlier plan"
        _add(groups, finding, *places.get(about, (named, "")))
    return sorted(groups.values(), key=lambda group: (_ORDER.get(group.severity, 1), group.code))


def _place(cell: CellRows, several: bool) -> str:
    model, defence, _ = judged_network(cell)
    words = ([model] if several else []) + [
        "undefended" if defence == "none" else defence,
        str(cell.meta.get("threat")),
    ]
    return " · ".join(words)


def _add(groups: dict[tuple[str, str], FindingGroup], finding: dict[str, Any], place: str, attack: str) -> None:
    code, severity = str(finding.get("code", "finding")), str(finding.get("severity", "warning"))
    group = groups.setdefault((severity, code), FindingGroup(code, severity, str(finding.get("advice") or "")))
    message = str(finding.get("message") or "")
    case = group.cases.setdefault(message, FindingCase(message, finding.get("share"), finding.get("threshold")))
    attacks = case.places.setdefault(place, [])
    if attack and attack not in attacks:
        attacks.append(attack)
