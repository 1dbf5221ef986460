"""Architecture: a network still to be initialised, and its weights from a file."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from vauban.core.arguments import NamedArguments
from vauban.core.errors import ContractError, UnknownName
from vauban.core.rng import seeded
from vauban.core.users_call import call_users
from vauban.models import registry
from vauban.models import weights as files
from vauban.training.recipe import RecipePart

ready: dict[str, Callable[[nn.Module], nn.Module]] = {}
"""What fills a network that is trained on first use, by name."""


@dataclass(frozen=True)
class Architecture(NamedArguments):
    """What a network is made of.

    Attributes:
        name: What a weights file calls it: a registered name, or `file.py:name`.
        params: Parameters of the factory.
        made: Object of a user's file in place of a registered factory: a module, or what returns one.
        edits: What is changed in the network that they give, in this order.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    made: Any = None
    edits: tuple[RecipePart, ...] = ()

    def build(self, seed: int = 0) -> nn.Module:
        """The untrained network, initialised from `seed`; the global random generators are left as they were.

        Raises:
            UnknownName: The name or a parameter is not known.
            ContractError: Nothing can be made of the parameters, or what is made is no module.
        """
        with seeded(seed, "init"):
            return copy.deepcopy(self._network()) if isinstance(self.made, nn.Module) else self._network()

    def filled(self, weights: Path | None) -> nn.Module:
        """The network ready for use: with the weights of a file, with its own, or trained on first use.

        Raises:
            ContractError: It needs a weights file, or was trained with other parameters.
        """
        if self.made is not None:
            return self._network() if weights is None else files.load_into(self.agreed(weights)._network(), weights)
        if weights is not None:
            return files.load_into(self.agreed(weights).build(), weights)
        kind = registry.get(self.name).facts.get("weights", "file")
        if kind == "download" and self.params.get("pretrained", True):
            return replace(self, params={**self.params, "pretrained": True}).build()
        if kind in ("file", "download"):
            raise ContractError(
                f"the model {self.name!r} has no weights of its own; train it: vauban train --model {self.name} "
                f"--data SET/train --out w.safetensors, then use --model {self.name}:weights=w.safetensors"
            )
        model = self.build()
        return ready[self.name](model) if kind == "first use" else model

    def agreed(self, weights: Path) -> Architecture:
        """The same with the parameters that the weights were trained with; a contradiction is refused.

        A user's network need not be in the file that it was in when it was trained.
        """
        meta = files.metadata(weights)
        if "architecture" not in meta or (self.made is not None and ".py:" not in meta["architecture"]):
            return self
        if meta["architecture"] != self.name and self.made is None:
            raise ContractError(f"{weights} holds weights of {meta['architecture']!r}, expected {self.name!r}")
        for key, value in self.params.items():
            if key in meta["params"] and meta["params"][key] != value:
                raise ContractError(
                    f"{weights} was trained with {key}={meta['params'][key]}, got {key}={value}; leave it out"
                )
        return replace(self, params={**meta["params"], **self.params})

    def _network(self) -> nn.Module:
        """The network with its edits."""
        made = registry.get(self.name).build("model", self.params) if self.made is None else self._called()
        module = _module(made, self.name)
        for part in self.edits:
            module = part.edit(module)
        return module

    def _called(self) -> Any:
        if not self.params:
            return self.made
        try:
            return call_users(self.name, self.made, self.params)
        except UnknownName as error:
            if not any(f": '{key}'" in str(error) for key in ("mean", "std")):
                raise
            way_out = "a normalisation goes around it: wrap:module=[FILE.py:NAME:weights=FILE],mean=0.5,std=0.25"
            raise ContractError(f"{error}; {way_out}") from error


def of_weights(path: Path) -> Architecture:
    """The architecture that a weights file names. Raises ContractError where it names none that is registered."""
    meta = files.metadata(path)
    name = meta.get("architecture")
    if name is None or ".py:" in name:
        wanted = name or "ARCHITECTURE"
        raise ContractError(f"{path} does not name a registered architecture; use --model {wanted}:weights={path}")
    return Architecture(name, meta["params"])


def _module(made: Any, text: str) -> nn.Module:
    if not isinstance(made, nn.Module) and callable(made):
        if missing := _required(made):
            raise ContractError(
                f"{text!r} needs the parameters {', '.join(missing)}; give them as {text}:{missing[0]}=..."
            )
        made = made()
    if not isinstance(made, nn.Module):
        raise ContractError(f"expected {text!r} to be an nn.Module or to return one, got {type(made).__name__}")
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in made.parameters()):
        raise ContractError(
            f"expected layers that know their sizes, got lazy ones in {text or type(made).__name__}; call it on an "
            "image where it is made"
        )
    return made


def _required(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind in kinds]
