"""Grants: what a threat is told before it is bound, and what an attack may ask of it, before anything runs."""

from __future__ import annotations

from typing import Any

from torch import nn

from vauban.core.errors import AccessError
from vauban.core.goals import Goal
from vauban.engine import Attack, BoundThreat
from vauban.engine.attack import all_needs
from vauban.threats.base import Threat, refusal
from vauban.words.attack import allowed_attacks
from vauban.words.named import Named


def told(threat: Any, network: nn.Module | None) -> Any:
    """A threat of vauban's that knows the network below the defences; a user's own as it is."""
    return threat.around(network) if isinstance(threat, Threat) else threat


def check_grants(attack: Named[Attack], goal: Goal, bound: BoundThreat) -> None:
    """Look at what an attack, all that it runs, and the goal ask for. What is not known of a user's, the oracle refuses.

    Raises:
        AccessError: The threat does not grant it.
    """
    for need in sorted(all_needs(attack.value)):
        refused = refusal(need, bound, allowed_attacks(bound.grants))
        if refused is not None:
            raise AccessError(f"{attack.name}: {refused}")
    if goal.needs_logits and not bound.grants & {"scores", "gradients"}:
        granted = ", ".join(sorted(bound.grants))
        raise AccessError(
            f"the goal {goal} needs the logits of the originals, and the threat {bound.name!r} grants only {granted}; "
            "use untargeted, random-wrong or targeted:<class>"
        )
