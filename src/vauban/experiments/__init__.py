"""Experiments: one declarative file per table or figure of a paper, and the harness that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vauban.core.errors import VaubanError
from vauban.experiments.registry import register, registry
from vauban.experiments.spec import Cell, Craft, Experiment, Judge, Scale, Through


def load(name: str) -> Experiment:
    """The experiment registered under `name`, e.g. "cia-2"."""
    found = registry.get(name).build("experiment", {})
    if not isinstance(found, Experiment) or found.id != name:
        raise VaubanError(f"expected the factory of {name!r} to return an Experiment of that id, got {found!r:.80}")
    return found


def reproduce(name: str, scale: str, out: str | Path = "runs/reproduce", **options: Any) -> Path:
    """Run an experiment and write `OUT/<id>-<scale>/`; options as those of `vauban.experiments.harness.run`."""
    from vauban.experiments.harness import run

    return run(name, scale, out, **options)


__all__ = ["Cell", "Craft", "Experiment", "Judge", "Scale", "Through", "load", "register", "registry", "reproduce"]
