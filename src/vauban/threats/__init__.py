"""Threats: what the attacker may see. A recipe is bound to a network by `recipe.bind(defended, levels=...)`."""

from __future__ import annotations

from typing import Any

from vauban.threats.access import LabelsOnly, ScoresOnly, WhiteBox
from vauban.threats.adaptive import Adaptive, members, prescription
from vauban.threats.base import Threat, refusal, registry
from vauban.threats.input_transforms import Diverse, Translated
from vauban.threats.objectives import Ensemble, Hybrid, Transfer
from vauban.threats.surrogate import GrayBox, Removed

white_box, scores_only, labels_only = WhiteBox, ScoresOnly, LabelsOnly
gray_box, removed, adaptive = GrayBox, Removed, Adaptive
transfer, ensemble, hybrid = Transfer, Ensemble, Hybrid


def load(name: str, **params: Any) -> Any:
    """A threat recipe by its registered name, with parameters."""
    return registry.get(name).build("threat", params)


__all__ = [
    "Adaptive",
    "Diverse",
    "Ensemble",
    "GrayBox",
    "Hybrid",
    "LabelsOnly",
    "Removed",
    "ScoresOnly",
    "Threat",
    "Transfer",
    "Translated",
    "WhiteBox",
    "adaptive",
    "ensemble",
    "gray_box",
    "hybrid",
    "labels_only",
    "load",
    "members",
    "prescription",
    "refusal",
    "registry",
    "removed",
    "scores_only",
    "transfer",
    "white_box",
]
