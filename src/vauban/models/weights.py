"""Weights files: safetensors with the recipe in their metadata, or `.pt` files of plain tensors. Never a pickle."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vauban.core.cards import TRAINED_BEHIND
from vauban.core.errors import ContractError
from vauban.models.wrap import bare
from vauban.store.files import check_output, digest_of, write_atomic
from vauban.store.pictures import check_archive

log = logging.getLogger("vauban")
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt")
KEY = "vauban"
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put in front of every name."""
CONVERT = "save it again with safetensors.torch.save_file(model.state_dict(), path)"


def save(module: nn.Module, path: Path, meta: Mapping[str, Any]) -> None:
    """Write a weights file; it appears whole or not at all.

    Args:
        module: The network, whose tensors below its normalisation are written.
        path: The safetensors file.
        meta: What is written beside them, as JSON.

    Raises:
        ContractError: The file cannot be written.
    """
    from safetensors.torch import save_file

    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in bare(module).state_dict().items()}
    text = {KEY: json.dumps(dict(meta), sort_keys=True)}
    try:
        write_atomic(path, lambda temporary: save_file(tensors, temporary, text))
    except OSError as error:
        raise ContractError(f"{path} cannot be written: {error.strerror or error}") from error


def output(out: str | Path) -> Path:
    """Path of the weights to be written, checked before anything is spent.

    Raises:
        ContractError: Another suffix, or a place that cannot be written.
    """
    path = Path(out).expanduser()
    if path.suffix != ".safetensors":
        raise ContractError(f"expected an output file that ends in .safetensors, got {path}")
    check_output(path)
    return path


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ContractError(f"expected a weights file, {path} {'is a folder' if path.is_dir() else 'does not exist'}")


def digest(path: Path) -> str:
    """SHA-256 of a weights file. Raises ContractError where there is none."""
    _check_file(path)
    return digest_of(path)


def read(path: Path, entry: str = "") -> dict[str, Tensor]:
    """Tensors of a weights file by name.

    Args:
        path: The file.
        entry: Entry of a `.pt` file that holds several states; "" for one of the usual names.

    Raises:
        ContractError: Anything else, naming the file.
    """
    _check_file(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)[0]
    if path.suffix not in SUFFIXES:
        raise ContractError(f"expected weights as .safetensors or .pt, got {path}; a pickle can run code: {CONVERT}")
    return _read_torch(path, entry)


def metadata(path: Path) -> dict[str, Any]:
    """Metadata written beside the tensors, empty for files of other origin. Raises ContractError, naming the file."""
    if path.suffix != ".safetensors":
        return {}
    _check_file(path)
    text = _read_safetensors(path, tensors=False)[1].get(KEY)
    try:
        meta = {} if text is None else json.loads(text)
    except ValueError as error:
        raise ContractError(f"{path} carries unreadable metadata: {error}") from error
    told = {"params": dict, "architecture": str, "edits": str}
    if not isinstance(meta, dict) or not all(isinstance(meta.get(key, kind()), kind) for key, kind in told.items()):
        raise ContractError(f"{path} carries unreadable metadata: expected an object with params")
    return {"params": {}, **meta} if meta else {}


def _read_safetensors(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name (none where `tensors` is false) and metadata."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            held = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118 - not a dict
            return held, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ContractError(f"{path} is not a readable safetensors file: {error}") from error


def _read_torch(path: Path, entry: str = "") -> dict[str, Tensor]:
    """Tensors of a `.pt` file by name, also where they are one entry of a checkpoint."""
    check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ContractError(f"{path} holds pickled objects, which could run code: {CONVERT}") from None
    except (RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise ContractError(f"{path} is not a readable PyTorch weights file: {reason}") from error
    for key in (entry, "state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ContractError(f"expected a state_dict (names to tensors) in {path}, got {type(state).__name__}")
    return dict(state)


def load_into(module: nn.Module, path: Path) -> nn.Module:
    """The network with the tensors of a weights file, loaded strictly.

    Args:
        module: The network; the tensors go below its normalisation, unless the file has those of both.
        path: The file.

    Raises:
        ContractError: The file is not readable or does not fit.
    """
    state, target = read(path), bare(module)
    whole = target is not module and any(names.keys() == module.state_dict().keys() for _, names in unwrapped(state))
    fit_state(module if whole else target, state, path)
    meta = metadata(path)
    if meta.get("keys"):  # of networks behind a key alone: what is set here is part of an identity
        setattr(module, TRAINED_BEHIND, {"keys": list(meta["keys"]), "run": meta.get("run", {})})
    return module


def unwrapped(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """A checkpoint's tensors as they are named, then without each prefix of a wrapper that all names share.

    Yields:
        What has been taken off ("" at first, `_orig_mod.module.` of a compiled parallel network), and the tensors.
    """
    taken = ""
    while True:
        yield taken, state
        prefix = next((p for p in PREFIXES if state and all(name.startswith(p) for name in state)), None)
        if prefix is None:
            return
        taken += prefix
        state = {name[len(prefix) :]: value for name, value in state.items()}


def fit_state(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors strictly; wrappers' prefixes are taken off where all names fit without them, and a line says so.

    Raises:
        ContractError: One line with the file and every difference of names and shapes.
    """
    wanted = module.state_dict()
    for taken, names in unwrapped(state):
        if names.keys() == wanted.keys():
            state = names
            if taken:
                log.warning(
                    "%s: took the prefix %r off every name, as DataParallel, compile and Lightning add it", path, taken
                )
            break
    reshaped = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    missing, extra = [k for k in wanted if k not in state], [k for k in state if k not in wanted]
    if missing or extra or reshaped:
        shapes = [f"{k} {tuple(state[k].shape)} instead of {tuple(wanted[k].shape)}" for k in reshaped]
        kinds = (("missing", missing), ("unexpected", extra), ("other shapes:", shapes))
        differences = "; ".join(f"{kind} {_some(names)}" for kind, names in kinds if names)
        raise ContractError(f"{path} does not fit {type(module).__name__}: {differences}")
    module.load_state_dict(dict(state), strict=True)


def _some(names: Sequence[str]) -> str:
    """The first three of some names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
