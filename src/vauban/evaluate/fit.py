"""Fitting an attack on a data set into a file, with everything in its metadata that the fit followed from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vauban.attacks.parts.fitter import FitCallback, FitResult
from vauban.core.arguments import named_arguments
from vauban.core.contracts import Batch
from vauban.core.device import check_device
from vauban.core.errors import exits_are_errors
from vauban.core.goals import Goal, Untargeted
from vauban.core.parameters import check
from vauban.data import Dataset
from vauban.evaluate.batch_size import automatic_batch_size
from vauban.evaluate.cell import data_name
from vauban.evaluate.diagnostics.attack_checks import radius_findings
from vauban.evaluate.diagnostics.first_look import LOOKED_AT, first_look, tell
from vauban.jobs.identity import address, describe
from vauban.models import weights
from vauban.words import data as datasets
from vauban.words.fitter import fitter_of
from vauban.words.threat import threat_of


@dataclass(frozen=True)
class Visits:
    """The batches of a data set, made anew each time they are gone through."""

    data: Dataset
    size: int
    device: str = "cpu"

    def __iter__(self) -> Iterator[Batch]:
        return self.data.batches(self.size, self.device)


@named_arguments
@exits_are_errors()
def fit(
    attack: Any,
    model: nn.Module,
    data: Any,
    out: str | Path,
    *,
    threat: Any = "white-box",
    goal: Goal | None = None,
    seed: int = 0,
    device: str = "cpu",
    name: str = "",
    callback: FitCallback | None = None,
) -> FitResult[Any]:
    """Fit an attack and write it. The images are not rounded while fitting; what is crafted later is.

    What makes the numbers of a network doubtful is logged before the fit.

    Args:
        attack: `universal:eps=10/255`, or a fitter.
        model: The network to fit on.
        data: The images to fit on, as `vauban.data.load` takes them.
        out: File to write, .safetensors. Its metadata hold the attack's parameters, the goal, the seed, the threat, the
            name and the fingerprint of data and model, and what the fit has cost and reached.
        threat: What the fit may ask of the network.
        goal: What it is fitted for; untargeted by default.
        seed: Of a random network.
        device: Where to fit.
        name: The model's name in the metadata.
        callback: Called after each pass over the images.

    Returns:
        The fitted attack and its cost.

    Raises:
        ContractError: Another suffix, and what the words, the fitter and the oracle raise.
    """
    check("fit", "seed", seed, int)
    check_device(device)
    path, data = weights.output(out), datasets.load(data)
    fitter, named_threat = fitter_of(attack, data), threat_of(threat)
    tell(radius_findings(getattr(fitter.value, "ball", None), data.shape, len(data)))
    model = model.to(device)
    bound = named_threat.value.bind(model, levels=None, budget=None)
    goal = goal or Untargeted()
    tell(first_look(bound, data.take(LOOKED_AT).to(device), "gradients", seed, data.known_classes, data.y)[1])
    fitted = fitter.value.fit(bound, visits(data, device), goal, seed=seed, callback=callback)
    meta = {
        "recipe": describe(fitter.value),
        "goal": str(goal),
        "threat": named_threat.name,
        "seed": seed,
        "data": named(data),
        "model": {"name": name, "fingerprint": address({"module": describe(model)})},
        "torch": torch.__version__,
    }
    fitter.value.save(fitted, path, meta)
    return fitted


def visits(data: Dataset, device: str = "cpu") -> Visits:
    """The batches of a data set, of a size that fits in memory."""
    return Visits(data, automatic_batch_size(data), device)


def named(data: Dataset) -> dict[str, Any]:
    """What a file says of the data."""
    return {"name": data_name(data), "samples": len(data), "fingerprint": data.fingerprint}
