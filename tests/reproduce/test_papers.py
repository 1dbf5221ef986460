"""Folders of papers: a table's file stands alone, and nothing is shared between papers but what lies above them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import vauban.reproduce.papers as papers
from vauban.reproduce import load, registry

ROOT = Path(papers.__file__).parent
PREFIX = "vauban.reproduce.papers."
SHARED = {"setting", "networks", "scales", "attacks", "entries", "fronts", "answers"}
BEYOND_THE_PAPERS = {
    "adaptive",
    "benchmark",
    "converged",
    "detectors",
    "frontier",
    "family",
    "fleet",
    "kerckhoffs",
    "queries",
}
FILES = sorted(file for file in ROOT.glob("*/*.py") if file.stem != "__init__")
TABLES = [file for file in FILES if file.stem not in SHARED]


def imported(file: Path) -> set[tuple[str, ...]]:
    """What a file imports of the papers, as the parts of the names below `vauban.reproduce.papers`."""
    modules = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {tuple(name.removeprefix(PREFIX).split(".")) for name in modules if name.startswith(PREFIX)}


def name_of(file: Path) -> str:
    return f"{file.parent.name}/{file.stem}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_file_imports_the_shared_parts_of_its_own_paper_alone(file: Path) -> None:
    folders = {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").exists()}
    assert file.parent.name in folders
    for folder, *module in imported(file):
        if folder in folders:
            assert folder == file.parent.name
            assert not module or module[0] in SHARED


def file_of(experiment: str) -> str:
    """Where an experiment is declared, by its id."""
    if experiment.startswith("frontier-"):
        return "thesis5/frontier"
    if experiment == "broken":
        return "broken/benchmark"
    if experiment == "thesis-4-converged":
        return "thesis4/converged"
    if experiment == "thesis-6-adaptive":
        return "thesis6/adaptive"
    if experiment.startswith("efficient-adaptive-"):
        return "efficient/adaptive"
    if shared := re.fullmatch(r"s2snet-(fig|table)?([a-z0-9]+)", experiment):
        return f"s2snet/{file_of_s2snet(shared[1], shared[2])}"
    if beyond := re.fullmatch(r"keyed-([a-z]+)-.*", experiment):
        return f"keyed/{beyond[1]}"
    numbered = re.fullmatch(r"(cia-|thesis-|efficient-|keyed-)(fig)?(?:(\d)\.)?(\d+)(-.*)?", experiment)
    paper = f"thesis{numbered[3]}" if numbered[1] == "thesis-" else numbered[1].rstrip("-")
    return f"{paper}/{'figure' if numbered[2] else 'table'}{numbered[4]}"


def file_of_s2snet(kind: str | None, number: str) -> str:
    """Its raw tables of one scenario share a file, so do the pictures, and Table 8 is of the cells of Figure 6."""
    if kind is None:
        return number
    if kind == "fig":
        return f"figure{min(int(number), 10)}"
    return {"3": "table2", "4": "table2", "6": "table5", "7": "table5", "8": "figure6"}.get(number, f"table{number}")


def test_every_experiment_has_the_file_of_its_number() -> None:
    ours = [
        name
        for name in registry.names()
        if name.startswith(("cia-", "thesis-", "efficient-", "keyed-", "frontier-", "s2snet-", "broken"))
    ]
    assert {file_of(name) for name in ours} == {name_of(file) for file in TABLES}


@pytest.mark.parametrize("file", TABLES, ids=name_of)
def test_a_file_says_first_which_table_or_figure_it_is(file: Path) -> None:
    first = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))).split("\n")[0]
    kind = re.match(r"[a-z]+", file.stem)[0].capitalize()
    chapter = {"thesis4": "4.", "thesis5": "5.", "thesis6": "6."}.get(file.parent.name, "")
    numbered = first.startswith(f"{kind} {chapter}{file.stem.removeprefix(kind.lower())}: ")
    assert numbered or file.stem in BEYOND_THE_PAPERS


def test_an_ambiguity_bears_on_the_cells_it_names():
    """The sum rule of a vote is open in the column of the vote alone; the untargeted loss in the untargeted rows."""
    vote, one = {"network": "Vote", "attack": "CIA-targeted"}, {"network": "IncV4", "attack": "CIA-targeted"}
    assert load("cia-3").open_for(vote) != ""
    assert load("cia-3").open_for(one) == ""
    assert load("cia-8").open_for(one) == ""
    assert "untargeted loss" in load("cia-8").open_for({"attack": "CIA-untargeted"})
    assert load("thesis-4.1-mnist").open_for({"attack": "none"}) == ""
