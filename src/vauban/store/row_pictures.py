"""Pictures of a cell: which rows have them, and each read from its part when somebody looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vauban.store.part import null_counts, read_part
from vauban.store.schema import PICTURES


@dataclass(frozen=True)
class Pictures:
    """The pictures of the parts of a cell.

    Attributes:
        parts: File and number of rows of each part, in the order of the rows.
    """

    parts: tuple[tuple[Path, int], ...]

    @cached_property
    def stored(self) -> npt.NDArray[Any]:
        """Which rows have both pictures, `(rows,)` bool; told by the footers where all rows of a part have, or none."""
        return np.concatenate([np.zeros(0, bool), *(_stored(path, rows) for path, rows in self.parts)])

    def at(self, name: str, row: int) -> bytes | None:
        """One picture.

        Args:
            name: Its column.
            row: The row of the cell.

        Raises:
            ContractError: The part is damaged.
        """
        for path, rows in self.parts:
            if row < rows:
                return _column(path, name, path.stat().st_mtime_ns)[row]
            row -= rows
        raise IndexError(row)


def _stored(path: Path, rows: int) -> npt.NDArray[Any]:
    nulls = null_counts(path, PICTURES)
    if nulls and not any(nulls):
        return np.ones(rows, bool)
    if nulls and max(nulls) == rows:
        return np.zeros(rows, bool)
    columns = [_column(path, name, path.stat().st_mtime_ns) for name in PICTURES]
    return np.asarray([all(pair) for pair in zip(*columns, strict=True)], bool)


@lru_cache(maxsize=4)
def _column(path: Path, name: str, written: int) -> list[bytes | None]:
    column: list[bytes | None] = read_part(path, name.__eq__)[name].to_pylist()
    return column
