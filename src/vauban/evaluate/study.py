"""A study: models x defences x threats x attacks on one data set, in a directory that can be resumed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vauban import data as datasets
from vauban.core.errors import ContractError, VaubanError
from vauban.core.goals import Goal
from vauban.data import Dataset
from vauban.evaluate.cell import Cell, Settings, answers
from vauban.evaluate.diagnostics.checks import Preflight, check_study
from vauban.evaluate.diagnostics.findings import Finding
from vauban.evaluate.magnified import magnify_examples
from vauban.evaluate.plan import make_cells
from vauban.evaluate.runner import Outcome, Progress, open_cell, run_cell
from vauban.store.parquet import Store
from vauban.words.attack import attack_of
from vauban.words.named import Named, defence_of, model_of, threat_of

log = logging.getLogger("vauban")


class Study:
    """Every attack against every model behind every defence under every threat, on one data set.

    out: the run directory. data: a name or a Dataset. models, defences, threats, attacks: names, `file.py:name` or
    objects; a mapping gives names to objects. threats=None: white-box, and adaptive where a defence's card prescribes
    more. labels="own" replaces the labels by each model's own answers. batch_size=None chooses one from the image size;
    it is part of a cell's identity. levels="data" rounds to the pixel levels of the data, None does not round.
    """

    def __init__(
        self,
        out: str | Path,
        *,
        data: str | Dataset,
        models: Any,
        attacks: Any,
        defences: Any = ("none",),
        threats: Any = None,
        goal: Goal | str = "untargeted",
        labels: str = "true",
        seed: int = 0,
        batch_size: int | None = None,
        device: str = "cpu",
        levels: int | str | None = "data",
        budget: int | None = None,
        save_images: bool = False,
        preflight: bool = True,
        root: str | Path | None = None,
    ) -> None:
        if labels not in ("true", "own"):
            raise ContractError(f"expected labels 'true' or 'own', got {labels!r}")
        self.store = Store(out)
        self.data = datasets.load(data, root=root, labels=labels)  # type: ignore[arg-type]
        self.preflight = preflight
        self.command: list[str] | None = None  # what a report tells others to run; the command line sets it
        size = batch_size or automatic_batch_size(self.data)
        self.settings = Settings(seed, size, device, levels, budget, save_images)
        self.cells: list[Cell] = []
        named_defences = _named(defences, defence_of)
        named_threats = None if threats is None else _named(threats, threat_of)
        named_attacks = _named(attacks, lambda word: attack_of(word, self.data))
        for model in _apart(_named(models, model_of)):
            model.value.to(device)
            labelled = self._labelled(model) if labels == "own" else self.data
            self.cells += make_cells(
                [model], named_defences, named_threats, named_attacks, labelled, goal, self.settings
            )
        if not self.cells:
            raise ContractError("expected at least one model, one defence and one attack, got an empty study")
        self.cells = _once(self.cells)

    def _labelled(self, model: Named[nn.Module]) -> Dataset:
        """The data with the model's own answers as labels."""
        batches = self.data.batches(self.settings.batch_size, self.settings.device)
        return self.data.relabel(torch.cat([answers(model.value, batch.x).argmax(1).cpu() for batch in batches]))

    def run(self, progress: Progress | None = None) -> list[Outcome]:
        """Run what is not stored yet; finished work is never repeated. Writes rows as it goes, findings at the end."""
        hashes = [cell.hash for cell in self.cells]
        self.store.write_study(self.plan() | {"cells": hashes})
        looked = Preflight()
        outcomes: list[Outcome] = []
        checked: list[Sequence[Finding] | None] = []
        for i, planned in enumerate(self.cells):
            cell, found = self._look(looked, planned)
            opened = open_cell(self.store, cell)
            if opened[1].hash != hashes[i]:
                hashes[i] = opened[1].hash
                self.store.write_study(self.plan() | {"cells": hashes})
            checked.append(found)
            outcomes.append(run_cell(self.store, *opened, progress, found))
        for i, outcome in enumerate(outcomes):
            if outcome.state == "busy":
                log.warning("%s: another process runs it; waiting", outcome.cell.label)
                opened = self.store.cell(outcome.cell.hash), outcome.cell
                while outcomes[i].state == "busy":
                    time.sleep(0.2)
                    outcomes[i] = run_cell(self.store, *opened, progress, checked[i])
        if self.preflight:
            check_study(self.store, [o.cell for o in outcomes])
        magnify_examples(self.store, hashes, self.settings.device)
        return outcomes

    def _look(self, looked: Preflight, cell: Cell) -> tuple[Cell, Sequence[Finding] | None]:
        """The cell and what the preflight says of its model; None where nothing was asked or the model failed."""
        if not self.preflight:
            return cell, None
        try:
            return looked.check(cell)
        except VaubanError:
            raise
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else ""
            log.error("%s: preflight failed: %s: %s (going on without)", cell.label, type(error).__name__, reason)
            return cell, None

    def plan(self) -> dict[str, Any]:
        """What `study.json` holds."""
        first = self.cells[0]
        return {
            "data": str(self.data),
            "models": list(dict.fromkeys(c.model.name for c in self.cells)),
            "defences": list(dict.fromkeys(c.defence.name for c in self.cells)),
            "threats": list(dict.fromkeys(c.threat_name for c in self.cells)),
            "attacks": list(dict.fromkeys(c.attack.name for c in self.cells)),
            "goal": str(first.goal),
            "seed": self.settings.seed,
            "batch_size": self.settings.batch_size,
            "device": self.settings.device,
            "n": len(self.data),
            "preflight": self.preflight,
            "command": self.command,
        }

    def report(self, path: str | Path | None = None) -> Path:
        """Write the report page from the stored rows."""
        from vauban.report.run import page

        return page.write(self.store.path, path)


def automatic_batch_size(data: Dataset) -> int:
    """A power of two from 8 to 256 that holds about two million components."""
    features = max(1, torch.Size(data.shape).numel())
    return int(min(256, max(8, 2 ** (2_000_000 // features).bit_length() // 2)))


def _once(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of one identity have the same rows: the first of them stays."""
    kept: dict[str, Cell] = {}
    for cell in cells:
        first = kept.setdefault(cell.hash, cell)
        if first is not cell:
            log.warning("%s: the same as %s, which stands for both", cell.label, first.label)
    return list(kept.values())


def _named(words: Any, of: Callable[[Any], Named[Any]]) -> list[Named[Any]]:
    """Each word by its own name, or by the key of a mapping."""
    if isinstance(words, Mapping):
        return [replace(of(word), name=str(name)) for name, word in words.items()]
    return [of(word) for word in (words if isinstance(words, (list, tuple)) else [words])]


def _apart(found: list[Named[Any]]) -> list[Named[Any]]:
    """Models of one name, numbered."""
    names = [m.name for m in found]
    return [
        replace(m, name=f"{m.name} #{names[: i + 1].count(m.name)}") if names.count(m.name) > 1 else m
        for i, m in enumerate(found)
    ]
