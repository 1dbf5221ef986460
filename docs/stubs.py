"""Writes the types of the public faces from their registries: `python docs/stubs.py`. A test keeps them in step."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from vauban.core.face import contents
from vauban.core.registry import Registry

ROOT = Path(__file__).resolve().parents[1]
FACES = (
    "vauban",
    "vauban.attacks",
    "vauban.certificates",
    "vauban.data",
    "vauban.defences",
    "vauban.metrics",
    "vauban.models",
    "vauban.threats",
)


def path(name: str) -> Path:
    """Where the stub of a package is kept."""
    return ROOT / "src" / Path(*name.split(".")) / "__init__.pyi"


def stub(package: ModuleType) -> str:
    """What a type checker reads in place of a package that is made when it is used."""
    imports, aliases = set(), []
    for shown, module, attribute in contents(package):
        if not attribute:
            imports.add((module.rpartition(".")[0], shown))
        else:
            imports.add((module, attribute))
            if shown != attribute:
                aliases.append(f"{shown} = {attribute}")
    registries = sorted(name for name, value in vars(package).items() if isinstance(value, Registry))
    lines = [f'"""Types of `{package.__name__}`, written by docs/stubs.py from its registries."""', ""]
    if registries:
        lines += ["from typing import Any", ""]
        imports.add(("vauban.core.registry", "Registry"))
    lines += [f"from {module} import {name} as {name}" for module, name in sorted(imports, key=_order)]
    lines += ["", *(f"{name}: Registry[Any]" for name in registries), *sorted(aliases)]
    lines += ["__version__: str"] if hasattr(package, "__version__") else []
    return "\n".join(lines).rstrip() + "\n"


def _order(item: tuple[str, str]) -> tuple[str, int, str]:
    """Modules by name; in each, constants before classes before functions."""
    module, name = item
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return module, kind, name


if __name__ == "__main__":
    for name in FACES:
        written = stub(importlib.import_module(name))
        if not path(name).exists() or path(name).read_text() != written:
            path(name).write_text(written)
            print(f"wrote {path(name).relative_to(ROOT)}")
