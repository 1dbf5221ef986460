"""Record of a run: `reproduction.json`, and the page and the table that are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vauban import __version__
from vauban.core.errors import plural
from vauban.reproduce import panels
from vauban.reproduce.claims import answered
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.judged import Judged
from vauban.reproduce.networks import Networks
from vauban.reproduce.pictures import pictures
from vauban.reproduce.plan import Plan
from vauban.reproduce.planned import Options, PlannedExperiment, seeds_of
from vauban.reproduce.results import UNMEASURED, measured, row
from vauban.reproduce.training_seeds import seeded_cells, seeded_recipes
from vauban.store import files


def record_of(run: PlannedExperiment, scale: str, options: Options, rows: Sequence[Judged | None]) -> dict[str, Any]:
    """What `reproduction.json` holds.

    Args:
        run: The experiment as it was run.
        scale: The name of its scale.
        options: What was chosen at the command line.
        rows: What each cell of the table is computed from; None where one of its jobs failed.
    """
    judged_cells = list(zip(run.cells, rows, strict=False))
    ours = [UNMEASURED if judged is None else measured(cell, judged) for cell, judged in judged_cells]
    scored = [
        row(cell, judged, number, fact, run.experiment, run.scale.setting) | _trainings(cell, run.scale)
        for (cell, judged), number, fact in zip(judged_cells, ours, run.printed, strict=True)
    ]
    numbers = {
        cell.label: number.estimate for cell, number in zip(run.cells, ours, strict=True) if number.estimate is not None
    }
    drawn = panels.drawn(run.panels, run.work, rows, len(run.cells))
    return summary(run.experiment, scale, run.work, run.wanted, options) | {
        "figures": drawn.figures,
        "matrices": drawn.matrices,
        "tables": drawn.tables,
        "pictures": [*drawn.pictures, *pictures(run.work, run.cells, rows)],
        "minutes": run.work.seconds() / 60,
        "rows": [r for cell, r in zip(run.cells, scored, strict=True) if cell.key],
        "claims": [answered(claim, numbers, run.scale.setting) for claim in run.experiment.claims],
        "beyond": [r for cell, r in zip(run.cells, scored, strict=True) if not cell.key],
    }


def _trainings(cell: TableCell, scale: Scale) -> dict[str, int]:
    """Over how many trainings the number of a cell runs, where there are several."""
    trained = len(seeded_cells(cell, scale))
    return {"trainings": trained} if trained > 1 else {}


def publish(folder: Path) -> None:
    """Write `report.html`, `table.md` and `table.tex` from `reproduction.json`."""
    from vauban.report.reproduction import page

    page.write(folder)
    files.write_bytes(folder / "table.md", page.markdown(folder).encode())
    files.write_bytes(folder / "table.tex", page.latex(folder).encode())


def summary(
    experiment: Experiment, name: str, work: Plan, cells: Sequence[TableCell], options: Options
) -> dict[str, Any]:
    """Everything of `reproduction.json` but the time, the rows and what is drawn of them."""
    scale = experiment.scales[name]
    context, recipes = work.context, seeded_recipes(scale)
    roles = dict.fromkeys(role for cell in cells for one in seeded_cells(cell, scale) for role in one.roles)
    lowered = [f"{len(context.data)} of the {plural(scale.images, 'image')} of this scale (--images)."]
    return {
        "id": experiment.id,
        "title": experiment.title,
        "source": experiment.source,
        "scale": name,
        "setting": scale.setting,
        "scale_note": scale.note,
        "command": options.command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "images": len(context.data),
        "seeds": list(seeds_of(scale, options)),
        "training_seeds": list(scale.training_seeds),
        "data": {"name": scale.data, "fingerprint": context.data.fingerprint},
        "models": {
            role: {
                "spec": str({**scale.models, **recipes, **scale.defended}[role]),
                "fingerprint": _fingerprint(context.networks, role),
            }
            for role in roles
        },
        "notes": [*experiment.notes, *(lowered if len(context.data) < scale.images else [])],
    }


def _fingerprint(networks: Networks, role: str) -> str:
    """Empty for a network whose package is not installed."""
    return networks.fingerprint(role) if networks.not_installed([role]) is None else ""
