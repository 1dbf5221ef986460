"""Environment of this process: Python, the kind of machine, and the versions of the packages that can change a row."""

from __future__ import annotations

import platform
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

_SCREENS = frozenset({"jinja2", "markupsafe", "rich", "typer", "typing-extensions"})
"""Dependencies that only show what was computed."""
_MODULES = {"faiss-cpu": "faiss"}
"""Modules of packages that are not called like them."""


def environment() -> dict[str, Any]:
    """`python`, `platform`, and `packages`: the version by name, of an optional one where it has been imported."""
    names = [name for name, optional in _dependencies() if not optional or _MODULES.get(name, name) in sys.modules]
    packages = {name: package_version(name) for name in ("vauban", *names)}
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: number for name, number in sorted(packages.items()) if number is not None},
    }


@cache
def package_version(name: str) -> str | None:
    """The version of an installed package; None for another."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _dependencies() -> list[tuple[str, bool]]:
    """The packages that vauban names, and whether it needs an extra to want them."""
    lines = [(re.split(r"[^\w.-]", line)[0].lower(), "extra ==" in line) for line in requires("vauban") or ()]
    return [(name, optional) for name, optional in lines if name not in _SCREENS]
