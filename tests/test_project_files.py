"""The files about the project agree: one version, the oldest torch that is tried, dependencies that something imports."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import vauban

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = {
    "mlflow-skinny": "mlflow",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}  # where a distribution and its module differ in name


def requirements(lines: list[str]) -> dict[str, str]:
    """Names of the modules that requirements bring, each with what is asked of the version."""
    split = [re.fullmatch(r"([\w-]+)(.*)", line) for line in lines]
    return {MODULES.get(m[1], m[1].replace("-", "_")): m[2] for m in split if m is not None}


@functools.cache
def imported() -> frozenset[str]:
    """Top-level modules that the package imports anywhere, its own and the standard library's left out."""
    names: set[str] = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return frozenset(names - set(sys.stdlib_module_names) - {"vauban"})


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/vauban/__init__.py"
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited is not None
    assert cited[1] == vauban.__version__


@pytest.mark.slow
def test_dependencies_are_what_is_imported() -> None:
    hard = requirements(PROJECT["project"]["dependencies"])
    optional = {n for lines in PROJECT["project"]["optional-dependencies"].values() for n in requirements(lines)}
    assert set(hard) - imported() == set(), "nothing imports these hard dependencies"
    assert imported() - set(hard) - optional == set(), "these imports have no dependency"


def test_the_workflow_tries_the_ends_of_what_is_allowed() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    hard = requirements(PROJECT["project"]["dependencies"])
    for name in ("torch", "torchvision"):
        oldest = hard[name].removeprefix(">=")
        assert f"{name}=={oldest}.*" in workflow
    assert f'python: "{PROJECT["project"]["requires-python"].removeprefix(">=")}"' in workflow
    assert "run: make test" in workflow
    assert "run: make lint" in workflow
