"""Votes of a network on noisy copies of its images, and the smoothed classifier as an attack differentiates it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.answers import predicted
from vauban.core.precision import working_type
from vauban.core.rng import Stream, seeded
from vauban.engine.network import predict, quiet, shown

WIDTH = 256  # images of one forward pass, at most, but for batches that are larger


def votes(network: nn.Module, x: Tensor, rng: Stream, sigma: float, tag: str, draws: int) -> Tensor:
    """How often each class is answered for x + sigma e, e standard normal.

    The noise is added to images in [0,1], before any normalisation, which is inside the network, and is neither clipped
    nor rounded. It is keyed by sample, so that an image is shown the same copies in any batch.

    Args:
        network: The network.
        x: Images `(batch, ...)`.
        rng: Of the samples of the batch.
        sigma: Standard deviation, pixel units of [0,1].
        tag: Name of the draws: another tag, other draws.
        draws: Copies of each image.

    Returns:
        int64 `(batch, classes)`; a copy whose logits are not finite votes for none.
    """
    total: Tensor | None = None
    together = max(1, WIDTH // len(x))
    with quiet(list(network.modules())):
        for first in range(0, draws, together):
            copies = range(first, min(first + together, draws))
            noise = [rng.normal(tag, tuple(x.shape[1:]), draw=k, dtype=x.dtype) for k in copies]
            with seeded(rng.seed, tag, int(rng.ids[0]), first, device=x.device):
                logits = predict(network, torch.cat([x + sigma * e for e in noise]))
            chosen = F.one_hot(predicted(logits) + 1, logits.shape[1] + 1)[:, 1:]
            counted = chosen.view(len(noise), len(x), -1).sum(0)
            total = counted if total is None else total + counted
    assert total is not None
    return total


class SoftSmoothed(nn.Module):
    """log mean_k softmax f(x + sigma e_k): log-probabilities of the soft smoothed classifier, for its gradient.

    Salman et al., "Provably robust deep learning via adversarially trained smoothed classifiers", NeurIPS 2019
    (arXiv:1906.04584), (5). The noise is drawn once and shared by all images and steps, so that the classifier is
    deterministic and an image's gradient does not depend on its batch.

    Attributes:
        network: The network f.
        sigma: Standard deviation of the noise, pixel units of [0,1].
        noise: The draws e `(draws, ...)`.
    """

    noise: Tensor

    def __init__(self, network: nn.Module, sigma: float, draws: int, x: Tensor, seed: int) -> None:
        super().__init__()
        self.network, self.sigma = network, sigma
        stream = Stream(seed, torch.arange(draws, device=x.device))
        self.register_buffer("noise", stream.normal("soft", tuple(x.shape[1:]), dtype=x.dtype), persistent=False)
        self.training = network.training

    def forward(self, x: Tensor) -> Tensor:
        kind = working_type(x.dtype)
        noisy = (x.to(kind) + self.sigma * e.to(kind) for e in self.noise)
        logs = [self.network(shown(self.network, image)).to(kind).log_softmax(1) for image in noisy]
        return torch.stack(logs).logsumexp(0) - math.log(len(logs))
