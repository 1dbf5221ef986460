"""Names on the command line, and the tables they are looked up in."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vauban.core.errors import ContractError, UnknownName
from vauban.core.registry import Entry, Registry
from vauban.core.text import parse, parse_value
from vauban.words.files import from_file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8/255", 8 / 255),
        ("8 / 255", 8 / 255),
        ("-1/4", -0.25),
        ("0.3", 0.3),
        ("1e-3", 1e-3),
        ("40", 40),
        ("true", True),
        ("False", False),
        ("none", None),
        ("L2", "L2"),
        ("'Quoted Name'", "Quoted Name"),
        ("ce", "ce"),
        ("a/b", "a/b"),
        ("{[]:1}", "{[]:1}"),
        (" x ", "x"),
    ],
)
def test_values(text: str, value: object) -> None:
    found = parse_value(text)
    assert found == value
    assert type(found) is type(value)


def test_specs() -> None:
    spec = parse("pgd:eps=8/255, step-size=0.1,")
    assert (spec.name, spec.params, spec.file) == ("pgd", {"eps": 8 / 255, "step_size": 0.1}, None)
    assert parse("pgd").params == parse("pgd:").params == {}
    mine = parse("some/attack.py:Mine:steps=3")
    assert (mine.name, mine.params, mine.file) == ("Mine", {"steps": 3}, Path("some/attack.py"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pgd:eps", "key=value"),
        ("a.py", "file.py:name"),
        ("pgd:eps=1/0", "fraction"),
        ("pgd:eps=1,eps=2", "'eps' twice"),
    ],
)
def test_bad_specs(text: str, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        parse(text)


def test_objects_from_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("LIMIT = 3\n\ndef make(a, b=2):\n    return a + b\n")
    assert from_file(parse(f"{file}:LIMIT")) == 3
    assert from_file(parse(f"{file}:make:a=5")) == 7
    assert from_file(parse(f"{file}:make")) is from_file(parse(f"{file}:make"))
    with pytest.raises(UnknownName, match="did you mean 'make'"):
        from_file(parse(f"{file}:mak"))
    with pytest.raises(UnknownName, match=r"parameter of .*mine\.py:make: 'c'; known: a, b"):
        from_file(parse(f"{file}:make:c=5"))
    with pytest.raises(
        ContractError, match=r"expected a of .*mine\.py:make, got none; write .*mine\.py:make:a=\.\.\.$"
    ):
        from_file(parse(f"{file}:make:b=5"))
    with pytest.raises(ContractError, match=r"mine\.py:make cannot be made: TypeError: .* \(line 4\)"):
        from_file(parse(f"{file}:make:a=x"))
    with pytest.raises(ContractError, match="does not exist"):
        from_file(parse(f"{tmp_path}/absent.py:x"))
    file.write_text("LIMIT = 4\n")
    assert from_file(parse(f"{file}:LIMIT")) == 4
    file.write_text("import nowhere_to_be_found\n")
    with pytest.raises(ContractError, match="ModuleNotFoundError"):
        from_file(parse(f"{file}:LIMIT"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A package whose files register things, one of which looks something up while it is imported."""
    folder = tmp_path / "thingpkg"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from vauban.core.registry import Registry\nregistry = Registry('thing', 'thingpkg')\n"
        "def __getattr__(name):\n    registry.names()\n    raise AttributeError(name)\n"
    )
    (folder / "b.py").write_text(
        "from thingpkg import registry\nfrom thingpkg import c\nregistry.register('b')(c.base)\n"
    )
    (folder / "c.py").write_text("def base(): return 1\n")
    (folder / "a.py").write_text("from thingpkg import b\nfrom thingpkg.b import c\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("thingpkg").registry
    for name in [n for n in sys.modules if n.split(".")[0] == "thingpkg"]:
        del sys.modules[name]


def test_lookups_while_the_package_is_being_imported(package: Registry) -> None:
    assert package.names() == ["b"]
    assert package.get("b").build("thing", {}) == 1


def test_a_failed_import_is_reported_again(package: Registry, tmp_path: Path) -> None:
    (tmp_path / "thingpkg" / "d.py").write_text("raise RuntimeError('broken file')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken file"):
            package.names()


def table() -> Registry:
    registry: Registry = Registry("thing", "json")

    @registry.register("box", colour="red")
    @dataclass(frozen=True)
    class Box:
        """A box.

        More about it.
        """

        size: int = 1

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("size is negative")

    return registry


def test_entries() -> None:
    registry = table()
    entry = registry.get("box")
    assert (entry.summary, dict(entry.facts)) == ("A box.", {"colour": "red"})
    assert entry.build("thing", {"size": 3}).size == 3
    assert [e.name for e in registry] == registry.names() == ["box"]
    with pytest.raises(UnknownName, match="unknown thing 'bx'; did you mean 'box'"):
        registry.get("bx")
    with pytest.raises(UnknownName, match="parameter of thing 'box': 'sise'; did you mean 'size'"):
        entry.build("thing", {"sise": 3})
    with pytest.raises(ContractError, match="size is negative"):
        entry.build("thing", {"size": -1})


def test_duplicates() -> None:
    registry = table()

    def other() -> int:
        return 1

    with pytest.raises(ContractError, match="registered already"):
        registry.register("box")(other)
    registry.register("other")(other)
    registry.register("other")(other)  # the same cell of a notebook, run again
    assert registry.names() == ["box", "other"]


def test_numbers_in_names_count():
    registry: Registry = Registry("thing", "vauban.core")
    for name in ("t-10", "t-2", "t-fig1", "b", "t-2b"):
        registry.register(name)(lambda: None)
    assert registry.names() == ["b", "t-2", "t-2b", "t-10", "t-fig1"]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"width": "wide"}, "expected width of made as a number, got 'wide'"),
        ({"layers": 2.5}, "expected layers of made as a whole number, got 2.5"),
        ({"width": float("nan")}, "expected width of made as a number, got nan"),
    ],
)
def test_arguments_of_a_registered_function_are_checked_by_its_annotations(params: dict[str, Any], says: str) -> None:
    def make(width: float = 1.0, layers: int = 2) -> tuple[float, int]:
        return width, layers

    entry = Entry("made", make, "")
    assert entry.build("thing", {"width": 2, "layers": 3}) == (2, 3)
    with pytest.raises(ContractError, match=re.escape(says)):
        entry.build("thing", params)
