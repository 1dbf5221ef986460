"""A study: models x defences x threats x attacks on one data set, in a directory that can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vauban import data as datasets
from vauban.core.errors import ContractError
from vauban.core.goals import Goal
from vauban.data import Dataset
from vauban.engine.network import predict, quiet
from vauban.evaluate.checks import Preflight, check_study
from vauban.evaluate.plan import Cell, Settings, make_cells
from vauban.evaluate.runner import Outcome, Progress, run_cell
from vauban.evaluate.words import Named, attack_of, defence_of, model_of, threat_of
from vauban.store.parquet import Store

log = logging.getLogger("vauban")


class Study:
    """Every attack against every model behind every defence under every threat, on one data set.

    out: the run directory. data: a name or a Dataset. models, defences, threats, attacks: names, `file.py:name` or
    objects; a mapping gives names to objects. threats=None: white-box, and adaptive where a defence's card prescribes
    more. labels="own" replaces the labels by each model's own answers. batch_size=None chooses one from the image size;
    it is part of a cell's identity. levels="data" rounds to the pixel levels of the data, None does not round.
    """

    def __init__(
        self, out: str | Path, *, data: str | Dataset, models: Any, attacks: Any, defences: Any = ("none",),
        threats: Any = None, goal: Goal | str = "untargeted", labels: str = "true", seed: int = 0,
        batch_size: int | None = None, device: str = "cpu", levels: int | str | None = "data",
        budget: int | None = None, save_images: bool = False, preflight: bool = True, root: str | Path | None = None,
    ) -> None:  # fmt: skip
        if labels not in ("true", "own"):
            raise ContractError(f"expected labels 'true' or 'own', got {labels!r}")
        self.store = Store(out)
        self.data = datasets.load(data, root=root, labels=labels)  # type: ignore[arg-type]
        self.preflight = preflight
        size = batch_size or automatic_batch_size(self.data)
        self.settings = Settings(seed, size, device, levels, budget, save_images)
        self.cells: list[Cell] = []
        named_defences = [defence_of(d) for d in _list(defences)]
        named_threats = None if threats is None else [threat_of(t) for t in _list(threats)]
        named_attacks = [attack_of(a, self.data) for a in _list(attacks)]
        for model in _models(models):
            model.value.to(device)
            labelled = self._labelled(model) if labels == "own" else self.data
            self.cells += make_cells(
                [model], named_defences, named_threats, named_attacks, labelled, goal, self.settings
            )
        if not self.cells:
            raise ContractError("expected at least one model, one defence and one attack, got an empty study")

    def _labelled(self, model: Named[nn.Module]) -> Dataset:
        """The data with the model's own answers as labels."""
        batches = self.data.batches(self.settings.batch_size, self.settings.device)
        with quiet(list(model.value.modules())):
            answers = [predict(model.value, batch.x).argmax(1).cpu() for batch in batches]
        return self.data.relabel(torch.cat(answers))

    def run(self, progress: Progress | None = None) -> list[Outcome]:
        """Run what is not stored yet; finished work is never repeated. Writes rows as it goes, findings at the end."""
        self.store.write_study(self.plan())
        looked = Preflight()
        outcomes: list[Outcome] = []
        for cell in self.cells:
            cell, found = looked.check(cell) if self.preflight else (cell, None)
            outcomes.append(run_cell(self.store, cell, progress, found))
        outcomes = [run_cell(self.store, o.cell, progress, []) if o.state == "busy" else o for o in outcomes]
        self.store.write_study(self.plan() | {"cells": [o.cell.hash for o in outcomes]})
        if self.preflight:
            check_study(self.store, [o.cell for o in outcomes])
        return outcomes

    def plan(self) -> dict[str, Any]:
        """What `study.json` holds."""
        first = self.cells[0]
        return {
            "data": str(self.data), "models": list(dict.fromkeys(c.model.name for c in self.cells)),
            "defences": list(dict.fromkeys(c.defence.name for c in self.cells)),
            "threats": list(dict.fromkeys(c.threat_name for c in self.cells)),
            "attacks": list(dict.fromkeys(c.attack.name for c in self.cells)),
            "goal": str(first.goal), "seed": self.settings.seed, "batch_size": self.settings.batch_size,
            "device": self.settings.device, "n": len(self.data), "preflight": self.preflight,
        }  # fmt: skip

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report page from the stored rows."""
        from vauban.report import page

        return page.write(self.store.path, path)


def automatic_batch_size(data: Dataset) -> int:
    """A power of two from 8 to 256 that holds about two million components."""
    features = max(1, torch.Size(data.shape).numel())
    return int(min(256, max(8, 2 ** (2_000_000 // features).bit_length() // 2)))


def _models(words: Any) -> Iterable[Named[nn.Module]]:
    if isinstance(words, dict):
        return [Named(str(name), model_of(word).value) for name, word in words.items()]
    found = [model_of(word) for word in _list(words)]
    names = [m.name for m in found]
    return [
        Named(f"{m.name} #{names[: i + 1].count(m.name)}", m.value) if names.count(m.name) > 1 else m
        for i, m in enumerate(found)
    ]


def _list(words: Any) -> Sequence[Any]:
    return list(words) if isinstance(words, (list, tuple)) else [words]
