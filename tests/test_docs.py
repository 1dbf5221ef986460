"""The documentation is executed: Python blocks run, transcripts are typed again, tables are made again.

One test per page, so that the blocks of a page share their names and their folder; `docs/executed.py` says how.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).resolve().parents[1]


def script(name: str) -> Any:
    found = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module: ModuleType = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


executed = script("executed")
every_page = pytest.mark.parametrize("page", executed.PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@pytest.mark.slow
@every_page
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    session, known = executed.Session(), set(sys.modules)

    def evaluate(example: Example) -> None:
        lexemes = example.region.lexemes
        for shown, printed in session.shown(lexemes["language"], lexemes["file"], str(example.parsed)):
            assert executed.agrees(shown, printed), (
                f"{page.name}:{example.line}, run: python docs/executed.py\n--- shown\n{shown}\n--- printed\n{printed}"
            )

    def blocks(document: Document) -> Iterator[Region]:
        for region in RawFencedCodeBlockLexer(executed.BLOCK)(document):
            region.parsed, region.evaluator = region.lexemes["source"], evaluate
            yield region

    try:
        for example in Document.parse(str(page), blocks).examples():
            example.evaluate()
    finally:
        for name in set(sys.modules) - known:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@every_page
def test_tables_are_in_step(page: Path) -> None:
    written = page.read_text()
    assert script("tables").filled(written) == written, "run: python docs/tables.py"


def test_every_table_is_on_a_page() -> None:
    shown = "".join(page.read_text() for page in executed.PAGES)
    for name in script("tables").TABLES:
        assert f"<!-- table: {name} -->" in shown, f"the table {name} is on no page"


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    """Files exist, and the sections that links name."""
    for target in re.findall(r"\]\((?!https?:|#)([^)\s]+)\)", page.read_text()):
        path, _, section = target.partition("#")
        found = (page.parent / path).resolve()
        assert found.exists(), f"{page.name}: {target}"
        if section:
            titles = re.findall(r"^#+ (.+)$", found.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in titles}
            assert section in slugs, f"{page.name}: {target}, sections are {sorted(slugs)}"


def test_the_first_two_commands() -> None:
    first = re.search(r"^```(?:shell|sh|bash|console)\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert first is not None
    assert [line.split("#")[0].strip() for line in first[1].splitlines()] == ["make demo", "make test"]


def test_every_command_and_option_is_documented() -> None:
    from typer.main import get_command

    from vauban.cli import app

    text = (ROOT / "docs" / "cli.md").read_text()
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        assert f"## {name}\n" in text
        if name == "evaluate":
            options = [max((*o.opts, *o.secondary_opts), key=len) for o in command.params]
            assert not [o for o in options if o not in ("--help", "--preflight") and f"`{o}" not in text]


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("64 samples in 3 s", "63 samples in 1.5 min", True),
        ("a ... c 2", "a\nb b\nc 17", True),
        ("a ... c", "a b d", False),
        ("robust accuracy", "robust accuracy 3", False),
        ("pgd broke 3", "bim broke 3", False),
        ("median ∞", "median 51/255", True),
        ("5f7aef3c  ddn:steps=20", "0a81ffcd  ddn:steps=20", True),
    ],
)
def test_words_are_compared_and_numbers_are_not(shown: str, printed: str, same: bool) -> None:
    assert executed.agrees(shown, printed) is same


def test_what_is_registered_is_on_a_reference_page() -> None:
    from vauban import attacks, defences, metrics, threats, training
    from vauban.training import criteria

    pages = "".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md"))
    registries = (attacks.registry, attacks.fitters, defences.registry, metrics.registry, threats.registry)
    registries += (training.registry, criteria.registry)
    entries = [entry for registry in registries for entry in registry]
    assert [entry.name for entry in entries if f"::: {entry.make.__module__}\n" not in pages] == []


def test_reference_pages_name_modules_that_are_there() -> None:
    for page in (ROOT / "docs/reference").glob("*.md"):
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(), re.MULTILINE):
            assert importlib.util.find_spec(name), f"{page.name}: {name}"


def test_numbers_do_not_count_whatever_their_digits() -> None:
    shown = "ddn,0.5905368014449738,0.48099600158684025,18.4375 at 0123456789abcdef"
    assert executed.agrees(shown, "ddn,0.5433813060141764,0.4646355436211441,3.515625 at fedcba9876543210")
    assert not executed.agrees(shown, "pgd,0.5433813060141764,0.4646355436211441,3.515625 at fedcba9876543210")
