"""`vauban reproduce`: an experiment at a scale, from its declaration to `OUT/<id>-<scale>/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vauban import __version__, data
from vauban.core.errors import ContractError, UnknownName
from vauban.data import Dataset
from vauban.evaluate.study import automatic_batch_size
from vauban.reproduce import load, panels
from vauban.reproduce.context import Context
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.fit_on_use import fitted
from vauban.reproduce.networks import Networks
from vauban.reproduce.pictures import pictures
from vauban.reproduce.plan import Plan, Progress, plan
from vauban.reproduce.printed import beside, printed
from vauban.reproduce.results import row
from vauban.reproduce.training import line
from vauban.store import files

UNTRAINED = "networks with random weights: a trial of the code, the numbers mean nothing"


@dataclass(frozen=True)
class Options:
    """images: at most the scale's, None for all of them. seeds: None for the scale's. batch_size: None chooses one from the
    image size; it is part of the identity of what is stored. untrained: random weights where a scale would fetch or
    train some."""

    images: int | None = None
    seeds: tuple[int, ...] | None = None
    data_root: str | Path | None = None
    device: str = "cpu"
    batch_size: int | None = None
    command: str = ""
    untrained: bool = False


def run(
    name: str,
    scale: str,
    out: str | Path,
    *,
    images: int | None = None,
    seeds: Sequence[int] | None = None,
    data_root: str | Path | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    command: str = "",
    untrained: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Run what is not stored yet and write `reproduction.json`, `table.md` and `report.html`; returns their folder.

    Raises UnknownName for an id or a scale, ContractError for a declaration that does not hold, MissingData.
    """
    given = None if seeds is None else tuple(seeds)
    options = Options(images, given, data_root, device, batch_size, command, untrained)
    experiment = load(name)
    chosen = scale_of(experiment, scale)
    if untrained:
        chosen = replace(chosen, setting="stand-in", note=UNTRAINED)
    experiment = replace(experiment, scales={**experiment.scales, scale: chosen})
    cells = list(experiment.cells(chosen))
    rows = printed(experiment.printed)
    found = [beside(cell, rows) for cell in cells]
    shown = [] if experiment.panels is None else list(experiment.panels(chosen))
    wanted = [*cells, *panels.needed(shown)]
    context = opened(chosen, Path(out), options)
    context.networks.train(_roles(wanted), progress)
    work = plan(context, fitted(wanted, context, data_root, progress), _seeds(chosen, options))
    done = work.run(progress)
    scored = [
        row(cell, judged, fact, experiment, chosen.setting)
        for cell, judged, fact in zip(cells, done.rows, found, strict=False)
    ]
    drawn = panels.drawn(shown, work, done.rows, len(cells))
    told = summary(experiment, scale, work, wanted, options) | {
        "figures": drawn.figures,
        "pictures": [*drawn.pictures, *pictures(work, cells)],
        "minutes": done.seconds / 60,
        "rows": [r for cell, r in zip(cells, scored, strict=True) if cell.key],
        "beyond": [r for cell, r in zip(cells, scored, strict=True) if not cell.key],
    }
    folder = Path(out) / f"{experiment.id}-{scale}"
    files.write_json(folder / "reproduction.json", told)
    publish(folder)
    return folder


def publish(folder: Path) -> None:
    """Write `report.html` and `table.md` from `reproduction.json`."""
    from vauban.report.reproduction import page

    page.write(folder)
    text = page.markdown(folder)

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    files.write_atomic(folder / "table.md", write)


def scale_of(experiment: Experiment, name: str) -> Scale:
    """The scale called `name`. Raises UnknownName."""
    if name not in experiment.scales:
        raise UnknownName(f"scale of {experiment.id}:", name, experiment.scales)
    return experiment.scales[name]


def opened(scale: Scale, out: Path, options: Options) -> Context:
    """The data and the networks of a scale; a network is loaded when a cell needs it."""
    size = options.batch_size
    if size is not None and size < 1:
        raise ContractError(f"expected a batch size of at least 1, got {size}")
    wanted = scale.images if options.images is None else options.images
    if not 1 <= wanted <= scale.images:
        raise ContractError(f"expected --images from 1 to {scale.images}, which the scale declares, got {wanted}")
    dataset: Dataset = data.load(scale.data, root=options.data_root)
    if len(dataset) < wanted:
        raise ContractError(
            f"expected {wanted} images in {scale.data}, got {len(dataset)}; lower the number by --images"
        )
    dataset = dataset[_spread(wanted, min(scale.images, len(dataset)))]
    networks = Networks(
        scale.models, options.device, _folder(options.data_root), options.untrained, scale.recipes, out / "networks"
    )
    return Context(dataset, networks, out, size or automatic_batch_size(dataset), options.device)


def _spread(wanted: int, among: int) -> Tensor:
    """Evenly spaced positions: files are often sorted by class."""
    return torch.arange(wanted) * among // wanted


def _folder(root: str | Path | None) -> Path | None:
    return None if root is None else Path(root).expanduser()


def _seeds(scale: Scale, options: Options) -> tuple[int, ...]:
    seeds = options.seeds or scale.seeds
    if not seeds or len(set(seeds)) != len(seeds):
        raise ContractError(f"expected at least one seed and each once, got {list(seeds)}")
    return seeds


def summary(
    experiment: Experiment, name: str, work: Plan, cells: Sequence[TableCell], options: Options
) -> dict[str, Any]:
    """Everything of `reproduction.json` but the time, the rows and what is drawn of them."""
    scale = experiment.scales[name]
    context, roles = work.context, _roles(cells)
    lowered = [f"{len(context.data)} of the {scale.images} images of this scale (--images)."]
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
        "seeds": list(_seeds(scale, options)),
        "data": {"name": scale.data, "fingerprint": context.data.fingerprint},
        "models": {
            role: {"spec": _spec(scale, role), "fingerprint": context.networks.fingerprint(role)} for role in roles
        },
        "notes": [*experiment.notes, *(lowered if len(context.data) < scale.images else [])],
    }


def _spec(scale: Scale, role: str) -> str:
    return line(scale.recipes[role]) if role in scale.recipes else scale.models[role]


def _roles(cells: Sequence[TableCell]) -> list[str]:
    """The roles that the cells need, in the order in which they appear."""
    crafts = [craft for cell in cells for craft in (cell.craft, *cell.also) if craft is not None]
    sources = [through.network for craft in crafts for through in craft.through]
    return list(dict.fromkeys([role for cell in cells for role in cell.judge.networks] + sources))
