"""Short names of attacks, with the parameters that tell the cells of one run apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from vauban.report.run.judged_cells import judged_network
from vauban.statistics.combine import attack_word, norm_of
from vauban.store import CellRows


def attack_labels(cells: Sequence[CellRows]) -> dict[str, str]:
    """Label of each cell's attack.

    Args:
        cells: The cells that stand beside each other.

    Returns:
        Labels by cell hash: the attack's name, with its goal and parameters only where they tell cells apart.
    """
    labels = {cell.meta["hash"]: _name(cell) for cell in cells}
    rivals: dict[Any, list[CellRows]] = defaultdict(list)
    for cell in cells:
        threat, eps = cell.meta.get("threat"), cell.meta.get("eps")
        rivals[(*judged_network(cell), threat, norm_of(cell), eps, _name(cell))].append(cell)
    telling: dict[str, set[str]] = defaultdict(set)
    for rival in rivals.values():
        for key in {key for cell in rival for key in _parameters(cell)}:
            if len({str(_parameters(cell).get(key)) for cell in rival}) > 1:
                telling[_name(rival[0])].add(key)
    for cell in cells:
        parameters = _parameters(cell)
        extra = [f"{key}={parameters[key]}" for key in sorted(telling[_name(cell)]) if key in parameters]
        labels[cell.meta["hash"]] = " ".join([_name(cell), *extra])
    return labels


def _name(cell: CellRows) -> str:
    goal = str(cell.meta.get("goal") or "untargeted")
    name, given = attack_word(cell)
    # The budget has a column of its own.
    kept = [word for word in given if word.split("=")[0] not in ("eps", "norm")]
    return " ".join([name, *kept]) + ("" if goal.lower().startswith("untargeted") else f" ({goal})")


def _parameters(cell: CellRows) -> dict[str, Any]:
    """The attack's parameters and the seed, without those that its name has already."""
    parameters = dict(cell.meta.get("params", {}).get("attack") or {}) | {"seed": cell.meta.get("seed")}
    return {k: v for k, v in parameters.items() if k not in ("ball", "class", "is") and f"{k}={v}" not in _name(cell)}
