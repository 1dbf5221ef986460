"""Rows that an audit goes over: who is drawn, and the worst case of a row before and after.

Who is drawn depends on ids and on all rows of the cell, not on batches, workers or the order in which they ran.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vauban.core.rng import fold
from vauban.core.tensors import like
from vauban.engine import Attack
from vauban.evaluate.batch import Evaluated
from vauban.evaluate.columns import judged_columns
from vauban.statistics.audit import due

SUSPICIOUS = frozenset(
    (
        "black-box-beats-white-box",
        "gradient-explains-little",
        "gradient-mismatch",
        "gradient-mismatch-at-scale",
        "gradient-unsound-off-image",
        "no-adaptive-attack-known",
        "no-gradients",
        "noise-beats-attack",
        "noise-beats-gradients",
        "nonfinite-gradients",
        "not-monotone",
        "one-step-beats-iterative",
        "piecewise-constant",
        "targeted-beats-untargeted",
        "transfer-beats-white-box",
        "unconstrained-failure",
        "undeclared-randomness",
        "zero-gradients",
    )
)
"""Findings that say that gradients mislead: all samples that stand are audited. `saturated-loss` is none of them, since
triage follows the margin."""
COUNTS = ("forwards", "backwards", "switches", "vanished", "nonfinite_gradients", "unsolved")


def order_of(ids: Iterable[int], seed: int) -> np.ndarray[Any, Any]:
    """A number for each sample that decides whether it is drawn, of its id and the seed alone."""
    return np.array([fold(seed, "audit", int(i)) for i in ids], dtype=np.float64)


def merged(rows: Mapping[str, list[Any]], audited: Mapping[str, Any], stage: int) -> dict[str, list[Any]]:
    """Stored rows with those of an audit: the worst case of both, and the passes of both.

    Args:
        rows: The columns of a batch, `(batch,)` each.
        audited: The columns of some of its samples after the audit.
        stage: The number of the audit among the stages of the attack.
    """
    out = {name: list(values) for name, values in rows.items()}
    at = {int(sample): row for row, sample in enumerate(out["id"])}
    for k, sample in enumerate(audited["id"]):
        row = at[int(sample)]
        spent = out["backwards"][row]
        counts = {name: _sum(out[name][row], audited[name][k]) for name in COUNTS}
        if bool(audited["success"][k]) > bool(out["success"][row]) or (
            audited["misclassified"][k] > out["misclassified"][row]
        ):
            for name, values in audited.items():
                out[name][row] = _plain(values[k])
            first = audited["first_success_backwards"][k]
            out["first_success_backwards"][row] = None if first is None else int(first) + spent
            out["broken_by"][row] = stage
        for name, count in counts.items():
            out[name][row] = count
        out["spared"][row], out["audited"][row] = False, True
    return out


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _sum(mine: Any, theirs: Any) -> int | None:
    return None if mine is None else int(mine) + int(theirs)


def audited(
    done: Evaluated, attack: Attack, again: Callable[[Attack, Tensor], Evaluated], seed: int, everybody: bool
) -> Evaluated:
    """An evaluated batch with the audit of its attack.

    Args:
        done: The batch.
        attack: Its attack.
        again: Evaluates the attack it is given on the rows it is given, `(attack, rows) -> Evaluated`.
        seed: Of the draw.
        everybody: Whether all that stand are due from the beginning.
    """
    if attack.audit is None:
        return done
    stage = len(attack.stages_on(done.batch.x.shape[1:])) - 1
    while True:
        told = {name: values.cpu().numpy() for name, values in judged_columns(done).items()}
        rows = torch.from_numpy(due(told, order_of(told["id"], seed), everybody).nonzero()[0]).to(done.batch.x.device)
        if not len(rows):
            return done
        done = _with_audit(done, again(attack.audit, rows), rows, stage)


def _with_audit(done: Evaluated, full: Evaluated, rows: Tensor, stage: int) -> Evaluated:
    """The worst case of both in the rows that were audited, with the passes of both."""
    before = _rows(done, rows)
    better = (full.success & ~before.success) | (full.verdict.misclassified > before.verdict.misclassified)
    part: Evaluated = _picked(before, full, better)
    broken_by = torch.where(better, stage, before.broken_by)
    part = replace(
        part,
        result=replace(before.result.choose(full.result, better), broken_by=broken_by),
        broken_by=broken_by,
        switches=before.switches + full.switches,
        vanished=before.vanished + full.vanished,
        nonfinite_gradients=before.nonfinite_gradients + full.nonfinite_gradients,
        unsolved=before.unsolved + full.unsolved,
        spared=torch.zeros_like(better),
        audited=torch.ones_like(better),
    )
    whole: Evaluated = _spread(done, part, rows)
    return replace(whole, batch=done.batch, goal=done.goal, norm=done.norm)


def _rows(value: Any, rows: Tensor) -> Any:
    """Some rows of every tensor inside."""
    return _each(lambda tensor: tensor[rows], value)


def _picked(mine: Any, theirs: Any, better: Tensor) -> Any:
    """Theirs where `better`, mine elsewhere."""
    return _each(lambda a, b: torch.where(like(better, a), b, a), mine, theirs)


def _spread(value: Any, part: Any, rows: Tensor) -> Any:
    """The value with the given rows of every tensor replaced by those of `part`."""
    return _each(lambda a, b: a.index_copy(0, rows, b.to(a.dtype)), value, part)


def _each(function: Callable[..., Tensor], *values: Any) -> Any:
    """A function of the tensors of dataclasses that hold tensors, field by field; what is none is that of the first."""
    first = values[0]
    if isinstance(first, Tensor):
        return function(*values)
    if not dataclasses.is_dataclass(first) or isinstance(first, type):
        return first
    names = [field.name for field in dataclasses.fields(first)]
    return replace(first, **{n: _each(function, *(getattr(value, n) for value in values)) for n in names})
