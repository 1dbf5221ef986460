"""Jobs after a cell: work on some of its samples that is planned from its rows, once all of them are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from vauban.core.contracts import Artefact, Job, Part, Words
from vauban.evaluate.job import CellJob
from vauban.jobs.identity import address


@dataclass(frozen=True, eq=False)
class AfterCell(ABC):
    """Base of jobs after a cell; subclasses say what is computed, kept, and done where it fails.

    Attributes:
        job: The job of the cell.
        ids: The samples, in order.
        called: What messages call it.
        made_by: The function of `study_in_worker` that makes it in another process.
    """

    job: CellJob
    ids: tuple[int, ...]
    called: ClassVar[str]
    made_by: ClassVar[str]

    @property
    def label(self) -> str:
        return f"{self.job.label} | {self.called}"

    @property
    def key(self) -> str:
        return address(self.identity())

    @abstractmethod
    def identity(self) -> Mapping[str, Any]:
        """Everything that can change what is computed."""

    def needs(self) -> Sequence[Job | Artefact]:
        return ()

    def words(self) -> Words | None:
        made = self.job.words()
        if made is None:
            return None
        arguments = {"cell": dict(made.arguments), "ids": list(self.ids)}
        return Words(f"vauban.evaluate.study_in_worker:{self.made_by}", arguments)

    @cached_property
    @abstractmethod
    def _parts(self) -> list[Part]: ...

    def parts(self) -> Sequence[Part]:
        return self._parts

    def lock(self, part: Part) -> AbstractContextManager[bool]:
        return self.job.folder.lock(part.index)
