"""Experiments: one declarative file per table or figure of a paper, and the harness that runs them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vauban.core.errors import VaubanError
from vauban.core.text import parse
from vauban.core.users_call import call_users
from vauban.reproduce.benchmark import Benchmark, Standing
from vauban.reproduce.claims import AnyOf, Claim, CurveAbove, Larger
from vauban.reproduce.declarations import Craft, Evaluation, FitOnUse, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import (
    ComputedFigure,
    ComputedPicture,
    FirstImages,
    Matrix,
    NetworkPictures,
    OperatingCurves,
    Scatter,
    Series,
    Sweep,
    WorstCases,
)
from vauban.reproduce.registry import register, registry
from vauban.training.run import TrainingRun
from vauban.words.files import from_file, load_file


def load(name: str) -> Experiment:
    """The experiment registered under `name`, e.g. "cia-2", or a user's `file.py:name`: an Experiment or its factory.

    `file.py` alone names the only Experiment that the file holds.
    """
    if re.fullmatch(r"[^\[\]:]+\.py", name):
        name = f"{name}:{_only_experiment(Path(name))}"
    parsed = parse(name)
    named = registry.get(name).build("experiment", {}) if parsed.file is None else from_file(parsed)
    if parsed.file is not None and callable(named):
        named = call_users(parsed.text, named, {})
    if not isinstance(named, Experiment) or (parsed.file is None and named.id != name):
        raise VaubanError(f"expected {name!r} to be an Experiment of that id, got {str(named)[:80]!r}")
    if not re.fullmatch(r"[\w.-]+", named.id):
        raise VaubanError(f"expected letters, digits, dots and dashes in the id of an experiment, got {named.id!r}")
    return named


def _only_experiment(path: Path) -> str:
    """The name of the one experiment in a user's file. Raises VaubanError where there is another number of them."""
    held = [key for key, value in vars(load_file(path)).items() if isinstance(value, Experiment)]
    if len(held) != 1:
        told = f"the experiments {', '.join(held)}" if held else "none"
        raise VaubanError(
            f"expected one experiment in {path}, got {told}; name it: {path}:{held[0] if held else 'table'}"
        )
    return held[0]


def reproduce(name: str, scale: str, out: str | Path = "runs/reproduce", **options: Any) -> Path:
    """Run an experiment and write `OUT/<id>-<scale>/`; options as those of `vauban.reproduce.harness.run`."""
    from vauban.reproduce.harness import run

    return run(name, scale, out, **options)


__all__ = [
    "AnyOf",
    "Benchmark",
    "Claim",
    "ComputedFigure",
    "ComputedPicture",
    "Craft",
    "CurveAbove",
    "Evaluation",
    "Experiment",
    "FirstImages",
    "FitOnUse",
    "Judge",
    "Larger",
    "Matrix",
    "NetworkPictures",
    "OperatingCurves",
    "Scale",
    "Scatter",
    "Series",
    "Standing",
    "Sweep",
    "TableCell",
    "TrainingRun",
    "WeightedNetwork",
    "WorstCases",
    "load",
    "register",
    "registry",
    "reproduce",
]
