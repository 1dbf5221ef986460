"""Calls of the submodules of a network while it answers: what each was given and what it returned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vauban.core.rng import seeded
from vauban.core.surgery import watched
from vauban.engine.network import predict, quiet


@dataclass(frozen=True)
class Call:
    """The last call of a submodule.

    Attributes:
        name: Its dotted name, the shortest where it has several.
        module: The submodule.
        given: Its first argument.
        output: What it returned.
        times: How often it was called.
    """

    name: str
    module: nn.Module
    given: Tensor
    output: Tensor
    times: int


def calls_of_submodules(network: nn.Module, x: Tensor, seed: int = 0) -> tuple[Tensor, list[Call]]:
    """Logits of a network, and the calls of its submodules from tensor to tensor, outermost first.

    Args:
        network: The network, asked once without gradients.
        x: Images `(n, ...)`.
        seed: Of its random numbers.
    """
    named = [(name, module) for name, module in network.named_modules() if name]
    parts = list(network.modules())
    with quiet(parts), seeded(seed, "calls", device=x.device), torch.no_grad():
        places = [place for _, module in named for place in ((module, "input"), (module, "output"))]
        with watched(*places) as kept:  # type: ignore[arg-type]
            logits = predict(network, x)
    calls = []
    for k, (name, module) in enumerate(named):
        given, output = kept[2 * k], kept[2 * k + 1]
        both = [side[-1] for side in (given, output) if side]
        if len(both) == 2 and all(isinstance(t, Tensor) and t.is_floating_point() for t in both):
            calls.append(Call(name, module, given[-1].detach(), output[-1].detach(), len(output)))
    return logits, calls


def classifiers(calls: list[Call], logits: Tensor, n: int) -> list[Call]:
    """Submodules that answer with logits of the classes, outermost first.

    One inside another that answers the same is out, unless it is given other images: then a defence stands between them.

    Args:
        calls: The calls of a network's submodules.
        logits: What the network answered, `(n, columns)`.
        n: Number of images.
    """
    columns = {logits.shape[1], logits.shape[1] - 1}
    answering = [
        call
        for call in calls
        if call.output.dim() == 2
        and call.output.shape[1] in columns
        and call.output.shape[1] > 1
        and len(call.output) % n == 0
        and any(True for _ in call.module.parameters())
    ]
    kept: list[Call] = []
    for call in answering:
        if not any(
            call.name.startswith(f"{other.name}.")
            and other.output.shape == call.output.shape
            and torch.equal(other.output, call.output)
            and not _other_images(call.given, other.given)
            for other in kept
        ):
            kept.append(call)
    return kept


def _other_images(inner: Tensor, outer: Tensor) -> bool:
    """Whether an inner module is given images, as the outer one is, and others."""
    return inner.shape == outer.shape and inner.dim() == 4 and not torch.equal(inner, outer)
