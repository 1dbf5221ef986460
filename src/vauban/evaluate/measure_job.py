"""Job of a metric of a network: a row for each image, from the data to stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from vauban.core.answers import NO_LABEL
from vauban.core.cards import keys_of
from vauban.core.contracts import Batch
from vauban.core.goals import Untargeted
from vauban.core.rng import Stream
from vauban.engine import Attack
from vauban.evaluate.batch import evaluate_batch
from vauban.jobs.identity import describe
from vauban.jobs.rows_job import RowsJob
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric
from vauban.store.job_rows import RowKind
from vauban.store.measurements import MEASUREMENTS
from vauban.threats import leaked_key, white_box
from vauban.words.named import Named


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkMetricJob(RowsJob):
    """A metric of a network, a row for each image.

    Attributes:
        metric: What is measured.
        attack: What makes the images of those metrics that say something of them; None: the images themselves.
    """

    kind: ClassVar[RowKind] = MEASUREMENTS
    metric: Named[NetworkMetric]
    attack: Named[Attack] | None

    @property
    def named(self) -> Sequence[Named[Any]]:
        return (self.metric,) if self.attack is None else (self.metric, self.attack)

    @property
    def follows(self) -> Mapping[str, Any]:
        return {
            "metric": describe(self.metric.value),
            "attack": describe(None if self.attack is None else self.attack.value),
        }

    @property
    def facts(self) -> Mapping[str, Any]:
        metric = self.metric.value
        return {
            "metric": self.metric.name,
            "unit": metric.unit,
            "direction": metric.direction,
            "attack": None if self.attack is None else self.attack.name,
            "params": describe(metric, defaults=True),
        }

    def rows(self, batch: Batch) -> Mapping[str, Any]:
        network = self.opened.defended
        image, fooled = batch.x, None
        if self.attack is not None:
            threat = (leaked_key() if keys_of(network) else white_box()).bind(network, levels=batch.levels)
            done = evaluate_batch(self.attack.value, threat, batch, Untargeted(), seed=self.seed)
            right = done.clean.label == batch.y
            image, fooled = done.image, done.success & right & (done.verdict.label != NO_LABEL)
        given = MeasuredBatch(network, batch, image, fooled, Stream(self.seed, batch.ids))
        values = self.metric.value.values(given).tolist()
        flags = [None] * len(batch) if fooled is None else fooled.tolist()
        return {"id": batch.ids.tolist(), "y": batch.y.tolist(), "fooled": flags, "value": values}
