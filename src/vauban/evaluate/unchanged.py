"""Networks that must not change while they are attacked: a sum of the bits of every weight and buffer, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from vauban.core.errors import StateChanged

State = Mapping[str, int]
"""Sum of the bits of each tensor by its name, modulo 2^64."""
BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def state_of(modules: Iterable[nn.Module]) -> State:
    """The state of modules, each without those below it; one transfer to the host, however many tensors there are.

    A single whole number, such as a count of calls, may change: no answer is a weighted sum of it.
    """
    sums = {name: _bits(tensor) for name, tensor in _tensors(modules)}
    if not sums:
        return {}
    device = next(iter(sums.values())).device
    return dict(zip(sums, torch.stack([value.to(device) for value in sums.values()]).tolist(), strict=True))


def check_unchanged(modules: Iterable[nn.Module], before: State) -> None:
    """Compare modules with an earlier state of theirs.

    Raises:
        StateChanged: A weight or a buffer has changed.
    """
    now = state_of(modules)
    changed = [name for name, value in before.items() if now.get(name) != value]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise StateChanged(
            f"expected a network that stays as it is while it is asked, got one whose {changed[0]}{more} has changed: "
            "its answers are no longer those of the network that was to be judged; keep forward from changing weights "
            "and buffers (an optimiser's step, batch normalisation in training mode)"
        )


def _tensors(modules: Iterable[nn.Module]) -> Iterable[tuple[str, Tensor]]:
    for place, module in enumerate(modules):
        for kind, held in (("weight", module._parameters), ("buffer", module._buffers)):
            for name, tensor in held.items():
                if tensor is None or is_lazy(tensor):
                    continue
                if tensor.is_floating_point() or tensor.is_complex() or tensor.numel() > 1:
                    yield f"{kind} {name!r} of {type(module).__name__} (module {place})", tensor.detach()


def _bits(tensor: Tensor) -> Tensor:
    """Sum of the bits of a tensor as whole numbers, int64 scalar; it does not depend on the order of the components."""
    plain = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    if plain.is_quantized:
        plain = plain.int_repr()
    return (
        plain.view(BITS[plain.element_size()]).sum(dtype=torch.int64) if plain.numel() else plain.new_zeros(()).long()
    )
