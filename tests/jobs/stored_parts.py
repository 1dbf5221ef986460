"""What tests of executors compare: every column of every stored part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def stored_parts(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """The columns of every stored part by its path, without that of the seconds; a missing number is None."""
    tables = {str(path.relative_to(folder)): pq.read_table(path).to_pydict() for path in folder.rglob("*.parquet")}
    return {
        path: {k: [None if v != v else v for v in values] for k, values in table.items() if k != "seconds"}
        for path, table in tables.items()
    }
