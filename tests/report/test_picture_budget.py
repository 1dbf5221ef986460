"""Pictures of a page: every attack's median before anything else, views last, and what is left out is counted."""

from __future__ import annotations

from vauban.report.run.example_images import ExampleImages, Gallery
from vauban.report.run.picture_budget import fitted

A, B = ("a", "none", "d"), ("b", "none", "d")


def example(which: str) -> ExampleImages:
    """Thirty characters of pictures, and twenty of views."""
    pictures = ["o" * 10, "a" * 10, "p" * 10]
    return ExampleImages(which, *pictures, "×1", "", "", "", views=("v" * 10, "w" * 10))


def shown(most: int) -> tuple[list[tuple[str, str, list[tuple[str, bool]]]], int]:
    every = tuple(map(example, ("smallest", "median", "largest")))
    galleries = [(A, [Gallery("pgd", "white-box", every)]), (B, [Gallery("fgsm", "white-box", every[:1])])]
    kept, left_out = fitted(galleries, most)
    told = [(key[0], g.attack, [(e.which, e.views is not None) for e in g.examples]) for key, own in kept for g in own]
    return told, left_out


def test_what_fits_is_shown() -> None:
    every = [(which, True) for which in ("smallest", "median", "largest")]
    assert shown(200) == ([("a", "pgd", every), ("b", "fgsm", every[:1])], 0)
    bare = [("a", "pgd", [("smallest", False), ("median", True)]), ("b", "fgsm", [("smallest", False)])]
    assert shown(119) == (bare, 1)
    assert shown(30) == ([("a", "pgd", [("median", False)])], 3)
    assert shown(29) == ([], 4)
