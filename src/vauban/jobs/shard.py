"""Shard: the parts of jobs that one of several processes performs, `--shard 2/8`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vauban.core.errors import ContractError


@dataclass(frozen=True)
class Shard:
    """Every n-th part of each job, from the i-th on.

    Attributes:
        index: i, from 1.
        of: n, the number of shards.

    Raises:
        ContractError: i is not from 1 to n.
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.of:
            raise ContractError(f"expected a shard i/n with i from 1 to n, got {self}; the first of eight is 1/8")

    @classmethod
    def read(cls, text: str | Shard | None) -> Shard | None:
        """The shard of a text `i/n`. Raises ContractError."""
        if not isinstance(text, str):
            return text
        if (numbers := re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)) is None:
            raise ContractError(f"expected a shard i/n, such as 1/8, got {text!r}")
        return cls(int(numbers[1]), int(numbers[2]))

    def holds(self, index: int) -> bool:
        """Whether the part with a number, from 0, is in the shard."""
        return index % self.of == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"
