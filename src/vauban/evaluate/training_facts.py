"""Facts about a training that its weights file holds: edits, other networks, where it began, its epochs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core.errors import ContractError, VaubanError
from vauban.core.text import joined
from vauban.jobs.identity import state_digest
from vauban.models import weights
from vauban.models.architecture import Architecture
from vauban.training.history import Epoch
from vauban.training.recipe import Recipe, RecipePart
from vauban.training.run import TrainingRun
from vauban.words.recipe import recipe_of


def architecture_facts(run: TrainingRun, recipe: Recipe, named: Architecture, start: Path | None) -> dict[str, Any]:
    """Architecture, parameters and edits; a file of the user's by its base name, and no architecture for a module alone."""
    return {**named_architecture(named), "edits": edits_text(run, recipe, start)}


def named_architecture(named: Architecture) -> dict[str, Any]:
    """Architecture and parameters as a weights file names them; see `architecture_facts`."""
    name = re.sub(r"^.*/(?=[^/]+\.py:)", "", named.name)
    told = {"architecture": name} if name else {}
    return {**told, "params": dict(named.params)}


def edits_text(run: TrainingRun, recipe: Recipe, start: Path | None) -> str:
    """The edits of a start and of a recipe as the text by which they are replayed. Raises ContractError without one."""
    texts = joined(run.recipe) if isinstance(run.recipe, str) else [str(part) for part in recipe.parts]
    own = [(text, part) for text, part in zip(texts, recipe.parts, strict=True) if part.edits]
    for text, part in own:
        try:
            known = recipe_of(text) == Recipe((part,))
        except VaubanError:
            known = False
        if not known:
            raise ContractError(
                f"expected an edit that a weights file can name, got the object {text}; register it, or name it as "
                "FILE.py:NAME in the recipe"
            )
    before = "" if start is None else weights.metadata(start).get("edits", "")
    return "+".join(filter(None, (before, *(text for text, _ in own))))


def every_part(recipe: Recipe) -> Iterator[RecipePart]:
    """The parts of a recipe, and those that stand inside another one."""
    left: list[RecipePart] = list(recipe.parts)
    while left:
        part = left.pop(0)
        left += [value for value in vars(part).values() if isinstance(value, RecipePart)]
        yield part


def networks_of(recipe: Recipe) -> dict[str, list[str]]:
    """The networks that a recipe asks beside the trained one, a teacher or sources, by part and field, each as its hash."""
    held: dict[str, list[str]] = {}
    for part in every_part(recipe):
        for name, value in vars(part).items():
            given = value if isinstance(value, tuple) else (value,)
            if networks := [state_digest(one) for one in given if isinstance(one, nn.Module)]:
                held[name] = networks
    return held


def told_epoch(epoch: Epoch) -> dict[str, Any]:
    """An epoch as a weights file tells it, without the time, by which two files of one training would differ."""
    return {name: value for name, value in asdict(epoch).items() if name != "seconds"}


def origin_of(path: Path) -> dict[str, Any]:
    """What is kept of the weights that training began with."""
    meta = weights.metadata(path)
    return {"file": path.name, "sha256": weights.digest(path), "run": meta.get("run", meta.get("recipe"))}
