"""One attack on one batch, judged: what a notebook calls."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.arguments import named_arguments
from vauban.core.arithmetic import check_precision
from vauban.core.arrays import batch_of, mask_of
from vauban.core.contracts import Batch
from vauban.core.errors import exits_are_errors
from vauban.core.goals import Goal, goal_of
from vauban.core.parameters import check
from vauban.data import Dataset
from vauban.engine import Attack, BoundThreat
from vauban.evaluate.adaptation.expand import best_way
from vauban.evaluate.attack_report import AttackReport
from vauban.evaluate.audited_rows import SUSPICIOUS, audited
from vauban.evaluate.batch import Evaluated, evaluate_batch, in_batches, joined
from vauban.evaluate.diagnostics import indicators_rules as rules
from vauban.evaluate.diagnostics.attack_checks import idle, parameter_findings
from vauban.evaluate.diagnostics.findings import Finding, Measured, fired
from vauban.evaluate.diagnostics.first_look import first_look, tell
from vauban.evaluate.diagnostics.indicators_counts import answers
from vauban.evaluate.diagnostics.indicators_stages import staged
from vauban.evaluate.diagnostics.preflight_checks import answered_last, undeclared_rejection
from vauban.evaluate.grants import granted, told
from vauban.evaluate.narrowed import narrowed
from vauban.evaluate.unchanged import check_unchanged, state_of
from vauban.threats.access import by_answers
from vauban.words import data as datasets
from vauban.words import goal as goals
from vauban.words.attack import attack_of
from vauban.words.labels import stage_labels
from vauban.words.model import model_of, tell_behind
from vauban.words.threat import threat_of

log = logging.getLogger("vauban")


@named_arguments
@exits_are_errors()
def attack(
    attack: Any,
    model: nn.Module | str,
    batch: Any,
    *,
    threat: Any = None,
    goal: Goal | str = "untargeted",
    seed: int = 0,
    mask: Any = None,
    batch_size: int | None = None,
    rejects: bool = False,
    precision: str = "float32",
) -> AttackReport:
    """Attack a model on a batch and judge the result on the image that would be saved.

    The model is looked at first: one that does not fit the images is refused, and what makes numbers doubtful is logged and
    kept in `findings`. One whose answers differ between two calls is judged on fresh draws even where no card declares it.

    Args:
        attack: An attack, its name (`pgd:eps=8/255`), or one of another toolkit, as `attacks.Foreign` takes it.
        model: A module, or its name: `digits-cnn`, `jpeg|digits-cnn`.
        batch: A `Batch`, a pair (x, y) of images on the 8-bit grid and labels, a `DataLoader`, a torch data set, or a data
            set or its name. Data sets are taken whole and give an attack without eps its conventional budget.
        threat: One of `vauban.threats`, or its name: `adaptive:eot=16`; of the ways of `auto` the best is taken. None:
            white-box, or by scores or labels alone of a model that only answers.
        goal: A goal, or its name: `targeted:3`.
        seed: Of every random number.
        mask: False or 0 where the attacker may change nothing, True or 1 elsewhere, as `(batch, ...)` or what broadcasts to
            it.
        batch_size: Images that are attacked at a time; None: all at once.
        rejects: The model's last logit means 'rejected', for one without a card that says so.
        precision: In which networks are computed while they are attacked: `float32`, `bf16`, or `tf32` on a CUDA device.
            Every success, and what is handed over, is judged in float32.

    Raises:
        UnknownName: A name is not known.
        ContractError: What is given does not fit together.
        AccessError: The attack asks for what the threat does not grant.
        StateChanged: The network's weights or buffers have changed under the attack.
        ExitCalled: A user's code has called `sys.exit`.
    """
    check("vauban.attack", "seed", seed, int)
    data = attacked(batch)
    named = attack_of(attack, data if isinstance(data, Dataset) else None)
    network, whole = model_of(model, rejects), data.all() if isinstance(data, Dataset) else data
    tell_behind(network.name, network.behind)
    computed_in = check_precision(precision, whole.x.device)
    given = by_answers(network.value) if threat is None else threat_of(threat).value
    meant, looked = best_way(given, network.value, network.network, data, whole, named.value, seed)
    bound: BoundThreat = told(meant, network.network).bind(network.value, levels=whole.levels)
    bound = replace(bound, precision=computed_in)
    aim = goals.load(goal)
    named = granted(named, aim, bound, whole.x.shape[1:])
    state = state_of(bound.parts)
    classes = data.known_classes if isinstance(data, Dataset) else None
    blind = named.value.goes_on_blind
    bound, findings = first_look(bound, whole, named.value.needs, seed, classes, goes_on_blind=blind)
    findings += [] if looked.ways else looked.findings
    findings += parameter_findings(named.value, whole.x.shape[1:], len(whole), whole.levels)
    tell(findings)
    wide = None if mask is None else mask_of(mask, whole.x)

    def evaluated_rows(run: Attack, rows: Tensor) -> Evaluated:
        chosen = Batch(whole.x[rows], whole.y[rows], whole.ids[rows], whole.levels)
        parts = in_batches(chosen, None if wide is None else wide[rows], batch_size)
        places = torch.split(rows, batch_size or len(rows))
        return joined(
            [
                evaluate_batch(_own(run, place), bound, part, goal_of(aim, place), seed=seed, mask=own)
                for (part, own), place in zip(parts, places, strict=True)
            ]
        )

    def _own(run: Attack, rows: Tensor) -> Attack:
        narrow: Attack = run if len(rows) == len(whole) else narrowed(run, rows, whole.x.shape)
        return narrow

    done = evaluated_rows(named.value, torch.arange(len(whole), device=whole.x.device))
    everybody = any(finding.code in SUSPICIOUS for finding in findings)
    report = AttackReport(audited(done, named.value, evaluated_rows, seed, everybody))
    check_unchanged(bound.parts, state)
    evaluated, measured = report.evaluated, [answers(*report.not_finite, len(whole))]
    measured.append(_undeclared(evaluated, classes))
    stages = stage_labels(named.value, whole.x.shape[1:])
    measured += staged(stages, AttackReport(evaluated).columns)
    met = [*idle(named.value, evaluated), *_met(evaluated), *fired(measured)]
    tell(met)
    return AttackReport(evaluated, (*findings, *met), stages)


def _undeclared(done: Evaluated, classes: int | None) -> Measured:
    """Whether the last logit seems to mean 'rejected' without a word: by the classes of the data, else by the answers."""
    columns, declared = done.clean.columns, done.goal.rejects
    if classes is not None:
        return undeclared_rejection(columns, classes, declared, len(done.batch.y))
    fooled = done.success if done.goal.target is None else done.success & (done.goal.target != columns - 1)
    return answered_last(columns, done.batch.y, done.clean.label, done.verdict.label, fooled, declared)


def _met(done: Evaluated) -> list[Finding]:
    """What an attack met on its way: image gradients that were not finite, were it on a single sample."""
    times = done.nonfinite_gradients[done.nonfinite_gradients > 0].double()
    if not len(times):
        return []
    measured = rules.NONFINITE_GRADIENTS.on(len(times), int(done.attacked.sum()), gradients=float(times.mean()))
    return [measured.finding()]


def attacked(data: Any) -> Batch | Dataset:
    """What is attacked: a batch, or a data set."""
    if isinstance(data, (Batch, Dataset)):
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return batch_of(*data)
    return datasets.load(data)
