"""Backward rules in force (BPDA): modules that are differentiated as their substitutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from vauban.core.cards import Backward


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

    def hooks(rule: Backward) -> tuple[Callable[..., tuple[Any, ...]], Callable[..., Tensor]]:
        given: list[tuple[Any, ...]] = []  # what the calls that are under way were given, the innermost last

        def keep(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            given.append(args)  # a module that works in place writes into a copy
            return tuple(arg.clone() if isinstance(arg, Tensor) else arg for arg in args)

        def swap(module: nn.Module, _: tuple[Any, ...], output: Tensor) -> Tensor:
            args = given.pop()
            substitute = args[0] if rule is None else rule(*args)
            return _Reroute.apply(output, substitute)  # type: ignore[no-any-return]

        return keep, swap

    handles: list[RemovableHandle] = []
    for module, rule in backward.items():
        keep, swap = hooks(rule)
        handles += [module.register_forward_pre_hook(keep), module.register_forward_hook(swap)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
