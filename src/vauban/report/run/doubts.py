"""Doubts that findings cast on numbers: on those of one cell, and on the bound of a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from vauban.report.run.judged_cells import budgets
from vauban.statistics.combine import group, norm_of, worst_case
from vauban.statistics.summary import broken, population
from vauban.store import CellRows

WEAK_ATTACK = frozenset(
    {
        "no-adaptive-attack-known",
        "no-gradients",
        "noise-beats-attack",
        "noise-beats-gradients",
        "nothing-asked",
        "nothing-changed",
        "planted-images-missed",
        "radius-below-level",
        "zero-gradients",
    }
)
"""Codes that say why an attack failed, masking among them: they doubt the images left standing, never a success."""


def cell_doubts(cell: CellRows, findings: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Codes of the findings after which the numbers of one cell cannot be relied on.

    Args:
        cell: The cell.
        findings: Those between cells.
    """
    right = population(cell.columns, "correct")
    standing = bool((broken(cell.columns)[right] < 1).any())
    return _voiced(_codes([cell], findings), standing)


def invalid_codes(cells: list[CellRows], findings: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Codes of the gravest findings behind the numbers of a network: its bound at each budget, its smallest distances.

    A threat without such findings vouches for a number when no other threat breaks more: masked gradients under
    white-box say nothing against what the adaptive attacker reached. Where nothing is left standing, a weak attack is no
    doubt either.

    Args:
        cells: The judged cells.
        findings: Those between cells, which count for the cells or the threat that they are about.
    """
    doubts: set[str] = set()
    for norm, eps in budgets(cells).items():
        doubts |= _doubts_at(cells, findings, norm, eps)
    free = group([cell for cell in cells if cell.meta.get("eps") is None], norm_of)
    for members in free.values():
        doubts |= _doubts_at(members, findings, None, None)
    return tuple(sorted(doubts))


def _doubts_at(
    cells: list[CellRows], findings: Sequence[dict[str, Any]], norm: str | None, eps: float | None
) -> set[str]:
    threats = group(cells, lambda cell: str(cell.meta.get("threat")))
    codes = {threat: _codes(members, findings) for threat, members in threats.items()}
    left = {threat: float(worst_case(members, norm, eps).robust.mean()) for threat, members in threats.items()}
    vouched = min((left[threat] for threat in threats if not codes[threat]), default=float("inf"))
    doubted = min((left[threat] for threat in threats if codes[threat]), default=float("inf"))
    if vouched <= doubted:
        return set()
    return set(_voiced(set().union(*codes.values()), standing=bool(worst_case(cells, norm, eps).robust.any())))


def _voiced(codes: Iterable[str], standing: bool) -> tuple[str, ...]:
    return tuple(sorted(code for code in codes if standing or code not in WEAK_ATTACK))


def _codes(cells: Sequence[CellRows], findings: Sequence[dict[str, Any]]) -> set[str]:
    about = {cell.meta["hash"] for cell in cells}
    about |= {" | ".join(str(cell.meta.get(k)) for k in ("model", "defence", "threat")) for cell in cells}
    theirs = [finding for cell in cells for finding in cell.findings]
    theirs += [finding for finding in findings if finding.get("about") in about]
    return {str(f.get("code")) for f in theirs if f.get("severity") == "invalid"}
