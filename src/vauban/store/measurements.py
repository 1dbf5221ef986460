"""Measurements of networks in a run directory: what their rows and facts hold."""

from __future__ import annotations

import pyarrow as pa

from vauban.store.job_rows import RowKind

# `fooled` is whether the attack has changed the answer, null without an attack; `value` is NaN where an image has none.
MEASUREMENTS = RowKind(
    "measurements",
    "measurement.json",
    pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("y", pa.int64(), nullable=False),
            pa.field("fooled", pa.bool_()),
            pa.field("value", pa.float64(), nullable=False),
        ]
    ),
    frozenset({"metric", "unit", "direction", "attack", "model", "defence", "data", "n"}),
)
