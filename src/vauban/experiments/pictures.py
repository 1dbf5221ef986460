"""The pictures of a reproduction: originals, saved images, and what was changed, for a few crafts."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import torch
from torch import Tensor

from vauban.evaluate.batch import png
from vauban.experiments.bench import Images
from vauban.experiments.crafting import reload
from vauban.experiments.plan import Plan
from vauban.experiments.runner import saved_part
from vauban.experiments.spec import Cell

MOST = 6  # crafts that are shown
SHOWN = 4  # images of each
SIDE = 96  # pixels that small images are enlarged to, by a whole factor


def pictures(work: Plan, cells: Sequence[Cell]) -> list[dict[str, str]]:
    """Title, caption and PNG (base64) of the first crafts: the first images of each, one column per image.

    cells: the first of those that the work was planned for.
    """
    first = [(asked.images[0][0], cell) for asked, cell in zip(work.asked, cells, strict=False)]
    made = {images.key: (images, cell) for images, cell in first if images.craft}
    return [_picture(work, images, cell) for images, cell in list(made.values())[:MOST]]


def _picture(work: Plan, images: Images, cell: Cell) -> dict[str, str]:
    saved = reload(saved_part(work.bench, images, 0)["image"].to_pylist()[:SHOWN])
    clean = work.bench.data.take(len(saved)).x
    change = saved - clean
    largest = float(change.abs().max())
    craft = images.craft
    assert craft is not None
    sources = ", ".join(dict.fromkeys(t.network for t in craft.through))
    return {
        "title": cell.label or f"{type(craft.attack).__name__} on {sources}",
        "caption": f"{type(craft.attack).__name__} on {sources}, {'targeted' if craft.targeted else 'untargeted'}. "
        f"Top: the originals. Middle: the saved images. Bottom: the change, grey for none, black and white for "
        f"{largest * 255:.3g}/255.",
        "png": base64.b64encode(png(montage([clean, saved, magnified(change)]))).decode(),
    }  # fmt: skip


def magnified(change: Tensor) -> Tensor:
    """A change as an image: grey for none, black and white for the largest of the batch."""
    return 0.5 + change / (2 * float(change.abs().max()) or 1.0)


def montage(rows: Sequence[Tensor]) -> Tensor:
    """Batches of images `(batch, channel, height, width)` as the rows of one image, small ones enlarged."""
    factor = max(1, SIDE // rows[0].shape[2])
    lines = [torch.cat(list(batch), dim=2) for batch in rows]
    return torch.cat(lines, dim=1).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
