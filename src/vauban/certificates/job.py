"""Job of a certificate: its images part by part, from the data to stored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from vauban.certificates.base import Certificate
from vauban.certificates.empirical import distances
from vauban.certificates.stability import stability
from vauban.core.contracts import Batch
from vauban.core.rng import Stream
from vauban.engine import Attack
from vauban.jobs.identity import describe
from vauban.jobs.rows_job import RowsJob
from vauban.store.certificates import CERTIFICATES
from vauban.store.job_rows import RowKind
from vauban.words.named import Named


@dataclass(frozen=True, eq=False, kw_only=True)
class CertificateJob(RowsJob):
    """A certificate of a model behind a defence on a data set, with the attacks that stand beside it.

    Attributes:
        certificate: What is proved.
        attacks: What the empirical curve is made with; none leaves it out.
    """

    kind: ClassVar[RowKind] = CERTIFICATES
    certificate: Named[Certificate]
    attacks: tuple[Named[Attack], ...]

    @property
    def label(self) -> str:
        return " | ".join([self.opened.model.name, self.opened.defence.name, self.certificate.name])

    @property
    def named(self) -> Sequence[Named[Any]]:
        return self.certificate, *self.attacks

    @property
    def follows(self) -> Mapping[str, Any]:
        return {
            "certificate": describe(self.certificate.value),
            "attacks": [describe(attack.value) for attack in self.attacks],
        }

    @property
    def facts(self) -> Mapping[str, Any]:
        certificate = self.certificate.value
        first = self.opened.data.take(1).to(self.opened.device).x
        return {
            "certificate": self.certificate.name,
            "claim": certificate.claim,
            "plain": certificate.plain,
            "norm": certificate.norm.name,
            "stability": stability(self.opened.defended, first),
            "alpha": certificate.alpha_of_bound,
            "alpha_answer": certificate.alpha_of_answer,
            "attacks": [attack.name for attack in self.attacks],
            "params": describe(certificate, defaults=True),
        }

    def rows(self, batch: Batch) -> Mapping[str, Any]:
        attacks = [attack.value for attack in self.attacks]
        return certified_rows(self.certificate.value, self.opened.defended, attacks, batch, self.seed)


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
