"""Models: wrappers, reference architectures of the source works, weights and adapters.

    from vauban import models
    model = models.load("digits-cnn")                       # a registered name
    model = models.load("weights.safetensors")              # trained by `vauban train`
    model = models.wrap(network, mean=(0.5,), std=(0.25,))  # any nn.Module

Every model takes images in [0,1] and returns logits; the normalisation is inside.
"""

from vauban.models.black_box import BlackBox, black_box
from vauban.models.named import build, load, registry
from vauban.models.wrap import Bounded, Normalised, bounded, wrap

__all__ = ["BlackBox", "Bounded", "Normalised", "black_box", "bounded", "build", "load", "registry", "wrap"]
