"""Cells that a bound rests on: the fewest, taken one by one, that break what all of them together break."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vauban.report.shared import format as fmt
from vauban.statistics.combine import group, worst_case
from vauban.store import CellRows

_NAMED = 4  # cells that a sentence can name and still be read


@dataclass(frozen=True)
class BreakingCell:
    """One cell that a bound rests on.

    Attributes:
        cell: The cell.
        gained: Images that it breaks and none of the cells before it; rates of a randomised network are summed.
        left: Robust accuracy after it, in [0,1].
    """

    cell: CellRows
    gained: float
    left: float


def breaking_cells(cells: Sequence[CellRows], norm: str, eps: float) -> list[BreakingCell]:
    """The cells that a bound rests on, the one that breaks most first.

    Args:
        cells: The judged cells; of two that break as many the earlier one is taken.
        norm: The norm of the budget.
        eps: The budget in pixels of [0,1].
    """
    everyone = worst_case(cells, norm, eps)
    standing = {}
    for number, cell in enumerate(cells):
        alone = worst_case([cell], norm, eps)
        # An image without a row here stands as it stood without attack.
        standing[number] = everyone.clean.copy()
        at = np.searchsorted(everyone.ids, alone.ids)
        standing[number][at] = np.minimum(standing[number][at], alone.robust)
    left, chosen = everyone.clean, []
    while standing:
        gains = {number: float((left - np.minimum(left, one)).sum()) for number, one in standing.items()}
        best = max(gains, key=lambda number: gains[number])
        if gains[best] <= 0:
            break
        left = np.minimum(left, standing.pop(best))
        chosen.append(BreakingCell(cells[best], gains[best], float(left.mean())))
    return chosen


def evidence(chosen: Sequence[BreakingCell], labels: dict[str, str], doubted: Sequence[CellRows], whole: bool) -> str:
    """Sentences on the cells that a bound rests on and on those that a finding calls invalid.

    Args:
        chosen: As `breaking_cells` has them.
        labels: The attacks' labels by cell hash.
        doubted: The judged cells that a finding calls invalid.
        whole: Whether the findings doubt the bound itself.
    """
    words = [
        f"{_name(one.cell, labels)} ({_images(one.gained)}{' more' if n else ''}, leaving {fmt.percent(one.left)})"
        for n, one in enumerate(chosen)
    ]
    if len(words) > _NAMED:
        rest, last = sum(one.gained for one in chosen[_NAMED:]), fmt.percent(chosen[-1].left)
        words = [*words[:_NAMED], f"{len(words) - _NAMED} more cells ({_images(rest)} more, leaving {last})"]
    text = f"What is broken rests on {fmt.enumeration(words)}." if words else "No attack broke an image."
    if not doubted:
        return text
    threats = group(doubted, lambda cell: str(cell.meta.get("threat")))
    names = fmt.enumeration(
        [
            f"{fmt.enumeration(sorted({labels[cell.meta['hash']] for cell in members}))} under {threat}"
            for threat, members in sorted(threats.items())
        ]
    )
    used = {one.cell.meta["hash"] for one in chosen}
    if whole:
        return f"{text} What is left standing rests on cells that a finding calls invalid: {names}."
    if any(cell.meta["hash"] in used for cell in doubted):
        return f"{text} A finding calls invalid, for what they left standing alone: {names}."
    return f"{text} It does not rest on {names}, which a finding calls invalid."


def _name(cell: CellRows, labels: dict[str, str]) -> str:
    return f"{labels[cell.meta['hash']]} under {cell.meta.get('threat')}"


def _images(number: float) -> str:
    return fmt.plural(round(number, 1), "image")
