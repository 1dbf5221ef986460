"""Rounds of Adam in the tanh box, each sample at its own pace: what Carlini and Wagner's L0 and L-infinity attacks share.

A round is one run of the inner attack under one constraint. The authors run the rounds of one image after the other; here
each sample begins its next round at the step at which its last one ended, so that a batch never waits for its slowest row.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor

from vauban.attacks.parts.penalty_search import confident
from vauban.core.coordinates import IntervalCoordinates
from vauban.core.errors import ContractError
from vauban.core.losses import margin
from vauban.core.norms import Norm
from vauban.core.parameters import Count, NonNegative, Positive, Range, StepRate
from vauban.core.tensors import like, take
from vauban.engine import Attack, Oracle, Result, Steps
from vauban.engine.iterate import Stop, iterate
from vauban.engine.record import Keep

BETA1, BETA2, TINY = 0.9, 0.999, 1e-8  # Adam's own defaults (arXiv:1412.6980)
GROWTH = 2.0
LossWeight = Annotated[float, Range(1e-10)]
"""A weight of the loss; the objective is divided by it, and squares of that must stay finite in float32."""
CHART = IntervalCoordinates(
    0.0, 1.0, start_at="image", shrink=1 / 512
)  # a quarter of a level, so that 0 and 1 can be left


@dataclass(frozen=True)
class AdamRoundState:
    """State of Adam in a round.

    Attributes:
        z: Coordinates, `(batch, ...)`.
        m, v: Adam's moments, of the shape of z.
        c: Weight of the loss, `(batch,)`.
        k: Steps taken in the running round, `(batch,)`.
    """

    z: Tensor
    m: Tensor
    v: Tensor
    c: Tensor
    k: Tensor

    @classmethod
    def begin(cls, x0: Tensor, c: float, **constraint: Tensor) -> Self:
        """The state before the first step: at the images x0, with the constraint that a subclass adds."""
        z, zero, row = CHART.start(x0), torch.zeros_like(x0), torch.zeros_like(x0.flatten(1)[:, 0])
        return cls(z, zero, zero, row + c, row, **constraint)

    def again(self, rows: Tensor) -> Self:
        """Adam begins anew in the rows of the mask `(batch,)`."""
        keep = like(~rows, self.z)
        return replace(self, m=self.m * keep, v=self.v * keep, k=self.k * ~rows)

    def descend(self, slope: Tensor, lr: float) -> Self:
        """One step of Adam down `slope`, with each row's own count of steps."""
        m, v, k = torch.lerp(slope, self.m, BETA1), torch.lerp(slope.square(), self.v, BETA2), self.k + 1
        size = (v / like(1 - BETA2**k, v)).sqrt_().add_(TINY)
        return replace(self, z=self.z - like(lr / (1 - BETA1**k), m) * m / size, m=m, v=v, k=k)

    def raise_c(self, rows: Tensor) -> Self:
        """A larger c in the given rows, from the z where they are."""
        return replace(self, c=torch.where(rows, self.c * GROWTH, self.c)).again(rows)


R = TypeVar("R", bound=AdamRoundState)


@dataclass(frozen=True)
class AdamRounds(Attack, Generic[R]):
    """Attack in rounds of Adam; subclasses say what the constraint of a round is.

    Attributes:
        steps: Gradients of a sample, over all its rounds.
        inner: Steps without success after which c doubles and Adam begins anew.
        lr: Adam's rate.
        c: First weight of the loss.
        largest: A sample whose c exceeds this is finished.
        kappa: Margin that a success must have.

    Raises:
        ContractError: A value outside its range; c above `largest`.
    """

    steps: Count = 1000
    inner: Count = 30
    lr: StepRate = 0.05
    c: LossWeight = 0.01
    largest: Positive = 100.0
    kappa: NonNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.c > self.largest:
            raise ContractError(f"expected c <= largest, got {self.c} and {self.largest}")

    @property
    @abstractmethod
    def norm(self) -> Norm: ...

    @property
    def passes(self) -> tuple[int, int]:
        """Forward and backward passes of a sample that stays open to the end."""
        return self.steps + 1, self.steps

    @abstractmethod
    def begin(self, oracle: Oracle) -> R:
        """The first state."""

    @abstractmethod
    def image(self, oracle: Oracle, state: R) -> Tensor:
        """The images that a state stands for, `(batch, ...)`."""

    @abstractmethod
    def unfinished(self, oracle: Oracle, state: R) -> Tensor:
        """Where the constraint can still be tightened, `(batch,)`."""

    @abstractmethod
    def kept(self, oracle: Oracle, state: R, d: Tensor) -> Tensor:
        """Where the perturbation d of the image as the network sees it meets the constraint, `(batch,)`."""

    @abstractmethod
    def tighten(self, oracle: Oracle, state: R, d: Tensor, g: Tensor, won: Tensor) -> R:
        """The state with the constraint of the next round in some rows.

        Args:
            d: Perturbation of the image as the network sees it, `(batch, ...)`.
            g: Image gradient of the margin, `(batch, ...)`.
            won: The rows that have met the goal and the constraint, `(batch,)`.
        """

    @abstractmethod
    def pull(self, state: R, d: Tensor) -> Tensor:
        """The gradient of the penalty at the perturbation d."""

    def run(self, oracle: Oracle) -> Result:
        oracle = confident(oracle, self.kappa)
        return iterate(AdamRoundSteps(self.steps, self), oracle)


@dataclass(frozen=True)
class AdamRoundSteps(Steps[Any]):
    """Steps of an `AdamRounds` attack: one gradient per step for every row that is not finished."""

    steps: int
    attack: AdamRounds[Any]
    stop: ClassVar[Stop] = "never"
    keep: ClassVar[Keep] = "nearest"

    @property
    def norm(self) -> Norm:
        return self.attack.norm

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Any:
        return self.attack.begin(oracle)

    def candidate(self, oracle: Oracle, state: Any) -> Tensor:
        return self.attack.image(oracle, state)

    def step(self, oracle: Oracle, state: Any, t: int) -> Any:
        rows = ((state.c <= self.attack.largest) & self.attack.unfinished(oracle, state)).nonzero().squeeze(1)
        if len(rows) == len(oracle):
            return self._move(oracle, state)
        return put(state, rows, self._move(oracle.rows(rows), take(state, rows))) if len(rows) else state

    def _move(self, oracle: Oracle, state: Any) -> Any:
        attack = self.attack
        x = attack.image(oracle, state)
        logits, (g,) = oracle.gradient(x, margin)
        shown = oracle.domain.quantise(x) - oracle.domain.x0
        won = oracle.won(logits) & attack.kept(oracle, state, shown)
        lost = ~won & (state.k >= attack.inner)
        state = attack.tighten(oracle, state.again(won), shown, g, won)
        push = (oracle.loss <= attack.kappa).to(g.dtype)
        slope = attack.pull(state, x - oracle.domain.x0) / like(state.c, g) - like(push, g) * g
        return state.descend(CHART.pull(state.z, slope), attack.lr).raise_c(lost)


def put(state: R, rows: Tensor, part: R) -> R:
    """The state with the given rows replaced."""
    names = [f.name for f in dataclasses.fields(state)]
    return replace(state, **{n: getattr(state, n).index_copy(0, rows, getattr(part, n)) for n in names})
