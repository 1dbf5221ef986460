"""First look at a model: the preflight's cheap part, for a single batch that is attacked or verified."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vauban.core.answers import check_answerable
from vauban.core.cards import carded
from vauban.core.contracts import Batch
from vauban.core.errors import NoGradient
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import margin
from vauban.core.rng import seeded
from vauban.engine import BoundThreat
from vauban.engine.first_answer import first_answer
from vauban.engine.network import WAY_OUT, predict, quiet
from vauban.evaluate.diagnostics.findings import Finding, fired
from vauban.evaluate.diagnostics.preflight_checks import outputs
from vauban.evaluate.diagnostics.preflight_probe import Probe, Unavailable
from vauban.evaluate.diagnostics.preflight_rules import NO_GRADIENTS

log = logging.getLogger("vauban")
LOOKED_AT = 8  # samples


def first_look(
    threat: BoundThreat,
    batch: Batch,
    needs: str,
    seed: int = 0,
    classes: int | None = None,
    labels: Tensor | None = None,
    goes_on_blind: bool = False,
) -> tuple[BoundThreat, list[Finding]]:
    """The threat, declared random where answers vary, and what is found on the first eight images.

    The network is asked for all eight and for each alone, and twice for its randomness; where the attack follows
    gradients, one is taken.

    Args:
        threat: The attacker.
        batch: What will be attacked.
        needs: What the attack needs, as `Attack.needs`.
        seed: Of a random network.
        classes: Number of classes of the data, where it is known.
        goes_on_blind: Whether the attack goes on without gradients: that there are none is then a finding.
        labels: Those that the network must be able to give `(n,)`; None: those of the batch.

    Raises:
        ContractError: The network fails on the images, returns no logits, or knows other labels.
        NoGradient: The attack cannot go on without gradients, and there are none.
    """
    x, y = batch.x[:LOOKED_AT].clone(), batch.y[:LOOKED_AT]
    with quiet(threat.parts), seeded(seed, "probe", device=x.device):
        for network in dict.fromkeys((*dict(threat.networks), threat.target)):
            columns = first_answer(network, x[:1]).shape[1]  # in the end those of the target
            first_answer(network, x)
    wanted = batch.y if labels is None else labels
    check_answerable(wanted, len(wanted), columns, threat.rejects)
    if not threat.randomised and answers_vary(threat.target, x):
        threat = replace(threat, random=True)
    probe = Probe(threat, x, ResolvedGoal(y, rejects=threat.rejects), seed, classes)
    missing: list[Finding] = []
    if needs == "gradients" and "gradients" in threat.grants and not torch.is_inference_mode_enabled():
        gradients = probe.gradients(x[:1], margin_of_first)
        if isinstance(gradients, Unavailable):
            if not goes_on_blind:
                raise NoGradient(
                    f"expected a model that can be differentiated in the image, but {gradients.cause}; {WAY_OUT}"
                )
            missing = fired([NO_GRADIENTS.on(len(x), len(x), cause=gradients.cause)])
    return threat, [*missing, *fired(outputs(probe, probe.answer(x)))]


def margin_of_first(logits: Tensor, goal: ResolvedGoal) -> Tensor:
    """The margin of the first samples of a goal, one value for each row of logits."""
    return margin(logits, goal.rows(torch.arange(len(logits), device=logits.device)))


def tell(findings: Sequence[Finding]) -> None:
    """Log each finding that makes numbers doubtful, in one line."""
    for finding in findings:
        if finding.severity != "info":
            log.warning("%s: %s %s", finding.code, finding.message, finding.advice)


def answers_vary(model: nn.Module, x: Tensor, rtol: float = 1e-4) -> bool:
    """Whether the model draws from torch's generators, or answers two calls on the same images differently."""
    if any(card.random for _, card in carded(model)):
        return True
    answers, drew = [], False
    with quiet(list(model.modules())):
        for k in range(2):
            with seeded("vary", k, device=x.device):
                before = _generators(x.device)
                answers.append(predict(model, x))
                drew = drew or any(not torch.equal(*pair) for pair in zip(before, _generators(x.device), strict=True))
    return drew or not torch.allclose(answers[0], answers[1], rtol=rtol, atol=1e-6, equal_nan=True)


def _generators(device: torch.device) -> list[Tensor]:
    cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *cuda]
