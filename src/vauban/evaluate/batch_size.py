"""Batch size by the size of the images."""

from __future__ import annotations

import torch

from vauban.data import Dataset


def automatic_batch_size(data: Dataset) -> int:
    """A power of two from 8 to 256 that holds about two million components."""
    features = max(1, torch.Size(data.shape).numel())
    return int(min(256, max(8, 2 ** (2_000_000 // features).bit_length() // 2)))
