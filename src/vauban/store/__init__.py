"""Result store: a run directory of content-addressed cells, written and read without torch."""

from vauban.store.metric_columns import MetricColumn
from vauban.store.parquet import CellStore, Store
from vauban.store.query import CellRows, Run, load
from vauban.store.schema import SCHEMA, SCHEMA_VERSION

__all__ = ["SCHEMA", "SCHEMA_VERSION", "CellRows", "CellStore", "MetricColumn", "Run", "Store", "load"]
