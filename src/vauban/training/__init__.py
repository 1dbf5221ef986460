"""Training: the loop, its objectives, recipes as values, and what one training run is described by.

Everything here takes networks and attacks as objects; names are read in `vauban.words`.
"""

from __future__ import annotations

from typing import Any

from vauban.core.registry import Registry

registry: Registry[Any] = Registry(
    "recipe", "vauban.training", also=("vauban.models.edits", "vauban.models.objectives")
)
"""Parts of a recipe, subclasses of `vauban.training.recipe.RecipePart`."""
