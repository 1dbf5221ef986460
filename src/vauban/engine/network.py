"""Calls of a network: evaluation mode for the call, gradients with respect to inputs only, backward rules (BPDA)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.cards import Backward, in_training
from vauban.core.contracts import check_logits
from vauban.core.errors import ContractError, NoGradient

WeightedModule = tuple[nn.Module, float]
Answer = tuple[Tensor, list[Tensor], list[Tensor]]
"""Logits, loss values, image gradients."""


@contextmanager
def quiet(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Evaluation mode for the given submodules while open; the mode of each is restored afterwards."""
    awake = [m for m in modules if in_training(m)]
    for m in awake:
        m.training = False
    try:
        yield
    finally:
        for m in awake:
            m.training = True


class _Reroute(torch.autograd.Function):
    """Function with the value of `output` and the gradient of `substitute`."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, substitute: Tensor) -> Tensor:
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *grad: Any) -> Any:
        return None, grad[0]


@contextmanager
def rerouted(backward: Mapping[nn.Module, Backward]) -> Iterator[None]:
    """Backward rules in force while open: the gradient of each named module is that of its substitute.

    BPDA (Athalye et al., arXiv:1802.00420).

    Args:
        backward: Rules by module, so that a module reachable under two names gets its rule once; None is the identity.
    """

    def hook(rule: Backward) -> Callable[..., Tensor]:
        def swap(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            substitute = args[0] if rule is None else rule(*args)
            return _Reroute.apply(output, substitute)  # type: ignore[no-any-return]

        return swap

    handles = [module.register_forward_hook(hook(rule)) for module, rule in backward.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def predict(module: nn.Module, x: Tensor) -> Tensor:
    """Logits without gradients; the caller sets the modes.

    Args:
        module: The network.
        x: Images `(batch, ...)`.

    Returns:
        Logits `(batch, classes)`.

    Raises:
        ContractError: The output is no batch of logits, or the module has written into its input.
    """
    with torch.no_grad():
        version = 0 if x.is_inference() else x._version
        logits = check_logits(module(x), len(x))
    if version != (0 if x.is_inference() else x._version):
        raise ContractError("expected a model that leaves its input as it is, got one that changes it in place")
    return logits


def differentiate(source: nn.Module, x: Tensor, functions: Sequence[Callable[[Tensor], Tensor]]) -> Answer:
    """Logits of a network and image gradients of functions of them: one forward, and one backward for each function.

    Args:
        source: The network.
        x: Images `(batch, ...)`.
        functions: Functions of the logits with one value per sample; values are summed, so each sample's gradient is
            its own.

    Returns:
        Logits `(batch, classes)`, values `(batch,)` and gradients `(batch, ...)` of each function, detached.

    Raises:
        NoGradient: A function does not depend on the image.
    """
    if torch.is_inference_mode_enabled():
        raise ContractError(
            "expected gradients to be possible, got a call inside torch.inference_mode(), which forbids them; leave it "
            "(torch.no_grad() may stay) or attack by scores or labels"
        )
    with torch.enable_grad():
        leaf = x.detach().requires_grad_(True)
        logits = check_logits(source(leaf), len(x))
        values = [f(logits) for f in functions]
        gradients = []
        for i, value in enumerate(values):
            g = None
            if value.requires_grad:
                (g,) = torch.autograd.grad(
                    value, leaf, torch.ones_like(value), retain_graph=i + 1 < len(values), allow_unused=True
                )
            if g is None:
                raise NoGradient(
                    "expected a loss that is differentiable in the image, got one that does not depend on it; "
                    "use threats.adaptive() where a defence's card prescribes a way, give the operation that blocks "
                    "the gradient a backward rule (BPDA), or attack by scores or labels"
                )
            gradients.append(g)
    return logits.detach(), [v.detach() for v in values], gradients


def accumulate(total: Answer | None, answer: Answer, share: float, weight: float) -> Answer:
    """Sum of answers: logits weighed by `share`, values and gradients by `weight`.

    Args:
        total: The sum so far; None before the first answer.
        answer: What is added; a single answer of share and weight 1 passes through untouched.
        share: Weight of its logits.
        weight: Weight of its values and gradients.
    """
    logits, values, gradients = answer
    if total is None and share == 1 and weight == 1:
        return answer
    logits, values, gradients = logits * share, [v * weight for v in values], [g * weight for g in gradients]
    if total is None:
        return logits, values, gradients
    return (
        total[0] + logits,
        [a + b for a, b in zip(total[1], values, strict=True)],
        [a + b for a, b in zip(total[2], gradients, strict=True)],
    )
