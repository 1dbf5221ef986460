"""A cell: the six words of one evaluation, with an address that does not change unless its rows could."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vauban import metrics
from vauban.core.answers import check_answerable
from vauban.core.cards import carded, lacking
from vauban.core.errors import ContractError, MissingExtra, plural
from vauban.core.goals import Goal
from vauban.core.norms import Ball
from vauban.core.rng import seeded
from vauban.core.tolerance import tolerance
from vauban.data import Dataset
from vauban.engine import Attack, BoundThreat
from vauban.engine.first_answer import first_answer, out_of_memory
from vauban.engine.network import quiet
from vauban.evaluate.audited_rows import merged
from vauban.evaluate.batch import evaluate_batch
from vauban.evaluate.columns import columns
from vauban.evaluate.settings import Settings
from vauban.evaluate.unchanged import State, state_of
from vauban.jobs.environment import environment
from vauban.jobs.identity import address, computed_by, describe, source_digests
from vauban.jobs.provenance import source_files
from vauban.metrics.base import Metric
from vauban.statistics.audit import due
from vauban.store import sources
from vauban.words.labels import stage_labels
from vauban.words.named import Named

DTYPE = "float32"  # of the images that are evaluated
PROBE = 4  # samples whose logits are stored with a cell and compared on resume


@dataclass(frozen=True, eq=False)
class Cell:
    """One model behind one defence on one data set, under one threat, against one attack pursuing one goal."""

    model: Named[nn.Module]
    defence: Named[Any]
    defended: nn.Module
    data: Dataset
    named_threat: Named[Any]
    threat: BoundThreat
    attack: Named[Attack]
    goal: Goal
    settings: Settings
    salt: int = 0
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def threat_name(self) -> str:
        """What tables call the threat."""
        return self.named_threat.name

    @property
    def label(self) -> str:
        """What messages call the cell."""
        return f"{self.model.name} | {self.defence.name} | {self.threat_name} | {self.attack.name}"

    @property
    def hash(self) -> str:
        """The content address of the cell."""
        return address({**self.identity(), "salt": self.salt})

    @property
    def probe(self) -> Tensor:
        """The defended model's logits on the first samples, `(PROBE, classes)`, NaN where they are not finite; of a random
        model, none."""
        if "probe" not in self._cache:
            self._cache["probe"] = self._probe()
        images: Tensor = self._cache["probe"]
        return images

    def _probe(self) -> Tensor:
        if self.threat.randomised:
            return torch.empty(0)
        batch = self.data.take(PROBE).to(self.settings.device)
        logits = answers(self.defended, batch.x)
        columns, rejects = logits.shape[1], self.threat.rejects
        check_answerable(batch.y, len(batch), columns, rejects)
        if rejects and columns <= self.data.classes:
            raise ContractError(
                f"expected a model with a logit for 'rejected' beside the {plural(self.data.classes, 'class')} of the "
                f"data, got {plural(columns, 'logit')}; is it said by mistake that it rejects images?"
            )
        return logits.where(logits.isfinite(), torch.nan).cpu()

    @property
    def lacking(self) -> MissingExtra | None:
        """What the cell needs and is not installed: of the operations that BPDA differentiates in another's place."""
        return lacking(self.threat.backward.values())

    @property
    def state(self) -> State:
        """The networks' weights and buffers as they were when the cell was planned."""
        state: State = self._cache.setdefault("state", None) or state_of(self.threat.parts)
        self._cache["state"] = state
        return state

    def salted(self, salt: int) -> Cell:
        """The same cell under another address: its model answers differently from what is stored."""
        return replace(self, salt=salt)

    def randomised(self) -> Cell:
        """The same cell with the model declared random."""
        kept = {"network": self._cache["network"], "files": self._files()} if "network" in self._cache else {}
        kept["state"] = self.state
        return replace(self, threat=replace(self.threat, random=True), _cache=kept)

    def identity(self) -> dict[str, Any]:
        """Everything that can change a row, as JSON: taken once, before anything runs, as a model may count its calls."""
        if "identity" not in self._cache:
            self._cache["identity"] = self._identity()
        identity: dict[str, Any] = self._cache["identity"]
        return identity

    def _identity(self) -> dict[str, Any]:
        s, t = self.settings, self.threat
        if "network" not in self._cache:
            self._cache["network"] = describe(self.defended)
        threat = {
            "name": t.name,
            "budget": t.budget,
            "draws": t.draws,
            "random": t.randomised,
            "levels": t.levels,
            "grants": sorted(t.grants),
            "limit": describe(t.limit),
            "target": None if t.target is self.defended else describe(t.target),
            "backward": [[t.parts.index(part), describe(rule)] for part, rule in t.backward.items()],
            "sources": [["itself" if m is self.defended else describe(m), w] for m, w in t.sources],
        }
        return {
            "attack": describe(self.attack.value),
            "goal": describe(self.goal),
            "threat": threat,
            "model": self._cache["network"],
            "cards": [describe(card) for _, card in carded(self.defended)],
            "data": self.data.fingerprint,
            "batch_size": s.batch_size,
            "seed": s.seed,
            "dtype": DTYPE,
            **computed_by(s.device),
            "sources": source_digests(self._files()),
            **({"metrics": list(s.metrics)} if s.metrics else {}),
            **({} if s.precision == "float32" else {"precision": s.precision}),
            **({"compiled": True} if self.threat.compiled else {}),
        }

    def _files(self) -> list[Path]:
        """The source files that can change a row."""
        if "files" not in self._cache:
            parts = (
                self.attack.value,
                self.defended,
                self.threat,
                self.goal,
                evaluate_batch,
                columns,
                *self.metric_functions.values(),
                *(() if self.attack.value.audit is None else (due, merged)),
            )
            named = [self.model, self.defence, self.attack, self.named_threat]
            extra = [file for word in named for file in word.files]
            self._cache["files"] = source_files(*parts, *(word.value for word in named), extra=extra)
        files: list[Path] = self._cache["files"]
        return files

    @property
    def metric_functions(self) -> dict[str, Metric]:
        """The further metrics of the study, by column name."""
        return {name: metrics.registry.get(name).make for name in self.settings.metrics}

    def meta(self) -> dict[str, Any]:
        """The facts stored beside the rows; `tolerance` is what a distance may exceed its budget by, in pixel units."""
        s, attack = self.settings, self.attack.value
        ball, norm = attack.ball, attack.norm
        fixed = isinstance(ball, Ball) and isinstance(ball.radius, (int, float))
        return {
            "model": self.model.name,
            "defence": self.defence.name,
            "network": address(describe(self.defended)),
            "data": data_name(self.data),
            "data_fingerprint": self.data.fingerprint,
            "threat": self.threat_name,
            "attack": self.attack.name,
            "goal": str(self.goal),
            "norm": norm.name,
            "eps": float(ball.radius) if fixed and isinstance(ball, Ball) else None,
            "d_upp": self.data.budgets.get(norm.name),
            "levels": self.threat.levels if attack.rounded else None,
            "loss": _name(getattr(self.attack.value, "loss", None)),
            "classes": self.data.classes,
            "rejects": self.threat.rejects or bool(getattr(self.goal, "rejects", False)),
            "class_names": list(self.data.class_names),
            "seed": s.seed,
            "batch_size": s.batch_size,
            "n": len(self.data),
            "dtype": DTYPE,
            "tolerance": tolerance(DTYPE),
            "device": s.device,
            **({} if s.precision == "float32" else {"precision": s.precision}),
            **({"compiled": True} if self.threat.compiled else {}),
            "torch": torch.__version__,
            "versions": {p: version(p) for p in ("vauban", "torch", "torchvision", "numpy")}
            | {"python": platform.python_version()},
            "environment": environment(),
            "params": {
                "attack": describe(self.attack.value, defaults=True),
                "threat": {"draws": self.threat.draws, "budget": self.threat.budget, "bpda": len(self.threat.backward)},
                "defence": [describe(card, defaults=True) for _, card in carded(self.defended)],
            },
            "sources": sources.described(self._files()),
            "randomised": self.threat.randomised,
            "clean_only": False,
            "stages": list(stage_labels(attack, self.data.shape)),
            "metrics": [{"name": name, **metrics.registry.get(name).facts} for name in s.metrics],
            "needs": attack.needs,
            "one_step": attack.one_step,
            "probe": [[None if v != v else v for v in row] for row in self.probe.tolist()],
        }


def answers(model: nn.Module, x: Tensor) -> Tensor:
    """The logits of x, drawn under a seed of their own; where memory runs out, of its two halves, and so on.

    Raises:
        ContractError: The model fails on x.
    """
    try:
        with quiet(list(model.modules())), seeded("answers", device=x.device):
            return first_answer(model, x)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error) or len(x) == 1:
            raise
    return torch.cat([answers(model, half) for half in torch.split(x, -(-len(x) // 2))])


def data_name(data: Dataset) -> str:
    """The data set with its split."""
    return f"{data.name}/{data.split}" if data.split else data.name


def _name(value: Any) -> str | None:
    return None if value is None else str(getattr(value, "__name__", value))
