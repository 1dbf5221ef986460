"""Foreign attack: one that was written for PyTorch or for another toolkit, its passes counted and its verdict ours."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.errors import BudgetSpent, ContractError, short
from vauban.core.norms import Ball
from vauban.core.spelling import spelled
from vauban.core.tensors import like
from vauban.core.tolerance import tolerance
from vauban.engine import Attack, Oracle, Result
from vauban.engine.lent import LentNetwork, lent


@dataclass(frozen=True)
class Foreign(Attack):
    """Function from (model, x, y) to adversarial images, an attack object of torchattacks or one of Foolbox.

    It gets a module that answers as the threat grants and counts every pass (`engine.lent`), x in [0,1], and the true
    labels; a function with a parameter `target` gets the wanted ones too. A torchattacks object runs on a copy that holds
    this module in the place of its own model. What it hands over is rounded to the pixel levels where it lies in the ball
    and in [0,1]. What lies outside, or is not finite, is left as it is (non-finite components become -1) and is no success.

    Attributes:
        call: The attack.
        ball: The budget that the verdict enforces; None for an attack that looks for the nearest image, in L2.

    Raises:
        ContractError: It returns something else than images, or cannot do what is asked of it (a mask, a target).
    """

    call: Callable[..., Any]
    ball: Ball | None = None

    def __post_init__(self) -> None:
        if _of_foolbox(self.call) or isinstance(getattr(self.call, "model", None), nn.Module):
            return
        try:
            fits = callable(self.call) and not _ours(self.call) and _fits(self.call)
        except (TypeError, ValueError):  # a builtin without a signature
            return
        if not fits:
            told = callable(self.call) and not _ours(self.call)
            given = f"{self.name}{inspect.signature(self.call)}" if told else short(self.call)
            raise ContractError(f"expected an attack as a function of (model, x, y) that returns images, got {given}")

    @property
    def name(self) -> str:
        """What tables call it: the name of the function or of the class."""
        inner = self.call.func if isinstance(self.call, functools.partial) else self.call
        return str(getattr(inner, "__name__", type(inner).__name__))

    @property
    def spelling(self) -> str:
        """What it is called with its parameters: those of a partial function, then the budget."""
        given = self.call.keywords if isinstance(self.call, functools.partial) else {}
        words = [f"{key}={spelled(value)}" for key, value in given.items()]
        if self.ball is not None:
            words += [f"norm={self.ball.norm.name}"] * ("norm" not in given)
            words += [f"eps={spelled(self.ball.radius)}"] * ("eps" not in given)
        return f"{self.name}:{','.join(words)}" if words else self.name

    def run(self, oracle: Oracle) -> Result:
        if oracle.domain.mask is not None:
            raise ContractError(f"expected an attack of vauban's own to keep a mask, got {self.name}; leave mask out")
        oracle = oracle if self.ball is None else oracle.confined(self.ball)
        x0, before = oracle.domain.x0, (oracle.forwards.clone(), oracle.backwards.clone())
        try:
            with lent(oracle) as network:
                made = self._checked(self._images(network, x0.clone(), oracle), x0)
        except BudgetSpent:
            made = x0
        image, valid = _as_saved(oracle, made)
        rate = torch.zeros(len(x0), dtype=torch.float64, device=x0.device)
        rows = valid.nonzero().squeeze(1)
        if len(rows):
            rate[rows] = oracle.rows(rows).check(image[rows])
        won = rate > 0.5
        distance = self.norm.size(image - x0).where(won, torch.full_like(rate, torch.inf).to(x0.dtype))
        costs = oracle.forwards - before[0], oracle.backwards - before[1]
        first = torch.where(won, costs[1], -torch.ones_like(costs[1]))
        return Result(image, torch.where(like(won, x0), image, x0), rate, distance, *costs, first)

    def _images(self, network: LentNetwork, x: Tensor, oracle: Oracle) -> Any:
        """What the attack hands over, called in the way of its kind."""
        y, target = oracle.goal.y, oracle.goal.target
        try:
            if _of_foolbox(self.call):
                return self._by_foolbox(network, x, y, target)
            if isinstance(getattr(self.call, "model", None), nn.Module):
                attack: Any = _holding(self.call, network)
                if target is not None:
                    self._able(hasattr(attack, "set_mode_targeted_by_label"))
                    attack.set_mode_targeted_by_label(quiet=True)
                return attack(x, y if target is None else target)
            if target is None:
                return self.call(network, x, y)
            self._able("target" in inspect.signature(self.call).parameters)
            return self.call(network, x, y, target=target)
        except RuntimeError as error:
            if "gradients" not in network.granted and "does not require grad" in str(error):
                raise ContractError(
                    f"expected an attack without gradients for the threat {oracle.threat.name!r}, got {self.name}, which "
                    "differentiates; use a threat that grants gradients"
                ) from error
            raise

    def _by_foolbox(self, network: LentNetwork, x: Tensor, y: Tensor, target: Tensor | None) -> Any:
        import foolbox  # type: ignore[import-not-found, unused-ignore]  # there, since the attack is

        criteria = foolbox.criteria
        criterion = criteria.Misclassification(y) if target is None else criteria.TargetedMisclassification(target)
        model = foolbox.PyTorchModel(network, bounds=(0, 1), device=x.device)
        return self.call(model, x, criterion, epsilons=None if self.ball is None else self.ball.radius)[1]

    def _able(self, able: bool) -> None:
        if not able:
            raise ContractError(
                f"expected an attack that takes a target for a targeted goal, got {self.name}; give the function a "
                "parameter target, or use the goal untargeted"
            )

    def _checked(self, made: Any, x0: Tensor) -> Tensor:
        if not isinstance(made, Tensor) or made.shape != x0.shape or not made.is_floating_point():
            kind = f"{made.dtype} of shape {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
            hint = "; torch.from_numpy makes them" if kind == "ndarray" else ""
            hint = "; return the images alone" if kind in ("tuple", "list") else hint
            raise ContractError(
                f"expected {self.name} to return float images of shape {tuple(x0.shape)}, got {kind}{hint}"
            )
        return made.detach().to(x0)


def is_foreign(call: Any) -> bool:
    """Whether something can be called as (model, x, y), or is an attack object of another toolkit."""
    if inspect.isclass(call) or not callable(call) or isinstance(call, (Attack, nn.Module)):
        return False
    if _of_foolbox(call) or isinstance(getattr(call, "model", None), nn.Module):
        return True
    try:
        return _fits(call)
    except (TypeError, ValueError):  # a builtin without a signature
        return False


def _ours(call: Any) -> bool:
    """Whether something is the class of an attack of this library, which needs no wrapping."""
    return inspect.isclass(call) and issubclass(call, Attack)


def _fits(call: Callable[..., Any]) -> bool:
    """Whether it can be called as (model, x, y), with a target where it has a parameter of that name."""
    known = inspect.signature(call)
    try:
        known.bind(*(None,) * 3, **({"target": None} if "target" in known.parameters else {}))
    except TypeError:
        return False
    return True


def makes_attacks(call: Any, given: Collection[str]) -> bool:
    """Whether a class or a function of a user's file makes an attack of parameters rather than being a foreign one.

    A foreign attack is a function whose first three parameters have no default and are not among those `given`.
    """
    if not inspect.isroutine(call):
        return False
    first = list(inspect.signature(call).parameters.values())[:3]
    return len(first) < 3 or any(p.default is not inspect.Parameter.empty or p.name in {*given, "ball"} for p in first)


def _as_saved(oracle: Oracle, made: Tensor) -> tuple[Tensor, Tensor]:
    """Images as they are judged, and which of them lie in the ball and in [0,1], `(batch,)`."""
    slack = tolerance(made.dtype)
    image = torch.where(made.isfinite(), made, torch.full_like(made, -1))
    inside = ((image >= -slack) & (image <= 1 + slack)).flatten(1).all(1)
    valid = inside & oracle.domain.admissible(image)
    return torch.where(like(valid, image), oracle.domain.quantise(image), image), valid


def _of_foolbox(call: Any) -> bool:
    return any(kind.__module__.split(".")[0] == "foolbox" for kind in type(call).__mro__)


def _holding(attack: Any, network: nn.Module) -> Any:
    """A copy of an attack object, and of those that it holds, with another model."""
    if getattr(attack, "normalization_used", None):
        raise ContractError(
            f"expected {type(attack).__name__} without set_normalization_used, got one that undoes a normalisation; put "
            "it into the model: vb.models.wrap(net, mean=..., std=...)"
        )
    other = copy.copy(attack)
    for name, value in list(vars(attack).items()):
        if isinstance(value, (list, tuple)) and any(
            isinstance(getattr(part, "model", None), nn.Module) for part in value
        ):
            setattr(other, name, type(value)(_holding(part, network) for part in value))
    other.model = network
    return other
