"""Metrics of a pair (original, image): distances and similarity, one float64 value per sample; and views of one image."""

from vauban.metrics.base import Metric, registry
from vauban.metrics.lpips import Perception, lpips, torchvision_lpips
from vauban.metrics.mad import mad
from vauban.metrics.magnify import magnify
from vauban.metrics.perceptual import psnr, ssim
from vauban.metrics.roughness import roughness
from vauban.metrics.sample import COLUMNS, l0, l1, l2, linf, measure

__all__ = [
    "COLUMNS",
    "Metric",
    "Perception",
    "l0",
    "l1",
    "l2",
    "linf",
    "lpips",
    "mad",
    "magnify",
    "measure",
    "psnr",
    "registry",
    "roughness",
    "ssim",
    "torchvision_lpips",
]
