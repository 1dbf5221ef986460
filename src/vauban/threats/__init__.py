"""Threats: what the attacker may see. A recipe is bound to a network by `recipe.bind(defended, levels=...)`."""

from __future__ import annotations

from typing import Any

from vauban.threats.access import LabelsOnly, ScoresOnly, WhiteBox
from vauban.threats.base import Recipe, refusal, registry
from vauban.threats.decorators import Diverse, Translated
from vauban.threats.elsewhere import GrayBox, Removed
from vauban.threats.objectives import Ensemble, Hybrid, Transfer
from vauban.threats.prescribed import Adaptive, members, prescription

white_box, scores_only, labels_only = WhiteBox, ScoresOnly, LabelsOnly
gray_box, removed, adaptive = GrayBox, Removed, Adaptive
transfer, ensemble, hybrid = Transfer, Ensemble, Hybrid


def load(name: str, **params: Any) -> Any:
    """A threat recipe by its registered name, with parameters."""
    return registry.get(name).build("threat", params)


__all__ = [
    "Adaptive", "Diverse", "Ensemble", "GrayBox", "Hybrid", "LabelsOnly", "Recipe", "Removed", "ScoresOnly", "Transfer",
    "Translated", "WhiteBox", "adaptive", "ensemble", "gray_box", "hybrid", "labels_only", "load", "members",
    "prescription", "refusal", "registry", "removed", "scores_only", "transfer", "white_box",
]  # fmt: skip
