"""Pictures: images as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor


def pictured(shape: Sequence[int]) -> bool:
    """Whether samples of this shape can be written as PNG."""
    return len(shape) == 3 and shape[0] in (1, 3)


def png(image: Tensor) -> bytes:
    """A `(1 or 3, height, width)` image in [0,1] as PNG bytes at 8 bits; exact for images on the grid of 256 levels."""
    pixels = (image.detach().cpu() * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()
