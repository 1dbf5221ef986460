"""Magnified views as 8-bit pictures: of image files, and of the examples that a report shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from vauban.core.errors import ContractError, plural
from vauban.core.pictures import png
from vauban.data.encoded import Framing
from vauban.metrics.magnify import magnify
from vauban.report.run.example_images import example_rows
from vauban.store import Store
from vauban.store.files import write_bytes
from vauban.store.pictures import opened
from vauban.store.query import read_cell
from vauban.store.schema import PICTURES
from vauban.store.views import magnified as magnified_at

PNG_DEPTH = 24  # the byte of a PNG file that holds the bits per sample


def grey(z: Tensor) -> Tensor:
    """0.5 + z, clipped to [0,1]: a magnified image as it is shown, 0 mid grey, -1/2 black, 1/2 white; one scale for all."""
    return (0.5 + z).clamp(0, 1)


def read_picture(path: Path) -> Tensor:
    """The pixels of an image file as floats in [0,1], `(1, 1 or 3, height, width)`.

    Raises ContractError for what is no 8-bit grey or RGB image: an alpha channel has no place in a magnification.
    """
    data = path.read_bytes()
    with opened(data, str(path)) as picture:
        mode, transparent = picture.mode, picture.has_transparency_data
    if transparent:
        raise ContractError(
            f"{path}: expected a grey or RGB image, got an alpha channel (mode {mode}); flatten it first"
        )
    if data[:4] == b"\x89PNG" and data[PNG_DEPTH] == 16:  # PIL would drop the low byte of RGB in silence
        raise ContractError(f"{path}: expected 8 bits per channel, got 16; convert it to 8 bit")
    return Framing(grey=mode in ("1", "L")).decode(data, str(path))[None].float() / 255


def magnified(paths: Sequence[Path], original: Path | None = None, **per_sample: float) -> bytes:
    """PNG of the magnified images side by side, shown by `grey`; the other parameters as of `metrics.magnify`.

    With an original, a row for each image: original, its magnification, the image, its magnification, and the
    difference of the two magnifications. Raises ContractError for a single pixel, which has no surroundings, and where
    an image has not the shape of the original.
    """
    images = [_with_surroundings(path) for path in paths]
    views = [magnify(x, **per_sample) for x in images]
    if original is None:
        return png(montage([[grey(z) for z in views]]))
    x0 = _with_surroundings(original)
    for path, x in zip(paths, images, strict=True):
        if x.shape != x0.shape:
            raise ContractError(f"{path}: expected the shape of {original}, {_size(x0)}, got {_size(x)}")
    z0 = magnify(x0, **per_sample)
    return png(montage([[x0, grey(z0), x, grey(z), grey(z - z0)] for x, z in zip(images, views, strict=True)]))


def montage(rows: Sequence[Sequence[Tensor]]) -> Tensor:
    """Pictures `(1, 1 or 3, height, width)` in rows, from the top left on mid grey: one `(channel, height, width)`."""
    colours = max(x.shape[1] for row in rows for x in row)
    lines = [[x.expand(-1, colours, -1, -1)[0] for x in row] for row in rows]
    heights = [max(x.shape[1] for x in line) for line in lines]
    canvas = torch.full((colours, sum(heights), max(sum(x.shape[2] for x in line) for line in lines)), 0.5)
    top = 0
    for line, height in zip(lines, heights, strict=True):
        left = 0
        for x in line:
            canvas[:, top : top + x.shape[1], left : left + x.shape[2]] = x
            left += x.shape[2]
        top += height
    return canvas


def magnify_examples(store: Store, keys: Sequence[str], device: str = "cpu") -> None:
    """Store the magnified view of every picture that a report shows of the cells `keys`, unless it is at hand.

    A view is found by the content of its picture, so that all attacks on an image share that of the original.
    """
    for key in keys:
        cell = read_cell(store.cell(key), pictures=False)
        shown = [cell.picture(name, row) for _, row in example_rows(cell) for name in PICTURES]
        missing = [picture for picture in dict.fromkeys(shown) if not magnified_at(store.path, picture).exists()]
        if not missing:
            continue
        x = torch.stack([_pixels(picture, key) for picture in missing]).to(device)
        for picture, view in zip(missing, grey(magnify(x)), strict=True):
            write_bytes(magnified_at(store.path, picture), png(view))


def _pixels(picture: bytes, origin: str) -> Tensor:
    with opened(picture, origin) as image:
        single = image.mode == "L"
    return Framing(grey=single).decode(picture, origin).float() / 255


def _with_surroundings(path: Path) -> Tensor:
    x = read_picture(path)
    if x.shape[2] * x.shape[3] == 1:
        raise ContractError(f"{path}: expected an image, got a single pixel, which has no surroundings to compare with")
    return x


def _size(x: Tensor) -> str:
    return f"{x.shape[3]}x{x.shape[2]} with {plural(x.shape[1], 'channel')}"
