"""One attack on one batch, judged: what a notebook calls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vauban.core.arguments import named_arguments
from vauban.core.arrays import batch_of, mask_of
from vauban.core.contracts import Batch
from vauban.core.errors import exits_are_errors
from vauban.core.goals import Goal
from vauban.core.parameters import check
from vauban.core.tensors import where
from vauban.data import Dataset
from vauban.engine import BoundThreat
from vauban.evaluate.batch import Evaluated, evaluate_batch, in_batches, joined, judged_columns
from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.attack_checks import idle, parameter_findings
from vauban.evaluate.diagnostics.findings import Finding, fired
from vauban.evaluate.diagnostics.first_look import first_look, tell
from vauban.evaluate.diagnostics.indicators_counts import answers
from vauban.evaluate.diagnostics.preflight_checks import undeclared_rejection
from vauban.evaluate.grants import check_grants, told
from vauban.evaluate.unchanged import check_unchanged, state_of
from vauban.metrics.sample import measure
from vauban.statistics.estimates import median, rate
from vauban.statistics.stages import AfterStage, after_each
from vauban.statistics.summary import aimed, not_finite, robust
from vauban.words import data as datasets
from vauban.words import goal as goals
from vauban.words.attack import attack_of
from vauban.words.labels import stage_labels
from vauban.words.model import model_of
from vauban.words.threat import threat_of


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
    def _columns(self) -> dict[str, Any]:
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
        return rate(robust(self._columns)[aimed(self._columns)]).value

    @property
    def broken_by(self) -> Tensor:
        """Number of the stage that broke each sample first, -1 where none did and for an attack of one stage."""
        return self.evaluated.broken_by

    @property
    def after_each(self) -> tuple[AfterStage, ...]:
        """Robust accuracy after each stage, with its interval: the last one is `robust_accuracy`; nothing for one stage."""
        stage = self._columns["broken_by"]
        return after_each({**self._columns, "broken_by": np.where(stage < 0, np.nan, stage)}, self.stages)

    @property
    def left_out(self) -> int:
        """Number of samples whose own label is the target: they are not attacked, and in no rate."""
        return int((~self.evaluated.goal.aims).sum())

    @property
    def not_finite(self) -> tuple[int, int]:
        """Numbers of samples with non-finite logits, errors of the model: before the attack, and after it alone."""
        before, after = not_finite(self._columns)
        return int(before.sum()), int(after.sum())

    @property
    def rejection(self) -> dict[str, float] | None:
        """Shares of the samples of `robust_accuracy` for a model that rejects images; None for one that does not.

        clean: rejected before the attack. fooled: an error before the attack, or fooled by it. fooled_or_rejected: these,
        or rejected after it. noise: rejected with noise of the size of the attack's change: where that is large, rejecting
        the attack's images says little.
        """
        e = self.evaluated
        if e.noise_rejected is None:
            return None
        either = ((e.verdict.misclassified + e.verdict.rejected) * e.verdict.admissible).clamp_max(1)
        shares = {
            "clean": e.clean.rejected,
            "fooled": torch.maximum(e.clean.error, e.verdict.misclassified * e.verdict.admissible),
            "fooled_or_rejected": torch.maximum(e.clean.error, either),
            "noise": e.noise_rejected,
        }
        return {name: float(share[e.goal.aims].mean()) for name, share in shares.items()}

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
        distance = (
            f"median {e.norm.name} {middle:.4g}, " if bool(e.attacked.any()) else ""
        )  # of none there is no median
        stages = f"; accuracy after each attack: {then}" if then else ""
        return (
            f"{n} samples, {int(self.success.sum())} fooled{skipped}, {distance}"
            f"{passes:.3g} gradients and {queries:.3g} queries each{refused}{stages}{self._doubts}"
        )

    @property
    def _doubts(self) -> str:
        codes = [f.code for f in self.findings if f.severity == "invalid"]
        return f"; cannot be relied on: {', '.join(codes)}" if codes else ""


@named_arguments
@exits_are_errors()
def attack(
    attack: Any,
    model: nn.Module | str,
    batch: Any,
    *,
    threat: Any = "white-box",
    goal: Goal | str = "untargeted",
    seed: int = 0,
    mask: Any = None,
    batch_size: int | None = None,
    rejects: bool = False,
) -> AttackReport:
    """Attack a model on a batch and judge the result on the image that would be saved.

    The model is looked at first: one that does not fit the images is refused, and what makes numbers doubtful is logged and
    kept in `findings`. One whose answers differ between two calls is judged on fresh draws even where no card declares it.

    Args:
        attack: An attack, its name (`pgd:eps=8/255`), or one of another toolkit, as `attacks.Foreign` takes it.
        model: A module, or its name: `digits-cnn`, `jpeg|digits-cnn`.
        batch: A `Batch`, a pair (x, y) of images on the 8-bit grid and labels, a `DataLoader`, a torch data set, or a data
            set or its name. Data sets are taken whole and give an attack without eps its conventional budget.
        threat: One of `vauban.threats`, or its name: `adaptive:eot=16`.
        goal: A goal, or its name: `targeted:3`.
        seed: Of every random number.
        mask: False or 0 where the attacker may change nothing, True or 1 elsewhere, as `(batch, ...)` or what broadcasts to
            it.
        batch_size: Images that are attacked at a time; None: all at once.
        rejects: The model's last logit means 'rejected', for one without a card that says so.

    Raises:
        UnknownName: A name is not known.
        ContractError: What is given does not fit together.
        AccessError: The attack asks for what the threat does not grant.
        StateChanged: The network's weights or buffers have changed under the attack.
        ExitCalled: A user's code has called `sys.exit`.
    """
    check("vauban.attack", "seed", seed, int)
    data = _attacked(batch)
    named = attack_of(attack, data if isinstance(data, Dataset) else None)
    network, whole = model_of(model, rejects), data.all() if isinstance(data, Dataset) else data
    bound: BoundThreat = told(threat_of(threat).value, network.network).bind(network.value, levels=whole.levels)
    aim = goals.load(goal)
    check_grants(named, aim, bound)
    state = state_of(bound)
    classes = data.known_classes if isinstance(data, Dataset) else None
    bound, findings = first_look(bound, whole, named.value.needs, seed, classes)
    findings += parameter_findings(named.value, whole.x.shape[1:], len(whole), whole.levels)
    tell(findings)
    parts = in_batches(whole, None if mask is None else mask_of(mask, whole.x), batch_size)
    done = [evaluate_batch(named.value, bound, part, aim, seed=seed, mask=own) for part, own in parts]
    check_unchanged(bound, state)
    report = AttackReport(joined(done))
    evaluated, measured = report.evaluated, [answers(*report.not_finite, len(whole))]
    measured.append(undeclared_rejection(evaluated.clean.columns, classes, evaluated.goal.rejects, len(whole)))
    met = [*idle(named.value, evaluated), *_met(evaluated), *fired(measured)]
    tell(met)
    return AttackReport(evaluated, (*findings, *met), stage_labels(named.value, whole.x.shape[1:]))


def _met(done: Evaluated) -> list[Finding]:
    """What an attack met on its way: image gradients that were not finite, were it on a single sample."""
    times = done.nonfinite_gradients[done.nonfinite_gradients > 0].double()
    if not len(times):
        return []
    measured = rules.NONFINITE_GRADIENTS.on(len(times), int(done.attacked.sum()), gradients=float(times.mean()))
    return [measured.finding()]


def _attacked(data: Any) -> Batch | Dataset:
    """What is attacked: a batch, or a data set."""
    if isinstance(data, (Batch, Dataset)):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return batch_of(*data)
    return datasets.load(data)
