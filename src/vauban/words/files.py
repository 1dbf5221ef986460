"""Objects in a user's Python files, by `file.py:name`."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from vauban.core.errors import ContractError, UnknownName
from vauban.core.registry import Entry
from vauban.core.text import Bracketed, Spec, joined, parse
from vauban.core.users_call import call_users
from vauban.models.weights import SUFFIXES
from vauban.store.files import digest_of
from vauban.words.user_modules import folder_of


def files_in(text: str) -> tuple[Path, ...]:
    """The Python files that a text names, also in brackets: `net.py:model`, `pgd:loss=mine.py:margin`."""
    named = (Path(name).expanduser() for name in re.findall(r"[^=+,:|\[\]\s][^=+,:|\[\]]*\.py(?=:)", text))
    return tuple(path for path in named if path.is_file())


def weights_named(text: str) -> Iterator[str]:
    """The files of tensors that a chain of words names, also in brackets, as they are written.

    Args:
        text: `patches:file=a.safetensors+jpeg`.
    """
    for part in joined(text):
        for value in parse(part).params.values():
            for name in value.texts if isinstance(value, Bracketed) else (value,):
                if isinstance(name, str) and Path(name).suffix in SUFFIXES:
                    yield name
                elif isinstance(value, Bracketed):
                    yield from weights_named(name)


def weights_in(text: str) -> dict[str, str]:
    """The same files, each with its SHA-256; "" for one that does not exist."""
    paths = {name: Path(name).expanduser() for name in weights_named(text)}
    return {name: digest_of(path) if path.is_file() else "" for name, path in paths.items()}


def load_file(path: Path) -> ModuleType:
    """Import a user's file under a name of its own, keyed by its content, its folder and what it imports from there."""
    if not path.is_file():
        raise ContractError(f"expected a Python file, got {str(path)!r}, which does not exist")
    folder = folder_of(path)
    digest = hashlib.sha256(folder.package.encode() + path.read_bytes()).hexdigest()[:12]
    name = f"vauban_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with folder.on_path():
            folder.run(module, path.absolute())  # the current folder may change
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ContractError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def from_file(spec: Spec) -> Any:
    """The object that a `file.py:name` spec points at, called with the parameters when there are any."""
    assert spec.file is not None
    module = load_file(spec.file)
    if not hasattr(module, spec.name):
        raise UnknownName(f"name in {spec.file}:", spec.name, [n for n in vars(module) if not n.startswith("_")])
    named = getattr(module, spec.name)
    return call_users(spec.text, named, spec.params) if spec.params else named


def made(spec: Spec, arguments: Callable[[Any], dict[str, Any]]) -> Any:
    """What a `file.py:name` stands for: an object, or what its class or function makes of the parameters.

    Args:
        spec: With a file.
        arguments: From the class or function to what it is called with.
    """
    named = from_file(dataclasses.replace(spec, params={}))
    if inspect.isclass(named) or inspect.isroutine(named):
        return Entry(f"{spec.file}:{spec.name}", named, "").build("object", arguments(named))
    if spec.params:
        raise ContractError(f"expected a class to take the parameters of {spec.text!r}, got an instance")
    return named
