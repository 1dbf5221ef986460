"""What every smooth attack is told of its graph. H. Zhang, Deep learning in adversarial context (thesis, Rennes 2021),
chapter 4, whose equation numbers are quoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from torch import Tensor

from vauban.attacks.parts.ascent import Ascent
from vauban.core.errors import ContractError
from vauban.engine import Oracle
from vauban.laplacian.coordinates import SmoothCoordinates
from vauban.laplacian.smoothing import PHOTOGRAPHS, Kernel, Smoothing

S = TypeVar("S")
WORTH = 20  # solves by conjugate gradient that take the time of a factorisation
SMALL = 64  # the side up to which a factorisation takes a few milliseconds


@dataclass(frozen=True)
class ImageGraph:
    """The graph of the attacked image: rate, shape and channels of its `Kernel`, (4.1).

    The defaults are the source's for photographs; rate 10 for digits. Raises ContractError as `Kernel` does.
    """

    rate: float = PHOTOGRAPHS.rate
    shape: Literal["gaussian", "laplacian"] = PHOTOGRAPHS.shape
    channels: Literal["joint", "each"] = PHOTOGRAPHS.channels

    def __post_init__(self) -> None:
        _ = self.kernel  # raises here, before a model is loaded

    @property
    def kernel(self) -> Kernel:
        return Kernel(self.shape, self.rate, self.channels)


@dataclass(frozen=True)
class GuidedSmoothing(ImageGraph):
    """The smoothing s_alpha guided by the attacked image, on its `ImageGraph`.

    smoothness: the alpha of (4.2), in [0, 1); 0 smooths nothing. tol: the relative residual at which a solve ends; one
    that misses it after `limit` iterations leaves a perturbation less smooth than asked for, and a valid image; such
    solves are counted per sample, and many of them are a finding. The default is the source's for photographs; 0.95 for
    digits. Raises ContractError on values outside their ranges.
    """

    smoothness: float = 0.997
    tol: float = 1e-4
    limit: int = 500

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.smoothness < 1:
            raise ContractError(f"expected smoothness in [0, 1), got {self.smoothness}; 0 smooths nothing")
        if not self.tol > 0 or self.limit < 1:
            raise ContractError(f"expected tol > 0 and limit >= 1 for smoothing, got {self.tol} and {self.limit}")

    def chart(self, x0: Tensor, solves: int = WORTH) -> SmoothCoordinates:
        """The smooth perturbations of images x0 `(batch, channel, height, width)`, of which an attack will ask `solves`
        times: large images are not factorised for a few."""
        few = solves < WORTH and x0.dim() == 4 and min(x0.shape[2:]) > SMALL
        return SmoothCoordinates(x0, self.smoothness, self.kernel, self.tol, self.limit, "iterative" if few else "auto")


@dataclass(frozen=True)
class GuidedState(Generic[S]):
    """What the plain attack remembers, the smoothing, and the last direction, from which the next solve goes on."""

    plain: S
    smoothing: Smoothing
    last: Tensor | None


@dataclass(frozen=True)
class GuidedAscent(GuidedSmoothing, Ascent[Any]):
    """Before a plain attack: its gradient g becomes s_alpha(g), (4.8), and the rest stays as it is.

    States are `GuidedState`; they are typed as loosely as the plain attack's own state leaves room for.
    """

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Any:
        plain = super().start(oracle, **per_sample)  # type: ignore[safe-super]
        return GuidedState(plain, self.chart(oracle.domain.x0, self.steps).smoothing, None)

    def step(self, oracle: Oracle, state: Any, t: int) -> Any:
        logits, (g,) = oracle.gradient(state.plain.x, self.loss)
        found = state.smoothing.apply(g, state.last)
        oracle.note_unsolved(~found.converged)
        return GuidedState(self.move(oracle, state.plain, t, logits, found.value), state.smoothing, found.value)

    def candidate(self, oracle: Oracle, state: Any) -> Tensor:
        return super().candidate(oracle, state.plain)
