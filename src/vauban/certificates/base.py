"""Base of certificates: what one proves of an image, and how its classifier answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from vauban.core.norms import Norm
from vauban.core.parameters import Parameters
from vauban.core.rng import Stream
from vauban.training.recipe import Recipe

WITHHELD = -1
"""The answer of a classifier that abstains."""


@dataclass(frozen=True)
class Bound:
    """What is proved of the images of a batch.

    Attributes:
        label: The class that is certified, int64 `(batch,)`; WITHHELD for none.
        radius: No change smaller than this changes it, float64 `(batch,)` in pixel units of [0,1]; 0 for none.
        votes: Draws that answered the class, int64 `(batch,)`; None where nothing is drawn.
        p_low: The bound of its probability, float64 `(batch,)`; None likewise.
    """

    label: Tensor
    radius: Tensor
    votes: Tensor | None = None
    p_low: Tensor | None = None


@dataclass(frozen=True)
class Certificate(Parameters, ABC):
    """A way to bound the change under which a classifier keeps its answer.

    Subclasses are frozen dataclasses of parameters, registered with `@certificates.registry.register(name)`.

    """

    @property
    @abstractmethod
    def norm(self) -> Norm:
        """The norm of the radius."""

    @property
    def alpha_of_bound(self) -> float:
        """Probability, for each image, with which a bound may fail; 0 for a deterministic one."""
        return 0.0

    @property
    def alpha_of_answer(self) -> float:
        """Probability with which an answer may be another class than the true one of the classifier."""
        return 0.0

    @property
    @abstractmethod
    def claim(self) -> str:
        """What is certified, in one sentence: which classifier, which norm, with which probability."""

    @property
    @abstractmethod
    def attacks(self) -> tuple[str, ...]:
        """Texts of the attacks that the empirical curve is made with where none is named."""

    @property
    def plain(self) -> bool:
        """Whether it is about the network itself, so that what any attack has reached on it counts against the bound."""
        return False

    @abstractmethod
    def check(self, network: nn.Module, x: Tensor) -> None:
        """Refuse a network of which nothing can be proved, by one image `(1, ...)`. Raises ContractError."""

    def doubts(self, recipe: Recipe) -> str:
        """What makes the training of a network unfit for the certificate, in one line; "" for nothing."""
        return ""

    @abstractmethod
    def bound(self, network: nn.Module, x: Tensor, rng: Stream) -> Bound:
        """What is proved of images `(batch, ...)`."""

    @abstractmethod
    def answer(self, network: nn.Module, x: Tensor, rng: Stream, tag: str) -> Tensor:
        """Answers of the classifier that is certified, int64 `(batch,)`, WITHHELD where it abstains.

        Args:
            network: The network.
            x: Images `(batch, ...)`.
            rng: Of the samples of the batch.
            tag: Name of the draws: another tag, other draws.
        """

    @abstractmethod
    def differentiable(self, network: nn.Module, x: Tensor, seed: int) -> nn.Module:
        """The classifier as an attack differentiates it: logits or log-probabilities `(batch, classes)`.

        Args:
            network: The network.
            x: One image `(1, ...)`, for shape, type and device.
            seed: Of its draws.
        """
