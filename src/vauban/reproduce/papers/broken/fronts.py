"""Operations in front of a network that were published as defences, written as their users would."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

PURIFICATION_STEPS, PURIFICATION_STEP = 4, 0.02
KEPT = 0.6  # share of the pixels that matrix estimation keeps
RANK = 8  # of what is reconstructed from them
COEFFICIENTS = 0.15  # share of the Fourier coefficients that are kept


def blurred(x: Tensor) -> Tensor:
    """Means over windows of 3x3 pixels."""
    return F.avg_pool2d(x, 3, 1, 1)


class Before(nn.Module):
    """A network behind an operation on images, which is called as a function."""

    def __init__(self, network: nn.Module, operation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.operation = network, operation

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(self.operation(x))
        return logits


class ThermometerCode(nn.Module):
    """Mean of a thermometer code, (1/n) sum_i 1[x > (i + 1/2)/n]: n + 1 grey levels by comparisons (Buckman et al. 2018).

    The paper's network is trained on the code itself; here the code is read back, so that any network can be behind it.
    """

    def __init__(self, levels: int = 6) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([(x > (i + 0.5) / self.levels).to(x.dtype) for i in range(self.levels)]).mean(0)


def pillow_jpeg(x: Tensor, quality: int = 40) -> Tensor:
    """Images through Pillow's JPEG: Das et al. 2017, arXiv:1705.02900."""
    decoded = []
    for image in x.detach().cpu():
        levels = (image * 255).round().to(torch.uint8)
        picture = Image.fromarray(levels[0].numpy() if len(levels) == 1 else levels.permute(1, 2, 0).numpy())
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality)
        read = torch.from_numpy(np.array(Image.open(buffer)))
        decoded.append(read[None] if read.dim() == 2 else read.permute(2, 0, 1))
    images: Tensor = torch.stack(decoded).to(x)
    return images / 255


def numpy_levels(x: Tensor) -> Tensor:
    """Five grey levels, rounded in numpy: Xu, Evans, Qi 2018, arXiv:1704.01155, as a script would have it."""
    return torch.from_numpy(np.round(x.detach().cpu().numpy() * 4) / 4).to(x)


def fourier(x: Tensor) -> Tensor:
    """The largest Fourier coefficients alone: Bafna, Murtagh, Vyas 2018, arXiv:1812.05013."""
    coefficients = torch.fft.fft2(x)
    size = coefficients.abs().flatten(1)
    least = size.topk(max(1, int(COEFFICIENTS * size.shape[1])), 1).values[:, -1]
    kept = coefficients.abs() >= least.view(-1, 1, 1, 1)
    images: Tensor = torch.fft.ifft2(coefficients * kept).real
    return images.clamp(0, 1)


def matrix_estimation(x: Tensor) -> Tensor:
    """Pixels dropped at random and a matrix of low rank through the others: ME-Net, Yang et al. 2019, arXiv:1905.11971.

    The singular value decomposition is cut once; the paper repeats a soft threshold.
    """
    with torch.no_grad():
        mask = (torch.rand_like(x) < KEPT).to(x.dtype)
        u, s, v = torch.linalg.svd(x * mask / KEPT, full_matrices=False)
        s[..., RANK:] = 0
        low: Tensor = u @ torch.diag_embed(s) @ v
        return low.clamp(0, 1)


def barrage(x: Tensor) -> Tensor:
    """Transforms in random order with random strengths (noise, blur, gamma, grey levels): BaRT, Raff et al. 2019 (CVPR)."""
    with torch.no_grad():
        strength = torch.rand(4)
        steps: list[Callable[[Tensor], Tensor]] = [
            lambda z: z + 0.1 * float(strength[0]) * torch.randn_like(z),
            lambda z: torch.lerp(z, blurred(z), float(strength[1])),
            lambda z: z.clamp(1e-6, 1) ** (0.7 + 0.6 * float(strength[2])),
            lambda z: (z * (4 + int(8 * float(strength[3])))).round() / (4 + int(8 * float(strength[3]))),
        ]
        for at in torch.randperm(4)[:3].tolist():
            x = steps[at](x).clamp(0, 1)
        return x


def seeded_noise(x: Tensor, sigma: float = 0.15) -> Tensor:
    """Noise from a generator that the image seeds: equal images get equal answers, and no two others the same noise."""
    noise = []
    for image in x.detach().cpu():
        seed = int(hashlib.sha256(image.numpy().tobytes()).hexdigest()[:8], 16)
        noise.append(torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)))
    return (x + sigma * torch.stack(noise).to(x)).clamp(0, 1)


class Purified(nn.Module):
    """A network on images that have climbed its own confidence, sum_k p_k^2, without a graph (Shi, Holtz, Mishne 2021,
    arXiv:2101.09387, with a self-supervised loss in its place)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        z = x.detach().clone()
        for _ in range(PURIFICATION_STEPS):
            with torch.enable_grad():
                z.requires_grad_(True)
                (gradient,) = torch.autograd.grad(self.network(z).softmax(1).square().sum(), z)
            z = (z + PURIFICATION_STEP * gradient.sign()).clamp(0, 1).detach()
        logits: Tensor = self.network(z)
        return logits
