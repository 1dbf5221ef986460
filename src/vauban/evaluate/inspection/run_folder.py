"""Run directory that is to be inspected: a finished one, and no folder of a reproduction."""

from __future__ import annotations

from pathlib import Path

from vauban.core.errors import ContractError
from vauban.store import Run, files, query
from vauban.store.parquet import Store


def ended_run(path: Path) -> Run:
    """The run of a directory in which nobody writes any more, read without pictures.

    Raises:
        ContractError: The directory holds no rows, is of a reproduction, or a run is still writing there.
    """
    if any(path.glob("reproduction.json")) or any(path.glob("*/reproduction.json")):
        studies = sorted(path.glob("studies/*/study.json")) or sorted(path.parent.glob("studies/*/study.json"))
        hint = f"; a study of it is one: {studies[0].parent}" if studies else ""
        raise ContractError(
            f"{path}: expected the run directory of an evaluation, got a folder of vauban reproduce, whose tables are "
            f"checked by running the same command again{hint}"
        )
    run = query.load(path, pictures=False)
    if not run.cells and not run.certificates and not run.measurements:
        raise ContractError(f"{path}: expected a run with rows, got a plan alone; run it to the end first")
    if busy := [cell for cell in Store(path).cells() if files.held(cell.path / "lock")]:
        raise ContractError(
            f"{path}: expected a run that has ended, got one that is writing {busy[0].path.relative_to(path)} now; wait "
            "for it"
        )
    return run
