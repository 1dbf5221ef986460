"""Size of the pictures on a page: a page of hundreds of cells is sent by mail and opened on a telephone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count, islice

from vauban.report.run.example_images import ExampleImages, Gallery

Network = tuple[str, str, str]
MOST = 3 * 2**20
"""Characters of all pictures of a page."""
_FIRST = ("median", "smallest", "largest")


def fitted(
    shown: Sequence[tuple[Network, Sequence[Gallery]]], most: int = MOST
) -> tuple[list[tuple[Network, list[Gallery]]], int]:
    """The examples that fit a page: the median of every attack first, the magnified views last.

    Args:
        shown: The galleries by judged network.
        most: Characters that all pictures may take.

    Returns:
        The galleries with the examples that fit, and how many examples were left out.
    """
    every = [example for _, galleries in shown for gallery in galleries for example in gallery.examples]
    ranked = sorted(range(len(every)), key=lambda i: _FIRST.index(every[i].which))
    kept: dict[int, ExampleImages] = {}
    left = most
    for i in ranked:
        bare = replace(every[i], views=None)
        if (size := _size(bare)) <= left:
            kept[i], left = bare, left - size
    for i in [i for i in ranked if i in kept]:
        if (size := _size(every[i]) - _size(kept[i])) <= left:
            kept[i], left = every[i], left - size
    numbers, by_network = count(), []
    for network, galleries in shown:
        own = [
            replace(g, examples=tuple(kept[i] for i in islice(numbers, len(g.examples)) if i in kept))
            for g in galleries
        ]
        if own := [gallery for gallery in own if gallery.examples]:
            by_network.append((network, own))
    return by_network, len(every) - len(kept)


def _size(example: ExampleImages) -> int:
    pictures = (example.original, example.adversarial, example.perturbation, *(example.views or ()))
    return sum(map(len, pictures))
