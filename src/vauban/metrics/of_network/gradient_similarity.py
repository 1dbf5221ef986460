"""Similarity of where two networks' gradients lie in the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Defended, bare, carded
from vauban.core.errors import ContractError
from vauban.core.goals import RandomWrong
from vauban.core.surgery import replaced
from vauban.engine.network import differentiate, predict, quiet
from vauban.metrics import network_registry
from vauban.metrics.gradient_magnitude import gradient_magnitude
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric
from vauban.metrics.of_network.shown_image import ShownImage
from vauban.metrics.perceptual import ssim

NETWORK = "network"
BEHIND = "|"  # as in the texts that name a network behind a defence


@network_registry.register("gradient-similarity")
@dataclass(frozen=True)
class GradientSimilarity(NetworkMetric):
    """Gradient similarity: SSIM of the gradient magnitudes of two systems made of the network and its defences.

    The magnitude of a pixel is the L2 norm over channels, scaled to [0,1] in each image. A system that ends in the network
    is differentiated by its cross-entropy, a defence alone by ||T(x) - x||^2, T(x) what it shows the network and x, as the
    target, constant. Folz, Palacio, Hees, Borth, Dengel 2018, arXiv:1803.07994, section 3.2. NaN where a gradient is 0
    everywhere, or not finite.

    Attributes:
        first: A system: "network", without any defence; "NAME|network", behind the defence of that name alone; "NAME", that
            defence alone.
        second: Another one, or the same with another label.
        label: For which label the second's cross-entropy is: its own one, or another drawn at random for each image.

    Raises:
        ContractError: When measured: a system that names no defence of the network, or vectors.
    """

    direction: ClassVar[Literal["lower", "higher", ""]] = ""
    first: str = NETWORK
    second: str = NETWORK
    label: Literal["own", "other"] = "own"

    def values(self, given: MeasuredBatch) -> Tensor:
        y = given.batch.y
        first = system_gradient(given.network, self.first, given.image, y)
        if self.label == "other":
            with quiet(list(given.network.modules())):
                classes = predict(given.network, given.image).shape[1]
            drawn = RandomWrong().resolve(y, None, classes, given.rng).target
            assert drawn is not None
            y = drawn
        second = system_gradient(given.network, self.second, given.image, y)
        maps = [gradient_magnitude(g) for g in (first, second)]
        told = torch.stack([m.flatten(1).amax(1) > 0 for m in maps]).all(0)
        return torch.where(told, ssim(*maps), torch.nan)


def system_gradient(network: nn.Module, system: str, x: Tensor, y: Tensor) -> Tensor:
    """The image gradient of a system, as `GradientSimilarity` names them, of the shape of x; not finite: 0 everywhere.

    Args:
        network: The network behind its defences.
        system: "network", "NAME|network" or "NAME".
        x: Images `(batch, channel, height, width)`.
        y: Labels `(batch,)`.

    Raises:
        ContractError: A name that no defence of the network has.
    """
    defence, _, last = (system, "", "") if BEHIND not in system and system != NETWORK else system.rpartition(BEHIND)
    alone = _only(network, defence)
    if last not in ("", NETWORK) or not (defence or last) or (defence != "" and alone is bare(network)):
        raise ContractError(
            f"expected a system {NETWORK}, NAME|{NETWORK} or NAME, a defence of this network by the name on its card, got "
            f"{system!r}"
        )
    with quiet(list(alone.modules())):
        if last:
            _, _, (g,), bad = differentiate(alone, x, [lambda z: F.cross_entropy(z, y, reduction="none")])
        else:
            target = x.detach().flatten(1)
            _, _, (g,), bad = differentiate(ShownImage(alone), x, [lambda s: (s - target).square().sum(1)])
    return g * (bad == 0).view(-1, *[1] * (g.dim() - 1))


def _only(network: nn.Module, name: str) -> nn.Module:
    """The network behind those of its defences alone that have a name on their card."""
    while others := [part for part, card in carded(network) if isinstance(part, Defended) and card.name != name]:
        network = replaced(network, others[0], others[0].inner)
    return network
