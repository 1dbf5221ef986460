"""Pictures and archives of unknown origin: their size is read before they are unpacked."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path

from PIL import Image

from vauban.core.errors import ContractError

PIXELS = 2**26
"""Pixels of the largest picture that is decoded, 67 million: those of the largest cameras, 200 MB in RGB."""
UNPACKED = 2**28
"""Bytes that an archive may hold, whatever it holds them in."""
FACTOR = 100
"""Beyond that, how many times its own size an archive may hold: images and weights are hardly smaller than a third."""


def opened(data: bytes, origin: str) -> Image.Image:
    """A picture, opened and not yet decoded.

    Args:
        data: The encoded bytes.
        origin: Where they came from, for messages.

    Raises:
        ContractError: The bytes are no picture, or it has more than `PIXELS` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns of odd metadata; the pixels are what counts
            picture = Image.open(io.BytesIO(data))
    except Image.DecompressionBombError as error:
        raise ContractError(f"{origin} has too many pixels to be decoded: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        what = "" if "cannot identify" in str(error) else f": {error}"
        raise ContractError(f"{origin} is not a readable image{what}") from error
    if picture.width * picture.height > PIXELS:
        raise ContractError(
            f"expected at most {PIXELS:,} pixels in {origin}, got {picture.width}x{picture.height}; make it smaller first"
        )
    return picture


def check_archive(path: Path, limit: int = UNPACKED) -> None:
    """Look at what a zip archive (npz, pt) says that it holds, before it is unpacked.

    Args:
        path: The file; anything but a zip archive is not looked at.
        limit: Bytes that it may hold.

    Raises:
        ContractError: It holds more than `limit` bytes, and more than `FACTOR` times its own size.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            held = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise ContractError(f"{path} is not a readable archive: {error}") from error
    size = path.stat().st_size
    if held > limit and held > FACTOR * size:
        raise ContractError(
            f"expected {path} to hold at most {limit:,} bytes, got an archive of {size:,} bytes that unpacks to {held:,}; "
            "save it without compression if that is meant"
        )
