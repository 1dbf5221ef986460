"""Smallest budget by name: `minimal-eps:attack=[fgsm],rounds=9`."""

from __future__ import annotations

from vauban.attacks import registry
from vauban.core.arguments import named_arguments
from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Count, Positive
from vauban.engine import Attack, Bisection, Steps
from vauban.engine.bisection import Growth


@named_arguments
@registry.register("minimal-eps", words={"attack": "attack"}, combines=True)
def minimal_eps(attack: Attack, rounds: Count = 9, start: Positive | None = None, growth: Growth = 2.0) -> Bisection:
    """Smallest eps at which an attack succeeds, per sample, by multiplying and bisection.

    Args:
        attack: A step attack inside a ball.
        rounds: Runs of the attack.
        start: First eps, in pixel units of [0,1]; None for the attack's own.
        growth: Factor while nothing succeeds.

    Raises:
        ContractError: The attack takes no steps or stays in no ball with one radius for all samples.
    """
    ball = attack.ball if isinstance(attack, Steps) else None
    if not isinstance(attack, Steps) or not isinstance(ball, Ball):
        raise ContractError(f"expected minimal-eps around a step attack inside a ball such as pgd, got {attack}")
    return Bisection(attack, "eps", start=float(ball.radius) if start is None else start, rounds=rounds, growth=growth)
