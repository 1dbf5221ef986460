"""Job of rows about one network on a data set: a row for each image, below a run directory."""

from __future__ import annotations

import platform
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch

from vauban.core.cards import carded
from vauban.core.contracts import Artefact, Batch, Computed, Job, Part, Words
from vauban.core.tolerance import tolerance
from vauban.jobs import runner
from vauban.jobs.environment import environment
from vauban.jobs.executor_words import check_words
from vauban.jobs.executors import Executor
from vauban.jobs.identity import address, computed_by, describe, source_digests
from vauban.jobs.progress import Tell
from vauban.jobs.provenance import source_files
from vauban.jobs.shard import Shard
from vauban.store import sources
from vauban.store.job_rows import JobRows, RowKind
from vauban.store.part_folder import PartFolder
from vauban.words.named import Named
from vauban.words.opened import OpenedNetwork

DTYPE = "float32"  # of the images


@dataclass(frozen=True, eq=False, kw_only=True)
class RowsJob(ABC):
    """Rows about a network behind its defence, a row for each image of a data set.

    Subclasses name what the rows follow from beside the network, and compute them.

    Attributes:
        run: The run directory.
        opened: The network, its defence and the images.
        seed: Of every random number.
        batch_size: Images of a part.
        origin: The words that make this job again; None for objects of this process.
        kind: Where the rows are, and what they hold.
    """

    kind: ClassVar[RowKind]
    run: Path
    opened: OpenedNetwork
    seed: int
    batch_size: int
    origin: Words | None = None

    @property
    @abstractmethod
    def named(self) -> Sequence[Named[Any]]:
        """What the rows follow from beside the network: a certificate or a metric, and attacks."""

    @property
    @abstractmethod
    def follows(self) -> Mapping[str, Any]:
        """The same as JSON, as a part of the identity."""

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, Any]:
        """What is stored beside the rows, but for network, data and settings."""

    @abstractmethod
    def rows(self, batch: Batch) -> Mapping[str, Any]:
        """The columns of some images."""

    @property
    def label(self) -> str:
        return " | ".join([self.opened.model.name, self.opened.defence.name, *(word.name for word in self.named)])

    @cached_property
    def key(self) -> str:
        return address(self.identity())

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        return {
            "job": self.kind.folder,
            **self.follows,
            "model": describe(self.opened.defended),
            "cards": [describe(card) for _, card in carded(self.opened.defended)],
            "data": self.opened.data.fingerprint,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "dtype": DTYPE,
            **computed_by(self.opened.device),
            "sources": source_digests(self._files),
        }

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    @cached_property
    def _files(self) -> list[Path]:
        words = [*self.named, self.opened.model, self.opened.defence]
        extra = [file for word in words for file in word.files]
        values = (word.value for word in words)
        return source_files(self.opened.defended, type(self).rows, *values, extra=extra)

    @cached_property
    def folder(self) -> PartFolder:
        return self.kind.of(self.run, self.key)

    def needs(self) -> Sequence[Job | Artefact]:
        return ()

    def words(self) -> Words | None:
        return self.origin

    def parts(self) -> Sequence[Part]:
        return self._parts

    @cached_property
    def _parts(self) -> list[Part]:
        self.folder.prepare(self.identity())
        self.kind.write_facts(self.folder, self.meta())
        split = torch.split(torch.arange(len(self.opened.data)), self.batch_size)
        return [Part(index, positions) for index, positions in enumerate(split)]

    def compute(self, part: Part, scratch: Path) -> Computed:
        return Computed(self.rows(self.opened.data.batch(part.positions).to(self.opened.device)))

    def lock(self, part: Part) -> AbstractContextManager[bool]:
        return self.folder.lock(part.index)

    def stored(self, part: Part) -> bool:
        return self.folder.holds(part.index, self.opened.data.rows[part.positions].tolist())

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        self.folder.write(part.index, computed.columns)

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.folder.fail(part.index, error, traceback)

    def read(self) -> JobRows:
        """What is stored."""
        return self.kind.read(self.folder)

    def meta(self) -> dict[str, Any]:
        """The facts stored beside the rows."""
        data = self.opened.data
        return {
            **self.facts,
            "model": self.opened.model.name,
            "defence": self.opened.defence.name,
            "network": address(describe(self.opened.defended)),
            "data": f"{data.name}/{data.split}" if data.split else data.name,
            "data_fingerprint": data.fingerprint,
            "n": len(data),
            "seed": self.seed,
            "batch_size": self.batch_size,
            "dtype": DTYPE,
            "tolerance": tolerance(DTYPE),
            "device": self.opened.device,
            "torch": torch.__version__,
            "versions": {p: version(p) for p in ("vauban", "torch", "numpy", "scipy")}
            | {"python": platform.python_version()},
            "environment": environment(),
            "sources": sources.described(self._files),
        }


def run_all(
    jobs: Sequence[RowsJob], executor: Executor, tell: Tell | None, shard: Shard | None = None
) -> tuple[runner.Outcome, ...]:
    """Run jobs. Raises ContractError where the executor works in other processes and a job is not of words."""
    check_words(executor, all(job.origin is not None for job in jobs), "a job")
    return tuple(runner.run(list(jobs), executor, tell, shard))
