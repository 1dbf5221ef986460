"""Data sets: stored pixels, labels and stable ids, turned into `Batch`es one batch at a time."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from vauban.core.arguments import NamedArguments, named_arguments
from vauban.core.contracts import Batch, check_labels
from vauban.core.errors import ContractError, plural
from vauban.core.parameters import Whole, check

_PIXELS = frozenset({"x", "images", "data", "pixels", "labels"})  # what other toolkits call what a batch holds


class Digest(Protocol):
    """What a source feeds its content to, such as `hashlib.sha256()`."""

    def update(self, data: bytes, /) -> None: ...


class PixelSource(Protocol):
    """Store of pixels; `rows` are positions in the full split, int64 `(n,)`."""

    def pixels(self, rows: Tensor) -> Tensor:
        """Samples, float32 `(n, ...)` in [0,1]."""
        ...

    def feed(self, rows: Tensor, digest: Digest) -> None:
        """Hash the given samples as they are stored, and everything that decides how they are decoded."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Samples held in memory.

    Attributes:
        values: All samples of the split, `(samples, ...)`: uint8 images become value / 255 in float32, floats stay as they
            are.
    """

    values: Tensor

    def pixels(self, rows: Tensor) -> Tensor:
        picked = self.values[rows]
        return picked.to(torch.float32).div_(255) if picked.dtype == torch.uint8 else picked

    def feed(self, rows: Tensor, digest: Digest) -> None:
        digest.update(f"{self.values.dtype}{tuple(self.values.shape[1:])}".encode())
        for chunk in torch.split(rows, 4096):
            digest.update(self.values[chunk].contiguous().numpy().tobytes())


@dataclass(frozen=True, eq=False)
class Dataset(NamedArguments):
    """Samples of one split of a data set.

    Attributes:
        name: Name of the data set.
        split: Name of the split.
        source: Where the pixels of the full split are.
        y: Labels, int64 `(n,)`.
        class_names: One per class.
        levels: 256 where pixels are 8-bit, None where they are continuous and never rounded.
        budgets: Conventional eps per norm name, in pixel units of [0,1].
        ids: Positions in the full split, int64 `(n,)`, so that a slice keeps the ids of its samples; None for 0, 1, 2, ...
        labels_from: 'true', 'none' (unlabelled, y = -1), 'own' (still to be replaced by the model's answers, see
            `relabel`) or 'given'.
        targets: The class that a targeted attack on each sample wants, int64 `(n,)`, where the data set names them.
        all_classes: Whether `class_names` are all of them, and not just those up to the largest label seen.

    Raises:
        ContractError: Labels or targets are no classes.

    Example:
        >>> some = Dataset("mine", "test", InMemory(images), labels, ("cat", "dog"))[:100]
    """

    name: str
    split: str
    source: PixelSource
    y: Tensor
    class_names: tuple[str, ...]
    levels: int | None = 256
    budgets: Mapping[str, float] = field(default_factory=dict)
    ids: Tensor | None = None
    labels_from: Literal["true", "none", "own", "given"] = "true"
    targets: Tensor | None = None
    all_classes: bool = True

    def __post_init__(self) -> None:
        if self.ids is None:
            object.__setattr__(self, "ids", torch.arange(len(self.y)))
        check_labels(self.y, len(self.rows), self.classes if self.labels_from == "true" else None)
        if self.targets is not None:
            check_labels(self.targets, len(self.rows), self.classes)

    @property
    def rows(self) -> Tensor:
        """Positions in the full split, int64 `(n,)`."""
        assert self.ids is not None
        return self.ids

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def known_classes(self) -> int | None:
        """Number of classes where names and labels are the data's own; None where labels are missing or a model's."""
        return self.classes if self.classes and self.labels_from == "true" and self.all_classes else None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample, `(channel, height, width)` or `(features,)`."""
        return tuple(self.source.pixels(self.rows[:1]).shape[1:])

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Says where the pixels of a data set are, which has no images in one tensor."""
            hint = "; images and labels are those of a batch: .all().x, .take(n).x, .y" if name in _PIXELS else ""
            raise AttributeError(f"expected an attribute of a Dataset, got {name!r}{hint}")

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        name = f"{self.name}/{self.split}" if self.split else self.name
        return f"Dataset({name}, {plural(len(self), 'sample')}, {plural(self.classes, 'class')})"

    def __getitem__(self, part: slice | Tensor) -> Dataset:
        """Some of the samples, by a slice or an index tensor; their ids stay. Raises ContractError where there are none."""
        ids = self.rows[part]
        if not len(ids):
            raise ContractError(f"expected at least one sample, got the empty slice {part} of {len(self)}")
        targets = None if self.targets is None else self.targets[part]
        return replace(self, ids=ids, y=self.y[part], targets=targets)

    def batch(self, index: Tensor) -> Batch:
        """The samples at some positions of this data set, int64 `(batch,)`."""
        rows = self.rows[index]
        return Batch(self.source.pixels(rows), self.y[index], rows, self.levels)

    def batches(self, size: int, device: torch.device | str = "cpu") -> Iterator[Batch]:
        """All samples in order, `size` at a time, converted and moved batch by batch. Raises ContractError for size < 1."""
        if size < 1:
            raise ContractError(f"expected a batch size of at least 1, got {size}")
        for index in torch.split(torch.arange(len(self)), size):
            yield self.batch(index).to(device)

    @named_arguments
    def take(self, n: int) -> Batch:
        """The first n samples (all where there are fewer) as one batch. Raises ContractError below 0."""
        check("take", "n", operator.index(n), Whole)
        return self.batch(torch.arange(min(n, len(self))))

    def all(self) -> Batch:
        """All samples as one batch."""
        return self.take(len(self))

    def relabel(self, y: Tensor) -> Dataset:
        """The same samples with other labels, int64 `(n,)`, such as the model's answers; the fingerprint is another one."""
        return replace(self, y=check_labels(y.cpu(), len(self), self.classes), labels_from="given")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the stored pixels, labels, ids and levels: of content, never of a path or the order of reading."""
        digest = hashlib.sha256(f"vauban-data-1 levels={self.levels} classes={self.classes} n={len(self)}".encode())
        self.source.feed(self.rows, digest)
        digest.update(self.y.contiguous().numpy().tobytes())
        digest.update(self.rows.contiguous().numpy().tobytes())
        if self.targets is not None:
            digest.update(b"targets" + self.targets.contiguous().numpy().tobytes())
        return digest.hexdigest()
