"""Job of a certificate: its images part by part, from the data to stored rows."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vauban.certificates.base import Certificate
from vauban.certificates.empirical import distances
from vauban.certificates.stability import stability
from vauban.core.cards import carded
from vauban.core.contracts import Artefact, Batch, Computed, Job, Part, Words
from vauban.core.rng import Stream
from vauban.core.tolerance import tolerance
from vauban.data import Dataset
from vauban.engine import Attack
from vauban.jobs.identity import address, computed_by, describe, source_digests
from vauban.jobs.provenance import source_files
from vauban.store import certificates as stored
from vauban.store import sources
from vauban.store.part_folder import PartFolder
from vauban.words.named import Named

DTYPE = "float32"  # of the images


@dataclass(frozen=True, eq=False)
class CertificateJob:
    """A certificate of a model behind a defence on a data set, with the attacks that stand beside it.

    Attributes:
        run: The run directory.
        certificate: What is proved.
        model, defence: The network and what stands in front of it.
        defended: The network behind the defence.
        data: The images.
        attacks: What the empirical curve is made with; none leaves it out.
        seed: Of every random number.
        batch_size: Images of a part.
        device: Where the network is.
        origin: The words that make this job again; None for objects of this process.
    """

    run: Path
    certificate: Named[Certificate]
    model: Named[nn.Module]
    defence: Named[Any]
    defended: nn.Module
    data: Dataset
    attacks: tuple[Named[Attack], ...]
    seed: int
    batch_size: int
    device: str
    origin: Words | None = None

    @property
    def label(self) -> str:
        return f"{self.model.name} | {self.defence.name} | {self.certificate.name}"

    @cached_property
    def key(self) -> str:
        return address(self.identity())

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        return {
            "job": "certificate",
            "certificate": describe(self.certificate.value),
            "attacks": [describe(attack.value) for attack in self.attacks],
            "model": describe(self.defended),
            "cards": [describe(card) for _, card in carded(self.defended)],
            "data": self.data.fingerprint,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "dtype": DTYPE,
            **computed_by(self.device),
            "sources": source_digests(self._files),
        }

    def identity(self) -> Mapping[str, Any]:
        return self._identity

    @cached_property
    def _files(self) -> list[Path]:
        named: list[Named[Any]] = [self.certificate, self.model, self.defence, *self.attacks]
        extra = [file for word in named for file in word.files]
        return source_files(self.defended, certified_rows, *(word.value for word in named), extra=extra)

    @cached_property
    def folder(self) -> PartFolder:
        return stored.folder_of(self.run, self.key)

    def needs(self) -> Sequence[Job | Artefact]:
        return ()

    def words(self) -> Words | None:
        return self.origin

    def parts(self) -> Sequence[Part]:
        self.folder.prepare(self.identity())
        stored.write_facts(self.folder, self.meta())
        split = torch.split(torch.arange(len(self.data)), self.batch_size)
        return [Part(index, positions) for index, positions in enumerate(split)]

    def compute(self, part: Part, scratch: Path) -> Computed:
        batch = self.data.batch(part.positions).to(self.device)
        attacks = [attack.value for attack in self.attacks]
        return Computed(certified_rows(self.certificate.value, self.defended, attacks, batch, self.seed))

    def lock(self, part: Part) -> AbstractContextManager[bool]:
        return self.folder.lock(part.index)

    def stored(self, part: Part) -> bool:
        return self.folder.holds(part.index, self.data.rows[part.positions].tolist())

    def keep(self, part: Part, computed: Computed, seconds: float) -> None:
        self.folder.write(part.index, computed.columns)

    def fail(self, part: Part, error: str, traceback: str) -> None:
        self.folder.fail(part.index, error, traceback)

    def meta(self) -> dict[str, Any]:
        """The facts stored beside the rows."""
        certificate = self.certificate.value
        return {
            "certificate": self.certificate.name,
            "claim": certificate.claim,
            "norm": certificate.norm.name,
            "stability": stability(self.defended, self.data.take(1).to(self.device).x),
            "alpha": certificate.alpha_of_bound,
            "alpha_answer": certificate.alpha_of_answer,
            "attacks": [attack.name for attack in self.attacks],
            "model": self.model.name,
            "defence": self.defence.name,
            "data": f"{self.data.name}/{self.data.split}" if self.data.split else self.data.name,
            "data_fingerprint": self.data.fingerprint,
            "n": len(self.data),
            "seed": self.seed,
            "batch_size": self.batch_size,
            "dtype": DTYPE,
            "tolerance": tolerance(DTYPE),
            "device": self.device,
            "torch": torch.__version__,
            "versions": {p: version(p) for p in ("vauban", "torch", "numpy", "scipy")}
            | {"python": platform.python_version()},
            "params": describe(certificate, defaults=True),
            "sources": sources.described(self._files),
        }


def certified_rows(
    certificate: Certificate, network: nn.Module, attacks: Sequence[Attack], batch: Batch, seed: int
) -> dict[str, Any]:
    """The rows of some images: what is proved of each, how it is answered, and what attacks have reached."""
    rng = Stream(seed, batch.ids)
    bound = certificate.bound(network, batch.x, rng)
    label = certificate.answer(network, batch.x, rng, "answer")
    wrong: Tensor | None = None
    other: Tensor | None = None
    if attacks:
        wrong, other = distances(certificate, network, attacks, batch, label, bound, seed)
    columns = {
        "id": batch.ids,
        "y": batch.y,
        "label": label,
        "certified": bound.label,
        "radius": bound.radius,
        "votes": bound.votes,
        "p_low": bound.p_low,
        "wrong_at": wrong,
        "other_at": other,
    }
    return {name: [None] * len(batch) if values is None else values.tolist() for name, values in columns.items()}
