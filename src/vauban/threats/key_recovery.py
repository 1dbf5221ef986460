"""Recovery of what a key gives, by an attacker who knows the network behind a keyed defence and not the key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vauban.core.cards import Card, Defended, in_training
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.core.rng import Stream
from vauban.engine.network import predict, quiet

WARMEST, COLDEST = 1.0, 0.05
"""Temperatures of the soft assignment, from the first step to the last, geometrically."""
SINKHORN = 5  # normalisations of rows and columns
RATE = 0.1  # of Adam


class Guessable(Protocol):
    """A keyed defence whose key gives an order or signs; see `vauban.defences.KeyedDefence`."""

    @property
    def name(self) -> str: ...
    def unknowns(self, shape: tuple[int, ...]) -> tuple[Literal["order", "signs"], int]: ...
    def softly(self, x: Tensor, guess: Tensor) -> Tensor: ...
    def marked(self, x: Tensor, marks: Tensor) -> Tensor: ...


class Guessed(Defended):
    """The network behind the transform that a guess of the key gives."""

    guess: Tensor

    def __init__(self, inner: nn.Module, defence: Guessable, guess: Tensor) -> None:
        super().__init__(inner, Card("guessed-key"))
        self.defence = defence
        self.register_buffer("guess", guess)
        self.training = in_training(inner)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(self.defence.softly(x, self.guess.to(x.dtype)))
        return logits


@dataclass(frozen=True)
class Recovery:
    """A guess of what the key gives.

    Attributes:
        guess: An order as a permutation matrix `(n, n)`, or signs `(n,)`.
        accuracy: Of the network behind it, on images that were not used.
    """

    guess: Tensor
    accuracy: float


def guessable(defended: nn.Module) -> Guessable:
    """The keyed transform in front of a network. Raises ContractError where none can be guessed, or there are several."""
    transforms = [part.defence for part in defended.modules() if hasattr(getattr(part, "defence", None), "softly")]
    if len(transforms) != 1:
        raise ContractError(
            f"expected one keyed transform in front of the network to recover, got {len(transforms) or 'none'}; the threat "
            "keyed without weights=known trains surrogates behind any"
        )
    return cast("Guessable", transforms[0])


def by_assignment(network: nn.Module, defence: Guessable, batch: Batch, steps: int, seed: int) -> Recovery:
    """The guess with which a known network classifies data best, by soft assignment.

    An order is a matrix that is made doubly stochastic (Sinkhorn) and hardens as the temperature falls, signs are tanh of
    logits; Adam lowers the cross-entropy of the network behind it. At the end an order is the assignment of the largest
    sum.

    Args:
        network: What stands behind the defence, known to the attacker.
        defence: Its transform; the key in it is not used.
        batch: Images and labels from the distribution that the network was trained on; a tenth of them judge the result.
        steps: Gradients, of 128 images each.
        seed: Of the initial guess and of the order of the images.
    """
    kind, n = defence.unknowns(tuple(batch.x.shape[1:]))
    draw = Stream(seed, torch.arange(n if kind == "order" else 1))
    logits = 0.01 * draw.normal("guess", (n,), dtype=torch.float32).to(batch.x.device)
    logits = (logits if kind == "order" else logits[0]).requires_grad_()
    optimiser, held = torch.optim.Adam([logits], RATE), max(1, len(batch) // 10)
    pick = torch.Generator().manual_seed(seed)
    with quiet(list(network.modules())):
        for step in range(steps):
            temperature = WARMEST * (COLDEST / WARMEST) ** (step / steps)
            rows = torch.randint(held, len(batch), (128,), generator=pick).to(batch.x.device)
            shown = defence.softly(batch.x[rows], _soft(kind, logits, temperature))
            loss = F.cross_entropy(network(shown), batch.y[rows])
            (logits.grad,) = torch.autograd.grad(loss, logits)
            optimiser.step()
    guess = _hard(kind, logits.detach(), COLDEST)
    return Recovery(guess, _accuracy(network, defence, guess, batch, held))


def _soft(kind: str, logits: Tensor, temperature: float) -> Tensor:
    if kind == "signs":
        return torch.tanh(logits / temperature)
    z = logits / temperature
    for _ in range(SINKHORN):
        z = z - z.logsumexp(1, keepdim=True)
        z = z - z.logsumexp(0, keepdim=True)
    return z.softmax(1)


def _hard(kind: str, logits: Tensor, temperature: float) -> Tensor:
    if kind == "signs":
        return torch.where(logits >= 0, 1.0, -1.0)
    return assigned(-_soft(kind, logits, temperature))


def assigned(cost: Tensor) -> Tensor:
    """The permutation matrix of the least summed cost `(n, n)`: row i has its one in the column given to i."""
    from scipy.optimize import linear_sum_assignment

    _, column = linear_sum_assignment(cost.double().cpu().numpy())
    return F.one_hot(torch.from_numpy(column), len(cost)).to(cost)


def _accuracy(network: nn.Module, defence: Guessable, guess: Tensor, batch: Batch, held: int) -> float:
    with quiet(list(network.modules())):
        logits = predict(network, defence.softly(batch.x[:held], guess))
    return float((logits.argmax(1) == batch.y[:held]).double().mean())


def by_responses(answered: Tensor, known: Tensor, things: Tensor | None = None) -> Tensor:
    """The permutation matrix of an order of n things, from what a network answers where one of them is changed.

    Args:
        answered: Answers of the keyed network, each of `things` changed in turn, `(things, answers)`.
        known: Answers of the network behind it, the j-th of the things that it is given changed, `(n, answers)`.
        things: Which were changed; None: all, in their order. The others fill the places that are left.

    Returns:
        Row j has its one at the thing whose change was seen as that of j: what comes to place j.
    """
    cost = torch.cdist(known.double(), answered.double())
    if things is None:
        return assigned(cost)
    whole = cost.max().expand(len(known), len(known)).clone()
    whole[:, things] = cost
    return assigned(whole)
