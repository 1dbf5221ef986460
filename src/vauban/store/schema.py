"""Columns of a cell: one row per sample, units in the names that have one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from vauban.core.errors import ContractError

SCHEMA_VERSION = 1

# Distances are in pixels of [0,1], of the successful image, +inf where the attack failed. `raw_*` is the image before
# the oracle rounds it. Counts (forwards, backwards, switches, vanished, nonfinite_gradients, unsolved) are per sample;
# nonfinite_gradients had a component that was NaN or infinite, and counted as zero; unsolved are smoothing solves that
# missed their tolerance. Rates are over verdict draws: 0 or 1 on a deterministic model. An image outside
# the limit never counts as misclassified: the evaluator then writes the rate of the clean image. A label is -1 where the
# logits are not finite, `not_finite` and `clean_not_finite` are the rates of that, and it counts as misclassified. A row
# whose target is y has nothing to reach: it was not attacked, and statistics of the attack leave it out. Of a network that
# rejects images, else null: the rates at which it rejects the original, the attack's image and noise of the same size. A
# rejected original is not correct, a rejected image of an attack not misclassified. `excess` is by how much the logit of
# 'rejected' exceeds the largest of the classes, `class_reached` the rate of the goal if nothing were rejected.
# `broken_by` is the number of the attack, among the `stages` that the facts of the cell name, which broke the image first;
# null where none did, and for an attack that does not run others. `spared`: the attack kept back a part of itself, as the
# sample looked hopeless; `audited`: it was given all of it afterwards, and its row is the worst case of both, with the
# passes of both.
_CLEAN = {
    "id": pa.int64(),
    "y": pa.int64(),
    "clean_label": pa.int64(),
    "clean_correct": pa.float64(),
    "clean_confidence": pa.float64(),
}
_ATTACKED = {
    "adv_label": pa.int64(),
    "adv_confidence": pa.float64(),
    "misclassified": pa.float64(),
    "reached": pa.float64(),
    "success": pa.bool_(),
    "l0": pa.float64(),
    "l1": pa.float64(),
    "l2": pa.float64(),
    "linf": pa.float64(),
    "raw_success": pa.bool_(),
    "raw_l2": pa.float64(),
    "raw_linf": pa.float64(),
    "forwards": pa.int64(),
    "backwards": pa.int64(),
    "switches": pa.int64(),
    "vanished": pa.int64(),
}
_OPTIONAL = {
    "target": pa.int64(),
    "ssim": pa.float64(),
    "psnr_db": pa.float64(),
    "first_success_backwards": pa.int64(),
    "clean_png": pa.binary(),
    "adv_png": pa.binary(),
}
PICTURES = ("clean_png", "adv_png")
"""The columns that hold pictures; whoever looks at none does not read them."""
_LATER = {  # columns that parts of this version may lack: null there
    "unsolved": pa.int64(),
    "nonfinite_gradients": pa.int64(),
    "clean_not_finite": pa.float64(),
    "not_finite": pa.float64(),
    "clean_rejected": pa.float64(),
    "rejected": pa.float64(),
    "noise_rejected": pa.float64(),
    "clean_excess": pa.float64(),
    "excess": pa.float64(),
    "clean_class_reached": pa.float64(),
    "class_reached": pa.float64(),
    "broken_by": pa.int64(),
    "spared": pa.bool_(),
    "audited": pa.bool_(),
}
SCHEMA = pa.schema(
    [pa.field(name, kind, nullable=False) for name, kind in _CLEAN.items()]
    + [pa.field(name, kind, nullable=True) for name, kind in {**_ATTACKED, **_OPTIONAL, **_LATER}.items()]
)


def schema_with(metrics: Sequence[str]) -> pa.Schema:
    """The fixed columns, then one nullable float64 column for each declared metric.

    Args:
        metrics: The names that the cell declares, none of them a fixed column.

    Returns:
        The Arrow schema of the cell's parts.

    Raises:
        ContractError: A metric has the name of a fixed column.
    """
    if taken := [name for name in metrics if name in SCHEMA.names]:
        raise ContractError(
            f"metrics: expected names beside the fixed columns, got {', '.join(taken)}; drop what is there already"
        )
    return pa.schema([*SCHEMA, *(pa.field(name, pa.float64()) for name in metrics)])


def table(columns: Mapping[str, Any], clean_only: bool = False, metrics: Sequence[str] = ()) -> pa.Table:
    """Arrow table of one batch.

    Args:
        columns: Names to sequences of equal length, `(batch,)`; None marks a missing value of a nullable column.
        clean_only: Whether the cell has clean answers alone: every attack column is then null.
        metrics: The metric columns that the cell declares; one that `columns` lacks is null.

    Returns:
        One row per sample, in the columns of `schema_with(metrics)`.

    Raises:
        ContractError: A required column is missing, one is unknown, lengths differ, a value is null where none is
            allowed, or of the wrong type.
    """
    schema = schema_with(metrics)
    required = set(_CLEAN) | (set() if clean_only else set(_ATTACKED))
    if missing := sorted(required - set(columns)):
        raise ContractError(f"expected every required column, {', '.join(missing)} missing; add it to the part")
    if unknown := sorted(set(columns) - set(schema.names)):
        raise ContractError(
            f"expected columns of schema {SCHEMA_VERSION} or declared metrics, got {', '.join(unknown)}; drop or rename"
        )
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ContractError(f"expected columns of equal length, got {lengths}; pass one value per sample")
    rows = lengths["id"]
    return pa.table([_array(f, columns.get(f.name), rows, f.name in required) for f in schema], schema=schema)


def completed(part: pa.Table, metrics: Sequence[str] = ()) -> pa.Table:
    """A stored part with the columns that it was written without, null there.

    Args:
        part: The rows of a part as they were read.
        metrics: The metric columns that the cell declares.

    Returns:
        The rows with every later column of this version and every declared metric.
    """
    for name, kind in {**_LATER, **dict.fromkeys(metrics, pa.float64())}.items():
        if name not in part.schema.names:
            part = part.append_column(pa.field(name, kind), pa.nulls(len(part), kind))
    return part


def _array(field: pa.Field, values: Sequence[Any] | None, rows: int, required: bool) -> pa.Array:
    if values is None:
        return pa.nulls(rows, field.type)
    try:
        array = pa.array(values, type=field.type, from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise ContractError(f"column {field.name!r}: expected {field.type}, got {error}; convert it") from error
    if required and array.null_count:
        raise ContractError(f"column {field.name!r}: expected no nulls, got {array.null_count}; write a value per row")
    return array


def to_numpy(data: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Columns as numpy arrays.

    Args:
        data: The rows of a cell, fixed columns and declared metrics.

    Returns:
        An array `(rows,)` for each column: a number with nulls becomes float64 with NaN, binary an object array.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for field in data.schema:
        column = data.column(field.name)
        if pa.types.is_binary(field.type):
            values = np.empty(len(column), dtype=object)
            values[:] = column.to_pylist()
            arrays[field.name] = values
        elif column.null_count and pa.types.is_boolean(field.type):
            arrays[field.name] = column.fill_null(False).to_numpy()
        elif column.null_count:
            arrays[field.name] = column.cast(pa.float64()).to_numpy()
        else:
            arrays[field.name] = column.to_numpy()
    return arrays
