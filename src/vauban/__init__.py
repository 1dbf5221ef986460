"""vauban attacks, defends and honestly measures image classifiers in PyTorch.

    import vauban as vb
    from vauban import Linf, attacks

    model = vb.models.load("digits-cnn")
    batch = vb.data.load("digits/test").take(256)
    print(vb.attack(attacks.PGD(Linf(0.1)), model, batch))

Everything is imported when first used, so that `import vauban` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vauban import attacks, data, defences, metrics, models, threats
    from vauban.core.goals import LeastLikely, RandomWrong, Targeted, Untargeted
    from vauban.core.norms import L0, L1, L2, Linf
    from vauban.evaluate.attack import attack
    from vauban.evaluate.study import Study
    from vauban.evaluate.train import train
    from vauban.evaluate.verify import verify
    from vauban.training.run import TrainingRun

__version__ = "0.2.0"

_PACKAGES = ("attacks", "data", "defences", "metrics", "models", "threats")
_NAMES = {
    "L0": "core.norms",
    "L1": "core.norms",
    "L2": "core.norms",
    "Linf": "core.norms",
    "Untargeted": "core.goals",
    "Targeted": "core.goals",
    "LeastLikely": "core.goals",
    "RandomWrong": "core.goals",
    "attack": "evaluate.attack",
    "Study": "evaluate.study",
    "TrainingRun": "training.run",
    "train": "evaluate.train",
    "verify": "evaluate.verify",
}

__all__ = [
    "L0",
    "L1",
    "L2",
    "LeastLikely",
    "Linf",
    "RandomWrong",
    "Study",
    "Targeted",
    "TrainingRun",
    "Untargeted",
    "attack",
    "attacks",
    "data",
    "defences",
    "metrics",
    "models",
    "threats",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"vauban.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"vauban.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'vauban' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
