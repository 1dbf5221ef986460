"""The jobs of a table: crafting images, judging them, measuring them and the network on them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa
from torch import Tensor, nn

from vauban import metrics
from vauban.core.answers import NO_LABEL, predicted
from vauban.core.contracts import Part
from vauban.core.errors import MissingExtra
from vauban.core.rng import Stream
from vauban.engine import BoundThreat
from vauban.engine.network import predict, quiet
from vauban.metrics.of_network.base import MeasuredBatch, NetworkMetric
from vauban.reproduce import crafting, judging
from vauban.reproduce.context import CraftedImages
from vauban.reproduce.declarations import Craft, Judge
from vauban.reproduce.fit_on_use import FittedAttack
from vauban.reproduce.table_job import TableJob
from vauban.store.part import part_file

CRAFTED = pa.schema(
    {
        "id": pa.int64(),
        "y": pa.int64(),
        "target": pa.int64(),
        "image": pa.binary(),
        "linf": pa.float64(),
        "l2": pa.float64(),
        "forwards": pa.int64(),
        "backwards": pa.int64(),
        "seconds": pa.float64(),
    }
)
JUDGED = pa.schema(
    {
        "id": pa.int64(),
        "y": pa.int64(),
        "target": pa.int64(),
        "label": pa.int64(),
        "rejected": pa.bool_(),
        "p_target": pa.float64(),
        "p_label": pa.float64(),
        "linf": pa.float64(),
        "l2": pa.float64(),
        "seconds": pa.float64(),
    }
)
MEASURED = pa.schema({"id": pa.int64(), "value": pa.float64(), "seconds": pa.float64()})


@dataclass(frozen=True, eq=False)
class CraftJob(TableJob):
    """One set of adversarial images: an attack through its networks, saved as the judges will see them.

    Attributes:
        images: The craft, its seed, the name of the folder.
        fitted: The attack where it is fitted first.
    """

    images: CraftedImages = field(kw_only=True)
    fitted: FittedAttack | None = None
    _digests: dict[tuple[int, ...], str] = field(default_factory=dict, init=False, repr=False)
    kind = "crafted"
    schema = CRAFTED

    @property
    def label(self) -> str:
        craft = self.images.craft
        assert craft is not None
        return f"crafting {type(craft.attack).__name__} on {', '.join(t.network for t in craft.through)}"

    @cached_property
    def _craft(self) -> Craft:
        craft = self.images.craft
        assert craft is not None
        return craft if self.fitted is None else replace(craft, attack=self.fitted.attack())

    def columns(self, part: Part) -> Mapping[str, Any]:
        batch, target = self.context.batch(part.positions)
        crafted = crafting.craft_batch(self._craft, self._threat, batch, target, self.images.seed)
        return {
            "id": batch.ids.tolist(),
            "y": batch.y.tolist(),
            "target": target.tolist(),
            "image": crafted.image,
            "linf": crafted.linf.double().tolist(),
            "l2": crafted.l2.tolist(),
            "forwards": crafted.forwards.tolist(),
            "backwards": crafted.backwards.tolist(),
        }

    @cached_property
    def _threat(self) -> BoundThreat:
        return self.context.networks.threat(self._craft)

    @property
    def asked(self) -> Sequence[nn.Module]:
        return self._threat.parts

    @cached_property
    def lacking(self) -> MissingExtra | None:
        craft = self.images.craft
        return None if craft is None else self.context.networks.lacking(craft)

    def images_digest(self, index: int) -> str:
        """SHA-256 of the stored images of a part, read once while its file stays as it is."""
        path = part_file(self.folder.path, index)
        facts = path.stat() if path.exists() else None
        state = (index, *(() if facts is None else (facts.st_ino, facts.st_size, facts.st_mtime_ns)))
        if state not in self._digests:
            digest = hashlib.sha256()
            for image in self.part(index)["image"].to_pylist():  # raises where there is no file
                digest.update(hashlib.sha256(image).digest())
            self._digests[state] = digest.hexdigest()
        return self._digests[state]

    def saved(self, part: Part) -> pa.Table:
        """The stored rows of the samples of a part, or of half of one."""
        whole = self.parts()[part.index]
        first = int((whole.positions == part.positions[0]).nonzero())
        return self.part(part.index).slice(first, len(part))


@dataclass(frozen=True, eq=False)
class OnImages(TableJob):
    """Work on crafted images; craft None: on the originals. A part counts while its images are those it was made from."""

    craft: CraftJob | None = field(kw_only=True)

    def stamp(self, part: Part) -> str:
        if self.craft is None:
            return ""
        return self.craft.images_digest(part.index)

    def _images(self, part: Part) -> tuple[Tensor, list[float], list[float]]:
        """The images that are looked at, and their largest and Euclidean change."""
        if self.craft is None:
            unchanged = [0.0] * len(part)
            return self.context.batch(part.positions)[0].x, unchanged, unchanged
        saved = self.craft.saved(part)
        images = crafting.reload(saved["image"].to_pylist()).to(self.context.device)
        return images, saved["linf"].to_pylist(), saved["l2"].to_pylist()


@dataclass(frozen=True, eq=False)
class JudgeJob(OnImages):
    """The labels and probabilities that a judge gives saved images, as they were reloaded."""

    judge: Judge = field(kw_only=True)
    seed: int = 0
    kind = "judged"
    schema = JUDGED

    @property
    def label(self) -> str:
        return f"judging by {', '.join(self.judge.networks)}"

    def columns(self, part: Part) -> Mapping[str, Any]:
        context, positions = self.context, part.positions
        images, linf, l2 = self._images(part)
        target = context.targets[positions].to(context.device)
        answer = judging.opinions(self._members, self.judge.rule, images, target, seed=self.seed, batch=part.index)
        return {
            "id": self._ids(part),
            "y": context.data.y[positions].tolist(),
            "target": target.tolist(),
            "label": answer.label.tolist(),
            "rejected": answer.rejected.tolist(),
            "p_target": answer.p_target.tolist(),
            "p_label": answer.p_label.tolist(),
            "linf": linf,
            "l2": l2,
        }

    @cached_property
    def _members(self) -> list[nn.Module]:
        return self.context.networks.judges(self.judge)

    @property
    def asked(self) -> Sequence[nn.Module]:
        return list(dict.fromkeys(part for member in self._members for part in member.modules()))


@dataclass(frozen=True, eq=False)
class MeasureJob(OnImages):
    """A metric of the registry between the originals and saved images."""

    metric: str = field(kw_only=True)
    kind = "measured"
    schema = MEASURED

    @property
    def label(self) -> str:
        return f"measuring {self.metric}"

    def columns(self, part: Part) -> Mapping[str, Any]:
        batch, _ = self.context.batch(part.positions)
        value = metrics.registry.get(self.metric).make(batch.x, self._images(part)[0])
        return {"id": batch.ids.tolist(), "value": value.double().tolist()}


@dataclass(frozen=True, eq=False)
class NetworkMeasureJob(OnImages):
    """A metric of a network on saved images, or on the originals."""

    metric: NetworkMetric = field(kw_only=True)
    network: str = field(kw_only=True)
    seed: int = 0
    kind = "measured"
    schema = MEASURED

    @property
    def label(self) -> str:
        return f"measuring {type(self.metric).__name__} of {self.network}"

    def columns(self, part: Part) -> Mapping[str, Any]:
        batch, _ = self.context.batch(part.positions)
        image, fooled = batch.x, None
        if self.craft is not None:
            image = self._images(part)[0]
            with quiet(list(self._network.modules())):
                before, after = (predicted(predict(self._network, x)) for x in (batch.x, image))
            fooled = (before == batch.y) & (after != batch.y) & (after != NO_LABEL)
        given = MeasuredBatch(self._network, batch, image, fooled, Stream(self.seed, batch.ids))
        return {"id": batch.ids.tolist(), "value": self.metric.values(given).double().tolist()}

    @cached_property
    def _network(self) -> nn.Module:
        return self.context.networks.judges(Judge((self.network,)))[0]

    @property
    def asked(self) -> Sequence[nn.Module]:
        return [self._network]
