"""CIFAR-10 from torchvision's batches (python or binary version) or from Hugging Face parquet files."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vauban.core.errors import ContractError
from vauban.data import registry
from vauban.data.dataset import Dataset, InMemory, PixelSource
from vauban.data.encoded import Encoded
from vauban.data.location import DataLocation, split_of

SPLITS = ("train", "test")
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
BUDGETS = {"linf": 8 / 255, "l2": 0.5, "l1": 12.0}
PARQUET = ("{}.parquet", "plain_text/{}-*.parquet", "data/{}-*.parquet", "{}-*.parquet")
RECORD = 1 + 3 * 32 * 32


class _ArraysOnly(pickle.Unpickler):
    """Unpickler of the published batches, one dict of bytes and arrays: nothing else is ever constructed."""

    allowed = frozenset({"_reconstruct", "ndarray", "dtype", "encode"})

    def find_class(self, module: str, name: str) -> Any:
        if name in self.allowed and module.split(".")[0] in ("numpy", "_codecs"):
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it wants to construct {module}.{name}")


def _read_python(path: Path) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Pixels uint8 `(n, 3, 32, 32)` and labels of a batch of the Python version. Raises ContractError."""
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        pixels, labels = np.asarray(batch[b"data"], np.uint8), [int(label) for label in batch[b"labels"]]
        return pixels.reshape(-1, 3, 32, 32), labels
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ContractError(f"{path} is not a CIFAR-10 batch: {type(error).__name__}: {error}") from error


def _read_binary(path: Path) -> tuple[np.ndarray[Any, Any], list[int]]:
    """Pixels uint8 `(n, 3, 32, 32)` and labels of a batch of the binary version. Raises ContractError."""
    data = np.fromfile(path, np.uint8)
    if not len(data) or len(data) % RECORD:
        raise ContractError(f"{path} is not a CIFAR-10 binary batch: {len(data)} bytes is no multiple of {RECORD}")
    records = data.reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].tolist()


def _from_batches(root: Path, split: str) -> tuple[PixelSource, list[int], str] | None:
    """Pixels, labels and folder of torchvision's batches; None where they are absent."""
    stems = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    for folder, suffix, read in (
        ("cifar-10-batches-py", "", _read_python),
        ("cifar-10-batches-bin", ".bin", _read_binary),
    ):
        paths = [root / folder / (stem + suffix) for stem in stems]
        if all(path.is_file() for path in paths):
            batches = [read(path) for path in paths]
            pixels = torch.from_numpy(np.concatenate([images for images, _ in batches]))
            return InMemory(pixels), [label for _, labels in batches for label in labels], str(root / folder)
    return None


def _from_parquet(root: Path, split: str) -> tuple[PixelSource, list[int], str] | None:
    """Pixels, labels and first file of Hugging Face's parquet files; None where they are absent."""
    for base in (root / "cifar10", root):
        for pattern in PARQUET:
            if paths := sorted(base.glob(pattern.format(split))):
                return _read_parquet(paths)
    return None


def _read_parquet(paths: list[Path]) -> tuple[PixelSource, list[int], str]:
    """Pixels, labels and first file of parquet files. Raises ContractError for other columns and for missing values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data: list[bytes] = []
    labels: list[int] = []
    origins: list[tuple[int, Path]] = []
    for path in paths:
        try:
            table = pq.read_table(path)
            image = next(column for column in ("img", "image") if column in table.column_names)
            origins.append((len(data), path))
            data += pa.compute.struct_field(table[image], "bytes").to_pylist()
            labels += table["label"].to_pylist()
        except (pa.ArrowException, OSError, KeyError, StopIteration) as error:
            reason = str(error).split("\n")[0] or "no column img"
            raise ContractError(f"{path} is not a parquet file with the columns img and label: {reason}") from error
        if None in data[origins[-1][0] :] or None in labels[origins[-1][0] :]:
            raise ContractError(f"{path} holds a row without image bytes or without a label")

    def origin(i: int) -> str:
        start, path = next((first, file) for first, file in reversed(origins) if first <= i)
        return f"row {i - start} of {path}"

    return Encoded(data.__getitem__, origin, keep=True), labels, str(paths[0])


@registry.register("cifar10", splits=SPLITS, classes=10, levels=256)
def cifar10(split: str | None, place: DataLocation) -> Dataset:
    """CIFAR-10, 32x32 colour (50000 train, 10000 test): cifar-10-batches-py or cifar10/*.parquet below the data root."""
    split = split_of("cifar10", split, SPLITS, "test")
    files = _from_batches(place.root, split) or _from_parquet(place.root, split)
    if files is None and place.download:
        from torchvision import datasets

        try:
            datasets.utils.download_and_extract_archive(
                datasets.CIFAR10.url, str(place.root), filename=datasets.CIFAR10.filename, md5=datasets.CIFAR10.tgz_md5
            )
        except (OSError, RuntimeError) as error:
            raise ContractError(f"the download of CIFAR-10 failed: {error}") from error
        files = _from_batches(place.root, split)
    if files is None:
        raise place.missing("cifar10", f"cifar-10-batches-py/ or cifar10/{split}.parquet")
    source, labels, where = files
    if labels and not 0 <= min(labels) <= max(labels) < len(NAMES):
        raise ContractError(f"{where} holds labels from {min(labels)} to {max(labels)}, expected 0 to {len(NAMES) - 1}")
    return Dataset("cifar10", split, source, torch.tensor(labels), NAMES, budgets=BUDGETS)
