"""The identity of a cell: everything that can change a row, hashed."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import vauban.core
import vauban.engine
from vauban.core.norms import Ball, Norm


def describe(value: Any) -> Any:
    """A value as JSON: dataclasses by class and fields, tensors and modules by a digest of their content."""
    if isinstance(value, Ball):
        return {"norm": value.norm.name, "radius": describe(value.radius)}
    if isinstance(value, Norm):
        return value.name
    if isinstance(value, Tensor):
        return {"tensor": _bytes(value), "shape": list(value.shape)}
    if isinstance(value, nn.Module):
        return {"module": repr(value), "state": state_digest(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": _qualified(type(value)), **fields}
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [describe(v) for v in value]
        return sorted(items, key=str) if isinstance(value, (set, frozenset)) else items
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if callable(value):
        return _qualified(value)
    attributes = {k: describe(v) for k, v in sorted(vars(value).items())} if hasattr(value, "__dict__") else str(value)
    return {"class": _qualified(type(value)), "attributes": attributes}


def state_digest(module: nn.Module) -> str:
    """SHA-256 over the names, types and bytes of a state_dict."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {_bytes(tensor)}".encode())
    return digest.hexdigest()


def source_files(*values: Any) -> list[Path]:
    """The files that define the given objects and everything inside them, and those of the core and the engine.

    torch, torchvision and other installed packages are covered by their versions instead.
    """
    found: set[Path] = set()
    for value in values:
        for part in _parts(value):
            file = _file_of(part)
            if file is not None and "site-packages" not in file.parts and "torch" not in file.parts:
                found.add(file)
    for package in (vauban.core, vauban.engine):
        found.update(Path(path) for folder in package.__path__ for path in sorted(Path(folder).glob("*.py")))
    return sorted(found)


def cell_hash(identity: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parts(value: Any) -> Iterable[Any]:
    yield value
    if isinstance(value, nn.Module):
        yield from value.modules()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for f in dataclasses.fields(value):
            yield from _parts(getattr(value, f.name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _parts(item)


def _file_of(value: Any) -> Path | None:
    target = value if inspect.isfunction(value) or inspect.isclass(value) else type(value)
    try:
        file = inspect.getsourcefile(target)
    except TypeError:  # built-in types have no file
        return None
    return Path(file).resolve() if file and Path(file).is_file() else None


def _qualified(value: Any) -> str:
    module, name = getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value).__qualname__)
    return f"{str(module).split('_user_')[-1].rsplit('_', 1)[0] if '_user_' in str(module) else module}.{name}"


def _bytes(tensor: Tensor) -> str:
    plain = tensor.detach().cpu().contiguous()
    return hashlib.sha256(plain.view(torch.uint8).numpy().data if plain.numel() and plain.dim() else
                          str(plain).encode()).hexdigest()  # fmt: skip
