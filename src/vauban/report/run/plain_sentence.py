"""Verdict on one network as a sentence without terms of the field."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vauban.core.tolerance import upper_limit
from vauban.report.shared import format as fmt
from vauban.statistics.combine import nearest_success, worst_case
from vauban.statistics.estimates import median
from vauban.statistics.summary import distortion, population, tolerance_of
from vauban.store import CellRows

DOUBT = " What is left standing cannot be relied on: see the findings."


def at_budget(cells: Sequence[CellRows], norm: str, eps: float, who: str) -> str:
    """What a change within a budget does to a network.

    Where every image is fooled, the change is the smallest that does it.

    Args:
        cells: The judged cells.
        norm: The norm of the budget.
        eps: The budget in pixels of [0,1].
        who: The network.
    """
    worst = worst_case(cells, norm, eps)
    if not (np.isin(worst.clean, (0, 1)).all() and np.isin(worst.robust, (0, 1)).all()):
        before, after = fmt.percent(float(worst.clean.mean())), fmt.percent(float(worst.robust.mean()))
        return _sentence(f"{change(norm, eps)} takes the right answers of {who} from {before} down to {after}.")
    right, standing = int(worst.clean.sum()), int(worst.robust.sum())
    among = _among(right, len(worst.ids), who)
    if not right:
        return _none_right(who, len(worst.ids))
    aim = _aim(cells, norm, eps)
    if standing == right:
        return _sentence(f"{change(norm, eps)}, these attacks did not fool {who} on {_of(right, 'any')}{among}.")
    if standing:
        return _sentence(f"{change(norm, eps)} fools {who} on {right - standing} of {among}{aim}.")
    closest = nearest_success(cells, norm)
    needed = float(closest.distance[np.isin(closest.ids, worst.ids[worst.clean > 0])].max())
    enough = change(norm, min(needed, eps) if math.isfinite(needed) else eps)
    return _sentence(f"{enough} fools {who} on {_of(right, 'every one')}{among}{aim}.")


def without_budget(cells: Sequence[CellRows], norm: str, who: str) -> str:
    """What the smallest changes in a norm do to a network: half of the images, or as many as were fooled.

    Args:
        cells: The judged cells that minimise the norm.
        norm: The norm.
        who: The network.
    """
    closest = nearest_success(cells, norm)
    distance = closest.distance[closest.correct]
    among = _among(len(distance), len(closest.ids), who)
    if not len(distance):
        return _none_right(who, len(closest.ids))
    middle = median(distance).value
    if math.isfinite(middle):
        return _sentence(f"{change(norm, middle)} fools {who} on {_of(len(distance), 'half')}{among}.")
    fooled = int(np.isfinite(distance).sum())
    if len(distance) == 1:
        return f"With no limit on the size of a change, these attacks do not fool {who} on {among}."
    return f"With no limit on the size of a change, these attacks fool {who} on {fooled} of {among}."


def change(norm: str, size: float) -> str:
    """A change of at most a size in words.

    Args:
        norm: `l0`, `l1`, `l2` or `linf`.
        size: In pixels of [0,1]; a number of components for L0.
    """
    if norm == "linf":
        levels = size * 255
        if abs(levels - round(levels)) < 1e-3:
            return f"changing each pixel by at most {round(levels)} of 255 levels"
        return f"changing each pixel by at most {size:.3g} of its range"
    if norm == "l0":
        return f"changing at most {fmt.plural(round(size), 'pixel value')}"
    return f"a change of {fmt.norm_name(norm)} size at most {fmt.distance(size, norm)}"


def _aim(cells: Sequence[CellRows], norm: str, eps: float) -> str:
    """On how many images attacks that all have targets reached them; nothing for untargeted ones."""
    if any(str(cell.meta.get("goal") or "untargeted").lower().startswith("untargeted") for cell in cells):
        return ""
    reached = [
        cell.columns["id"][
            population(cell.columns, "correct")
            & np.asarray(cell.columns["success"], bool)
            & (distortion(cell.columns, norm) <= upper_limit(eps, tolerance_of(cell.meta)))
        ]
        for cell in cells
    ]
    return f", on {len(np.unique(np.concatenate(reached)))} of them into the class aimed at"


def _none_right(who: str, images: int) -> str:
    if images == 1:
        return f"Even without an attack {who} does not classify the one image correctly."
    return f"Even without an attack {who} classifies none of the {_counted(images)} correctly."


def _of(n: int, share: str) -> str:
    """A share of several things, `half of `; of a single one nothing."""
    return "" if n == 1 else f"{share} of "


def _counted(n: int) -> str:
    return "one image" if n == 1 else fmt.plural(n, "image")


def _among(right: int, images: int, who: str) -> str:
    counted = _counted(right)
    return f"the {counted}" if right == images else f"the {counted} that it classifies correctly"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
