"""Attack: hyper-parameters with `run`, and what an attack answers about itself."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from vauban.core.arguments import signature_of
from vauban.core.errors import ContractError
from vauban.core.norms import L2, Ball, Norm
from vauban.core.parameters import Parameters
from vauban.engine.oracle import Oracle
from vauban.engine.result import Result


class Attack(Parameters, ABC):
    """An attack; subclasses are frozen dataclasses of hyper-parameters that implement `run`.

    The range of a hyper-parameter stands in the annotation of its field. Everything else has a default that a subclass
    overrides by a field, a class variable or a property. An attack that runs others (`Restarts`, `Cascade`, a battery)
    answers for what it holds, so that nobody need know its class.

    Attributes:
        ball: The budget the attack stays in; None for an attack that looks for the nearest image.
        norm: The norm in which distances of a run are measured: the ball's, else L2.
        passes: Forward and backward passes that a sample costs at most; None where they are not known.
        needs: What a threat must grant: gradients, scores, labels or nothing; "unknown" leaves it to the oracle.
        goes_on_blind: Whether it can break samples of a network that has no gradient.
        minimises: Whether the distance of a success is what the attack makes small.
        members: The attacks that it runs.
        rounded: Whether its images are rounded to the pixel levels of a threat that has them; False is for comparison with
            results on unrounded images, and the verdict is then on these.
        one_step: Whether it takes a single step along a gradient.
        audit: The attack that some of the samples that it spared are given afterwards; None for an attack that spares none.
    """

    ball: Ball | None = None
    needs: ClassVar[str] = "unknown"

    def __new__(cls, *args: Any, **given: Any) -> Self:
        """The object, unless a parameter is none of its own. Raises ContractError, which says how a budget is written."""
        known = list(signature_of(cls.__init__).parameters)[1:]
        if known[:1] == ["ball"] and "ball" not in given and (budget := _budget(args, given, known)) is not None:
            norm = str(given.get("norm", "linf")).lower()
            norm = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}.get(norm, "Linf")
            raise ContractError(
                f"expected the budget of {cls.__name__} as a norm with a radius, {cls.__name__}(vb.{norm}({budget:.6g})), "
                f"got {'eps=' if 'eps' in given else ''}{budget:.6g}"
            )
        ball = args[0] if args else given.get("ball")
        if known[:1] == ["ball"] and isinstance(ball, Norm):
            written = ball.name.capitalize()
            raise ContractError(
                f"expected the budget of {cls.__name__} as a norm with a radius, {cls.__name__}(vb.{written}(...)), "
                f"got {written} without one"
            )
        return super().__new__(cls, *args, **given)

    def __post_init__(self) -> None:
        loss = getattr(self, "loss", None)
        if isinstance(loss, str):
            name = type(self).__name__
            raise ContractError(
                f"expected loss of {name} as a function such as vb.margin, got {loss!r}; names stand in texts: "
                f"vb.load('attack', 'NAME:loss={loss}')"
            )
        super().__post_init__()

    @property
    def norm(self) -> Norm:
        return L2 if self.ball is None else self.ball.norm

    @property
    def passes(self) -> tuple[int, int] | None:
        return None

    @property
    def goes_on_blind(self) -> bool:
        if self.members:
            return any(member.goes_on_blind for member in self.members)
        return self.needs != "gradients"

    @property
    def minimises(self) -> bool:
        return False

    @property
    def members(self) -> tuple[Attack, ...]:
        return ()

    @property
    def rounded(self) -> bool:
        return all(member.rounded for member in self.members)

    @property
    def one_step(self) -> bool:
        return bool(self.members) and all(member.one_step for member in self.members)

    @property
    def audit(self) -> Attack | None:
        return next((member.audit for member in self.members if member.audit is not None), None)

    def stages_on(self, shape: Sequence[int]) -> tuple[Attack, ...]:
        """Attacks among which `Result.broken_by` counts, in the order in which they run.

        Those of the members one after the other; of a single member its own, if it has several; else the attack itself.

        Args:
            shape: Of a sample.
        """
        inner = tuple(stage for member in self.members for stage in member.stages_on(shape))
        return inner if len(inner) > 1 else (self,)

    def under(self, grants: frozenset[str], shape: Sequence[int]) -> Attack:
        """The attack as it runs where a threat grants this: itself; a battery without gradients goes on without the
        members that ask for what is not granted.

        Args:
            grants: Of the threat.
            shape: Of a sample.
        """
        return self

    @abstractmethod
    def run(self, oracle: Oracle) -> Result:
        """Attack the rows of an oracle.

        Args:
            oracle: Access to the networks, opened on a batch.

        Returns:
            One result per row, in the order of the oracle's rows.
        """


class AroundAttack(Attack):
    """Attack that runs one other attack, in whose norm it measures and whose needs are its own.

    The field is that of the subclass, a dataclass, which has its fields in an order of its own.

    Attributes:
        attack: The attack that it runs.
    """

    attack: Attack

    @property
    def norm(self) -> Norm:
        return self.attack.norm

    @property
    def needs(self) -> str:  # type: ignore[override]
        return self.attack.needs

    @property
    def members(self) -> tuple[Attack, ...]:
        return (self.attack,)

    def under(self, grants: frozenset[str], shape: Sequence[int]) -> Attack:
        inner = self.attack.under(grants, shape)
        return self if inner is self.attack else dataclasses.replace(self, attack=inner)  # type: ignore[type-var]


def _budget(args: tuple[Any, ...], given: Mapping[str, Any], known: Sequence[str]) -> float | None:
    """A radius that was given as a number, in the place of the ball or as `eps`."""
    value = args[0] if args else given.get("eps") if "eps" not in known else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def total_passes(attacks: tuple[Attack, ...]) -> tuple[int, int] | None:
    """Sum of the passes of several attacks in a row; None where one of them does not know."""
    known = [attack.passes for attack in attacks]
    if any(count is None for count in known):
        return None
    return sum(count[0] for count in known if count), sum(count[1] for count in known if count)


def shared_ball(attacks: tuple[Attack, ...]) -> Ball | None:
    """Ball that all of several attacks stay in; None where they have none or different ones."""
    balls = list(dict.fromkeys(attack.ball for attack in attacks))
    return balls[0] if len(balls) == 1 else None


def all_needs(attack: Attack) -> frozenset[str]:
    """Every grant that an attack needs, those of the attacks that it runs included."""
    inner = [all_needs(member) for member in attack.members]
    return frozenset({attack.needs} - {"unknown", "nothing"}).union(*inner)


def strongest_need(attacks: tuple[Attack, ...]) -> str:
    """Strongest of the grants that several attacks need."""
    order = ("unknown", "nothing", "labels", "scores", "gradients")
    return max((attack.needs for attack in attacks), key=order.index, default="unknown")
