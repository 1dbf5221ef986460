"""The table of experiments, in a file of its own so that the files it lists can import it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vauban.core.registry import Registry
from vauban.reproduce.experiment import Experiment

registry: Registry[Callable[..., Any]] = Registry("experiment", "vauban.reproduce")
"""Factories without parameters that return the `Experiment` of the name they are registered under."""


def register(name: str) -> Callable[[Callable[[], Experiment]], Callable[[], Experiment]]:
    """Decorator: add the factory of an experiment under its id, e.g. "cia-2"."""
    return registry.register(name)
