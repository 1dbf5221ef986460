"""Threats: what the attacker may see. A recipe is bound to a network by `recipe.bind(defended, levels=...)`."""

from __future__ import annotations

from typing import Any

from vauban.threats.access import LabelsOnly, ScoresOnly, WhiteBox
from vauban.threats.base import Recipe, refusal, registry
from vauban.threats.elsewhere import GrayBox, Removed
from vauban.threats.objectives import Ensemble, Transfer
from vauban.threats.prescribed import Adaptive

white_box, scores_only, labels_only = WhiteBox, ScoresOnly, LabelsOnly
gray_box, removed, adaptive, transfer, ensemble = GrayBox, Removed, Adaptive, Transfer, Ensemble


def load(name: str, **params: Any) -> Any:
    """A threat recipe by its registered name, with parameters."""
    return registry.get(name).build("threat", params)


__all__ = [
    "Adaptive", "Ensemble", "GrayBox", "LabelsOnly", "Recipe", "Removed", "ScoresOnly", "Transfer", "WhiteBox",
    "adaptive", "ensemble", "gray_box", "labels_only", "load", "refusal", "registry", "removed", "scores_only",
    "transfer", "white_box",
]  # fmt: skip
