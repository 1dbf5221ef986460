"""Report of one attack on one batch: the judged result, and its numbers by the statistics of stored rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vauban.core.tensors import where
from vauban.evaluate.batch import Evaluated
from vauban.evaluate.columns import judged_columns
from vauban.evaluate.diagnostics.findings import Finding
from vauban.metrics.sample import measure
from vauban.report.shared import format as fmt
from vauban.statistics.audit import Audit, audit
from vauban.statistics.detection import OperatingPoint, operating_point
from vauban.statistics.estimates import median, rate
from vauban.statistics.stages import AfterStage, after_each
from vauban.statistics.summary import aimed, broken, fooled_or_rejected, lost, not_finite, rejected, robust


@dataclass(frozen=True, repr=False)
class AttackReport:
    """The judged result of `vauban.attack`; every tensor batch-leading.

    adversarial: the successful image, the original where none succeeded. crafted: the attack's own image, always. Both are
    in the type of the batch. success: judged on the saved image. distance: in the attack's norm, infinite on failure.
    findings: what the first look at the model says, the gravest first, and what the attack met on its way. stages: labels
    of the attacks that a cascade or `standard` runs, nothing for an attack of one.
    """

    evaluated: Evaluated
    findings: tuple[Finding, ...] = ()
    stages: tuple[str, ...] = ()

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The columns of the verdict, which statistics read as they read stored ones."""
        return {name: values.cpu().numpy() for name, values in judged_columns(self.evaluated).items()}

    @property
    def adversarial(self) -> Tensor:
        e = self.evaluated
        return where(self.success, e.image, e.batch.x).to(e.given)

    @property
    def crafted(self) -> Tensor:
        return self.evaluated.result.crafted.to(self.evaluated.given)

    @property
    def success(self) -> Tensor:
        return self.evaluated.success

    @property
    def distance(self) -> Tensor:
        e = self.evaluated
        return torch.where(self.success, e.norm.size(e.image - e.batch.x), torch.inf)

    @property
    def forwards(self) -> Tensor:
        return self.evaluated.result.forwards

    @property
    def backwards(self) -> Tensor:
        return self.evaluated.result.backwards

    @property
    def robust_accuracy(self) -> float:
        """Share of the samples that the model answers correctly and that the attack does not fool: an upper bound.

        An original that the model rejects is an error, an attacked image that it rejects has not fooled it. Over all
        samples but those whose own label is the target of the attack; NaN where there are no others.
        """
        return rate(robust(self.columns)[aimed(self.columns)]).value

    @property
    def broken_by(self) -> Tensor:
        """Number of the stage that broke each sample first, -1 where none did and for an attack of one stage."""
        return self.evaluated.broken_by

    @property
    def after_each(self) -> tuple[AfterStage, ...]:
        """Robust accuracy after each stage, with its interval: the last one is `robust_accuracy`; nothing for one stage."""
        stage = self.columns["broken_by"]
        return after_each({**self.columns, "broken_by": np.where(stage < 0, np.nan, stage)}, self.stages)

    @property
    def audit(self) -> Audit | None:
        """The audit of the samples that the attack spared; None where it spared nobody."""
        return audit(self.columns)

    @property
    def left_out(self) -> int:
        """Number of samples whose own label is the target: they are not attacked, and in no rate."""
        return int((~self.evaluated.goal.aims).sum())

    @property
    def not_finite(self) -> tuple[int, int]:
        """Numbers of samples with non-finite logits, errors of the model: before the attack, and after it alone."""
        before, after = not_finite(self.columns)
        return int(before.sum()), int(after.sum())

    @property
    def rejection(self) -> dict[str, float] | None:
        """Shares of the samples of `robust_accuracy` for a model that rejects images; None for one that does not.

        clean: rejected before the attack. fooled: an error before the attack, or fooled by it. fooled_or_rejected: these,
        or rejected after it. noise: rejected with noise of the size of the attack's change: where that is large, rejecting
        the attack's images says little.
        """
        columns = self.columns
        if self.evaluated.noise_rejected is None:
            return None
        clean, refused, noise = rejected(columns)
        hit = broken(columns)
        shares = {
            "clean": clean,
            "fooled": lost(columns, hit),
            "fooled_or_rejected": lost(columns, fooled_or_rejected(hit, refused)),
            "noise": noise,
        }
        return {name: rate(share[aimed(columns)]).value for name, share in shares.items()}

    def operating_point(self, false_positives: float) -> OperatingPoint:
        """Success and detections with the threshold that rejects at most a share of the originals, of one below 1.

        Raises:
            ContractError: A share outside [0, 1), or a model that rejects nothing.
        """
        return operating_point(self.columns, false_positives)

    def distances(self) -> dict[str, Tensor]:
        """Per-sample L0, L1, L2, L-infinity, SSIM and PSNR of the judged images."""
        return measure(self.evaluated.batch.x, self.evaluated.image)

    def __repr__(self) -> str:
        e, n = self.evaluated, len(self.success)
        middle = median(self.distance[e.attacked].cpu().numpy()).value
        outside = int((e.attacked & ~e.verdict.admissible).sum())
        refused = f", {outside} handed over outside the budget" if outside else ""
        already = "misclassified" if e.goal.target is None else "at their target"
        apart = [(int((~e.attacked & e.goal.aims).sum()), f"already {already}")]
        apart += [(self.left_out, "left out, the target is their own label")]
        apart += zip(self.not_finite, ("non-finite before the attack", "non-finite after it"), strict=True)
        told = ", ".join(f"{count} {what}" for count, what in apart if count)
        skipped = f" ({told})" if told else ""
        if (rates := self.rejection) is not None:
            skipped += f", {rates['fooled_or_rejected']:.1%} fooled or rejected, {rates['noise']:.1%} of noise rejected"
        passes = float(self.backwards[e.attacked].double().mean()) if bool(e.attacked.any()) else 0.0
        queries = float(self.forwards[e.attacked].double().mean()) if bool(e.attacked.any()) else 0.0
        then = ", ".join(f"{after.stage} {after.accuracy.value:.1%}" for after in self.after_each)
        distance = "" if math.isnan(middle) else f"median {e.norm.name} {middle:.4g}, "  # of none there is no median
        if math.isinf(middle):
            distance = f"no median {e.norm.name} since at most half were fooled, "
        stages = f"; accuracy after each attack: {then}" if then else ""
        stages += "" if self.audit is None else f"; audit: {self.audit}"
        gradients = fmt.plural(passes, "gradient", f"{passes:.3g}")
        cost = f"{gradients} and {fmt.plural(queries, 'query', f'{queries:.3g}')} each"
        fooled = f"{fmt.plural(n, 'sample')}, {int(self.success.sum())} fooled{skipped}"
        return f"{fooled}, {distance}{cost}{refused}{stages}{self._doubts}"

    @property
    def _doubts(self) -> str:
        codes = [f.code for f in self.findings if f.severity == "invalid"]
        return f"; cannot be relied on: {', '.join(codes)}" if codes else ""
