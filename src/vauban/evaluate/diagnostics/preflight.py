"""The preflight: what is asked of a model before an attack's numbers are believed.

Rules after AutoAttack's checks (Croce and Hein 2020), Pintor et al. (arXiv:2106.09947) and Carlini et al.
(arXiv:1902.06705). Departures: a rule speaks on a calibrated share of the samples and never on a single one; instability
is measured on the margin, as a confident sample's cross-entropy is too near zero to divide by.
"""

from __future__ import annotations

from itertools import chain

from torch import Tensor

from vauban.core.contracts import check_images, check_labels
from vauban.core.goals import Goal, ResolvedGoal
from vauban.engine.threat import BoundThreat
from vauban.evaluate.diagnostics import preflight_rules as rules
from vauban.evaluate.diagnostics.findings import Finding, Measured, fired
from vauban.evaluate.diagnostics.preflight_checks import outputs, slopes, stability, undeclared_rejection
from vauban.evaluate.diagnostics.preflight_probe import Probe, resolve

SAMPLES = 64


def before(
    threat: BoundThreat,
    x: Tensor,
    y: Tensor,
    goal: Goal | ResolvedGoal,
    ids: Tensor | None = None,
    seed: int = 0,
    classes: int | None = None,
) -> list[Finding]:
    """Findings on the model as the threat shows it, from the first 64 images, the gravest first.

    About 17 forward and 3 backward passes, none of them counted as an attack's. Checks of gradients are made where the
    threat grants gradients, on the networks that give them. The global generator and every submodule's mode are left as
    they were.

    Args:
        threat: The attacker.
        x: Images `(batch, ...)`, pixels in [0,1].
        y: Labels `(batch,)`.
        goal: What counts as success.
        ids: Sample ids `(batch,)`; 0, 1, ... by default.
        seed: Of a random network.
        classes: Number of classes of the data; None: not known.

    Raises:
        ContractError: Images or labels break the contract.
    """
    return fired(measure(threat, x, y, goal, ids, seed, classes))


def measure(
    threat: BoundThreat,
    x: Tensor,
    y: Tensor,
    goal: Goal | ResolvedGoal,
    ids: Tensor | None = None,
    seed: int = 0,
    classes: int | None = None,
) -> list[Measured]:
    """What every rule saw, also those that stay silent."""
    check_images(x)
    check_labels(y, len(x))
    x, y = x[:SAMPLES], y[:SAMPLES]
    probe = Probe(threat, x, resolve(threat, x, y, goal, None if ids is None else ids[:SAMPLES], seed), seed, classes)
    logits = probe.answer(x)
    parts = [outputs(probe, logits), stability(probe, logits)]
    if "gradients" in threat.grants:
        parts.append(slopes(probe, logits))
    optimises = rules.TEST_TIME_OPTIMISATION.on(len(x) if probe.optimises() else 0, len(x))
    rejection = undeclared_rejection(logits.shape[1], classes, probe.goal.rejects, len(x))
    follows = threat.name.partition(":")[0] == "adaptive"
    idle = follows and not (threat.backward or threat.sources) and threat.draws == 1
    nothing = rules.NOTHING_TO_ADAPT.on(len(x) if idle else 0, len(x))
    return [optimises, rejection, nothing, *chain.from_iterable(parts)]
