"""Chains of defences, and a user's function as a defence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from vauban.core.arguments import NamedArguments, named_arguments
from vauban.core.errors import ContractError
from vauban.core.users_call import call_users
from vauban.defences.base import Defence, check_module


@dataclass(frozen=True)
class Chain(NamedArguments):
    """Defences in the order in which an image meets them: the first is outermost. No parts: no defence."""

    parts: tuple[Defence, ...] = ()

    @property
    def name(self) -> str:
        return "+".join(part.name for part in self.parts) or "none"

    def wrap(self, module: nn.Module) -> nn.Module:
        """a.wrap(b.wrap(module)) for parts (a, b); the module itself for none."""
        check_module(module)
        for part in reversed(self.parts):
            module = part.wrap(module)
        return module


@dataclass(frozen=True)
class UserDefence(NamedArguments):
    """A user's `function(module, **params) -> module`, or a `Defended` subclass built the same way."""

    name: str
    function: Callable[..., nn.Module]
    params: dict[str, Any] = field(default_factory=dict, hash=False)

    def wrap(self, module: nn.Module) -> nn.Module:
        wrapped = call_users(self.name, self.function, self.params, check_module(module))
        if not isinstance(wrapped, nn.Module):
            raise ContractError(
                f"expected defence {self.name!r} to return a torch.nn.Module, got {type(wrapped).__name__}"
            )
        return wrapped


@named_arguments
def chain(*parts: Defence) -> Defence:
    """The defences one behind the other; an image meets the first one first."""
    links: list[Defence] = []
    for part in parts:
        links.extend(part.parts if isinstance(part, Chain) else (part,))
    return links[0] if len(links) == 1 else Chain(tuple(links))
