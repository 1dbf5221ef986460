"""Checkpoint: one file with all that the next epoch follows from, replaced after every epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.store.files import write_atomic
from vauban.training.history import Epoch
from vauban.training.objective import Objective, Stateful

KEY = "vauban-checkpoint"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights, buffers, the optimiser's state, the objective's, the chosen epoch's network, the number of steps and the
    history, as safetensors with JSON beside the tensors. The file is replaced whole: a kill leaves the one before.

    Attributes:
        path: The file.
        network: What is trained, with every parameter and every buffer, those that no weights file has included.
        optimiser: On the parameters of the network.
        objective: Its `state()` is kept where it has one.
        kept: What holds the network of the chosen epoch; None where the last one's is kept.
        settings: What tells this training from another, as JSON; another training's checkpoint is refused.
    """

    path: Path
    network: nn.Module
    optimiser: torch.optim.Optimizer
    objective: Objective
    settings: Mapping[str, Any]
    kept: Stateful | None = None

    def store(self, steps: int, history: list[Epoch]) -> None:
        """Write the file. Raises ContractError for a state that is neither tensors nor JSON."""
        from safetensors.torch import save_file

        tensors = {f"network.{name}": value for name, value in _tensors(self.network)}
        numbers: dict[str, Any] = {}
        for place, _, entry, value in self._optimised():
            (tensors if isinstance(value, Tensor) else numbers)[f"optimiser.{place}.{entry}"] = value
        for prefix, holder in self._stateful():
            tensors |= {f"{prefix}.{name}": value for name, value in holder.state().items()}
        text = {
            "settings": dict(self.settings),
            "steps": steps,
            "history": [asdict(epoch) for epoch in history],
            "numbers": numbers,
        }
        try:
            held = {KEY: json.dumps(text, sort_keys=True)}
        except TypeError as error:
            raise ContractError(f"expected an optimiser whose state is tensors and numbers, got {error}") from error
        plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        write_atomic(self.path, lambda temporary: save_file(plain, temporary, held))

    def resume(self) -> tuple[int, list[Epoch]]:
        """Put back what the file holds: (steps, history); (0, []) without a file.

        Raises:
            ContractError: The file is damaged or of another training.
        """
        if not self.path.exists():
            return 0, []
        tensors, text = self._read()
        if differing := [key for key in self.settings if text["settings"].get(key) != self.settings[key]]:
            key = differing[0]
            raise self._stranger(f"{key}={text['settings'].get(key)} instead of {self.settings[key]}")
        mine = dict(_tensors(self.network))
        given = {name.removeprefix("network."): v for name, v in tensors.items() if name.startswith("network.")}
        if {name: v.shape for name, v in mine.items()} != {name: v.shape for name, v in given.items()}:
            raise self._stranger("other parameters or buffers")
        with torch.no_grad():
            for name, value in mine.items():
                value.copy_(given[name])
        self._put_back({**tensors, **text["numbers"]})
        for prefix, holder in self._stateful():
            begin = f"{prefix}."
            holder.load_state({n.removeprefix(begin): v for n, v in tensors.items() if n.startswith(begin)})
        return int(text["steps"]), [Epoch(**epoch) for epoch in text["history"]]

    def _stateful(self) -> Iterator[tuple[str, Stateful]]:
        """What has a state of its own, by the prefix of its tensors."""
        if isinstance(self.objective, Stateful):
            yield "objective", self.objective
        if self.kept is not None:
            yield "kept", self.kept

    def _read(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, framework="pt") as file:
                text = json.loads((file.metadata() or {})[KEY])
                return {name: file.get_tensor(name) for name in file.keys()}, text  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise ContractError(
                f"{self.path}: expected the checkpoint of a training, got {error}; delete it"
            ) from error

    def _stranger(self, what: str) -> ContractError:
        return ContractError(
            f"{self.path}: expected the checkpoint of this training, got {what}; delete it or choose another file"
        )

    def _optimised(self) -> Iterator[tuple[int, nn.Parameter, str, Any]]:
        """(place of the parameter, parameter, entry, value) of the optimiser's state."""
        for place, parameter in enumerate(_places(self.optimiser)):
            for entry, value in self.optimiser.state.get(parameter, {}).items():
                yield place, parameter, entry, value

    def _put_back(self, state: Mapping[str, Any]) -> None:
        parameters, entries = _places(self.optimiser), dict[int, dict[str, Any]]()
        for name, value in state.items():
            if name.startswith("optimiser."):
                _, place, entry = name.split(".", 2)
                entries.setdefault(int(place), {})[entry] = _laid_out(parameters[int(place)], value)
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": entries})


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


def _places(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _laid_out(parameter: nn.Parameter, value: Any) -> Any:
    """A state of the parameter's shape in the parameter's own layout, so that the same instructions go on with it."""
    if not isinstance(value, Tensor) or value.dim() == 0 or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
