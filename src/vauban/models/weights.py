"""Weights files: safetensors with the recipe in their metadata, or `.pt` files of plain tensors. Never a pickle."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.errors import ContractError
from vauban.models.wrap import bare

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
KEY = "vauban"
CONVERT = "save it again with safetensors.torch.save_file(model.state_dict(), path)"


def save(module: nn.Module, path: Path, meta: Mapping[str, Any]) -> None:
    """Write the tensors of `module` (below its normalisation) and `meta` as JSON; the file appears whole or not at all."""
    from safetensors.torch import save_file

    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in bare(module).state_dict().items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, {KEY: json.dumps(dict(meta), sort_keys=True)})
        os.replace(temporary, path)
    except OSError as error:
        raise ContractError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def output(out: str | Path) -> Path:
    """Where weights are to be written, looked at before anything is spent. Raises ContractError for another suffix."""
    path = Path(out).expanduser()
    if path.suffix != ".safetensors":
        raise ContractError(f"expected an output file that ends in .safetensors, got {path}")
    return path


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name. Raises ContractError, naming the file, for anything else."""
    if not path.is_file():
        raise ContractError(f"expected a weights file, {path} does not exist")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    if path.suffix not in SUFFIXES:
        raise ContractError(f"expected weights as .safetensors or .pt, got {path}; a pickle can run code: {CONVERT}")
    return _read_torch(path)


def metadata(path: Path) -> dict[str, Any]:
    """What was written beside the tensors; empty for files of other origin."""
    if path.suffix != ".safetensors":
        return {}
    if not path.is_file():
        raise ContractError(f"expected a weights file, {path} does not exist")
    text = _read_safetensors(path, tensors=False)[1].get(KEY)
    try:
        found = {} if text is None else json.loads(text)
    except ValueError as error:
        raise ContractError(f"{path} carries unreadable metadata: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("params", {}), dict):
        raise ContractError(f"{path} carries unreadable metadata: expected an object with params")
    return {"params": {}, **found} if found else {}


def _read_safetensors(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            held = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118 - not a dict
            return held, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ContractError(f"{path} is not a readable safetensors file: {error}") from error


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ContractError(f"{path} holds pickled objects, which could run code: {CONVERT}") from None
    except (RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise ContractError(f"{path} is not a readable PyTorch weights file: {reason}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        raise ContractError(f"expected a state_dict (names to tensors) in {path}, got {type(found).__name__}")
    return dict(found)


def load_into(module: nn.Module, path: Path) -> nn.Module:
    """Load a weights file strictly into `module` (below its normalisation, unless the file has tensors for both)."""
    state = read(path)
    target = bare(module)
    fit_state(module if target is not module and state.keys() == module.state_dict().keys() else target, state, path)
    return module


def fit_state(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Strict loading: every difference of names or shapes is one line that names the file."""
    wanted = module.state_dict()
    wrong = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    missing, extra = [k for k in wanted if k not in state], [k for k in state if k not in wanted]
    if missing or extra or wrong:
        parts = [("missing", missing), ("unexpected", extra)]
        text = "; ".join(f"{name} {_some(keys)}" for name, keys in parts if keys)
        shapes = [f"{k} {tuple(state[k].shape)} instead of {tuple(wanted[k].shape)}" for k in wrong]
        both = "; ".join(filter(None, (text, f"other shapes: {_some(shapes)}" if shapes else "")))
        raise ContractError(f"{path} does not fit {type(module).__name__}: {both}")
    module.load_state_dict(dict(state), strict=True)


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
