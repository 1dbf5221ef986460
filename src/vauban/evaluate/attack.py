"""One attack on one batch, judged: what a notebook calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.arrays import batch_of, mask_of
from vauban.core.contracts import Batch
from vauban.core.goals import Goal
from vauban.core.tensors import where
from vauban.data import Dataset
from vauban.engine import BoundThreat
from vauban.evaluate.batch import Evaluated, evaluate_batch, in_batches, joined
from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.attack_checks import idle, parameter_findings
from vauban.evaluate.diagnostics.findings import Finding
from vauban.evaluate.diagnostics.first_look import first_look, tell
from vauban.metrics.sample import measure
from vauban.statistics.estimates import median
from vauban.words import data as datasets
from vauban.words import goal as goals
from vauban.words.attack import attack_of
from vauban.words.model import model_of
from vauban.words.threat import threat_of


@dataclass(frozen=True, repr=False)
class AttackReport:
    """The judged result of `vauban.attack`; every tensor batch-leading.

    adversarial: the successful image, the original where none succeeded. crafted: the attack's own image, always. Both are
    in the type of the batch. success: judged on the saved image. distance: in the attack's norm, infinite on failure.
    findings: what the first look at the model says, the gravest first, and what the attack met on its way.
    """

    evaluated: Evaluated
    findings: tuple[Finding, ...] = ()

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
        """Share of all samples that the model classifies correctly, clean and attacked: an upper bound."""
        e = self.evaluated
        worst = torch.maximum(e.clean.misclassified, e.verdict.misclassified * e.verdict.admissible)
        return float((1 - worst).mean())

    def distances(self) -> dict[str, Tensor]:
        """Per-sample L0, L1, L2, L-infinity, SSIM and PSNR of the judged images."""
        return measure(self.evaluated.batch.x, self.evaluated.image)

    def __repr__(self) -> str:
        e, n = self.evaluated, len(self.success)
        middle = median(self.distance[e.attacked].cpu().numpy()).value
        wrong = int((~e.attacked).sum())
        outside = int((e.attacked & ~e.verdict.admissible).sum())
        refused = f", {outside} handed over outside the budget" if outside else ""
        skipped = f" ({wrong} already misclassified)" if wrong else ""
        passes = float(self.backwards[e.attacked].double().mean()) if bool(e.attacked.any()) else 0.0
        queries = float(self.forwards[e.attacked].double().mean()) if bool(e.attacked.any()) else 0.0
        return (
            f"{n} samples, {int(self.success.sum())} fooled{skipped}, median {e.norm.name} {middle:.4g}, "
            f"{passes:.3g} gradients and {queries:.3g} queries each{refused}{self._doubts}"
        )

    @property
    def _doubts(self) -> str:
        codes = [f.code for f in self.findings if f.severity == "invalid"]
        return f"; cannot be relied on: {', '.join(codes)}" if codes else ""


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
) -> AttackReport:
    """Attack a model on a batch and judge the result on the image that would be saved.

    The model is looked at first: one that does not fit the images is refused, and what makes numbers doubtful is logged and
    kept in `findings`. One whose answers differ between two calls is judged on fresh draws even where no card declares it.

    Args:
        attack: An attack, its name (`pgd:eps=8/255`), or one of another toolkit, as `attacks.Foreign` takes it.
        model: A module, or its name: `digits-cnn`, `jpeg|digits-cnn`.
        batch: A `Batch`, a pair (x, y) of images on the 8-bit grid and labels, a `DataLoader`, a torch data set, or a data
            set or its name. Data sets are taken whole and give an attack without eps its conventional budget.
        threat: A recipe of `vauban.threats`, or its name: `adaptive:eot=16`.
        goal: A goal, or its name: `targeted:3`.
        seed: Of every random number.
        mask: False or 0 where the attacker may change nothing, True or 1 elsewhere, as `(batch, ...)` or what broadcasts to
            it.
        batch_size: Images that are attacked at a time; None: all at once.

    Raises:
        UnknownName: A name is not known.
        ContractError: What is given does not fit together.
        AccessError: The attack asks for what the threat does not grant.
    """
    data = _attacked(batch)
    named = attack_of(attack, data if isinstance(data, Dataset) else None).value
    network, whole = model_of(model).value, data.all() if isinstance(data, Dataset) else data
    bound: BoundThreat = threat_of(threat).value.bind(network, levels=whole.levels)
    bound, findings = first_look(bound, whole, named.needs, seed)
    findings += parameter_findings(named, whole.x.shape[1:], len(whole), whole.levels)
    tell(findings)
    parts = in_batches(whole, None if mask is None else mask_of(mask, whole.x), batch_size)
    done = [evaluate_batch(named, bound, part, goals.load(goal), seed=seed, mask=own) for part, own in parts]
    evaluated = joined(done)
    met = [*idle(named, evaluated), *_met(evaluated)]
    tell(met)
    return AttackReport(evaluated, (*findings, *met))


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
