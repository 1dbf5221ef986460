"""Threats whose attacker chooses what he shows a keyed network, and recovers from its answers what the key gives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.core.norms import Ball
from vauban.core.parameters import Range, Share
from vauban.core.surgery import submodule, watched
from vauban.engine.network import predict, quiet
from vauban.engine.threat import BoundThreat
from vauban.threats import registry
from vauban.threats.base import Means, Threat
from vauban.threats.key_recovery import Guessable, Guessed, by_responses, guessable
from vauban.threats.keyed import run_of

LOT = 256  # images of a query batch
Queries = Annotated[int, Range(2)]
"""A whole number of questions: the grey image, and one or more that are changed."""
GREY = 0.25
"""Value of the image of which one thing at a time is changed: the same everywhere, so no order changes it."""


@dataclass(frozen=True, eq=False)
class _Responding(Threat):
    """Base: the order is matched by how the answers change where one thing of a grey image is changed."""

    guess: nn.Module | None = field(default=None, repr=False, kw_only=True)
    grants: ClassVar[frozenset[str]] = frozenset({"gradients", "labels"})

    def bind(
        self, defended: nn.Module, *, levels: int | None, limit: Ball | None = None, budget: int | None = None
    ) -> BoundThreat:
        if self.guess is None:
            raise ContractError(
                f"expected a study (vauban evaluate), which asks its questions before the attack, for {self.registered}, "
                "got an attack alone"
            )
        return BoundThreat(
            defended,
            self.name,
            ((self.guess, 1.0),),
            self.grants,
            budget=budget,
            levels=levels,
            limit=limit,
            confirm=True,
        )


@registry.register("chosen-inputs", words={"guess": "model"})
@dataclass(frozen=True, eq=False)
class ChosenInputs(_Responding):
    """The attacker knows the network behind the defence, and recovers the order from the scores of images of his choice.

    The i-th question is a grey image of which the i-th thing is changed. A keyed order only says at which place the network
    meets the change, so the answer is that of the known network with one place changed: n questions, and an assignment of
    answers to places. With fewer `queries` a random part of the things is asked about, and the others fill the places that
    are left. The gradient is then that of the network behind the guess.

    Attributes:
        guess: The recovered network; made before the attack.
        queries: Questions; None: one for each thing, and one for the grey image.
        step: How far a thing is changed, pixel units.

    Raises:
        ContractError: When prepared: a key that gives no order.
    """

    queries: Queries | None = None
    step: Share = 0.5
    registered: ClassVar[str] = "chosen-inputs"

    def prepare(self, means: Means) -> ChosenInputs:
        guess = asked(means, self.queries, self.step, lambda network, x: predict(network, x), "scores")
        return replace(self, guess=guess)


@registry.register("leaked-activation", words={"guess": "model"})
@dataclass(frozen=True, eq=False)
class LeakedActivation(_Responding):
    """As `chosen-inputs`, and what is seen is the output of a layer: the transformed image (`transform`) or one behind it.

    The paper assumes that nothing inside the network can be observed; this is what follows where that fails.

    Attributes:
        layer: Dotted name of a submodule of the defended network: `transform`, `inner.0`.
        guess: The recovered network; made before the attack.
        queries: As of `chosen-inputs`.
        step: As of `chosen-inputs`.

    Raises:
        ContractError: When prepared: no such layer, or a key that gives no order.
    """

    layer: str = "transform"
    queries: Queries | None = None
    step: Share = 0.5
    registered: ClassVar[str] = "leaked-activation"

    def prepare(self, means: Means) -> LeakedActivation:
        submodule(means.defended, self.layer, "layer of leaked-activation")

        def seen(network: nn.Module, x: Tensor) -> Tensor:
            """The output of the layer; without a defence, that of the same layer below it, the image for `transform`."""
            name = self.layer if network is means.defended else self.layer.removeprefix("inner.")
            if network is not means.defended and name == "transform":
                return x.flatten(1)
            return activation(network, name, x)

        return replace(self, guess=asked(means, self.queries, self.step, seen, f"outputs of {self.layer}"))


def activation(network: nn.Module, layer: str, x: Tensor) -> Tensor:
    """The output of a layer as rows `(batch, components)`."""
    with watched((submodule(network, layer, "layer"), "output")) as (kept,):
        predict(network, x)
    rows: Tensor = kept[-1].detach().flatten(1)
    return rows


def asked(means: Means, queries: int | None, step: float, seen: Any, what: str) -> nn.Module:
    """The network behind the order that its answers to chosen images give away.

    Args:
        means: What the attacker can do; the network below the defence is known.
        queries: How many questions, see `ChosenInputs`.
        step: How far a thing is changed.
        seen: From a network and images to what is seen of them, `(batch, numbers)`.
        what: What is seen, for the sentence that tells the result.

    Raises:
        ContractError: A key that gives no order, or no images of its training data to know their shape by.
    """
    network, defence = means.network, guessable(means.defended)
    assert network is not None
    shape = means.data(run_of(network).data).shape
    kind, n = defence.unknowns(shape)
    if kind != "order":
        raise ContractError(f"expected a defence whose key gives an order for chosen inputs, got {defence.name}")
    grey, device = torch.full((1, *shape), GREY), next(network.parameters()).device
    things = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: n if queries is None else queries - 1]
    with quiet([*means.defended.modules(), *network.modules()]):
        known = _changes(network, seen, _one_changed(defence, grey, torch.arange(n), step), grey, device)
        answered = _changes(means.defended, seen, _one_changed(defence, grey, things, step), grey, device)
    guess = by_responses(answered, known, things)
    means.tell(f"{what} of {len(things) + 1} chosen images: the order of {len(things)} of {n} things is guessed")
    return Guessed(network, defence, guess.float().to(device))


def _one_changed(defence: Guessable, grey: Tensor, things: Tensor, step: float) -> Tensor:
    """Grey images, in each of which one thing is changed `(things, ...)`; in blocks, in every block at once."""
    mark = torch.zeros(len(things), defence.unknowns(tuple(grey.shape[1:]))[1])
    mark[torch.arange(len(things)), things] = step
    return defence.marked(grey, mark)


def _changes(network: nn.Module, seen: Any, x: Tensor, grey: Tensor, device: torch.device) -> Tensor:
    base = seen(network, grey.to(device))
    return torch.cat([seen(network, part.to(device)) - base for part in torch.split(x, LOT)])
