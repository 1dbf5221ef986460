"""Contracts: the data that every public function takes, checked once, and the work that jobs are.

Images x: float `(batch, channel, height, width)` in [0,1] (vectors `(batch, features)` where the maths allows).
Labels y: int64 `(batch,)`. Logits: float `(batch, classes)`, normalisation inside the model.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from typing_extensions import TypeIs

from vauban.core.arguments import NamedArguments
from vauban.core.errors import ContractError, plural
from vauban.core.outputs import refusal
from vauban.core.parameters import Whole, check
from vauban.core.tolerance import tolerance


@dataclass(frozen=True)
class Batch(NamedArguments):
    """Images with their labels and stable sample ids.

    Attributes:
        x: Images, float `(batch, channel, height, width)` or vectors `(batch, features)`, in [0,1].
        y: Labels, int64 `(batch,)`.
        ids: Sample ids, int64 `(batch,)`, by which random numbers are keyed.
        levels: Number of pixel levels; None for continuous values, which are never rounded.

    Raises:
        ContractError: Images, labels or ids break the contract.
    """

    x: Tensor
    y: Tensor
    ids: Tensor
    levels: int | None = 256

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", check_images(self.x))
        check_labels(self.y, len(self.x))
        check_ids(self.ids, len(self.x))

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: torch.device | str) -> Batch:
        """The same samples on a device."""
        return replace(self, x=self.x.to(device), y=self.y.to(device), ids=self.ids.to(device))

    def take(self, n: int) -> Batch:
        """The first n samples (all where there are fewer). Raises ContractError below 0."""
        check("take", "n", operator.index(n), Whole)
        return Batch(self.x[:n], self.y[:n], self.ids[:n], self.levels)


def check_images(x: Tensor, name: str = "images") -> Tensor:
    """Images, checked: a float tensor, batch first, at least one sample, finite, in [0,1].

    Args:
        x: What should be images.
        name: What the message calls them.

    Returns:
        x itself; where float arithmetic has put components outside [0,1] by no more than the tolerance of its type
        (`core.tolerance`: 1e-6 in float32), a copy with these at 0 or 1.

    Raises:
        ContractError: x is something else; the message names the first bad sample, and the likely cause of a wrong range.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2:
        kind = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        hint = "; x.float() / 255 makes them of bytes" if isinstance(x, Tensor) and x.dtype == torch.uint8 else ""
        raise ContractError(f"expected {name} as a float tensor (batch, channel, height, width), got {kind}{hint}")
    if not len(x):
        raise ContractError(f"expected at least one of the {name}, got an empty batch")
    finite = torch.isfinite(x).flatten(1).all(1)
    if not bool(finite.all()):
        raise ContractError(
            f"expected finite {name}, got NaN or infinite pixels in sample {int((~finite).nonzero()[0])}"
        )
    low, high = (float(edge) for edge in x.detach().aminmax())
    if low >= 0 and high <= 1:
        return x
    slack = tolerance(x.dtype)
    if max(-low, high - 1) > slack:
        raise ContractError(f"expected {name} in [0, 1], got [{_edge(low)}, {_edge(high)}]; {_range_hint(low, high)}")
    return x.clamp(0, 1)


def _edge(value: float) -> str:
    """An end of a range; one just above 1 by its excess."""
    return f"1 + {value - 1:.2g}" if 1 < value < 1.001 else f"{value:.4g}"


def _range_hint(low: float, high: float) -> str:
    """The likely cause of images outside [0,1]."""
    if high > 2:
        return "divide by 255"
    if max(-low, high - 1) < 0.02:
        return "x.clamp(0, 1) takes off what arithmetic has added"
    return "undo the normalisation: vb.models.wrap(net, mean=..., std=...) applies it"


def check_labels(y: Tensor, batch: int, classes: int | None = None) -> Tensor:
    """Labels, checked: int64 `(batch,)`, inside [0, classes) where the number of classes is known.

    Returns:
        y itself.

    Raises:
        ContractError: y has another type or shape, or a label lies outside.
    """
    if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != (batch,):
        kind = f"{y.dtype} of shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise ContractError(f"expected labels as int64 of shape ({batch},), got {kind}{_labels_hint(y, batch)}")
    if classes is not None and bool(((y < 0) | (y >= classes)).any()):
        raise ContractError(
            f"expected labels in [0, {classes - 1}] for a model with {plural(classes, 'class')}, "
            f"got [{int(y.min())}, {int(y.max())}]; is this the data set the model was trained on?"
        )
    return y


def _labels_hint(y: Any, batch: int) -> str:
    if not isinstance(y, Tensor) or y.shape[:1] != (batch,):
        return ""
    if y.dim() == 2 and y.shape[1] > 1:
        return "; of one-hot rows y.argmax(1) makes labels"
    return "; y.flatten().long() makes them" if y.numel() == batch and not y.is_floating_point() else ""


def check_ids(ids: Tensor, batch: int) -> Tensor:
    """Sample ids, checked: int64 `(batch,)`. Raises ContractError, else returns ids."""
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64 or ids.shape != (batch,):
        kind = f"{ids.dtype} of shape {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
        raise ContractError(f"expected {plural(batch, 'sample id')} as int64, got {kind}")
    return ids


def check_logits(logits: Tensor, batch: int) -> Tensor:
    """Logits, checked: floating point `(batch, classes)`, two classes or more. Raises ContractError, else returns them."""
    if (
        not isinstance(logits, Tensor)
        or logits.dim() != 2
        or logits.shape[0] != batch
        or logits.shape[1] < 2
        or not logits.is_floating_point()
    ):
        raise ContractError(refusal(logits, batch))
    return logits


@dataclass(frozen=True, eq=False)
class Part:
    """One batch of a job: its number, and the positions of its samples in the job's data, int64 `(samples,)`."""

    index: int
    positions: Tensor

    def __len__(self) -> int:
        return len(self.positions)

    def halves(self) -> tuple[Part, Part]:
        """Both halves of the samples, under the same number."""
        middle = len(self) // 2
        return Part(self.index, self.positions[:middle]), Part(self.index, self.positions[middle:])


@dataclass(frozen=True)
class Computed:
    """What a job makes of a part: columns with one value per sample, findings, and jobs that follow from it."""

    columns: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]] = ()
    jobs: Sequence[Job] = ()


@dataclass(frozen=True)
class Words:
    """A job or an artefact as text: the `module:function` that makes it again elsewhere, and its JSON arguments."""

    call: str
    arguments: Mapping[str, Any]


class Job(Protocol):
    """Work that goes part by part into a store.

    `identity` is everything that can change a row, as JSON; `key` its hash, the address of the rows. `words` is None for
    a job of objects that exist in one Python process only.
    """

    @property
    def label(self) -> str: ...
    @property
    def key(self) -> str: ...
    def identity(self) -> Mapping[str, Any]: ...
    def needs(self) -> Sequence[Job | Artefact]: ...
    def words(self) -> Words | None: ...
    def parts(self) -> Sequence[Part]: ...
    def compute(self, part: Part, scratch: Path) -> Computed:
        """The rows of a part, or of half of one where memory ran out."""
        ...

    def lock(self, part: Part) -> AbstractContextManager[bool]:
        """Whether this process now owns the part."""
        ...

    def stored(self, part: Part) -> bool:
        """Whether the rows of these samples are stored and need not be made."""
        ...

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        """Store the rows of a part, whole or not at all."""
        ...

    def fail(self, part: Part, error: str, traceback: str) -> None:
        """Record that a part failed."""
        ...


class Artefact(Protocol):
    """A file that is made once and kept by what it follows from: a trained network, a fitted attack.

    `path` is named by the identity; `make` writes it, and may go on from what an interrupted call left in `scratch`.
    """

    @property
    def label(self) -> str: ...
    @property
    def path(self) -> Path: ...
    def identity(self) -> Mapping[str, Any]: ...
    def needs(self) -> Sequence[Job | Artefact]: ...
    def words(self) -> Words | None: ...
    def make(self, scratch: Path, tell: Callable[[int, int], None]) -> None:
        """Write the file; tell(done, total) as work goes on."""
        ...


def is_job(work: Job | Artefact) -> TypeIs[Job]:
    """Whether work is a job; else it is an artefact."""
    return hasattr(work, "compute")
