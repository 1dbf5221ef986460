"""Data of PyTorch as a `Dataset`: a pair (x, y), a `torch.utils.data.Dataset`, a `DataLoader`.

from vauban import data
test = data.from_torch(loader, name="ours", class_names=("cat", "dog"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, default_collate
from torch.utils.data import Dataset as TorchDataset

from vauban.core.arguments import named_arguments
from vauban.core.contracts import Batch, check_images, check_labels
from vauban.core.errors import ContractError
from vauban.core.pixel_grid import on_grid
from vauban.data.dataset import Dataset, Digest, InMemory, PixelSource

HELD = 2**29  # bytes of images that are held in memory; of more, each is read again when it is needed
CHUNK = 64  # samples that are read at a time
FORM = "an image tensor and a label for each sample, as transforms.ToTensor() gives them"
Read = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ReadAgain:
    """Samples of a torch data set, each read when it is needed.

    Attributes:
        read: From positions int64 `(n,)` to images and labels.
        bytes_: Whether every image is one of 8 bits, so that it counts in the fingerprint as it would in memory.
    """

    read: Read
    bytes_: bool = False

    def pixels(self, rows: Tensor) -> Tensor:
        return torch.cat([self.read(part)[0] for part in torch.split(rows, CHUNK)])

    def feed(self, rows: Tensor, digest: Digest) -> None:
        for i, part in enumerate(torch.split(rows, CHUNK)):
            x = self.read(part)[0]
            x = _bytes(x) if self.bytes_ else x
            if i == 0:
                digest.update(f"{x.dtype}{tuple(x.shape[1:])}".encode())
            digest.update(x.contiguous().numpy().tobytes())


@dataclass(frozen=True)
class Held:
    """Samples of a torch data set in memory.

    Attributes:
        samples: The images.
        rows: Their positions in the data set, int64 `(n,)`, rising.
    """

    samples: InMemory
    rows: Tensor

    def pixels(self, rows: Tensor) -> Tensor:
        return self.samples.pixels(torch.searchsorted(self.rows, rows))

    def feed(self, rows: Tensor, digest: Digest) -> None:
        self.samples.feed(torch.searchsorted(self.rows, rows), digest)


@named_arguments
def from_torch(
    source: Any,
    *,
    name: str = "",
    class_names: Sequence[str] = (),
    levels: int | None = 256,
    budgets: dict[str, float] | None = None,
) -> Dataset:
    """Images and labels of PyTorch as a data set with stable ids.

    Ids are positions in the pair or the torch data set, whatever order a loader shuffles them into; a loader's collate
    function is used, and a sampler that takes some of the samples is followed. What takes less than half a gigabyte is
    held in memory; of larger data sets each image is read again when it is needed, so they must answer the same every
    time. Everything is read once here, since labels, ranges and the fingerprint are those of the content.

    Args:
        source: A pair of images `(n, ...)` in [0,1] (float, or uint8) and labels int64 `(n,)`, a torch data set of such
            pairs, or a `DataLoader`. A loader without positions (of an `IterableDataset`) is held in memory.
        name: Name of the data; "" for that of the torch data set's class.
        class_names: One per class; () for the data set's own `classes`, else numbers up to the largest label.
        levels: 256 where pixels are 8-bit, None where they are continuous and never rounded.
        budgets: Conventional eps per norm name.

    Raises:
        ContractError: Something else, random images, images outside [0,1] or between the pixel levels.
    """
    pixels, y, ids, data = _taken(source)
    if not len(y):
        raise ContractError("expected at least one sample, got an empty data set")
    _check(pixels, y, levels)
    own = getattr(data, "classes", ())
    listed = [str(n) for n in own] if isinstance(own, (list, tuple)) else []
    given = tuple(class_names) or tuple(listed)
    names = given or tuple(str(k) for k in range(int(y.max()) + 1))
    facts: dict[str, Any] = {"levels": levels, "budgets": budgets or {}, "ids": ids, "all_classes": bool(given)}
    return Dataset(name or _name(data), "", pixels, y, names, **facts)


def readable(value: Any) -> bool:
    """Whether `from_torch` takes it: a pair of tensors, a torch data set, a loader."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(part, Tensor) for part in value)
    return pair or isinstance(value, (TorchDataset, DataLoader))


def _taken(source: Any) -> tuple[PixelSource, Tensor, Tensor | None, Any]:
    """Pixels, labels, ids, and the object that may know names."""
    if not readable(source):
        hint = "; pass (batch.x, batch.y), or the data set that it was taken from" if isinstance(source, Batch) else ""
        raise ContractError(
            f"expected a pair (x, y) of tensors, a torch Dataset or a DataLoader, got {_kind(source)}{hint}"
        )
    if isinstance(source, (tuple, list)):
        x, y = (part.detach().cpu() for part in source)
        return _held(x), _labels(y, len(x)), None, None
    data: Any = source.dataset if isinstance(source, DataLoader) else source
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        batches = source if isinstance(source, DataLoader) else (default_collate([sample]) for sample in data)
        return *_whole(_pair(batch) for batch in batches), None, data
    if isinstance(source, DataLoader) and source.batch_sampler is None:  # samples come as the data set gives them
        return *_whole(_pair(batch) for batch in source), None, data
    rows = _rows(source) if isinstance(source, DataLoader) else torch.arange(len(data))
    if not len(rows):
        raise ContractError("expected at least one sample, got an empty data set")
    collate = source.collate_fn if isinstance(source, DataLoader) else default_collate
    return *_indexed(data, collate, rows), rows, data


def _rows(loader: DataLoader[Any]) -> Tensor:
    """Positions that a loader visits, in the order of the data set."""
    data, sampler = len(loader.dataset), loader.sampler  # type: ignore[arg-type]
    shuffled = isinstance(sampler, RandomSampler) and not sampler.replacement and len(sampler) == data
    if shuffled or isinstance(sampler, SequentialSampler):
        return torch.arange(data)
    return torch.tensor(sorted({int(i) for i in sampler}), dtype=torch.int64)


def _indexed(data: Any, collate: Callable[[list[Any]], Any], rows: Tensor) -> tuple[PixelSource, Tensor]:
    """Pixels and labels of a data set with positions: held, or read again when needed."""

    def read(part: Tensor) -> tuple[Tensor, Tensor]:
        try:
            collated = collate([data[int(i)] for i in part])
        except (TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ContractError(f"expected {FORM}, got samples that do not make a batch: {reason}") from error
        return _pair(collated)

    first, again = read(rows[:1])[0], read(rows[:1])[0]
    if not torch.equal(first, again):
        raise ContractError(
            "expected the same image at every reading, got two for one position; leave random transforms out of the data"
        )
    small, exact = first.numel() * first.element_size() * len(rows) <= HELD, True
    images, labels = [], []
    for part in torch.split(rows, CHUNK):
        x, y = read(part)
        labels.append(y)
        if small:
            images.append(x)
        else:
            exact = exact and torch.equal(_bytes(check_images(x)).to(x.dtype).div_(255), x)
    return Held(_held(_joined(images)), rows) if small else ReadAgain(read, exact), torch.cat(labels)


def _whole(batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[InMemory, Tensor]:
    """All of a stream, in its order."""
    pairs = list(batches)
    if not pairs:
        raise ContractError("expected at least one sample, got an empty data set")
    return _held(_joined([x for x, _ in pairs])), torch.cat([y for _, y in pairs])


def _held(x: Tensor) -> InMemory:
    """Images in memory: as bytes where that gives the same float32 numbers."""
    if x.dtype == torch.float32 and bool(x.isfinite().all()) and torch.equal(_bytes(x).float().div_(255), x):
        return InMemory(_bytes(x))
    return InMemory(x)


def _bytes(x: Tensor) -> Tensor:
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def _joined(images: list[Tensor]) -> Tensor:
    shapes = {tuple(x.shape[1:]) for x in images}
    if len(shapes) > 1:
        raise ContractError(f"expected images of one shape, got {' and '.join(map(str, sorted(shapes)))}; resize them")
    return torch.cat(images)


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(batch, (tuple, list)) or len(batch) < 2 or not isinstance(batch[0], Tensor):
        raise ContractError(
            f"expected {FORM}, got {_kind(batch)}; give the loader a collate_fn that returns (images, labels)"
        )
    x = batch[0].detach().cpu()
    return x, _labels(batch[1], len(x))


def _labels(y: Any, n: int) -> Tensor:
    y = torch.as_tensor(y).detach().cpu()
    return check_labels(y.long() if not y.is_floating_point() and y.dtype != torch.bool else y, n)


def _check(source: PixelSource, y: Tensor, levels: int | None) -> None:
    """Whether images that are held are in [0,1] and on the grid; of those read again `Oracle.open` sees each batch."""
    held = source.samples if isinstance(source, Held) else source
    if not isinstance(held, InMemory) or held.values.dtype == torch.uint8:
        return
    check_images(held.values)
    if levels is not None and not all(on_grid(part, levels) for part in torch.split(held.values, 256)):
        raise ContractError(
            f"expected images on the grid of {levels} pixel levels, got values between levels; for continuous data pass "
            "vb.data.from_torch(..., levels=None)"
        )


def _name(data: Any) -> str:
    return "images" if data is None else type(getattr(data, "dataset", data)).__name__.lower()


def _kind(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return f"({', '.join(type(part).__name__ for part in value)})"
    return type(value).__name__
