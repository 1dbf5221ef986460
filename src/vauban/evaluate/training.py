"""Training a network from words to a weights file that says what it followed from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vauban import defences
from vauban.core.cards import carded, keys_of
from vauban.core.contracts import check_labels
from vauban.core.device import check_device
from vauban.core.errors import ContractError, plural
from vauban.core.rng import seeded
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.engine.first_answer import first_answer
from vauban.engine.network import check_gradients, quiet, shown
from vauban.engine.samples import Samples, Subset, accuracy
from vauban.evaluate.cell import data_name
from vauban.evaluate.diagnostics.attack_checks import parameter_findings
from vauban.evaluate.diagnostics.first_look import tell
from vauban.evaluate.training_facts import (
    architecture_facts,
    edits_text,
    every_part,
    networks_of,
    origin_of,
    told_epoch,
)
from vauban.evaluate.training_identity import training_identity
from vauban.jobs.identity import address
from vauban.models import weights
from vauban.models.architecture import Architecture
from vauban.store import files
from vauban.training.history import Epoch, TrainingHistory
from vauban.training.loop import learning, optimise
from vauban.training.recipe import Recipe
from vauban.training.run import TrainingRun
from vauban.training.samples import training_samples
from vauban.training.selection import Selection
from vauban.words import data as datasets
from vauban.words import selection as selections
from vauban.words.files import weights_in
from vauban.words.model import architecture, edits_of
from vauban.words.recipe import recipe_of

FORMAT = 3


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gives.

    Attributes:
        network: The trained network alone, in evaluation mode.
        defended: The network behind what it was trained behind; itself where that is nothing.
        epochs: What it went through, and which epoch's network was kept.
        file: Weights file that was written; None for none.
    """

    network: nn.Module
    defended: nn.Module
    epochs: TrainingHistory
    file: Path | None = None

    @property
    def history(self) -> tuple[Epoch, ...]:
        """The epochs, those before a kill included."""
        return self.epochs.history

    @property
    def validation(self) -> float | None:
        """Accuracy of the network that was kept on the validation samples; None without them or without an epoch."""
        return self.epochs.validation

    @property
    def selected(self) -> int | None:
        """Number of the epoch whose network was kept; None: the last one's."""
        return self.epochs.selected


def carry_out(
    run: TrainingRun,
    data: Any,
    out: str | Path | None = None,
    *,
    module: nn.Module | None = None,
    validation: Dataset | None = None,
    scratch: str | Path | None = None,
    device: str = "cpu",
    callback: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train the network of a run and write its weights, whole or not at all; `models.load(out)` needs nothing else.

    Args:
        run: What is trained, and how.
        data: The samples that `run.data` names, as `vauban.data.load` takes them.
        out: Weights file to write, .safetensors; None: none. Its metadata hold the architecture and its edits, the fields
            of the run, what it started from by name, hash and run, name and fingerprint of the data, and accuracies.
        module: The network, of which a copy is trained, in the place of the architecture that `run.model` names.
        validation: Samples to validate on in place of a part of the data.
        scratch: Folder for a checkpoint after each epoch, from which the same training goes on after a kill; None: none
            is kept.
        device: Where to train.
        callback: Called after each epoch.

    Raises:
        ContractError: Another suffix, values that do not go together, a start that does not fit the architecture, a
            defence through which nothing is learned.
    """
    check_device(device)
    path, data = None if out is None else weights.output(out), datasets.load(data)
    recipe, selection = recipe_of(run.recipe, data), selections.load(run.selection, data)
    _held_out(run, selection, validation)
    samples, held = _parts(run, data, validation)
    _tell_odd_attacks((*every_part(recipe), selection), data)
    start = None if run.start is None else Path(run.start).expanduser()
    trained, named = _started(run, start, recipe, _architecture(run, module), device)
    fitted = weights_in(run.defence)
    network = trained if run.defence == "none" else defences.load(run.defence).wrap(trained)
    for asked in (data,) if validation is None else (data, validation):
        _fits(network, asked, device)
    if run.epochs:
        _learns(network, data, device)
    derived = recipe.samples(training_samples(samples), run.seed)
    recipe.check(network, derived.changed(derived.batch(torch.tensor([len(derived) - 1])), 0).to(device))
    if held is not None:
        selection.check(network, held)
    history, checkpoint = TrainingHistory(()), None
    if run.epochs:
        if scratch is not None:
            begun = None if start is None else weights.digest(start)
            follows_from = training_identity(run, data, begun, device, module, validation)
            checkpoint = Path(scratch) / f"{address(follows_from)}.checkpoint"
            files.clean_leftovers(checkpoint.parent)
        history = optimise(
            network,
            derived,
            objective=recipe.objective(run.seed),
            epochs=run.epochs,
            batch=run.batch,
            lr=run.lr,
            optimiser=run.optimiser,
            weight_decay=run.weight_decay,
            schedule=run.schedule,
            seed=run.seed,
            validation=held,
            selection=selection,
            checkpoint=checkpoint,
            callback=callback,
        )
    if path is not None:
        facts = {**architecture_facts(run, recipe, named, start), "networks": networks_of(recipe)}
        validated = None if held is None else history.validation
        meta = {
            "format": FORMAT,
            **facts,
            "run": {**run.describe(), "start": None if start is None else origin_of(start)},
            "data": {
                "name": data_name(data),
                "samples": len(data),
                "trained": len(samples),
                "fingerprint": data.fingerprint,
            },
            "selected": history.selected,
            "epochs": [told_epoch(epoch) for epoch in history.history],
            "train_accuracy": accuracy(network, samples),
            "validation_accuracy": accuracy(network, held) if held is not None and validated is None else validated,
            "torch": torch.__version__,
            **({"keys": keys} if (keys := keys_of(network)) else {}),
            **({"fitted": fitted} if fitted else {}),
        }
        weights.save(trained, path, meta)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return Trained(trained.eval(), network.eval(), history, path)


def _architecture(run: TrainingRun, module: nn.Module | None) -> Architecture:
    """What is trained: the architecture that a run names, or a module that was handed over.

    A module that is in evaluation mode altogether is trained in training mode; where only parts of it are, they stay so.
    """
    if module is None:
        return architecture(run.model)
    if isinstance(module, torch.jit.ScriptModule):
        raise ContractError("expected a network in Python to train, got TorchScript; train what it was made of")
    try:
        made = copy.deepcopy(module)
    except (RuntimeError, TypeError) as error:
        raise ContractError(
            f"expected a network that can be copied, got {type(module).__name__}: {str(error).splitlines()[0]}; name it by "
            "its file, net.py:make"
        ) from error
    return Architecture("", made=made if any(part.training for part in made.modules()) else made.train())


def _held_out(run: TrainingRun, selection: Selection, validation: Samples | None) -> None:
    """Check that a selection measures on a part of the training data. Raises ContractError."""
    if not selection.measures:
        return
    if validation is not None:
        raise ContractError(
            f"expected a part of the training data to measure selection={run.selection} on, got a validation set "
            "beside it, which may be what the network is judged on; leave it out"
        )
    if run.holdout == 0:
        raise ContractError(
            f"expected a holdout above 0 to measure selection={run.selection} on, got 0; set holdout=1/12"
        )


def _tell_odd_attacks(parts: Iterable[object], data: Dataset) -> None:
    """Say what the parameters of the attacks of a recipe's parts and of a selection make doubtful."""
    attacks = [value for part in parts for value in vars(part).values() if isinstance(value, Attack)]
    tell([finding for attack in attacks for finding in parameter_findings(attack, data.shape, len(data), None)])


def _fits(network: nn.Module, data: Dataset, device: str) -> None:
    """Ask the network for the first image. Raises ContractError where it fails, or knows fewer classes than the labels."""
    batch = data.take(1).to(device)
    with quiet(list(network.modules())), seeded("fits", device=batch.x.device):
        logits = first_answer(network, batch.x)
    check_labels(data.y, len(data), logits.shape[1])


def _learns(network: nn.Module, data: Dataset, device: str) -> None:
    """Check that logits behind a defence have a gradient in some weight; else a training changes nothing in silence.

    Raises:
        ContractError: They have none, or one that is 0, for the first image.
    """
    check_gradients()
    behind, parameters = [card.name for _, card in carded(network)], learning(network)
    if not behind or not parameters:
        return  # without parameters the training itself says so
    x = data.take(1).to(device).x
    with quiet(list(network.modules())), seeded("fits", device=x.device), torch.enable_grad():
        logits = network(shown(network, x.clone()))
        factors = torch.arange(1, logits.shape[1] + 1, device=x.device)  # equal ones cancel where softmax comes last
        value = (logits * factors).sum()
        found = torch.autograd.grad(value, parameters, allow_unused=True) if value.requires_grad else ()
    if not any(bool(gradient.any()) for gradient in found if gradient is not None):
        raise ContractError(
            f"expected logits with a gradient in the weights that are trained, got none behind {', '.join(behind)}; votes "
            "cannot be trained through: train the network without the defence, then fit the defence on it"
        )


def _parts(run: TrainingRun, data: Dataset, validation: Samples | None) -> tuple[Samples, Samples | None]:
    """What is trained on, and what is validated on: `validation`, else the last samples."""
    kept = len(data) - (round(run.holdout * len(data)) if validation is None else 0)
    if kept < 1:
        raise ContractError(
            f"expected a holdout that leaves samples to train on, got {run.holdout} of {plural(len(data), 'sample')}"
        )
    held = Subset(data, torch.arange(kept, len(data))) if kept < len(data) else validation
    return Subset(data, torch.arange(kept)), held


def _started(
    run: TrainingRun, start: Path | None, recipe: Recipe, named: Architecture, device: str
) -> tuple[nn.Module, Architecture]:
    """The network to train, with the weights it starts from and the edits, and what it was made of."""
    if start is not None:
        named = replace(named.agreed(start), edits=edits_of(start))
    edits_text(run, recipe, start)  # refused before anything is spent
    module = named.build(run.seed)
    if start is not None:
        weights.load_into(module, start)
    with seeded(run.seed, "edit"):
        module = recipe.edit(module).to(device)
    return module.to(memory_format=torch.channels_last), named  # training is up to 1.4 x faster on a CPU
