"""Job of a metric of a network: a row for each image, from the data to stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from vauban.core.answers import NO_LABEL
from vauban.core.contracts import Artefact, Computed, Job, Part, Words
from vauban.core.goals import Untargeted
from vauban.core.rng import Stream
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.evaluate.batch import evaluate_batch
from vauban.jobs.identity import address, computed_by, describe, source_digests
from vauban.jobs.provenance import source_files
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric
from vauban.store.part_folder import PartFolder
from vauban.threats import white_box
from vauban.words.named import Named

COLUMNS = {"id": pa.int64(), "y": pa.int64(), "fooled": pa.bool_(), "value": pa.float64()}


@dataclass(frozen=True, eq=False)
class NetworkMetricJob:
    """A metric of a network, a row for each image.

    Attributes:
        run: The folder below which the rows are.
        metric: What is measured.
        network: The network behind its defence, named.
        data: The images.
        attack: What makes the images of those metrics that say something of them; None: the images themselves.
        seed: Of every random number.
        batch_size: Images of a part.
        device: Where the network is.
    """

    run: Path
    metric: Named[NetworkMetric]
    network: Named[nn.Module]
    data: Dataset
    attack: Named[Attack] | None
    seed: int
    batch_size: int
    device: str

    @property
    def label(self) -> str:
        return f"{self.network.name} | {self.metric.name}" + (f" | {self.attack.name}" if self.attack else "")

    @cached_property
    def key(self) -> str:
        return address(self.identity())

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        attack = None if self.attack is None else self.attack.value
        named: list[Named[Any]] = [self.metric, self.network, *([] if self.attack is None else [self.attack])]
        parts = [self.metric.value, self.network.value, evaluate_batch, NetworkMetricJob.compute]
        return {
            "job": "measure",
            "metric": describe(self.metric.value),
            "model": describe(self.network.value),
            "attack": describe(attack),
            "data": self.data.fingerprint,
            "seed": self.seed,
            "batch_size": self.batch_size,
            **computed_by(self.device),
            "sources": source_digests(source_files(*parts, attack, extra=[f for word in named for f in word.files])),
        }

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    @cached_property
    def folder(self) -> PartFolder:
        return PartFolder(self.run / "measurements" / self.key, pa.schema(list(COLUMNS.items())))

    @property
    def rows(self) -> pa.Table:
        """The rows that are stored."""
        parts = [rows for part in self.parts() if (rows := self.folder.read(part.index)) is not None]
        return pa.concat_tables(parts) if parts else self.folder.schema.empty_table()

    def needs(self) -> Sequence[Job | Artefact]:
        return ()

    def words(self) -> Words | None:
        return None  # objects of this process

    def parts(self) -> Sequence[Part]:
        self.folder.prepare(self.identity())
        split = torch.split(torch.arange(len(self.data)), self.batch_size)
        return [Part(index, positions) for index, positions in enumerate(split)]

    def compute(self, part: Part, scratch: Path) -> Computed:
        batch, network = self.data.batch(part.positions).to(self.device), self.network.value
        image, fooled = batch.x, None
        if self.attack is not None:
            threat = white_box().bind(network, levels=batch.levels)
            done = evaluate_batch(self.attack.value, threat, batch, Untargeted(), seed=self.seed)
            right = done.clean.label == batch.y
            image, fooled = done.image, done.success & right & (done.verdict.label != NO_LABEL)
        given = MeasuredBatch(network, batch, image, fooled, Stream(self.seed, batch.ids))
        values = self.metric.value.values(given).tolist()
        flags = [None] * len(batch) if fooled is None else fooled.tolist()
        return Computed({"id": batch.ids.tolist(), "y": batch.y.tolist(), "fooled": flags, "value": values})

    def lock(self, part: Part) -> AbstractContextManager[bool]:
        return self.folder.lock(part.index)

    def stored(self, part: Part) -> bool:
        return self.folder.holds(part.index, self.data.rows[part.positions].tolist())

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        self.folder.write(part.index, computed.columns)

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.folder.fail(part.index, error, traceback)
