"""Grants: what a threat is told before it is bound, and what an attack may ask of it, before anything runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from vauban.core.answers import revealed
from vauban.core.errors import AccessError
from vauban.core.goals import Goal
from vauban.engine import Attack, BoundThreat
from vauban.engine.attack import all_needs
from vauban.threats.base import Threat, refusal
from vauban.words.attack import allowed_attacks
from vauban.words.labels import attack_label, stage_labels
from vauban.words.named import Named

log = logging.getLogger("vauban")


def told(threat: Any, network: nn.Module | None) -> Any:
    """A threat of vauban's that knows the network below the defences; a user's own as it is."""
    return threat.around(network) if isinstance(threat, Threat) else threat


def granted(attack: Named[Attack], goal: Goal, bound: BoundThreat, shape: Sequence[int]) -> Named[Attack]:
    """The attack as it runs under a threat, once what it, all that it runs, and the goal ask for was looked at.

    What is not known of a user's, the oracle refuses.

    Args:
        attack: The attack.
        goal: What it wants.
        bound: The threat.
        shape: Of a sample.

    Raises:
        AccessError: The threat does not grant it.
    """
    as_it_runs = attack.value.under(bound.grants, shape)
    if as_it_runs is not attack.value:
        left = ", ".join(stage_labels(as_it_runs, shape)) or attack_label(as_it_runs)
        log.warning("%s: no gradients under %s; of its attacks it runs %s", attack.name, bound.name, left)
        attack = replace(attack, value=as_it_runs)
    for need in sorted(all_needs(attack.value)):
        refused = refusal(need, bound, allowed_attacks(bound.grants))
        if refused is not None:
            only = " (the network only answers)" if "gradients" not in revealed(bound.target) else ""
            raise AccessError(f"{attack.name}: {refused}{only}")
    if goal.needs_logits and bound.hides_scores:
        raise AccessError(
            f"the goal {goal} needs the score of every class, and the network tells the largest alone; use untargeted, "
            "random-wrong or targeted:<class>"
        )
    if goal.needs_logits and not bound.grants & {"scores", "gradients"}:
        granted = ", ".join(sorted(bound.grants))
        raise AccessError(
            f"the goal {goal} needs the logits of the originals, and the threat {bound.name!r} grants only {granted}; "
            "use untargeted, random-wrong or targeted:<class>"
        )
    return attack
