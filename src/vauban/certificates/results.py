"""Results of certificates: their rows, and certified and empirical accuracy against radius as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vauban.core.errors import plain
from vauban.jobs.runner import Outcome
from vauban.report.run.certified import certified_table, remarks_of
from vauban.store.job_rows import JobRows
from vauban.store.query import CellRows


@dataclass(frozen=True, repr=False)
class CertificateResults:
    """What `vauban.certify` gives; it prints as a table.

    Attributes:
        path: The run directory; one that was temporary is gone.
        certificates: The rows of each, in the order in which they were given.
        outcomes: How each job ended.
        cells: Those of the run directory, whose attacks count against a bound of the network that they judge.
    """

    path: Path
    certificates: tuple[JobRows, ...]
    outcomes: tuple[Outcome, ...]
    cells: Sequence[CellRows] = ()

    def __repr__(self) -> str:
        lines = []
        for rows in self.certificates:
            lines += [certified_table(rows), *(remark.text for remark in remarks_of(rows, self.cells)), ""]
        return plain("\n".join(lines).rstrip())
