"""Accuracy after each attack that a cascade or the standard battery runs, as text."""

from __future__ import annotations

from collections.abc import Sequence

from vauban.report.shared import format as fmt
from vauban.statistics.stages import AfterStage, after_each
from vauban.store import CellRows


def cell_stages(cell: CellRows) -> tuple[AfterStage, ...]:
    """The accuracy after each stage of a cell's attack; nothing for an attack of one stage, and for rows of before."""
    return after_each(cell.columns, cell.meta.get("stages") or ())


def stage_note(cell: CellRows) -> str:
    """The accuracies of a cell as a remark on its row of a table, empty without any."""
    stages = cell_stages(cell)
    told = ", ".join(f"{fmt.percent(after.accuracy.value)} after {after.stage}" for after in stages)
    return f"accuracy {told}" if stages else ""


def stage_sentences(cells: Sequence[CellRows], labels: dict[str, str]) -> tuple[str, ...]:
    """A sentence for each cell whose attack runs several, with the interval of each accuracy.

    Args:
        cells: The cells that judge one network.
        labels: The label of each cell's attack by the cell's hash.
    """
    threats = {str(cell.meta.get("threat")) for cell in cells}
    sentences = []
    for cell in cells:
        if stages := cell_stages(cell):
            under = f" under {cell.meta.get('threat')}" if len(threats) > 1 else ""
            eps = cell.meta.get("eps")
            budget = "no common budget" if eps is None else fmt.budget(str(cell.meta.get("norm")), eps)
            told = fmt.enumeration([f"{after.stage} {fmt.rate(after.accuracy)}" for after in stages])
            sentences.append(
                f"Accuracy after each attack of {labels[cell.meta['hash']]}{under} ({budget}, "
                f"{fmt.plural(stages[-1].accuracy.n, 'image')}): {told}."
            )
    return tuple(sentences)
