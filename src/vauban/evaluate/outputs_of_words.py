"""Outputs of `vauban train` and `vauban fit` from words, here and in another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vauban import words
from vauban.evaluate.outputs import FittedFile, TrainedWeights
from vauban.jobs.recall import words_of
from vauban.training.run import TrainingRun
from vauban.words.defence import TRAINED


def trained_weights(
    *, run: Mapping[str, Any], out: str, validation: str | None, device: str, root: str | None, download: bool
) -> TrainedWeights:
    """The weights of a training run.

    Args:
        run: The fields of the run.
        out: File to write, .safetensors.
        validation: Samples to validate on in place of a part of the data.
        device: Where to train.
        root: Folder of the data sets.
        download: Whether torchvision may fetch data that is missing.
    """
    given = dict(locals())
    trained = TrainingRun(**run)
    samples = words.load("data", trained.data, root=root, download=download)
    held = words.load("data", validation, root=root, download=download) if validation else None
    output = TrainedWeights(trained, samples, Path(out), held, device)
    return replace(output, origin=words_of("vauban.evaluate.outputs_of_words:trained_weights", given))


def fitted_file(
    *,
    fitter: str,
    data: str,
    out: str,
    model: str | None,
    defence: str,
    threat: str | None,
    goal: str | None,
    rejects: bool,
    seed: int,
    device: str,
    root: str | None,
    download: bool,
) -> FittedFile:
    """The file of an attack, a defence or a network that is fitted on a data set.

    Args:
        fitter, threat, goal, seed, device: As of `FittedFile`, in words.
        data: The images.
        out: File to write, .safetensors.
        model: The network; None where only images are read.
        defence: What stands in front of it.
        rejects: The last logit of the model means 'rejected'.
        root: Folder of the data sets.
        download: Whether torchvision may fetch data that is missing.
    """
    given = dict(locals())
    behind = f"{TRAINED}|{model}" if defence == TRAINED else model
    network = None if behind is None else words.load("model", behind, rejects=rejects)
    front = "none" if defence == TRAINED else defence
    output = FittedFile(
        fitter,
        None if network is None else words.load("defence", front).wrap(network),
        words.load("data", data, root=root, download=download),
        Path(out),
        threat=threat,
        goal=None if goal is None else words.load("goal", goal),
        seed=seed,
        device=device,
        name=str(model) if defence == "none" else f"{model} behind {defence}",
    )
    return replace(output, origin=words_of("vauban.evaluate.outputs_of_words:fitted_file", given))
