"""Jobs of a table: crafting images, judging them, measuring them; each stored once and shared between experiments."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import Tensor

from vauban import metrics
from vauban.core.contracts import Artefact, Computed, Job, Part, Words
from vauban.core.errors import ContractError
from vauban.engine import BoundThreat
from vauban.jobs.identity import address
from vauban.reproduce import crafting, judging
from vauban.reproduce.context import Context, CraftedImages
from vauban.reproduce.declarations import Craft, Judge
from vauban.reproduce.fit_on_use import FittedAttack
from vauban.store.part_folder import PartFolder

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
        "p_target": pa.float64(),
        "p_label": pa.float64(),
        "linf": pa.float64(),
        "l2": pa.float64(),
        "seconds": pa.float64(),
    }
)
MEASURED = pa.schema({"id": pa.int64(), "value": pa.float64(), "seconds": pa.float64()})


@dataclass(frozen=True, eq=False)
class TableJob(ABC):
    """Work on the images of an experiment, in a folder named by its identity.

    Attributes:
        context: Data, networks and folders of the run.
        described: The identity, as JSON.
        required: Jobs and artefacts that come first.
    """

    context: Context
    described: Mapping[str, Any]
    required: Sequence[Job | Artefact] = ()

    kind = ""
    schema = pa.schema({})

    @property
    @abstractmethod
    def label(self) -> str: ...

    @abstractmethod
    def columns(self, part: Part) -> Mapping[str, Any]:
        """The columns of the schema for the samples of a part, but `seconds`."""

    def stamp(self, part: Part) -> str:
        """What the stored part must have been made from."""
        return ""

    @cached_property
    def key(self) -> str:
        return address(self.described)

    @cached_property
    def folder(self) -> PartFolder:
        return PartFolder(self.context.out / self.kind / self.key, self.schema)

    def identity(self) -> Mapping[str, Any]:
        return self.described

    def needs(self) -> Sequence[Job | Artefact]:
        return self.required

    def words(self) -> Words | None:
        origin = self.context.origin
        return None if origin is None else Words(origin.call, {**origin.arguments, "address": self.key})

    def parts(self) -> Sequence[Part]:
        return self._parts

    @cached_property
    def _parts(self) -> list[Part]:
        self.folder.prepare(self.described)
        return [Part(index, positions) for index, positions in enumerate(self.context.batches())]

    def lock(self, part: Part) -> AbstractContextManager[bool]:
        return self.folder.lock(part.index)

    def stored(self, part: Part) -> bool:
        return self.folder.holds(part.index, self._ids(part), self.stamp(part))

    def compute(self, part: Part, scratch: Path) -> Computed:
        began = time.perf_counter()
        columns = dict(self.columns(part))
        columns["seconds"] = [(time.perf_counter() - began) / len(part)] * len(part)
        return Computed(columns)

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        self.folder.write(part.index, computed.columns, self.stamp(part))

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.folder.fail(part.index, error, traceback)

    def rows(self) -> pa.Table:
        """All stored rows. Raises ContractError where a part has gone since it was made."""
        return pa.concat_tables([self.part(index) for index in range(len(self.parts()))])

    def part(self, index: int) -> pa.Table:
        """A stored part. Raises ContractError where it has gone since it was made."""
        rows = self.folder.read(index, self.stamp(self.parts()[index]))
        if rows is None:
            raise ContractError(f"{self.folder.path}: part {index} has gone; run the same command again")
        return rows

    def _ids(self, part: Part) -> list[int]:
        return list(self.context.data.rows[part.positions].tolist())


@dataclass(frozen=True, eq=False)
class CraftJob(TableJob):
    """One set of adversarial images: an attack through its networks, saved as the judges will see them.

    Attributes:
        images: The craft, its seed, the name of the folder.
        fitted: The attack where it is fitted first.
    """

    images: CraftedImages = field(kw_only=True)
    fitted: FittedAttack | None = None
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
        digest = hashlib.sha256()
        for image in self.craft.part(part.index)["image"].to_pylist():
            digest.update(hashlib.sha256(image).digest())
        return digest.hexdigest()

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
        members = context.networks.judges(self.judge)
        answer = judging.opinions(members, self.judge.rule, images, target, seed=self.seed, batch=part.index)
        return {
            "id": self._ids(part),
            "y": context.data.y[positions].tolist(),
            "target": target.tolist(),
            "label": answer.label.tolist(),
            "p_target": answer.p_target.tolist(),
            "p_label": answer.p_label.tolist(),
            "linf": linf,
            "l2": l2,
        }


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
