"""Remarks on what the numbers of cells count: images left out, logits that are not finite, rejected images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vauban.report.shared import format as fmt
from vauban.statistics.audit import audit
from vauban.statistics.ids import ids_of_any
from vauban.statistics.summary import (
    aimed,
    broken,
    fooled_or_rejected,
    not_finite,
    population,
    rejected,
    rejects,
    select,
)
from vauban.store import CellRows

Columns = dict[str, np.ndarray[Any, Any]]


def remarks(cells: Sequence[CellRows]) -> tuple[str, ...]:
    """Sentences without their full stops, on the samples of several cells as one attacker.

    Args:
        cells: Cells that judge one network.

    Returns:
        How many images have the target as their label, where all attacks leave them out, and how many logits are not
        finite, which are errors of the network; nothing where there are none. Of a network that rejects images: how many
        originals it rejects, and over the others with a right answer the shares that are fooled, fooled or rejected, and
        rejected with noise of the size of the attack's change.
    """
    told = []
    if left := len(_any(cells, lambda c: c["id"] > -1)) - len(_any(cells, aimed)):
        told.append(f"{_images(left)} left out: the target is their own label")
    before = _any(cells, lambda c: not_finite(c)[0])
    after = np.setdiff1d(_any(cells, lambda c: not_finite(c)[1]), before)
    if len(before):
        told.append(f"{_images(len(before))} with non-finite logits before any attack, counted as misclassified")
    if len(after):
        told.append(f"{_images(len(after))} with non-finite logits after an attack alone, counted as broken")
    audits = [(cell.meta["attack"], audit(cell.columns)) for cell in cells]
    told += [f"{attack}: {said}" for attack, said in audits if said is not None]
    if refusing := [cell for cell in cells if rejects(cell.columns)]:
        told += _rejections(refusing)
    return tuple(told)


def _rejections(cells: Sequence[CellRows]) -> list[str]:
    before = _any(cells, lambda c: rejected(c)[0] > 0.5)
    ids = _any(cells, lambda c: population(c, "correct"))
    fooled, either, noise, seen = np.zeros(len(ids)), np.zeros(len(ids)), np.zeros(len(ids)), np.zeros(len(ids))
    for cell in cells:
        columns = select(cell.columns, population(cell.columns, "correct"))
        at = np.searchsorted(ids, columns["id"])
        _, refused, noisy = rejected(columns)
        hit = broken(columns)
        fooled[at] = np.maximum(fooled[at], hit)
        either[at] = np.maximum(either[at], fooled_or_rejected(hit, refused))
        noise[at] += noisy
        seen[at] += 1
    told = [f"{_images(len(before))} rejected before any attack, counted as misclassified"] if len(before) else []
    if len(ids):
        share, either_share, noise_share = (fmt.percent(float(s.mean())) for s in (fooled, either, noise / seen))
        told.append(
            f"of {_images(len(ids))} with a right answer {share} fooled, {either_share} fooled or rejected; of those with "
            f"noise of the same size {noise_share} rejected"
        )
    return told


def _any(cells: Sequence[CellRows], shows: Callable[[Columns], np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Ids of the samples that any of the cells shows it on."""
    return ids_of_any([cell.columns["id"][shows(cell.columns)] for cell in cells])


def _images(n: int) -> str:
    return fmt.plural(n, "image")
