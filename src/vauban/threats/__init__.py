"""Threats: what the attacker may see. A threat is bound to a network by `threat.bind(defended, levels=...)`.

A threat is here by its class and by its registered name: `threats.WhiteBox()`, `threats.white_box()`.
"""

from __future__ import annotations

from typing import Any

from vauban.core.face import face
from vauban.core.registry import Registry

registry: Registry[Any] = Registry("threat", "vauban.threats")

face(
    __name__,
    registry,
    extras={
        "Diverse": "vauban.threats.input_transforms:Diverse",
        "FitSubstitute": "vauban.threats.substitute:FitSubstitute",
        "NetworkFit": "vauban.threats.fitter:NetworkFit",
        "NetworkFitter": "vauban.threats.fitter:NetworkFitter",
        "Threat": "vauban.threats.base:Threat",
        "Translated": "vauban.threats.input_transforms:Translated",
        "load": "vauban.words.threat:load",
        "members": "vauban.threats.adaptive:members",
        "prescription": "vauban.threats.adaptive:prescription",
        "refusal": "vauban.threats.base:refusal",
    },
    aliases=True,
)
