"""Encoded images (JPEG, PNG), decoded when a batch asks for them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.parameters import Count, Parameters
from vauban.data.dataset import Digest
from vauban.store.pictures import opened

UPRIGHT, ON_SIDE = 1, (5, 6, 7, 8)  # EXIF orientations: as it is; width and height exchanged


@dataclass(frozen=True)
class Framing(Parameters):
    """Size and colour that an image file is brought to, in 8 bits: the result stays on the grid of 256 levels.

    Attributes:
        size: Pixels that the shorter side is resized to (bicubic); None for as it is.
        crop: Side of the square then cut from the centre; None for all.
        grey: Whether colours become grey.

    Raises:
        ContractError: A number of pixels is no positive whole number.
    """

    size: Count | None = None
    crop: Count | None = None
    grey: bool = False

    def decode(self, data: bytes, origin: str) -> Tensor:
        """An image as a tensor, turned as its EXIF orientation says.

        Args:
            data: The encoded bytes.
            origin: Where they came from, for messages.

        Returns:
            Pixels uint8 `(channel, height, width)`.

        Raises:
            ContractError: The bytes are no image of 8 bits, or it is smaller than the crop or too large to be decoded.
        """
        with opened(data, origin) as picture, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL warns of odd metadata; the pixels are what counts
            if picture.mode[0] in "IF":  # PIL would clip 16-bit and float pixels, not scale them
                raise ContractError(f"expected 8-bit pixels in {origin}, got mode {picture.mode}; convert it to 8 bit")
            try:
                image = ImageOps.exif_transpose(picture.convert("L" if self.grey else "RGB"))
            except (OSError, SyntaxError, ValueError) as error:
                raise ContractError(f"{origin} is not a readable image: {error}") from error
        pixels = torch.from_numpy(np.array(self._frame(image, origin)))
        return pixels[None] if self.grey else pixels.permute(2, 0, 1).contiguous()

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of an image of these, resized and not yet cropped."""
        if self.size is None:
            return width, height
        scale = self.size / min(width, height)
        return max(self.size, round(width * scale)), max(self.size, round(height * scale))

    def _frame(self, image: Image.Image, origin: str) -> Image.Image:
        """The image resized and cropped."""
        if self.size is not None:
            image = image.resize(self.scaled(*image.size), Image.Resampling.BICUBIC)
        if self.crop is None:
            return image
        if min(image.size) < self.crop:
            raise ContractError(
                f"{origin} is {image.width}x{image.height}, smaller than crop={self.crop}; "
                f"scale it first with size={self.crop}"
            )
        left, top = (image.width - self.crop) // 2, (image.height - self.crop) // 2
        return image.crop((left, top, left + self.crop, top + self.crop))


@dataclass(frozen=True, eq=False)
class Encoded:
    """Source of encoded samples; their fingerprint is that of the encoded bytes and the framing.

    Attributes:
        read: i -> the encoded bytes of sample i of the split.
        origin: i -> its name in messages.
        framing: Size and colour of the images.
        keep: Whether decoded samples stay in memory: for small images that are visited many times.
    """

    read: Callable[[int], bytes]
    origin: Callable[[int], str]
    framing: Framing = field(default_factory=Framing)
    keep: bool = False
    _kept: dict[int, Tensor] = field(default_factory=dict, repr=False)

    def _decode(self, i: int) -> Tensor:
        """Sample i, uint8 `(channel, height, width)`."""
        if i in self._kept:
            return self._kept[i]
        image = self.framing.decode(self.read(i), self.origin(i))
        if self.keep:
            self._kept[i] = image
        return image

    def pixels(self, rows: Tensor) -> Tensor:
        """Samples, float32 `(n, channel, height, width)` in [0,1]. Raises ContractError where sizes differ."""
        images = [self._decode(i) for i in rows.tolist()]
        for i, image in zip(rows.tolist(), images, strict=True):
            self._check_size(i, tuple(image.shape[1:]), tuple(images[0].shape[1:]))
        return torch.stack(images).to(torch.float32).div_(255)

    def _check_size(self, i: int, size: tuple[int, ...], before: tuple[int, ...]) -> None:
        """Check that sample i has the height and width of those before. Raises ContractError."""
        if size != before:
            raise ContractError(
                f"expected images of one size, got {size} for {self.origin(i)} and {before} before; "
                "give size=... and crop=..."
            )

    def feed(self, rows: Tensor, digest: Digest) -> None:
        """Hash the framing and the encoded bytes of some samples, and which of them are turned when they are decoded.

        Raises:
            ContractError: Sizes differ, so that no batch could be made: said here, where an evaluation is planned.
        """
        digest.update(repr(self.framing).encode())
        first: tuple[int, int] | None = None
        for i in rows.tolist():
            data = self.read(i)
            digest.update(hashlib.sha256(data).digest())
            orientation = _orientation(data)
            if orientation != UPRIGHT:
                digest.update(b"turned")
            if self.framing.crop is None and (size := self._size(data, orientation)) is not None:
                first = first or size
                self._check_size(i, size, first)

    def _size(self, data: bytes, orientation: int) -> tuple[int, int] | None:
        """Height and width that encoded bytes are decoded to, from their header; None of what is no image."""
        try:
            with opened(data, "") as picture:
                width, height = picture.size
        except ContractError:
            return None  # a batch says so, with its name
        if orientation in ON_SIDE:
            width, height = height, width
        return self.framing.scaled(width, height)[::-1]


def _orientation(data: bytes) -> int:
    """EXIF orientation of encoded bytes; what is no image is upright."""
    if b"Exif" not in data and b"eXIf" not in data:
        return UPRIGHT
    try:
        with opened(data, "") as picture:
            return int(picture.getexif().get(ExifTags.Base.Orientation, UPRIGHT))
    except (ContractError, OSError, SyntaxError, ValueError):
        return UPRIGHT
