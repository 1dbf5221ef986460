"""Fitting an attack, a defence or a network on a data set into a file, with all that the fit followed from in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from typing_extensions import TypeIs

from vauban.attacks.parts.fitter import FitResult, Fitter
from vauban.core.arguments import named_arguments
from vauban.core.contracts import Batch
from vauban.core.device import check_device
from vauban.core.errors import ContractError, exits_are_errors
from vauban.core.goals import Goal, Untargeted
from vauban.core.parameters import check
from vauban.core.precision import working_type
from vauban.core.rng import seeded
from vauban.data import Dataset
from vauban.defences.fitter import DefenceFit, DefenceFitter, TrainedDefenceFitter
from vauban.evaluate.batch_size import automatic_batch_size
from vauban.evaluate.cell import answers, data_name
from vauban.evaluate.diagnostics.attack_checks import radius_findings
from vauban.evaluate.diagnostics.first_look import LOOKED_AT, first_look, tell
from vauban.evaluate.training_facts import named_architecture
from vauban.jobs.identity import address, describe
from vauban.models import weights
from vauban.threats.fitter import NetworkFit, NetworkFitter
from vauban.words import data as datasets
from vauban.words.fitter import AnyFitter, fitter_of
from vauban.words.model import architecture, model_of
from vauban.words.named import Named
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
    fitter: Any,
    model: Any,
    data: Any,
    out: str | Path,
    *,
    threat: Any = None,
    goal: Goal | None = None,
    seed: int = 0,
    device: str = "cpu",
    name: str = "",
    scratch: str | Path | None = None,
    callback: Callable[..., None] | None = None,
) -> FitResult[Any] | DefenceFit[Any] | NetworkFit:
    """Fit an attack, a defence or a network and write it.

    The images are not rounded while fitting; what is crafted later is.

    What makes the numbers of a network doubtful is logged before an attack is fitted.

    Args:
        fitter: `universal:eps=10/255`, an attack, a defence or a network (`substitute:model=mnist-c4`) by name with the
            parameters of its fit, or an object.
        model: The network to fit on, or to ask, as `vauban.attack` takes one; None for a defence that is fitted on images
            alone.
        data: The images to fit on, as `vauban.data.load` takes them.
        out: File to write, .safetensors. Its metadata hold the fitter's parameters, the seed, the name and the fingerprint
            of data and model, and what the fit has cost and reached; of an attack also the goal and the threat.
        threat: What the fit of an attack may ask of the network; white-box by default.
        goal: What an attack is fitted for; untargeted by default.
        seed: Of a random network, of a fitted one's weights, and of a defence's own random numbers.
        device: Where to fit.
        name: The model's name in the metadata.
        scratch: Folder from which a training of a defence goes on after a kill; None: none is kept.
        callback: Of an attack called after each pass over the images, of a defence after each batch, of a network after
            each round.

    Returns:
        The fitted attack, defence or network, and its cost.

    Raises:
        ContractError: Another suffix, a threat or a goal for what is no attack, no network where one is read, and what the
            words, the fitter and the oracle raise.
    """
    check("fit", "seed", seed, int)
    check_device(device)
    path, data = weights.output(out), datasets.load(data)
    named_fitter = fitter_of(fitter, data)
    model = network_to_read(named_fitter, None if model is None else model_of(model).value, threat, goal)
    if isinstance(named_fitter.value, DefenceFitter):
        return _fit_defence(named_fitter.value, model, data, path, seed, device, name, scratch, callback)
    assert model is not None
    if isinstance(named_fitter.value, NetworkFitter):
        return _fit_network(named_fitter.value, model.to(device), data, path, seed, device, name, callback)
    return _fit_attack(named_fitter.value, model.to(device), data, path, threat, goal, seed, device, name, callback)


def fits_attack(fitter: AnyFitter) -> TypeIs[Fitter]:
    """Whether what is fitted is an attack, and no defence and no network."""
    return not isinstance(fitter, (DefenceFitter, NetworkFitter))


def network_to_read(
    fitter: Named[AnyFitter], model: nn.Module | None, threat: Any = None, goal: Goal | None = None
) -> nn.Module | None:
    """The network that a fit reads; None where it reads images alone, whatever network is named.

    Raises:
        ContractError: None is there where one is read, or a threat or a goal for what is no attack and has neither.
    """
    if not fits_attack(fitter.value) and (threat is not None or goal is not None):
        what = "defence" if isinstance(fitter.value, DefenceFitter) else "network"
        raise ContractError(
            f"expected no threat and no goal to fit the {what} {fitter.name!r}, got "
            f"{threat if threat is not None else goal}; they are those of an attack"
        )
    if isinstance(fitter.value, DefenceFitter) and not fitter.value.reads_network:
        return None
    if model is None:
        raise ContractError(f"expected a network to fit {fitter.name!r} on, got none; name one (--model)")
    return model


def _fit_attack(
    fitter: Fitter,
    model: nn.Module,
    data: Dataset,
    path: Path,
    threat: Any,
    goal: Goal | None,
    seed: int,
    device: str,
    name: str,
    callback: Callable[..., None] | None,
) -> FitResult[Any]:
    named_threat, goal = threat_of("white-box" if threat is None else threat), goal or Untargeted()
    tell(radius_findings(getattr(fitter, "ball", None), data.shape, len(data)))
    bound = named_threat.value.bind(model, levels=None, budget=None)
    tell(first_look(bound, data.take(LOOKED_AT).to(device), "gradients", seed, data.known_classes, data.y)[1])
    fitted = fitter.fit(bound, visits(data, device), goal, seed=seed, callback=callback)
    told = {"goal": str(goal), "threat": named_threat.name}
    fitter.save(fitted, path, {**_meta(fitter, model, data, seed, name), **told})
    return fitted


def _fit_defence(
    fitter: DefenceFitter,
    model: nn.Module | None,
    data: Dataset,
    path: Path,
    seed: int,
    device: str,
    name: str,
    scratch: str | Path | None,
    callback: Callable[..., None] | None,
) -> DefenceFit[Any]:
    if model is not None:
        model = model.to(device)
        answers(model, data.take(LOOKED_AT).to(device).x)
    fitted = fitted_defence(fitter, model, data, seed=seed, device=device, scratch=scratch, callback=callback)
    fitter.save(fitted, path, _meta(fitter, model, data, seed, name))
    return fitted


def fitted_defence(
    fitter: DefenceFitter,
    model: nn.Module | None,
    data: Dataset,
    *,
    seed: int = 0,
    device: str = "cpu",
    scratch: str | Path | None = None,
    callback: Callable[..., None] | None = None,
) -> DefenceFit[Any]:
    """The fit of a defence: on a stream of batches, or trained, from what a kill has left in a folder."""
    with seeded(seed, "fit", device=device):  # what a random network below it draws
        if not isinstance(fitter, TrainedDefenceFitter):
            return fitter.fit(model, visits(data, device), seed=seed, callback=callback)
        checkpoint = None if scratch is None else Path(scratch) / "fit.checkpoint"
        return fitter.train(model, data, seed=seed, device=device, checkpoint=checkpoint, callback=callback)


def _fit_network(
    fitter: NetworkFitter,
    model: nn.Module,
    data: Dataset,
    path: Path,
    seed: int,
    device: str,
    name: str,
    callback: Callable[..., None] | None,
) -> NetworkFit:
    named_network, looked_at = architecture(fitter.model), data.take(LOOKED_AT).to(device).x
    network = named_network.build(seed).to(device, working_type(looked_at.dtype))
    answers(model, looked_at)  # raises, with the likely cause, where it does not take them
    fitted = fitter.fit(model, network, visits(data, device), seed=seed, callback=callback)
    told = {**named_architecture(named_network), "edits": ""}
    fitter.save(fitted, path, {**_meta(fitter, model, data, seed, name), **told})
    return fitted


def _meta(fitter: AnyFitter, model: nn.Module | None, data: Dataset, seed: int, name: str) -> dict[str, Any]:
    network = None if model is None else {"name": name, "fingerprint": address({"module": describe(model)})}
    return {"recipe": describe(fitter), "seed": seed, "data": named(data), "model": network, "torch": torch.__version__}


def visits(data: Dataset, device: str = "cpu") -> Visits:
    """The batches of a data set, of a size that fits in memory."""
    return Visits(data, automatic_batch_size(data), device)


def named(data: Dataset) -> dict[str, Any]:
    """What a file says of the data."""
    return {"name": data_name(data), "samples": len(data), "fingerprint": data.fingerprint}
