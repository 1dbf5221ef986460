"""The layers, read from the source without running it, and what a bare import may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "src" / "vauban"
ORDER = [
    {"core"},
    {"store", "statistics", "laplacian", "engine"},
    {"training"},
    {"data"},
    {"models"},
    {"threats", "attacks", "defences", "metrics"},
    {"words"},
    {"jobs"},
    {"evaluate", "certificates"},
    {"reproduce"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: i for i, layer in enumerate(ORDER) for name in layer}
READABLE = (
    "vauban.core.errors",
    "vauban.core.tolerance",
    "vauban.store",
    "vauban.statistics",
)  # of ours, by the report
HEAVY = {"torch", "torchvision", "numpy", "scipy", "sklearn", "matplotlib", "pyarrow"}
FILES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module a file imports, anywhere in it, except what only a type checker reads."""
    tree = ast.parse(path.read_text())
    unread: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            unread |= {inner for statement in node.body for inner in ast.walk(statement)}
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in unread:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "vauban" and len(parts) > 1 else ""


def test_every_package_has_a_place() -> None:
    found = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__"} | {
        p.stem for p in ROOT.glob("*.py")
    }
    assert found - {"__init__"} <= set(LEVEL) | {"report"}


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    mine = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if mine == "__init__":
        return
    for module in imported(path):
        theirs = package(module)
        if not theirs or theirs == mine:
            continue
        if mine == "report":
            assert module.startswith(READABLE), f"report imports {module}"
        elif theirs == "report":
            assert LEVEL[mine] >= LEVEL["evaluate"], f"{mine} imports {module}"
        elif theirs in LEVEL:
            assert LEVEL[theirs] < LEVEL[mine], f"{mine} imports {module}"


@pytest.mark.parametrize("name", ["store", "statistics", "report"])
def test_reading_rows_needs_no_torch(name: str) -> None:
    for path in (ROOT / name).rglob("*.py"):
        assert not {m for m in imported(path) if m.split(".")[0] in {"torch", "torchvision"}}, path


def loaded(code: str) -> set[str]:
    """The top-level modules in memory after the code ran in a process of its own."""
    script = f"import sys\n{code}\nprint('LOADED', *sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "LOADED" in done.stdout, done.stderr
    return set(done.stdout.split("LOADED")[1].split())


def test_import_vauban_loads_nothing_heavy() -> None:
    assert not loaded("import vauban") & HEAVY


@pytest.mark.slow
def test_help_loads_nothing_heavy() -> None:
    pytest.importorskip("vauban.cli")
    script = [
        "sys.argv = ['vauban', '--help']",
        "from vauban.cli import main",
        "try: main()",
        "except SystemExit: pass",
    ]
    assert "torch" not in loaded("\n".join(script))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["store", "statistics", "report"])
def test_reading_rows_loads_no_torch(name: str) -> None:
    assert "torch" not in loaded(f"import vauban.{name}")
