"""Job of a table that is a study: what `vauban evaluate` says of a judge's network, findings and passes included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from vauban.core.answers import NO_LABEL
from vauban.core.contracts import Part
from vauban.core.errors import ContractError, VaubanError
from vauban.evaluate.study import Study
from vauban.jobs.identity import describe
from vauban.reproduce.context import Context, judge_identity
from vauban.reproduce.declarations import Evaluation, Judge
from vauban.reproduce.jobs import JUDGED
from vauban.reproduce.judged import Array
from vauban.reproduce.table_job import TableJob
from vauban.statistics.summary import broken
from vauban.store import CellRows, Run, query

FINDING = pa.struct({"threat": pa.string(), "code": pa.string(), "severity": pa.string()})
STUDIED = pa.schema(
    [
        *JUDGED,
        pa.field("labels", pa.map_(pa.string(), pa.int64())),
        pa.field("passes", pa.map_(pa.string(), pa.int64())),
        pa.field("looked", pa.float64()),
        pa.field("findings", pa.list_(FINDING)),
        pa.field("seen", pa.string()),
    ]
)
"""Judged rows by the worst case over the threats, and beside them, per image: the label under each threat and its passes,
forwards and backwards; the forwards of the look at the network, shared out. Of the whole study, the same in every row: the
findings, with the threat that they are about ("" for those between threats), and what the automatic threat saw and did."""


def studied_identity(context: Context, study: Evaluation, judge: Judge, seed: int) -> dict[str, Any]:
    """Everything that can change the rows of a study."""
    what = {"attack": describe(study.attack), "threats": [describe(threat) for threat in study.threats]}
    parts = [(what["attack"], study.attack), *zip(what["threats"], study.threats, strict=True)]
    sources = context.code(parts, Study)
    return {**judge_identity(context, None, judge, seed), "study": what, "code": sources}


@dataclass(frozen=True, eq=False)
class StudyJob(TableJob):
    """A study of a judge's network, kept in a run directory of its own, so that a killed one goes on.

    Attributes:
        study: Attack and threats.
        judge: The network, one behind its path.
        seed: Of random numbers.
    """

    study: Evaluation = field(kw_only=True)
    judge: Judge = field(kw_only=True)
    seed: int = 0
    kind = "studied"
    schema = STUDIED

    @property
    def label(self) -> str:
        front = "".join(f"{part.name} | " for part in self.judge.path)
        return f"evaluating {front}{self.judge.networks[0]}"

    @cached_property
    def _parts(self) -> list[Part]:
        """One part: findings are about all images."""
        self.folder.prepare(self.described)
        return [Part(0, torch.arange(len(self.context.data)))]

    @cached_property
    def _network(self) -> nn.Module:
        return self.context.networks.judges(self.judge)[0]

    @property
    def asked(self) -> Sequence[nn.Module]:
        return list(self._network.modules())

    def columns(self, part: Part) -> Mapping[str, Any]:
        context, rows = self.context, 0

        def count(network: nn.Module, given: tuple[Any, ...]) -> None:
            nonlocal rows
            rows += len(given[0])

        handle = self._network.register_forward_pre_hook(count)
        try:  # the look of the automatic threat is a part of the plan
            study = Study(
                context.out / "studies" / self.key,
                data=context.data[part.positions],
                models={"network": self._network},
                attacks={"attack": self.study.attack},
                threats=list(self.study.threats),
                seed=self.seed,
                batch_size=context.batch_size,
                device=context.device,
            )
        finally:
            handle.remove()
        study.run(progress=False)
        run = query.load(study.store.path, pictures=False)
        planned = [cell for cell in run.cells if cell.meta["hash"] in run.study["cells"]]
        for cell in planned:
            if not cell.complete:
                reasons = [str(failure.get("error")) for failure in cell.failures] or ["it did not finish"]
                raise VaubanError(f"{self.label}, {cell.meta['threat']}: {reasons[-1]}")
        seen = "; ".join(one.sentence for one in study.adapted.values())
        return studied_columns(replace(run, cells=planned), rows / len(part), seen)


def studied_columns(run: Run, looked: float, seen: str) -> dict[str, Any]:
    """The columns of `STUDIED`, but `seconds`, of a finished run whose cells have the same images.

    Args:
        run: The run.
        looked: Forwards of the look, per image.
        seen: What the automatic threat saw and did.
    """
    threats = [str(cell.meta["threat"]) for cell in run.cells]
    under = {threat: label_under(cell) for threat, cell in zip(threats, run.cells, strict=True)}
    spent = {
        threat: (cell.columns["forwards"] + cell.columns["backwards"]).astype(int)
        for threat, cell in zip(threats, run.cells, strict=True)
    }
    ids, y = (run.cells[0].columns[name].astype(int) for name in ("id", "y"))
    n = len(ids)
    told = [
        {"threat": threat, "code": str(one["code"]), "severity": str(one["severity"])}
        for threat, findings in [*zip(threats, (c.findings for c in run.cells), strict=True), ("", run.findings)]
        for one in findings
    ]
    return {
        "id": ids.tolist(),
        "y": y.tolist(),
        "target": [NO_LABEL] * n,
        "label": worst(y, list(under.values())).tolist(),
        "rejected": [False] * n,
        **dict.fromkeys(("p_target", "p_label", "linf", "l2"), [0.0] * n),
        "labels": [[(threat, int(labels[i])) for threat, labels in under.items()] for i in range(n)],
        "passes": [[(threat, int(passes[i])) for threat, passes in spent.items()] for i in range(n)],
        "looked": [looked] * n,
        "findings": [told] * n,
        "seen": [seen] * n,
    }


def label_under(cell: CellRows) -> Array:
    """The label of each image after an attack `(n,)`: the first one's where at least half of the draws stay right."""
    columns = cell.columns
    clean, wrong = columns["clean_label"].astype(int), columns["adv_label"].astype(int)
    y, gone = columns["y"].astype(int), broken(columns) > 0.5
    other: Array = np.where(wrong == y, NO_LABEL, wrong)  # one of the draws may be right
    return np.where(columns["clean_correct"] <= 0.5, np.where(clean == y, NO_LABEL, clean), np.where(gone, other, y))


def worst(y: Array, under: Sequence[Array]) -> Array:
    """The label of each image `(n,)` under the first threat that breaks it; y where none does."""
    label = y.copy()
    for labels in under:
        label = np.where(label == y, labels, label)
    return label


def within(rows: pa.Table, threats: Sequence[str]) -> pa.Table:
    """The rows of a study by the worst case over some of its threats.

    Raises:
        ContractError: A threat that the study does not have.
    """
    given = [dict(one) for one in rows["labels"].to_pylist()]
    if lacking := [name for name in threats if name not in given[0]]:
        raise ContractError(f"expected a threat among {', '.join(given[0])}, got {lacking[0]}; name one of these")
    label = worst(rows["y"].to_numpy(), [np.asarray([one[name] for one in given]) for name in threats])
    return rows.set_column(rows.schema.get_field_index("label"), "label", pa.array(label))
