"""Findings as the page shows them: one article per code, one line per measurement, the cells it was made in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vauban.report.run.rows import subject
from vauban.store import CellRows, Run

_ORDER = {"invalid": 0, "warning": 1, "info": 2}


@dataclass
class FindingCase:
    """What was measured, the share of samples, and where: 'defence · threat: attack, attack'."""

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
    """All cases of one code."""

    code: str
    severity: str
    advice: str
    cases: dict[str, FindingCase] = field(default_factory=dict)


def articles(run: Run, names: dict[str, str]) -> list[FindingGroup]:
    """The findings of the run and of its cells, the gravest first; names are the attacks' labels by cell hash."""
    several = len({cell.meta.get("model") for cell in run.cells}) > 1
    places = {cell.meta["hash"]: (_place(cell, several), names[cell.meta["hash"]]) for cell in run.cells}
    found: dict[tuple[str, str], FindingGroup] = {}
    for cell in run.cells:
        for finding in cell.findings:
            _add(found, finding, *places[cell.meta["hash"]])
    for finding in run.findings:
        about = str(finding.get("about") or "whole run")
        _add(found, finding, *places.get(about, (about.replace(" | ", " · "), "")))
    return sorted(found.values(), key=lambda article: (_ORDER.get(article.severity, 1), article.code))


def _place(cell: CellRows, several: bool) -> str:
    model, defence, _ = subject(cell)
    words = ([model] if several else []) + [
        "undefended" if defence == "none" else defence,
        str(cell.meta.get("threat")),
    ]
    return " · ".join(words)


def _add(found: dict[tuple[str, str], FindingGroup], finding: dict[str, Any], place: str, attack: str) -> None:
    code, severity = str(finding.get("code", "finding")), str(finding.get("severity", "warning"))
    article = found.setdefault((severity, code), FindingGroup(code, severity, str(finding.get("advice") or "")))
    message = str(finding.get("message") or "")
    case = article.cases.setdefault(message, FindingCase(message, finding.get("share"), finding.get("threshold")))
    attacks = case.places.setdefault(place, [])
    if attack and attack not in attacks:
        attacks.append(attack)
