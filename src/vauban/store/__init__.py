"""Result store: a run directory of content-addressed cells, written and read without torch."""

from vauban.store.cell_store import CellStore
from vauban.store.metric_columns import MetricColumn
from vauban.store.parquet import Store
from vauban.store.query import CellRows, Run, load
from vauban.store.schema import SCHEMA, SCHEMA_VERSION

__all__ = ["SCHEMA", "SCHEMA_VERSION", "CellRows", "CellStore", "MetricColumn", "Run", "Store", "load"]
