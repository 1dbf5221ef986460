"""Progress of a run of jobs, as whoever shows it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vauban.core.contracts import Artefact, Job


@dataclass(frozen=True)
class Progress:
    """A step of a run.

    Attributes:
        work: The job or the artefact.
        done: Samples finished so far; of an artefact, of whatever it counts.
        total: Samples in all.
        columns: The rows of the part that has just been made; None where it was stored already
            or has failed.
        failures: Parts that have failed so far.
    """

    work: Job | Artefact
    done: int
    total: int
    columns: Mapping[str, Any] | None = None
    failures: int = 0


Tell = Callable[[Progress], None]
