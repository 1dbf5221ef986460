"""A study in a worker process: made again from its words, once, and its cells as jobs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from vauban.evaluate.audit import AuditJob
from vauban.evaluate.diagnostics.findings import Finding
from vauban.evaluate.job import CellJob
from vauban.evaluate.planted.job import PlantedJob
from vauban.evaluate.study import Study


@lru_cache(maxsize=4)
def _study(words: str) -> Study:
    return Study(**json.loads(words))


def cell_job(
    study: Mapping[str, Any], cell: int, random: bool, salt: int, findings: Sequence[Mapping[str, Any]] | None
) -> CellJob:
    """The job of a cell in another process.

    Args:
        study: The arguments of the study.
        cell: The position of the cell in its plan.
        random: Whether the preflight declared the model random.
        salt: The salt of its address.
        findings: What the preflight says of the model; None: no diagnostics.
    """
    whole = _study(json.dumps(dict(study), sort_keys=True))
    planned = whole.cells[cell].randomised() if random else whole.cells[cell]
    opened = planned.salted(salt) if salt else planned
    said = None if findings is None else [Finding.from_json(finding) for finding in findings]
    return CellJob(whole.store, whole.store.cell(opened.hash), opened, said)


def cell_audit(cell: Mapping[str, Any], ids: Sequence[int]) -> AuditJob:
    """The job of an audit in another process.

    Args:
        cell: The arguments of `cell_job`.
        ids: The samples.
    """
    return AuditJob(cell_job(**cell), tuple(ids))


def cell_planted(cell: Mapping[str, Any], ids: Sequence[int]) -> PlantedJob:
    """The job of a planted test in another process.

    Args:
        cell: The arguments of `cell_job`.
        ids: The samples.
    """
    return PlantedJob(cell_job(**cell), tuple(ids))
