"""Identity of a training: everything that its network follows from."""

from __future__ import annotations

from typing import Any

from torch import nn

from vauban import defences
from vauban.core.cards import keys_of
from vauban.data import Dataset
from vauban.jobs.identity import computed_by, describe, source_digests
from vauban.jobs.provenance import source_files
from vauban.training.loop import optimise
from vauban.training.run import TrainingRun
from vauban.words import selection as selections
from vauban.words.files import files_in, weights_in
from vauban.words.model import architecture
from vauban.words.recipe import recipe_of


def training_identity(
    run: TrainingRun,
    data: Dataset,
    start: str | None,
    device: str,
    module: nn.Module | None = None,
    validation: Dataset | None = None,
) -> dict[str, Any]:
    """Everything that a network follows from, as JSON.

    Args:
        run: The training; its own word for the start does not count.
        data: What it trains on.
        start: Digest or identity of what it starts from.
        device: Where it trains.
        module: What is trained where it was handed over; None: what `run.model` names.
        validation: What is validated on in the place of a part of the data, which is then trained on too.
    """
    recipe = recipe_of(run.recipe, data)
    network = architecture(run.model).build(run.seed) if module is None else module
    selection = selections.load(run.selection, data)
    stands_behind = None if run.defence == "none" else defences.load(run.defence)
    keys = () if stands_behind is None else keys_of(stands_behind.wrap(network))
    words = (
        run.model,
        run.defence,
        run.recipe,
        run.selection,
    )  # a user's function may put together nothing but torch's own layers
    fitted = list(weights_in(run.defence).values())
    named = [file for word in words if isinstance(word, str) for file in files_in(word)]
    return {
        "run": {
            **run.describe(),
            "recipe": describe(recipe),
            "selection": describe(selection) if selection.measures else str(selection),
            "start": start,
        },
        **({} if module is None else {"module": describe(module)}),
        **({"keys": list(keys)} if keys else {}),
        **({"fitted": fitted} if fitted else {}),
        "data": data.fingerprint,
        **({} if validation is None else {"validation": validation.fingerprint}),
        **computed_by(device),
        "sources": source_digests(source_files(optimise, network, recipe, selection, stands_behind, extra=named)),
    }
