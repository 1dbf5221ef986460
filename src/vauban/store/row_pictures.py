"""Pictures of a cell: which rows have them, and each read from its part when somebody looks at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vauban.store.part import filled, read_part
from vauban.store.schema import PICTURES
from vauban.store.stored_part import Place


@dataclass(frozen=True)
class Pictures:
    """The pictures of the parts of a cell.

    Attributes:
        parts: Place and number of rows of each part, in the order of the rows.
    """

    parts: tuple[tuple[Place, int], ...]

    @cached_property
    def stored(self) -> npt.NDArray[Any]:
        """Which rows have both pictures, `(rows,)` bool; told by the footers where all rows of a part have, or none."""
        return np.concatenate([np.zeros(0, bool), *(_stored(place, rows) for place, rows in self.parts)])

    def at(self, name: str, row: int) -> bytes | None:
        """One picture.

        Args:
            name: Its column.
            row: The row of the cell.

        Raises:
            ContractError: The part is damaged.
        """
        for place, rows in self.parts:
            if row < rows:
                return _column(place, name)[place.first + row]
            row -= rows
        raise IndexError(row)


def _stored(place: Place, rows: int) -> npt.NDArray[Any]:
    whole = filled(place.path, PICTURES, place.group)
    if whole is not None:
        return np.full(rows, whole)
    columns = [_column(place, name)[place.first : place.first + rows] for name in PICTURES]
    return np.asarray([all(pair) for pair in zip(*columns, strict=True)], bool)


def _column(place: Place, name: str) -> list[bytes | None]:
    return _read(place.path, place.group, name, place.path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, group: int | None, name: str, written: int) -> list[bytes | None]:
    column: list[bytes | None] = read_part(path, name.__eq__, group)[name].to_pylist()
    return column
