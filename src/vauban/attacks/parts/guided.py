"""Guided smoothing of attacks: the graph of the attacked image and its parameters. H. Zhang, Deep learning in
adversarial context (thesis, Rennes 2021), chapter 4, whose equation numbers are quoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from torch import Tensor

from vauban.attacks.parts.ascent import Ascent
from vauban.core.parameters import Count, NonNegative, Parameters, Positive, Range
from vauban.engine import Oracle
from vauban.laplacian.coordinates import SmoothCoordinates
from vauban.laplacian.smoothing import PHOTOGRAPHS, Kernel, Smoothing

S = TypeVar("S")
WORTH = 20  # solves by conjugate gradient that take the time of a factorisation
SMALL = 64  # pixels: the side up to which a factorisation takes a few milliseconds


@dataclass(frozen=True)
class ImageGraph(Parameters):
    """The graph of the attacked image, (4.1), as parameters of an attack.

    The defaults are the source's for photographs; rate 10 for digits.

    Attributes:
        rate: How fast the weight between two pixels falls with their difference, in [0,1] units.
        shape: Of that fall: exp(-rate d^2) for "gaussian", exp(-rate d) for "laplacian".
        channels: One graph for all channels, or one for each.

    Raises:
        ContractError: A value outside its range.
    """

    rate: NonNegative = PHOTOGRAPHS.rate
    shape: Literal["gaussian", "laplacian"] = PHOTOGRAPHS.shape
    channels: Literal["joint", "each"] = PHOTOGRAPHS.channels

    @property
    def kernel(self) -> Kernel:
        return Kernel(self.shape, self.rate, self.channels)


@dataclass(frozen=True)
class GuidedSmoothing(ImageGraph):
    """The smoothing s_alpha guided by the attacked image, on its `ImageGraph`.

    A solve that misses its residual leaves a perturbation less smooth than asked for, and a valid image; such solves are
    counted per sample, and many of them are a finding.

    Attributes:
        smoothness: The alpha of (4.2); 0 smooths nothing. The default is the source's for photographs; 0.95 for digits.
        tol: Relative residual at which a solve ends.
        limit: Iterations after which a solve ends in any case.

    Raises:
        ContractError: A value outside its range.
    """

    smoothness: Annotated[float, Range(0, 1, open_high=True)] = 0.997
    tol: Positive = 1e-4
    limit: Count = 500

    def chart(self, x0: Tensor, solves: int = WORTH) -> SmoothCoordinates:
        """Coordinates of smooth perturbations: their image is x0 + s_alpha(z).

        Args:
            x0: Images `(batch, channel, height, width)`.
            solves: Solves that an attack will ask for: large images are not factorised for a few.
        """
        few = solves < WORTH and x0.dim() == 4 and min(x0.shape[2:]) > SMALL
        return SmoothCoordinates(x0, self.smoothness, self.kernel, self.tol, self.limit, "iterative" if few else "auto")


@dataclass(frozen=True)
class GuidedState(Generic[S]):
    """State of an attack with a smoothed gradient.

    Attributes:
        plain: State of the plain attack.
        smoothing: The smoothing of the batch.
        last: The last direction, from which the next solve goes on.
    """

    plain: S
    smoothing: Smoothing
    last: Tensor | None


@dataclass(frozen=True)
class GuidedAscent(GuidedSmoothing, Ascent[Any]):
    """Mixin before a plain attack: its gradient g becomes s_alpha(g), (4.8), and the rest stays as it is.

    States are `GuidedState`; they are typed as loosely as the plain attack's own state leaves room for.
    """

    def start(self, oracle: Oracle, **per_sample: Tensor) -> Any:
        plain = super().start(oracle, **per_sample)  # type: ignore[safe-super]
        return GuidedState(plain, self.chart(oracle.domain.x0, self.steps).smoothing, None)

    def step(self, oracle: Oracle, state: Any, t: int) -> Any:
        logits, (g,) = oracle.gradient(state.plain.x, self.loss)
        smooth = state.smoothing.apply(g, state.last)
        oracle.note_unsolved(~smooth.converged)
        return GuidedState(self.move(oracle, state.plain, t, logits, smooth.value), state.smoothing, smooth.value)

    def candidate(self, oracle: Oracle, state: Any) -> Tensor:
        return super().candidate(oracle, state.plain)
