"""The grammar of nested specs: what divides, what does not, and that a spec is written as it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from vauban.core.errors import ContractError
from vauban.core.text import Bracketed, Spec, behind, joined, parse, parse_value, split, written

NAMES = some.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
KEYS = some.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True)
PLAIN = some.none() | some.booleans() | some.integers() | some.floats(allow_nan=False) | some.text(max_size=12)


def nested(inner: some.SearchStrategy[Spec]) -> some.SearchStrategy[Spec]:
    lists = some.lists(inner.map(str), min_size=1, max_size=3).map(lambda texts: Bracketed(tuple(texts)))
    return specs(PLAIN | lists)


def specs(values: some.SearchStrategy[object]) -> some.SearchStrategy[Spec]:
    files = some.none() | some.just(Path("some/file.py"))
    return some.builds(Spec, some.just(""), NAMES, some.dictionaries(KEYS, values, max_size=3), files)


SPECS = some.recursive(specs(PLAIN), nested, max_leaves=6)


@given(SPECS)
def test_a_spec_is_written_as_it_is_read(spec: Spec) -> None:
    assert parse(str(spec)) == spec


@given(PLAIN)
def test_a_value_is_written_as_it_is_read(value: object) -> None:
    read = parse_value(written(value))
    assert read == value
    assert type(read) is type(value)


@given(some.lists(SPECS, min_size=1, max_size=4))
def test_what_stands_in_brackets_divides_nothing_outside(parts: list[Spec]) -> None:
    texts = [f"x:y=[{part}]" for part in parts]
    for separator in ",+|":
        assert split(separator.join(texts), separator) == texts
    assert parse("x:y=" + "".join(f"[{part}]" for part in parts)).params["y"] == Bracketed(tuple(map(str, parts)))


def test_nested() -> None:
    spec = parse("at:attack=[pgd:eps=0.3,steps=7],alpha=0.5, sources=[a:w=b.pt] [b.py:net]")
    assert spec.params == {
        "attack": Bracketed(("pgd:eps=0.3,steps=7",)),
        "alpha": 0.5,
        "sources": Bracketed(("a:w=b.pt", "b.py:net")),
    }
    assert parse("a:b=[c:d=[e:f=1,g=2],h=3]").params["b"] == Bracketed(("c:d=[e:f=1,g=2],h=3",))
    assert parse("a:b='x,]y',c=it's,d='s").params == {"b": "x,]y", "c": "it's", "d": "'s"}
    assert parse("folder:path=a[1],crop=2").params == {"path": "a[1]", "crop": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:b=[c", r"a \] for each \["),
        ("a:b=[c]]", r"a \[ before each \]"),
        ("a:b=c]", r"a \[ before each \]"),
        ("a:[b=c]", "key=value"),
        ("a:[b]", "key=value"),
        ("a:b=[x],b=2", "'b' twice"),
        ("a:step-size=1,step_size=2", "'step_size' twice"),
    ],
)
def test_errors_are_one_line(text: str, words: str) -> None:
    with pytest.raises(ContractError, match=words) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_chains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a+b.py", "c.py", "d+2.py"):
        Path(name).touch()
    assert joined("jpeg") == ["jpeg"]
    assert joined("jpeg:quality=50 + bit-depth") == ["jpeg:quality=50", "bit-depth"]
    assert joined("x:s=1e+3+y") == ["x:s=1e+3", "y"]
    assert joined("x:y=[a+b]+z:w='p+q'+v") == ["x:y=[a+b]", "z:w='p+q'", "v"]
    assert joined("a+b.py:f+c.py:g:x=1+jpeg") == ["a+b.py:f", "c.py:g:x=1", "jpeg"]
    assert joined("jpeg+d+2.py:f") == ["jpeg", "d+2.py:f"]


def test_networks_behind_defences() -> None:
    assert behind("cnn:weights=w.pt") == (None, "cnn:weights=w.pt")
    assert behind("bit-depth:bits=2|cnn") == ("bit-depth:bits=2", "cnn")
    assert behind("a+b | c | cnn") == ("a+b+c", "cnn")
    assert behind("x:net=[a|b]") == (None, "x:net=[a|b]")
    for text in ("|cnn", "jpeg|", "a||b", ""):
        with pytest.raises(ContractError, match="each side of the bar"):
            behind(text)
