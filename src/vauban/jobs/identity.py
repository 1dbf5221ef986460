"""The identity of a cell: everything that can change a row, hashed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vauban.core.norms import Ball, Norm
from vauban.jobs.provenance import attributes, closure, file_of, ours


def describe(value: Any, within: tuple[int, ...] = ()) -> Any:
    """A value as JSON: dataclasses by class and fields, tensors by a digest of their content, modules by structure, state
    and plain attributes, functions by name and what they captured. within: the objects being described, against cycles."""
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Norm):
        return value.name
    if isinstance(value, Tensor):
        return {"tensor": _digest(value), "type": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return {
            "array": hashlib.sha256(value.tobytes()).hexdigest(),
            "type": str(value.dtype),
            "shape": list(value.shape),
        }
    if isinstance(value, type):
        return _qualified(value)
    if id(value) in within:
        return "itself"
    return _object(value, (*within, id(value)))


def _object(value: Any, within: tuple[int, ...]) -> Any:
    def of(part: Any) -> Any:
        return describe(part, within)

    if isinstance(value, Ball):
        return {"norm": value.norm.name, "radius": of(value.radius)}
    if isinstance(value, nn.Module):
        extra = {name: of(attributes(part)) for name, part in value.named_modules() if attributes(part)}
        return {"module": _anywhere(repr(value)), "state": state_digest(value), "attributes": extra}
    if dataclasses.is_dataclass(value):
        return {
            "class": _qualified(type(value)),
            **{f.name: of(getattr(value, f.name)) for f in dataclasses.fields(value)},
        }
    if isinstance(value, Mapping):
        return {str(k): of(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [of(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((of(v) for v in value), key=str)
    if isinstance(value, functools.partial):
        return {"partial": of(value.func), "args": of(value.args), "keywords": of(value.keywords)}
    if inspect.ismethod(value):
        return {"method": _qualified(value.__func__), "of": of(value.__self__)}
    if inspect.isfunction(value):
        return {"function": _qualified(value), "captured": [of(v) for v in closure(value)]}
    if inspect.isroutine(value):
        return _qualified(value)
    if ours(file_of(value)):
        return {
            "class": _qualified(type(value)),
            "attributes": of(dict(sorted(getattr(value, "__dict__", {}).items()))),
        }
    return {"class": _qualified(type(value)), "text": _anywhere(str(value))}


def _anywhere(text: str) -> str:
    """Without memory addresses, which differ in every process."""
    return re.sub(r"\bat 0x[0-9a-fA-F]+", "", text)


def state_digest(module: nn.Module) -> str:
    """SHA-256 over the names, types and bytes of a state_dict and of the buffers that it leaves out."""
    digest = hashlib.sha256()
    for name, tensor in {**dict(module.named_buffers()), **module.state_dict()}.items():
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {_digest(tensor)}".encode())
    return digest.hexdigest()


def cell_hash(identity: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _qualified(value: Any) -> str:
    """Module and name; of what has no file (a notebook) also its code, of a lambda its line."""
    module, name = str(getattr(value, "__module__", "")), getattr(value, "__qualname__", type(value).__qualname__)
    if (user := re.fullmatch(r"vauban_user_(.+)_[0-9a-f]{12}", module)) is not None:
        module = user[1]  # its content is among the sources
    if name.endswith("<lambda>"):
        name += f":{value.__code__.co_firstlineno}"
    code = _code(value) if module == "__main__" or file_of(value) is None else ""
    return f"{module}.{name}" + (f"#{hashlib.sha256(code.encode()).hexdigest()[:12]}" if code else "")


def _code(value: Any) -> str:
    if inspect.isclass(value):
        return "".join(
            _code(v) for _, v in sorted(vars(value).items()) if inspect.isfunction(v) or isinstance(v, property)
        )
    if isinstance(value, property):
        return _code(value.fget)
    code = getattr(value, "__code__", value)
    if not inspect.iscode(code):
        return ""
    constants = [_code(c) or (sorted(map(repr, c)) if isinstance(c, frozenset) else repr(c)) for c in code.co_consts]
    return f"{code.co_code.hex()}{code.co_names}{constants}"


def _digest(tensor: Tensor) -> str:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(plain.view(torch.uint8).numpy().data if plain.numel() else b"").hexdigest()
