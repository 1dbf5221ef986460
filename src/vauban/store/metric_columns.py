"""Metric columns that a cell declares beside the fixed ones of the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vauban.core.errors import ContractError

AGGREGATES = ("mean", "median")
DIRECTIONS = ("lower", "higher")
FIELDS = ("name", "unit", "direction", "aggregate")


@dataclass(frozen=True)
class MetricColumn:
    """One declared metric: a float64 column `(rows,)`, NaN where it was not measured.

    Attributes:
        name: The name of the column.
        unit: The unit of its values as text; "" or "1" for a number without unit.
        direction: Which values are better, `lower` or `higher`.
        aggregate: What a table shows of the successes, their `mean` or their `median`.
    """

    name: str
    unit: str
    direction: Literal["lower", "higher"]
    aggregate: Literal["mean", "median"]

    def to_json(self) -> dict[str, str]:
        """The declaration as an entry of `meta["metrics"]`."""
        return {name: str(getattr(self, name)) for name in FIELDS}


def declared_metrics(meta: Mapping[str, Any]) -> tuple[MetricColumn, ...]:
    """The metric columns that a cell's facts declare, in their order.

    Args:
        meta: The facts of a cell; `meta["metrics"]` is a list of `{"name", "unit", "direction", "aggregate"}`, each
            perhaps with further facts, absent where the cell has the fixed columns alone.

    Returns:
        One `MetricColumn` for each entry.

    Raises:
        ContractError: An entry lacks a field or has another value than those allowed, or a name comes twice.
    """
    given = meta.get("metrics") or []
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ContractError(f"metrics: expected a list of declarations, got {given!r}; see MetricColumn")
    metrics = tuple(_declaration(entry) for entry in given)
    names = [metric.name for metric in metrics]
    if len(set(names)) != len(names):
        raise ContractError(f"metrics: expected each name once, got {', '.join(names)}; drop one of the two")
    return metrics


def _declaration(entry: Any) -> MetricColumn:
    fields: dict[str, Any] = {name: entry.get(name) for name in FIELDS} if isinstance(entry, Mapping) else {}
    if not fields or not all(isinstance(value, str) for value in fields.values()):
        raise ContractError(f"metrics: expected text for {', '.join(FIELDS)}, got {entry!r}; see MetricColumn")
    if not fields["name"].isidentifier():
        raise ContractError(f"metrics: expected letters, digits and _ in a name, got {fields['name']!r}; rename it")
    for field, allowed in (("direction", DIRECTIONS), ("aggregate", AGGREGATES)):
        if fields[field] not in allowed:
            raise ContractError(
                f"metric {fields['name']!r}: expected {field} {' or '.join(allowed)}, got {fields[field]!r}; correct it"
            )
    return MetricColumn(**fields)
