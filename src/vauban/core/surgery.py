"""Surgery on networks: a submodule named, exchanged or watched, weights shared, the network itself untouched."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from torch import Tensor, nn

from vauban.core.errors import ContractError

TABLES = tuple(name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set))
"""Where torch keeps a module's parameters, buffers, submodules and hooks."""
Side = Literal["input", "output"]
"""Of a layer: its first argument, or what it returns."""


@contextmanager
def watched(*places: tuple[nn.Module, Side]) -> Iterator[list[list[Any]]]:
    """What a network computes at some of its layers, kept while it answers inside the context.

    Tensors are copies with their gradients, so that a layer behind that works in place changes nothing of them.

    Args:
        places: Layers, each with the side that is kept.

    Yields:
        A list for each place, which gets an entry for every call of the layer.
    """
    kept: list[list[Any]] = [[] for _ in places]

    def keeping(entries: list[Any], side: Side) -> Any:
        def keep(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            value = output if side == "output" else args[0] if args else None
            entries.append(value.clone() if isinstance(value, Tensor) else value)

        return keep

    handles = [
        layer.register_forward_hook(keeping(entries, side)) for (layer, side), entries in zip(places, kept, strict=True)
    ]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def submodule(network: nn.Module, name: str, purpose: str = "a name") -> nn.Module:
    """The submodule with a dotted name; the empty name is the network itself.

    Args:
        network: A module.
        name: As in `network.named_modules()`.
        purpose: What gave the name, quoted in the error.

    Raises:
        ContractError: No submodule has this name; the message lists those there are.
    """
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = ", ".join(known for known, _ in network.named_modules() if known) or "none"
        kind = type(network).__name__
        raise ContractError(
            f"expected {purpose} to name a submodule of {kind}, got {name!r}; it has: {known}"
        ) from None


def replaced(network: nn.Module, old: nn.Module | str, new: nn.Module) -> nn.Module:
    """The network with another module in the place of one of its submodules.

    Modules around the place are copied, once each, with tables of their own, so that hooking or editing the result does
    not reach the original; every other module, and every parameter and buffer, is shared.

    Args:
        network: A module, which stays as it is.
        old: The submodule, or its dotted name ("" is the network itself). It is replaced wherever it stands.
        new: What stands there instead; `network` itself where that is `old`.

    Returns:
        The changed copy; `network` itself where `old` is not in it.

    Raises:
        ContractError: A name that is not that of a submodule.
    """
    return _replaced(network, submodule(network, old) if isinstance(old, str) else old, new, {})


def hookable(network: nn.Module, parts: Sequence[nn.Module]) -> tuple[nn.Module, list[nn.Module]]:
    """A copy of a network in which some of its submodules, and all around them, can be hooked without reaching it.

    Args:
        network: A module, which stays as it is.
        parts: Submodules of it, none inside another; `network` itself where it is the only one.

    Returns:
        The copy, which shares every parameter and buffer, and the copies of the parts, in their order.
    """
    copies = [_copied(part, {}) for part in parts]
    for part, own in zip(parts, copies, strict=True):
        network = replaced(network, part, own)
    return network, copies


def _replaced(network: nn.Module, old: nn.Module, new: nn.Module, done: dict[nn.Module, nn.Module]) -> nn.Module:
    if network is old:
        return new
    if network in done:
        return done[network]
    children = {
        name: None if child is None else _replaced(child, old, new, done) for name, child in network._modules.items()
    }
    done[network] = network
    if any(child is not network._modules[name] for name, child in children.items()):
        done[network] = _copied(network, children)
    return done[network]


def _copied(network: nn.Module, children: dict[str, nn.Module | None]) -> nn.Module:
    """The module with other children, in the same order."""
    changed = copy.copy(network)
    tables = {name: copy.copy(table) for name in TABLES if (table := vars(network).get(name)) is not None}
    vars(changed).update(tables)
    changed._modules.update(children)
    return changed
