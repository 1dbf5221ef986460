"""Declared facts of a metric."""

from __future__ import annotations

from typing import Any

from vauban.core.errors import ContractError
from vauban.core.registry import Entry

FACTS: dict[str, tuple[str, ...]] = {
    "direction": ("lower", "higher"),
    "aggregate": ("mean", "median"),
    "reads": ("pair",),
}
"""What every metric declares beside its `unit`, with the values there are."""


def declare(entry: Entry[Any]) -> None:
    """Check the facts of a new metric: reports know no metric, they read what it declares. Raises ContractError."""
    if not isinstance(entry.facts.get("unit"), str) or not entry.facts["unit"]:
        raise ContractError(f"expected the unit of the metric {entry.name!r}, got none; register(name, unit=...)")
    for fact, choices in FACTS.items():
        if entry.facts.get(fact) not in choices:
            raise ContractError(
                f"expected {fact} of the metric {entry.name!r} as {' or '.join(map(repr, choices))}, "
                f"got {entry.facts.get(fact)!r}"
            )
