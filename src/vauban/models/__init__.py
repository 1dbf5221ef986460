"""Models: wrappers, reference architectures of the source works, weights and adapters.

    from vauban import models
    model = models.load("digits-cnn")                       # a registered name
    model = models.load("weights.safetensors")              # trained by `vauban train`
    model = models.wrap(network, mean=(0.5,), std=(0.25,))  # any nn.Module

Every model takes images in [0,1] and returns logits; the normalisation is inside. A file of this package registers
`make(**parameters)`, the architecture. Fact `weights`: 'file' (a weights file is needed), 'own' (the factory brings them),
'download' (downloaded unless a file is given) or 'first use' (trained and cached when first loaded, see
`models.architecture.ready`). Fact `positional`: the parameter that may stand alone behind the colon.
"""

from __future__ import annotations

from typing import Any

from vauban.core.face import face
from vauban.core.registry import Registry

registry: Registry[Any] = Registry("model", "vauban.models")

face(
    __name__,
    registry,
    extras={
        "Architecture": "vauban.models.architecture:Architecture",
        "BlackBox": "vauban.models.black_box:BlackBox",
        "Bounded": "vauban.models.wrap:Bounded",
        "Normalised": "vauban.models.wrap:Normalised",
        "black_box": "vauban.models.black_box:black_box",
        "bounded": "vauban.models.wrap:bounded",
        "build": "vauban.words.model:build",
        "load": "vauban.words.model:load",
        "wrap": "vauban.models.wrap:wrap",
    },
)
