"""Stored pictures of a part as tensors, and the distances between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vauban.metrics.sample import measure
from vauban.store.pictures import opened

DISTANCES = ("l0", "l1", "l2", "linf")
NEAR = 1e-5
"""By how much a distance of pictures may miss the stored one, relative and in pixel units."""


@dataclass(frozen=True)
class PicturedRows:
    """The rows of a part that have both pictures.

    Attributes:
        columns: Their columns, `(n,)` each.
        clean: The originals, float32 `(n, channel, height, width)` in [0,1].
        image: The images of the attack, of the same shape.
        whole: Whether every row of the part has its pictures.
    """

    columns: Mapping[str, np.ndarray[Any, Any]]
    clean: Tensor
    image: Tensor
    whole: bool


def pictured_rows(columns: Mapping[str, np.ndarray[Any, Any]]) -> PicturedRows | None:
    """The rows with pictures; None where there are none. Raises ContractError for what is no picture."""
    pairs = zip(columns["clean_png"], columns["adv_png"], strict=True)
    have = np.array([clean is not None and adv is not None for clean, adv in pairs], bool)
    if not have.any():
        return None
    kept = {name: values[have] for name, values in columns.items()}
    clean, image = (pixels_of(kept[name], name) for name in ("clean_png", "adv_png"))
    return PicturedRows(kept, clean, image, bool(have.all()))


def pixels_of(pictures: Sequence[bytes], origin: str) -> Tensor:
    """Pictures as images, float32 `(n, channel, height, width)` in [0,1]."""
    arrays = [np.asarray(opened(data, f"a picture in {origin}")) for data in pictures]
    stacked = torch.from_numpy(np.stack(arrays)).to(torch.float32).div_(255)
    return stacked[:, None] if stacked.dim() == 3 else stacked.permute(0, 3, 1, 2).contiguous()


def distances_agree(rows: PicturedRows) -> np.ndarray[Any, Any]:
    """Whether the stored distances of each row are those of its pictures, `(n,)` bool; a failure has none, and agrees."""
    measured = measure(rows.clean, rows.image)
    success = np.asarray(rows.columns["success"], bool)
    close = [
        np.isclose(measured[name].numpy(), np.asarray(rows.columns[name], float), rtol=NEAR, atol=NEAR)
        for name in DISTANCES
    ]
    agree: np.ndarray[Any, Any] = np.all(close, axis=0) | ~success
    return agree
