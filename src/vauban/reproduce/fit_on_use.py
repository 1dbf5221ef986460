"""Attacks that an experiment fits on first use; what is fitted is kept by its content and shared between experiments."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vauban import data
from vauban.core.errors import ContractError, VaubanError
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.evaluate.fit import named, visits
from vauban.jobs.identity import address
from vauban.reproduce.context import Context, craft_identity
from vauban.reproduce.declarations import Craft, FitOnUse, TableCell
from vauban.reproduce.plan import Told
from vauban.store import files

log = logging.getLogger("vauban")
FOLLOWS = ("attack", "through", "draws", "grid", "device", "torch")  # of a craft, what the fit follows from


def fitted(
    cells: Sequence[TableCell], context: Context, root: str | Path | None = None, progress: Told | None = None
) -> list[TableCell]:
    """The cells with what was fitted in the place of every `FitOnUse`: read from `out/fitted`, or fitted now.

    A craft's identity then holds the fitted attack itself, by its content. root: of the data. progress(what, images seen,
    images in all) after every pass. Raises ContractError for a targeted craft, since its targets are those of other images,
    and where an image is fitted on that is attacked; VaubanError while another process fits the attack.
    """
    learner = FitWorker(context, root, progress or (lambda *_: None))
    return [_settled(cell, learner) for cell in cells]


def _settled(cell: TableCell, learner: FitWorker) -> TableCell:
    craft = None if cell.craft is None else learner.craft(cell.craft)
    return replace(cell, craft=craft, also=tuple(learner.craft(craft) for craft in cell.also))


@dataclass(frozen=True, eq=False)
class FitWorker:
    """A file is named by the hash of the fitter, the networks, the grid and the data, not by the code that fits: the fitted
    attack is an input of what is crafted with it, by its bytes."""

    context: Context
    root: str | Path | None
    told: Told
    _known: dict[Craft, Craft] = field(default_factory=dict, repr=False)

    def craft(self, craft: Craft) -> Craft:
        """The craft with a fitted attack."""
        if not isinstance(craft.attack, FitOnUse):
            return craft
        if craft not in self._known:
            self._known[craft] = replace(craft, attack=self._attack(craft, craft.attack))
        return self._known[craft]

    def _attack(self, craft: Craft, learnt: FitOnUse) -> Attack:
        dataset = self._others(craft, learnt)
        identity = craft_identity(self.context, craft, 0)
        what = {name: identity[name] for name in FOLLOWS} | {"data": dataset.fingerprint}
        short = type(learnt.fitter).__name__.lower()
        path = self.context.out / "fitted" / f"{short}-{address(what)}.safetensors"
        if not path.exists():
            with files.lock(path.with_suffix(".lock")) as mine:
                if not mine:
                    raise VaubanError(f"{path}: another process fits this attack; wait for it, or choose another --out")
                if not path.exists():
                    self._fit(craft, learnt, dataset, path, what)
        return learnt.fitter.load(path)

    def _others(self, craft: Craft, learnt: FitOnUse) -> Dataset:
        if craft.targeted:
            raise ContractError(f"expected an untargeted craft for an attack that is fitted, got {craft}")
        dataset, judged = data.load(learnt.data, root=self.root), self.context.data
        both = {*dataset.rows.tolist()} & {*judged.rows.tolist()}
        if both and (dataset.name, dataset.split) == (judged.name, judged.split):
            raise ContractError(f"expected to fit on other images than those attacked, got image {min(both)} in both")
        return dataset

    def _fit(self, craft: Craft, learnt: FitOnUse, dataset: Dataset, path: Path, what: dict[str, Any]) -> None:
        log.info("fitting %s: %s on %s", path.name, learnt.fitter, learnt.data)
        total, seen = getattr(learnt.fitter, "epochs", 1) * len(dataset), 0

        def passed(images: int, rate: float) -> None:
            nonlocal seen
            seen += images
            self.told(f"fitting on {learnt.data}", seen, total)

        self.told(f"fitting on {learnt.data}", 0, total)
        threat = self.context.networks.threat(craft)
        found = learnt.fitter.fit(threat, visits(dataset, self.context.device), callback=passed)
        learnt.fitter.save(found, path, {**what, "data": named(dataset)})
        self.told(f"fitting on {learnt.data}", total, total)
