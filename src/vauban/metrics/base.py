"""Registry of metrics, and the check they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.registry import Entry, Registry

Metric = Callable[[Tensor, Tensor], Tensor]
"""(original x0, image x), both `(batch, ...)` in [0,1] -> float64 `(batch,)`."""

FACTS: dict[str, tuple[str, ...]] = {
    "direction": ("lower", "higher"),
    "aggregate": ("mean", "median"),
    "reads": ("pair",),
}
"""What every metric declares beside its `unit`, with the values there are."""


def _declare(entry: Entry[Any]) -> None:
    """Check the facts of a new metric: reports know no metric, they read what it declares."""
    if not isinstance(entry.facts.get("unit"), str) or not entry.facts["unit"]:
        raise ContractError(f"expected the unit of the metric {entry.name!r}, got none; register(name, unit=...)")
    for fact, choices in FACTS.items():
        if entry.facts.get(fact) not in choices:
            raise ContractError(
                f"expected {fact} of the metric {entry.name!r} as {' or '.join(map(repr, choices))}, "
                f"got {entry.facts.get(fact)!r}"
            )


registry: Registry[Metric] = Registry("metric", "vauban.metrics", _declare)
"""Facts: `unit`; `direction`, whether the values nearer to the original are the "lower" or the "higher" ones;
`aggregate`, how the values of many images become one ("mean" or "median"); `reads`, what it is a function of ("pair": the
original and the image)."""


def pair(x0: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Originals and images in float64.

    Args:
        x0: Originals `(batch, ...)`.
        x: Images of the same shape.

    Returns:
        Both in float64.

    Raises:
        ContractError: The shapes differ, or have no axis beside the batch.
    """
    if x0.shape != x.shape or x.dim() < 2:
        raise ContractError(
            f"expected two batches of the same shape (batch, ...), got {tuple(x0.shape)} and {tuple(x.shape)}"
        )
    return x0.double(), x.double()
