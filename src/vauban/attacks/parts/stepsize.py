"""Step size: the length of the equal steps that an attack takes inside its ball, relative to the radius or absolute."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Count, Positive
from vauban.engine import Attack, Oracle


class StepSize(Attack):
    """Attack of equal steps inside a ball. The names are Foolbox's; at most one of the two is given.

    The fields are those of the attacks, which are dataclasses and have them in an order of their own.

    Attributes:
        ball: The budget.
        steps: Number of steps.
        rel_stepsize: Length of a step as a share of the radius eps.
        abs_stepsize: Length of a step in pixel units of [0,1], in the norm of the ball.

    Raises:
        ContractError: Both are given.
    """

    ball: Ball
    steps: Count
    rel_stepsize: Positive | None
    abs_stepsize: Positive | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rel_stepsize is not None and self.abs_stepsize is not None:
            raise ContractError(
                f"expected one of rel_stepsize and abs_stepsize, got {self.rel_stepsize:g} and {self.abs_stepsize:g}"
            )

    @property
    @abstractmethod
    def usual_stepsize(self) -> float:
        """The share of the radius where neither is given."""

    def stepsize(self, scale: Tensor | float) -> Tensor | float:
        """Length of a step in pixel units.

        Args:
            scale: Radius of the ball, a number or of any shape.

        Returns:
            A number, or lengths of the shape of `scale`.
        """
        if self.abs_stepsize is not None:
            return self.abs_stepsize
        return (self.usual_stepsize if self.rel_stepsize is None else self.rel_stepsize) * scale


def stepped(attack: StepSize, oracle: Oracle, x: Tensor) -> Tensor | float:
    """Length of a step of an attack on the rows of an oracle, in a shape that multiplies images x `(batch, ...)`."""
    assert oracle.domain.ball is not None
    return attack.stepsize(oracle.domain.ball.scale(x))
