"""Steps inside a ball, shared by the attacks at a fixed budget."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from vauban.attacks.parts.minimal_steps import movable
from vauban.core.errors import ContractError
from vauban.core.norms import L1, Ball, Norm
from vauban.engine import Oracle


def check_norm(ball: Ball, *norms: Norm) -> None:
    """Raises ContractError unless the norm of the ball is one of those in which an attack works."""
    if ball.norm not in norms:
        raise ContractError(f"expected a ball of {', '.join(n.name for n in norms)} for this attack, got {ball}")


def ascend(oracle: Oracle, x: Tensor, direction: Tensor, share: float | Tensor) -> Tensor:
    """P(x + share eps s(direction)): a step of the given share of the radius in the steepest direction s of the norm.

    P is the projection on the ball and [0,1]. In L1, where a step moves few components, those that [0,1] stops are passed
    over (SLIDE; Tramèr and Boneh 2019, arXiv:1904.13000).

    Args:
        oracle: Gives the ball.
        x, direction: Images and a direction of ascent, `(batch, ...)`.
        share: A number, or a tensor that broadcasts against x.
    """
    assert oracle.domain.ball is not None
    return advance(oracle, x, direction, share * oracle.domain.ball.scale(x))


def advance(oracle: Oracle, x: Tensor, direction: Tensor, length: float | Tensor) -> Tensor:
    """P(x + length s(direction)): as `ascend`, the length of the step in pixel units.

    Args:
        oracle: Gives the ball.
        x, direction: Images and a direction of ascent, `(batch, ...)`.
        length: A number, or a tensor that broadcasts against x.
    """
    assert oracle.domain.ball is not None
    if oracle.domain.ball.norm is L1:
        direction = movable(x, direction)
    return oracle.domain.project(x + length * oracle.domain.ball.norm.steepest(direction))


def destination(oracle: Oracle) -> Tensor:
    """Classes to move toward, `(batch,)`: the target where the goal has one, else the least likely wrong class of the clean
    image, for which one query is counted."""
    if oracle.goal.target is not None:
        return oracle.goal.target
    return oracle.goal.wrong_classes(oracle.clean_logits())[:, 0]


def heading(oracle: Oracle, label: Tensor) -> Oracle:
    """The same oracle, where losses move toward `label` `(batch,)` and success is what it was."""
    return oracle.with_goal(replace(oracle.goal, toward=label))
