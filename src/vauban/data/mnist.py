"""MNIST and Fashion-MNIST from raw IDX files in torchvision's folder layout."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vauban.core.errors import ContractError
from vauban.data import registry
from vauban.data.dataset import Dataset, InMemory
from vauban.data.location import DataLocation, split_of

SPLITS = ("train", "test")
LARGEST = 2**30  # bytes of an IDX file; MNIST has 47 million
FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


def read_idx(path: Path) -> Tensor:
    """Array of an IDX file of bytes, plain or gzipped, uint8. Raises ContractError, naming the file."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            zero, kind, dims = struct.unpack(">HBB", head)
            head += file.read(4 * dims)
            shape = struct.unpack_from(f">{dims}I", head, 4)
            if (size := math.prod(shape)) > LARGEST:
                raise ContractError(f"expected at most {LARGEST:,} bytes in {path}, got a header for {size:,}")
            data = head + file.read(size + 1)  # no more than the header says, and a byte that would be too many
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise ContractError(f"{path} is not a readable IDX file: {error}") from error
    start = 4 + 4 * dims
    if zero != 0 or kind != 8 or len(data) != start + math.prod(shape):
        raise ContractError(
            f"{path} is not an IDX file of bytes: header {data[:4].hex()}, {len(data)} bytes for shape {shape}"
        )
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy())


def _locate(place: DataLocation, folder: str, stem: str) -> Path | None:
    """Path of a file, plain or gzipped, in the places where it may be; None where it is absent."""
    for base in (place.root / folder / "raw", place.root / "raw", place.root):
        for name in (stem, stem + ".gz"):
            if (base / name).is_file():
                return base / name
    return None


def _download(place: DataLocation, folder: str) -> None:
    """Download a data set of torchvision below the root. Raises ContractError."""
    from torchvision import datasets

    try:
        getattr(datasets, folder)(str(place.root), download=True)
    except (OSError, RuntimeError) as error:
        raise ContractError(f"the download of {folder} failed: {error}") from error


def _load(
    name: str, folder: str, split: str | None, place: DataLocation, names: tuple[str, ...], budgets: dict[str, float]
) -> Dataset:
    """A data set in MNIST's files.

    Args:
        name: Registered name.
        folder: Torchvision's name of it, which is its folder.
        split: 'train' or 'test'; None for 'test'.
        place: The data root.
        names: Class names.
        budgets: Conventional eps per norm name.

    Raises:
        MissingData: Files are absent.
        ContractError: There is no such split, or the files do not fit each other.
    """
    split = split_of(name, split, SPLITS, "test")
    stem = "train" if split == "train" else "t10k"
    kinds = (f"{stem}-images-idx3-ubyte", f"{stem}-labels-idx1-ubyte")
    paths = [_locate(place, folder, kind) for kind in kinds]
    if None in paths and place.download:
        _download(place, folder)
        paths = [_locate(place, folder, kind) for kind in kinds]
    images_at, labels_at = paths
    if images_at is None or labels_at is None:
        raise place.missing(name, f"{folder}/raw/{kinds[0]} and {kinds[1]}")
    pixels, labels = read_idx(images_at), read_idx(labels_at).long()
    if pixels.dim() != 3 or labels.shape != pixels.shape[:1]:
        raise ContractError(f"{images_at} holds {tuple(pixels.shape)} images, {labels_at} {tuple(labels.shape)} labels")
    if int(labels.max()) >= len(names):
        raise ContractError(f"{labels_at} holds the label {int(labels.max())}, expected 0 to {len(names) - 1}")
    return Dataset(name, split, InMemory(pixels[:, None]), labels, names, budgets=budgets)


@registry.register("mnist", splits=SPLITS, classes=10, levels=256)
def mnist(split: str | None, place: DataLocation) -> Dataset:
    """MNIST, 28x28 grey (60000 train, 10000 test), from MNIST/raw below the data root."""
    return _load("mnist", "MNIST", split, place, tuple("0123456789"), {"linf": 0.3, "l2": 2.0, "l1": 10.0})


@registry.register("fashion-mnist", splits=SPLITS, classes=10, levels=256)
def fashion_mnist(split: str | None, place: DataLocation) -> Dataset:
    """Fashion-MNIST, 28x28 grey (60000 train, 10000 test), from FashionMNIST/raw below the data root."""
    return _load("fashion-mnist", "FashionMNIST", split, place, FASHION, {"linf": 0.1, "l2": 1.5, "l1": 10.0})
