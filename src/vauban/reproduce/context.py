"""Context of a run, which all its crafts and judges share, and the identities that name their folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vauban import metrics
from vauban.core.contracts import Artefact, Batch, Words
from vauban.core.goals import RandomWrong
from vauban.core.rng import Stream
from vauban.data import Dataset
from vauban.engine.network import predict
from vauban.jobs.identity import address, computed_by, describe, source_digests
from vauban.jobs.provenance import source_files
from vauban.metrics.of_network.base import NetworkMetric
from vauban.reproduce.crafting import craft_batch
from vauban.reproduce.declarations import Craft, Judge
from vauban.reproduce.declarations import Path as Before
from vauban.reproduce.judging import opinions
from vauban.reproduce.networks import Networks

TARGET_SEED = 0
CLEAN = "clean"  # the images before any attack


@dataclass(frozen=True, eq=False)
class CraftedImages:
    """A craft of one seed as it is stored: `key` names its folder; seed and craft None for the clean images."""

    key: str
    seed: int
    craft: Craft | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """The data, the networks and the store of one run. `out/crafted` and `out/judged` are shared between experiments.

    Attributes:
        data: The images.
        networks: The networks by role.
        out: The store.
        batch_size: Images of a part.
        device: Where the networks are.
        root: Of the data sets.
        origin: The words that make a job of the run again elsewhere, without its address.
    """

    data: Dataset
    networks: Networks
    out: Path
    batch_size: int
    device: str = "cpu"
    root: str | Path | None = None
    origin: Words | None = None
    _code: dict[Any, list[str]] = field(default_factory=dict, repr=False)

    @cached_property
    def targets(self) -> Tensor:
        """The target of each image `(n,)`: the data set's own, else a wrong class drawn once, the same for every seed."""
        if self.data.targets is not None:
            return self.data.targets
        goal = RandomWrong().resolve(self.data.y, None, self.data.classes, Stream(TARGET_SEED, self.data.rows))
        assert goal.target is not None
        return goal.target

    @cached_property
    def common(self) -> dict[str, Any]:
        """What every identity shares: data, targets, partition, device type, torch's minor version."""
        return {
            "data": self.data.fingerprint,
            "targets": describe(self.targets),
            "batch_size": self.batch_size,
            **computed_by(self.device),
        }

    def batches(self) -> list[Tensor]:
        """Positions of the images of each batch."""
        return list(torch.split(torch.arange(len(self.data)), self.batch_size))

    def batch(self, index: Tensor) -> tuple[Batch, Tensor]:
        """The images at these positions and their targets, on the device."""
        return self.data.batch(index).to(self.device), self.targets[index].to(self.device)

    def code(self, parts: Sequence[tuple[Any, Any]], *functions: Any) -> list[str]:
        """Digests of the source files behind (description, object) pairs and functions, each read once in a run."""
        described = ((address({"part": description}), held) for description, held in parts)
        asked = [*described, *((function, function) for function in functions)]
        for key, held in asked:
            if key not in self._code:
                self._code[key] = source_digests(source_files(held))
        return sorted({digest for key, _ in asked for digest in self._code[key]})


def craft_identity(context: Context, craft: Craft, seed: int, fitted: Artefact | None = None) -> dict[str, Any]:
    """Everything that can change a saved image, the code included.

    Args:
        context: The run.
        craft: The craft.
        seed: Of its random numbers.
        fitted: What stands for the attack where it is fitted first.
    """
    what = {
        "attack": describe(craft.attack) if fitted is None else {"artefact": address(fitted.identity())},
        "through": sources_identity(context, craft),
        "targeted": craft.targeted,
        "draws": craft.draws,
        "clip": craft.clip,
        "mask": craft.mask,
        "grid": craft.grid,
        "keep": craft.keep,
        "saved": craft.saved,
        **({} if craft.budget is None else {"budget": craft.budget}),
        **({} if craft.threat is None else {"threat": describe(craft.threat)}),
    }
    parts = [(what["attack"], craft.attack), *source_parts(context, craft)]
    if craft.threat is not None:
        parts.append((what["threat"], craft.threat))
    return {**context.common, **what, "seed": seed, "sources": context.code(parts, craft_batch)}


def sources_identity(context: Context, craft: Craft) -> list[dict[str, Any]]:
    """The networks that a craft attacks, as they stand in identities."""
    return [
        {
            "network": context.networks.describe(t.network),
            "path": [[p.name, describe(p)] for p in t.path],
            "weight": t.weight,
            "bpda": t.bpda,
        }
        for t in craft.through
    ]


def source_parts(context: Context, craft: Craft) -> list[tuple[Any, Any]]:
    """Those networks and what stands before them, each with its description."""
    return [part for t in craft.through for part in _described(context, t.network, t.path)]


def judge_identity(context: Context, images: CraftedImages | None, judge: Judge, seed: int) -> dict[str, Any]:
    """Everything that can change an answer; images None for the originals."""
    what = {
        "networks": [context.networks.describe(role) for role in judge.networks],
        "path": [[p.name, describe(p)] for p in judge.path],
        "rule": judge.rule,
    }
    parts = [part for role in judge.networks for part in _described(context, role, judge.path)]
    key = CLEAN if images is None else images.key
    return {**context.common, **what, "images": key, "seed": seed, "sources": context.code(parts, opinions)}


def measure_identity(context: Context, images: CraftedImages, metric: str) -> dict[str, Any]:
    """Everything that can change a metric of the registry on saved images."""
    code = context.code([(metric, metrics.registry.get(metric).make)])
    return {**context.common, "metric": metric, "images": images.key, "seed": images.seed, "sources": code}


def network_measure_identity(
    context: Context, images: CraftedImages | None, metric: NetworkMetric, network: str, seed: int
) -> dict[str, Any]:
    """Everything that can change a metric of a network on saved images; images None for the originals."""
    described = {"metric": describe(metric), "network": context.networks.describe(network)}
    code = context.code([(described["metric"], metric), *_described(context, network, ())], predict)
    return {
        **context.common,
        **described,
        "images": CLEAN if images is None else images.key,
        "seed": seed,
        "sources": code,
    }


def _described(context: Context, role: str, path: tuple[Before, ...]) -> list[tuple[Any, Any]]:
    """A network and what stands before it, each with its description."""
    return [(context.networks.describe(role), context.networks.held(role)), *((describe(part), part) for part in path)]
