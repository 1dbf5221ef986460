"""Defences: frozen parameters whose `wrap(module)` is a module that nobody can tell from an undefended one."""

from __future__ import annotations

from typing import Any

from vauban.core.face import face
from vauban.core.registry import Registry

registry: Registry[Any] = Registry("defence", "vauban.defences")
"""Facts: `random` and `differentiable`, as on the card; `example`, parameters of one that cannot be made without any."""
fitters: Registry[Any] = Registry("defence to fit", "vauban.defences")
"""What fits a defence, under the name of the defence."""

face(
    __name__,
    registry,
    fitters,
    extras={
        "Apply": "vauban.defences.base:Apply",
        "Chain": "vauban.defences.compose:Chain",
        "Defence": "vauban.defences.base:Defence",
        "DefenceFit": "vauban.defences.fitter:DefenceFit",
        "DefenceFitter": "vauban.defences.fitter:DefenceFitter",
        "DifferentiableJPEG": "vauban.defences.inputs.jpeg:DifferentiableJPEG",
        "Detector": "vauban.defences.detectors.base:Detector",
        "DetectorFitter": "vauban.defences.detectors.calibration:DetectorFitter",
        "InputDefence": "vauban.defences.base:InputDefence",
        "KeyedDefence": "vauban.defences.keyed.base:KeyedDefence",
        "NoiseDefence": "vauban.defences.base:NoiseDefence",
        "Transformed": "vauban.defences.base:Transformed",
        "UserDefence": "vauban.defences.compose:UserDefence",
        "Voting": "vauban.defences.voting:Voting",
        "chain": "vauban.defences.compose:chain",
        "load": "vauban.words.defence:load",
        "register": "vauban.defences.base:register",
        "vote": "vauban.defences.voting:vote",
    },
)
