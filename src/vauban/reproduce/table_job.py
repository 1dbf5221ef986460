"""Job of a table: work on the images of an experiment, part by part, stored once and shared between experiments."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch import nn

from vauban.core.contracts import Artefact, Computed, Job, Part, Words
from vauban.core.errors import ContractError, MissingExtra
from vauban.evaluate.unchanged import State, check_unchanged, state_of
from vauban.jobs.identity import address
from vauban.reproduce.context import Context
from vauban.store.part_folder import PartFolder


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

    @property
    def lacking(self) -> MissingExtra | None:
        """What the job needs and is not installed."""
        return None

    @property
    def asked(self) -> Sequence[nn.Module]:
        """The modules that must stay as they are while the job runs."""
        return ()

    @cached_property
    def _state(self) -> State:
        return state_of(self.asked)

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
        if self.lacking is not None:
            raise self.lacking
        began, state = time.perf_counter(), self._state
        columns = dict(self.columns(part))
        check_unchanged(self.asked, state)
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
