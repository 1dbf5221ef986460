"""Identity: everything that can change a row, as JSON, and its hash.

Registered things are named by their registry and their name, never by a module's path, and fields at their default are left
out: a file that moves, or a parameter that is added, leaves stored rows where they are.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vauban.core.losses import LOSSES
from vauban.core.norms import Ball, Norm
from vauban.core.registry import registered_as
from vauban.core.secret import Secret
from vauban.jobs.provenance import attributes, closure, file_of, ours
from vauban.store import sources


def describe(value: Any, within: tuple[int, ...] = (), defaults: bool = False) -> Any:
    """A value as JSON.

    Dataclasses are described by their registered name (else the class) and the fields that differ from their default,
    tensors by a digest of their content, modules by structure, state and plain attributes, functions by name and what they
    captured.

    Args:
        value: Anything.
        within: Identities of the objects being described, against cycles.
        defaults: Whether fields at their default are described too, for people to read.
    """
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Norm) and not dataclasses.fields(value):
        return value.name
    if isinstance(value, Tensor):
        return {"tensor": _digest(value), "type": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        content = hashlib.sha256(value.tobytes()).hexdigest()
        return {"array": content, "type": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, type):
        return name_of(value)
    if id(value) in within:
        return "itself"
    return _object(value, (*within, id(value)), defaults)


def _object(value: Any, within: tuple[int, ...], defaults: bool) -> Any:
    def of(part: Any) -> Any:
        return describe(part, within, defaults)

    if isinstance(value, Secret):
        return {"key": value.id}
    if isinstance(value, Ball):
        return {"norm": value.norm.name, "radius": of(value.radius)}
    if isinstance(value, nn.Module):
        extra = {name: of(attributes(part)) for name, part in value.named_modules() if attributes(part)}
        return {"module": _anywhere(repr(value)), "state": state_digest(value), "attributes": extra}
    if dataclasses.is_dataclass(value):
        return {"is": name_of(type(value)), **_fields(value, of, defaults)}
    if isinstance(value, Mapping):
        return {str(k): of(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [of(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((of(v) for v in value), key=str)
    if isinstance(value, functools.partial):
        return {"partial": of(value.func), "args": of(value.args), "keywords": of(value.keywords)}
    if inspect.ismethod(value):
        return {"method": name_of(value.__func__), "of": of(value.__self__)}
    if inspect.isfunction(value):
        captured = [of(v) for v in closure(value)]
        return {"function": name_of(value), "captured": captured} if captured else name_of(value)
    if inspect.isroutine(value):
        return name_of(value)
    if ours(file_of(value)) or not _printed(type(value)):
        held = dict(sorted(getattr(value, "__dict__", {}).items()))
        return {"is": name_of(type(value)), "attributes": of(held)}
    return {"is": name_of(type(value)), "text": _anywhere(str(value))}


def _printed(kind: type) -> bool:
    """Whether objects of a class print as more than their class and address."""
    return any("__str__" in vars(base) or "__repr__" in vars(base) for base in inspect.getmro(kind)[:-1])


def _fields(value: Any, of: Any, defaults: bool) -> dict[str, Any]:
    """The fields of a dataclass, those at their default only where they are wanted."""
    described = {}
    for field in dataclasses.fields(value):
        now = of(getattr(value, field.name))
        if not defaults and field.default is not dataclasses.MISSING and now == of(field.default):
            continue
        if not defaults and field.default_factory is not dataclasses.MISSING and now == of(field.default_factory()):
            continue
        described[field.name] = now
    return described


def name_of(value: Any) -> str:
    """The name of a class or a function for an identity.

    Of a registered thing the kind and the name, of a loss its name, of vauban's other things their own name, which no two
    of them share; of a user's, file stem and name (its content is among the sources), and of what has no file also its
    code.
    """
    registered = registered_as(value)
    if registered is not None:
        return registered
    for name, loss in LOSSES.items():
        if loss is value:
            return f"loss {name}"
    module, own = str(getattr(value, "__module__", "")), getattr(value, "__qualname__", type(value).__qualname__)
    if own.endswith("<lambda>"):
        own += f":{value.__code__.co_firstlineno}"
    if module.split(".")[0] == "vauban":
        return str(own)
    if (user := re.fullmatch(r"vauban_user_(.+)_[0-9a-f]{12}", module)) is not None:
        module = user[1]
    module = re.sub(r"^vauban_folder_[0-9a-f]{12}\.", "", module)
    code = _code(value) if module == "__main__" or file_of(value) is None else ""
    return f"{module}.{own}" + (f"#{hashlib.sha256(code.encode()).hexdigest()[:12]}" if code else "")


def computed_by(device: str | torch.device) -> dict[str, str]:
    """What an identity holds of where numbers are computed: the device's type and torch's minor version."""
    return {"device": torch.device(device).type, "torch": ".".join(torch.__version__.split(".")[:2])}


def source_digests(files: Iterable[Path]) -> list[str]:
    """What an identity holds of source files: their digests without their names, so that files may move."""
    return sorted(set(sources.described(files).values()))


def state_digest(module: nn.Module) -> str:
    """SHA-256 over the names, types and bytes of a state_dict and of the buffers that it leaves out."""
    digest = hashlib.sha256()
    for name, tensor in {**dict(module.named_buffers()), **module.state_dict()}.items():
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {_digest(tensor)}".encode())
    return digest.hexdigest()


def address(identity: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical JSON."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _anywhere(text: str) -> str:
    """Without memory addresses, which differ in every process."""
    return re.sub(r"\bat 0x[0-9a-fA-F]+", "", text)


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
