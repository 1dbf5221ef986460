"""Suggestions for unknown names: other spellings, and the names that other toolkits use."""

from __future__ import annotations

import pytest

from vauban import words
from vauban.core.errors import MEANT, UnknownName


@pytest.mark.parametrize(
    ("kind", "name", "ours"),
    [
        ("attack", "PGD:eps=0.1", "'pgd'"),
        ("attack", "AutoAttack", "'autoattack'"),
        ("attack", "auto_attack", "'autoattack'"),
        ("attack", "AA", "'autoattack'"),
        ("attack", "I-FGSM", "'bim'"),
        ("attack", "MIFGSM", "'mi-fgsm'"),
        ("attack", "hop_skip_jump", "'hopskipjump'"),
        ("attack", "C&W", "'cw-l2'"),
        ("attack", "pdg", "'pgd'"),
        ("attack", "pgd:eps=0.1,n_iter=5", "'steps'"),
        ("threat", "whitebox", "'white-box'"),
        ("loss", "cross-entropy", "'ce'"),
    ],
)
def test_what_was_meant_is_suggested(kind: str, name: str, ours: str) -> None:
    with pytest.raises(UnknownName, match=f"did you mean {ours}") as refused:
        words.load(kind, name)
    assert "\n" not in str(refused.value)


def test_where_nothing_is_near_all_are_listed() -> None:
    with pytest.raises(UnknownName, match="known: least-likely"):
        words.load("goal", "zzzzzz")


def test_every_name_of_the_table_is_one_that_is_registered_or_a_parameter() -> None:
    from vauban import attacks, defences, threats
    from vauban.core.losses import LOSSES

    known = {*attacks.registry.names(), *defences.registry.names(), *threats.registry.names(), *LOSSES}
    assert {name for ours in MEANT.values() for name in ours} - known == {
        "eps",
        "steps",
        "abs_stepsize",
        "rel_stepsize",
    }
