"""Training a network from words to a weights file that says what it followed from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vauban import defences
from vauban.core.arguments import named_arguments
from vauban.core.contracts import Batch, check_labels
from vauban.core.device import check_device
from vauban.core.errors import ContractError, exits_are_errors, plural
from vauban.core.rng import seeded
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.engine.first_answer import first_answer
from vauban.engine.network import quiet
from vauban.engine.samples import Samples, Subset, accuracy
from vauban.evaluate.cell import data_name
from vauban.evaluate.diagnostics.attack_checks import parameter_findings
from vauban.evaluate.diagnostics.first_look import tell
from vauban.evaluate.training_facts import edits_text, networks_of, origin_of, told_epoch
from vauban.evaluate.training_identity import training_identity
from vauban.jobs.identity import address
from vauban.models import weights
from vauban.store import files
from vauban.training.history import Epoch, TrainingHistory
from vauban.training.loop import optimise
from vauban.training.recipe import Recipe
from vauban.training.run import TrainingRun
from vauban.training.samples import training_samples
from vauban.training.selection import Selection
from vauban.words import data as datasets
from vauban.words import selection as selections
from vauban.words.model import architecture, edits_of
from vauban.words.recipe import recipe_of

FORMAT = 3


@named_arguments
@exits_are_errors()
def train(
    run: TrainingRun,
    data: Any,
    out: str | Path,
    *,
    validation: Samples | None = None,
    scratch: str | Path | None = None,
    device: str = "cpu",
    callback: Callable[[Epoch], None] | None = None,
) -> TrainingHistory:
    """Train the network of a run and write its weights, whole or not at all; `models.load(out)` needs nothing else.

    Args:
        run: What is trained, and how.
        data: The samples that `run.data` names, as `vauban.data.load` takes them.
        out: Weights file to write, .safetensors. Its metadata hold the architecture, the fields of the run, what it started
            from by name, hash and run, the name and the fingerprint of the data, and accuracies.
        validation: Samples to validate on in place of a part of the data.
        scratch: Folder for a checkpoint after each epoch, from which the same training goes on after a kill; None: none
            is kept.
        device: Where to train.
        callback: Called after each epoch.

    Returns:
        One entry per epoch.

    Raises:
        ContractError: Another suffix, values that do not go together, a start that does not fit the architecture.
    """
    if not isinstance(run, TrainingRun):
        raise ContractError(f"expected vb.TrainingRun(model, data, ...), got {run!r}")
    check_device(device)
    path, data = weights.output(out), datasets.load(data)
    recipe, selection = recipe_of(run.recipe, data), selections.load(run.selection, data)
    _held_out(run, selection, validation)
    samples, held = _parts(run, data, validation)
    _tell_odd_attacks(recipe, data)
    start = None if run.start is None else Path(run.start).expanduser()
    module, architecture = _started(run, start, recipe, device)
    network = module if run.defence == "none" else defences.load(run.defence).wrap(module)
    first = _fits(network, samples, device)
    recipe.check(network, first)
    history, checkpoint = TrainingHistory(()), None
    if run.epochs:
        if scratch is not None:
            begun = None if start is None else weights.digest(start)
            checkpoint = Path(scratch) / f"{address(training_identity(run, data, begun, device))}.checkpoint"
            files.clean_leftovers(checkpoint.parent)
        history = optimise(
            network,
            recipe.samples(training_samples(samples), run.seed),
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
    meta = {
        "format": FORMAT,
        **architecture,
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
        "validation_accuracy": None
        if held is None
        else accuracy(network, held)
        if history.validation is None
        else history.validation,
        "torch": torch.__version__,
    }
    weights.save(module, path, meta)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    return history


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


def _tell_odd_attacks(recipe: Recipe, data: Dataset) -> None:
    """Say what the parameters of the attacks of a recipe make doubtful."""
    attacks = [value for part in recipe.parts for value in vars(part).values() if isinstance(value, Attack)]
    tell([finding for attack in attacks for finding in parameter_findings(attack, data.shape, len(data), None)])


def _fits(network: nn.Module, samples: Samples, device: str) -> Batch:
    """Ask the network for the first image, which is returned. Raises ContractError where it fails, or knows fewer classes
    than the labels."""
    batch = samples.batch(torch.arange(1)).to(device)
    with quiet(list(network.modules())), seeded("fits", device=batch.x.device):
        logits = first_answer(network, batch.x)
    check_labels(batch.y, 1, logits.shape[1])
    return batch


def _parts(run: TrainingRun, data: Dataset, validation: Samples | None) -> tuple[Samples, Samples | None]:
    """What is trained on, and what is validated on: `validation`, else the last samples."""
    kept = len(data) - (round(run.holdout * len(data)) if validation is None else 0)
    if kept < 1:
        raise ContractError(
            f"expected a holdout that leaves samples to train on, got {run.holdout} of {plural(len(data), 'sample')}"
        )
    held = Subset(data, torch.arange(kept, len(data))) if kept < len(data) else validation
    return Subset(data, torch.arange(kept)), held


def _started(run: TrainingRun, start: Path | None, recipe: Recipe, device: str) -> tuple[nn.Module, Mapping[str, Any]]:
    """The network to train, with the weights it starts from, and what a weights file says of its architecture."""
    named = architecture(run.model)
    if start is not None:
        named = replace(named.agreed(start), edits=edits_of(start))
    module = named.build(run.seed)
    if start is not None:
        weights.load_into(module, start)
    module = recipe.edit(module).to(device)
    module = module.to(memory_format=torch.channels_last)  # training is up to 1.4 x faster on a CPU
    edits = edits_text(run, recipe, "" if start is None else weights.metadata(start).get("edits", ""))
    name = re.sub(r"^.*/(?=[^/]+\.py:)", "", named.name)
    told = {"architecture": name, "params": dict(named.params), "edits": edits}
    return module, {**told, "networks": networks_of(recipe)}
