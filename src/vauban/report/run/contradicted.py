"""Contradictions of a certificate: its own attacks, and those of a run on the same network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vauban.core.errors import plural
from vauban.statistics.certified import Contradictions, contradictions, failure
from vauban.statistics.intervals import Array
from vauban.statistics.summary import tolerance_of
from vauban.store.job_rows import JobRows
from vauban.store.query import CellRows


def contradicted(rows: JobRows, cells: Sequence[CellRows] = ()) -> Contradictions:
    """Attacked images that contradict the bounds, against what chance allows.

    Args:
        rows: A certificate.
        cells: The cells of its run. Those that judge the network that it is about count, where it is about the network
            itself: a cell says nothing of a smoothed classifier.
    """
    own = np.asarray(rows.columns["other_at"], float)
    columns = rows.columns | {"other_at": np.fmin(own, reached(rows, cells))}  # NaN where nothing was attacked at all
    answers = 1 + len(rows.meta.get("attacks", ()))
    return contradictions(columns, *failure(rows.meta), answers, tolerance_of(rows.meta))


def judging(rows: JobRows, cells: Sequence[CellRows]) -> list[CellRows]:
    """The cells that judge the network which a certificate is about, on images of the same data set."""
    network, data = rows.meta.get("network"), rows.meta["data"]
    if not rows.meta.get("plain") or network is None:
        return []
    same = [cell for cell in cells if cell.meta.get("network") == network and cell.meta.get("data") == data]
    return [cell for cell in same if not cell.changed and len(cell.columns["id"])]


def reached(rows: JobRows, cells: Sequence[CellRows]) -> Array:
    """The distance at which cells have met another class than the certified one, by sample id, `(rows,)`.

    inf where the images of all attacks keep it, or were not answered by a finite logit; NaN where none was attacked.
    """
    nearest = np.full(len(rows.columns["id"]), np.nan)
    order = np.argsort(rows.columns["id"])
    ids, certified = rows.columns["id"][order], rows.columns["certified"][order]
    for cell in judging(rows, cells):
        at = np.searchsorted(ids, cell.columns["id"])
        at = np.minimum(at, len(ids) - 1)
        known = (
            (ids[at] == cell.columns["id"]) & (certified[at] >= 0) & (rows.columns["y"][order][at] == cell.columns["y"])
        )
        label, distance = cell.columns["adv_label"], np.asarray(cell.columns[str(rows.meta["norm"])], float)
        met = np.where((label >= 0) & (label != certified[at]), distance, np.inf)
        nearest[order[at[known]]] = np.fmin(nearest[order[at[known]]], met[known])
    return nearest


def contradictions_text(rows: JobRows, seen: Contradictions, cells: Sequence[CellRows]) -> str:
    """What was seen, what counts as one, and how many chance allows."""
    alpha, answer = failure(rows.meta)
    others = judging(rows, cells)
    also = f", by {plural(len(others), 'cell')} of this run too" if others else ""
    text = (
        f"{plural(seen.count, 'contradiction')} among {plural(seen.checked, 'certified image')} that were attacked{also}: "
        "another class, not withheld, inside the radius; "
    )
    if not alpha + answer:
        return text + "none is allowed."
    answers = 1 + len(rows.meta.get("attacks", ()))
    by_chance = f"a bound may fail with probability {alpha:g}, each of {answers} answers with {answer:g}"
    return f"{text}up to {seen.allowed} would be chance, as {by_chance}."
