"""Made-up colour images to try pipelines where no photographs are at hand; nothing can be learnt from their labels."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F

from vauban.core.parameters import Count, Range
from vauban.core.rng import Stream, fold
from vauban.data import registry
from vauban.data.dataset import Dataset, InMemory
from vauban.data.location import DataLocation, split_of

SPLITS = ("train", "test")
COARSE = 4  # random colours on a grid of 4 x 4, enlarged


@registry.register("colours", splits=SPLITS, classes=10, levels=256)
def colours(
    split: str | None,
    place: DataLocation,
    n: Count = 64,
    size: Annotated[int, Range(COARSE)] = 32,
    classes: Annotated[int, Range(2)] = 10,
    seed: int = 0,
) -> Dataset:
    """Smooth random colour images on 8 bits, `(3, size, size)`, with labels that mean nothing (0, 1, 2, ... in turn).

    Args:
        split: 'train' or 'test', which draw different colours; None for 'test'.
        place: Not used.
        n: Number of images.
        size: Side in pixels.
        classes: Number of classes.
        seed: Seed of the colours.
    """
    split = split_of("colours", split, SPLITS, "test")
    rng = Stream(fold(seed, "colours", split), torch.arange(n))
    coarse = rng.uniform("colour", (3, COARSE, COARSE))
    smooth = F.interpolate(coarse, size, mode="bilinear", align_corners=True)
    pixels = (255 * smooth).round().to(torch.uint8)
    names = tuple(str(k) for k in range(classes))
    return Dataset(
        "colours", split, InMemory(pixels), torch.arange(n) % classes, names, levels=256, budgets={"linf": 8 / 255}
    )
