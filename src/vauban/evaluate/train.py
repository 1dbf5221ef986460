"""Training in Python: an architecture by name or a module, data, a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError, exits_are_errors, short
from vauban.data import Dataset
from vauban.evaluate.cell import data_name
from vauban.evaluate.training import Trained, carry_out
from vauban.store.files import check_output
from vauban.training.history import Epoch
from vauban.training.recipe import Recipe, RecipePart
from vauban.training.run import TrainingRun
from vauban.training.selection import Selection
from vauban.words import data as datasets


@named_arguments
@exits_are_errors()
def train(
    model: str | nn.Module | TrainingRun,
    data: Any,
    out: str | Path | None = None,
    *,
    recipe: str | RecipePart | Recipe = TrainingRun.recipe,
    defence: str = TrainingRun.defence,
    epochs: int = TrainingRun.epochs,
    batch: int = TrainingRun.batch,
    lr: float = TrainingRun.lr,
    optimiser: Any = TrainingRun.optimiser,
    weight_decay: float = TrainingRun.weight_decay,
    schedule: Any = TrainingRun.schedule,
    seed: int = TrainingRun.seed,
    start: str | None = TrainingRun.start,
    holdout: float = TrainingRun.holdout,
    selection: str | Selection = TrainingRun.selection,
    validation: Any = None,
    scratch: str | Path | None = None,
    device: str = "cpu",
    callback: Callable[[Epoch], None] | None = None,
) -> Trained:
    """Train a network by a recipe.

        trained = vb.train(net, (x, y), recipe="brelu:t=1+gda:sigma=0.3,n=10")
        print(vb.attack("pgd:eps=0.1", trained.network, "digits/test"))

    Args:
        model: An architecture by name (`mnist-c4`, `net.py:make`); a module, of which a copy is trained; or a whole
            `TrainingRun`, which says itself what stands in its fields.
        data: Images and labels as `vauban.data.load` takes them: `mnist/train`, a data set, a pair (x, y), a loader.
        out: Weights file to write, .safetensors, with all that the network followed from; None: none.
        recipe: What is done beside plain training, a text or objects.
        defence: What stands in front of the network while it is trained.
        epochs, batch, lr, optimiser, weight_decay, schedule, seed, start, holdout, selection: As of `TrainingRun`.
        validation: Data to validate on in the place of the holdout.
        scratch: Folder for a checkpoint after each epoch, from which the same training goes on after a kill.
        device: Where to train.
        callback: Called after each epoch.

    Returns:
        The network, alone and behind the defence, in evaluation mode, and its epochs.

    Raises:
        UnknownName: A name is not known.
        ContractError: Values that do not go together, in one line before anything is trained.
    """
    given = {name: value for name, value in locals().items() if name in NAMES}
    if scratch is not None:
        check_output(Path(scratch), folder=True)
    samples: Dataset = datasets.load(data)
    if isinstance(model, TrainingRun):
        if said := [name for name, value in given.items() if value != getattr(TrainingRun, name)]:
            raise ContractError(f"expected {said[0]} in the TrainingRun, got it beside one; use dataclasses.replace")
        run = model
    elif isinstance(model, str | nn.Module):
        named = model if isinstance(model, str) else type(model).__name__
        run = TrainingRun(named, data if isinstance(data, str) else data_name(samples), **given)
    else:
        raise ContractError(
            f"expected an architecture by name, a module or a vb.TrainingRun to train, got {short(model)}"
        )
    return carry_out(
        run,
        samples,
        out,
        module=model if isinstance(model, nn.Module) else None,
        validation=None if validation is None else datasets.load(validation),
        scratch=scratch,
        device=device,
        callback=callback,
    )


NAMES = frozenset(field.name for field in fields(TrainingRun)) - {"model", "data", "minutes"}
"""The fields of a run that are arguments by their own name."""
