"""Gate of continuous integration: the checks that a run passes or fails, with reasons in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vauban.core.errors import ContractError
from vauban.report.run.headlines import BudgetBound, Headline, headlines
from vauban.report.run.judged_cells import judged_network
from vauban.report.shared import format as fmt
from vauban.store import CellRows, Run

Compared = Literal["interval", "point"]
"""What of a robust accuracy is compared: the lower end of its 95 % interval, or the estimate."""


@dataclass(frozen=True)
class Check:
    """One check of a run.

    Attributes:
        group: What is checked: `cell`, `gate` or `comparison`.
        name: Of whom, in one line.
        failures: Why it fails, one sentence each; none: it passes.
        notes: What else is known, one sentence each.
        seconds: Time of the stored batches.
    """

    group: str
    name: str
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def check_share(option: str, value: float) -> float:
    """A share as it is.

    Args:
        option: What it was given to, for the error.
        value: The number.

    Raises:
        ContractError: It is no number from 0 to 1.
    """
    if not 0 <= value <= 1:  # nan compares with nothing
        hint = f"; {value:g} percent is {value / 100:g}" if 2 <= value <= 100 else ""
        raise ContractError(f"expected {option} as a share from 0 to 1, got {value:g}{hint}")
    return value


def cell_checks(run: Run) -> list[Check]:
    """A check of each cell: it fails with a batch that failed or is missing, and with an invalid finding behind a number.

    A finding that another threat's attacks make immaterial, as the headline of the network has it, is a note.
    """
    invalid = {(h.model, h.defence, h.data): h.invalid for h in headlines(run)}
    return [_cell_check(cell, run, invalid.get(judged_network(cell), ())) for cell in run.cells]


def _cell_check(cell: CellRows, run: Run, behind: Sequence[str]) -> Check:
    about = {str(cell.meta["hash"]), " | ".join(str(cell.meta.get(k)) for k in ("model", "defence", "threat"))}
    findings = [*cell.findings, *(finding for finding in run.findings if finding.get("about") in about)]
    failures, notes = unfinished(cell), [] if cell.checked else ["the diagnostics were not asked"]
    for finding in findings:
        sentence = f"{finding.get('severity')} {finding.get('code')}: {finding.get('message')}"
        counts = finding.get("severity") == "invalid" and finding.get("code") in behind
        (failures if counts else notes).append(sentence)
    return Check("cell", cell_name(cell), tuple(failures), tuple(notes), float(cell.meta.get("seconds", 0.0)))


def cell_name(cell: CellRows) -> str:
    """Model, defence, threat and attack of a cell."""
    return " | ".join(str(cell.meta.get(key)) for key in ("model", "defence", "threat", "attack"))


def incomplete(run: Run) -> bool:
    """Whether a cell of the last plan has not all of its rows, was never begun, or could not be planned."""
    planned = set(run.study.get("cells", []))
    cells = [cell for cell in run.cells if cell.meta["hash"] in planned]
    return bool(run.study.get("missing")) or len(cells) < len(planned) or any(unfinished(cell) for cell in cells)


def check_finished(run: Run) -> None:
    """Raises ContractError where a run has not all of the rows of its last plan."""
    if incomplete(run):
        raise ContractError(
            f"{run.path}: expected a finished run, got one without all of its rows; vauban status says more"
        )


def unfinished(cell: CellRows) -> list[str]:
    """Why a cell has not all of its rows; none where it has."""
    if cell.failures:
        reason = next(iter(str(cell.failures[-1]["error"]).splitlines()), "")
        batches = fmt.plural(len(cell.failures), "batch")
        return [f"{batches} failed, the last with {reason}"]
    return [] if cell.complete else [f"{len(cell.columns['id'])} of {cell.meta.get('n', '?')} images have rows"]


def gate_checks(run: Run, least: float, compared: Compared = "interval") -> list[Check]:
    """Checks of every robust accuracy at a budget against the least one that is allowed.

    A number fails where it is lower, where what it rests on is unfinished, and where the diagnostics say that it cannot be
    relied on.

    Args:
        run: The run, its planned cells alone.
        least: The least robust accuracy, in [0,1].
        compared: What is compared with it.

    Raises:
        ContractError: `least` is no share.
    """
    check_share("--fail-under", least)
    checks = [_gate_check(h, bound, least, compared) for h in headlines(run) for bound in (*h.bounds, *h.other_bounds)]
    nothing = "no attack ran at a budget, so --fail-under has nothing to compare"
    return checks or [Check("gate", "robust accuracy at a budget", (nothing,))]


def _gate_check(headline: Headline, bound: BudgetBound, least: float, compared: Compared) -> Check:
    robust = bound.robust
    number = robust.value if compared == "point" else robust.interval.low
    failures = []
    if math.isnan(number) or number < least:
        of = "robust accuracy" if compared == "point" else "lower end of the 95 % interval of robust accuracy"
        failures.append(f"{of} {number:.3f} is below {least:g}")
    if headline.invalid:
        failures.append(f"robust accuracy cannot be relied on: invalid findings {', '.join(headline.invalid)}")
    if headline.unfinished:
        failures.append(f"robust accuracy rests on {headline.unfinished} unfinished cells")
    return Check(
        "gate", f"{headline.model} | {headline.defence} at {bound.budget}", tuple(failures), (fmt.rate(robust),)
    )
