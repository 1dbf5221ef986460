"""What replaces the images of a training step: attacked ones, augmented ones, or both in turn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vauban.core.rng import Stream
from vauban.engine import Oracle
from vauban.engine.attack import Attack
from vauban.engine.iterate import Steps, iterate
from vauban.engine.threat import BoundThreat
from vauban.training.loop import Perturb


def adversarial(attack: Attack, seed: int = 0) -> Perturb:
    """Adversarial training: every image is replaced by the attack's own on the network of the moment, in evaluation mode.

    min_theta E max_{x' in ball} L(f(x'), y), Madry et al. 2018 (arXiv:1706.06083), the maximum by `attack`: the last
    iterate, whether it fools or not, unrounded, with random numbers of its own in every step.
    """

    def perturb(module: nn.Module, x: Tensor, y: Tensor, ids: Tensor, step: int) -> Tensor:
        oracle = Oracle.open(BoundThreat(module, levels=None), x, y, ids=ids, seed=seed + step)
        found = iterate(attack, oracle, stop="never", keep="last") if isinstance(attack, Steps) else attack.run(oracle)
        return found.crafted

    return perturb


def shifted(seed: int = 0, reach: int = 4) -> Perturb:
    """A horizontal mirror image with probability 1/2, then a shift by up to `reach` pixels with zeros coming in.

    The augmentation usual for 32x32 images (He et al. 2016, arXiv:1512.03385, section 4.2); x `(batch, channel, h, w)`.
    """

    def perturb(module: nn.Module, x: Tensor, y: Tensor, ids: Tensor, step: int) -> Tensor:
        rng = Stream(seed, ids)
        height, width = x.shape[2:]
        mirror = rng.integers("mirror", 2, t=step).bool()
        x = torch.where(mirror[:, None, None, None], x.flip(3), x)
        down, across = (rng.integers(tag, 2 * reach + 1, t=step) for tag in ("down", "across"))
        rows = (down[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
        columns = (across[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
        batch = torch.arange(len(x), device=x.device)[:, None, None, None]
        channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
        return F.pad(x, (reach,) * 4)[batch, channel, rows, columns]

    return perturb


def both(first: Perturb, second: Perturb) -> Perturb:
    """`second` on what `first` made."""
    return lambda module, x, y, ids, step: second(module, first(module, x, y, ids, step), y, ids, step)
