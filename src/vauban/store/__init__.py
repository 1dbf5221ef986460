"""The result store: a run directory of content-addressed cells, read and summarised without torch."""

from vauban.store.parquet import CellStore, Store
from vauban.store.query import CellRows, Run, load
from vauban.store.schema import SCHEMA, SCHEMA_VERSION

__all__ = ["SCHEMA", "SCHEMA_VERSION", "CellRows", "CellStore", "Run", "Store", "load"]
