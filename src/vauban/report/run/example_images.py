"""Example images: the smallest, the median and the largest successful distortion of each attack."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vauban.core.errors import ContractError
from vauban.report.run.attack_labels import attack_labels
from vauban.report.run.judged_cells import attacked_cells, judged_network, undefended_first
from vauban.report.shared import format as fmt
from vauban.statistics.combine import group, norm_of
from vauban.statistics.summary import distortion
from vauban.store import CellRows, Run
from vauban.store.pictures import opened
from vauban.store.schema import PICTURES
from vauban.store.views import magnified


@dataclass(frozen=True)
class ExampleImages:
    """One image before and after an attack; pictures are data URIs.

    Attributes:
        which: `smallest`, `median` or `largest` distortion.
        original: The image before the attack.
        adversarial: The image after it.
        perturbation: Their difference, amplified around gray.
        factor: The amplification as text.
        before: Class and confidence of the original.
        after: Class and confidence of the adversarial image.
        distance: Norm and distance as text.
        views: Magnified original and adversarial, None where the run has stored none.
    """

    which: str
    original: str
    adversarial: str
    perturbation: str
    factor: str
    before: str
    after: str
    distance: str
    views: tuple[str, str] | None = None


@dataclass(frozen=True)
class Gallery:
    """The examples of one attack under one threat on one network."""

    attack: str
    threat: str
    examples: tuple[ExampleImages, ...]


def galleries(run: Run) -> list[tuple[tuple[str, str, str], list[Gallery]]]:
    """Galleries of the cells that stored images, by judged network: model, defence, data."""
    cells = attacked_cells(run)
    labels = attack_labels(cells)
    groups = group(cells, judged_network)
    by_network = []
    for key in sorted(groups, key=undefended_first):
        shown = [
            Gallery(labels[cell.meta["hash"]], str(cell.meta.get("threat")), _examples(cell, run.path))
            for cell in groups[key]
        ]
        if shown := [gallery for gallery in shown if gallery.examples]:
            by_network.append((key, sorted(shown, key=lambda gallery: gallery.attack)))
    return by_network


def amplified_perturbation(original: bytes, adversarial: bytes) -> tuple[bytes, float]:
    """Difference of two images as a picture: 0.5 + delta / (2 max|delta|), delta = adversarial - original in [0,1].

    Args:
        original: A PNG.
        adversarial: A PNG of the same shape.

    Returns:
        The picture as a PNG, and the gain 1 / (2 max|delta|). An unchanged image gives plain gray and gain 0.

    Raises:
        ContractError: An image is damaged, or too large to be decoded.
        ValueError: The shapes differ.
    """
    before, after = _pixels(original), _pixels(adversarial)
    delta = after - before
    largest = float(np.abs(delta).max(initial=0.0))
    gain = 0.5 / largest if largest else 0.0
    stream = io.BytesIO()
    Image.fromarray(np.round((0.5 + delta * gain) * 255).clip(0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue(), gain


def _pixels(png: bytes) -> np.ndarray:
    with opened(png, "a stored picture") as image:
        return np.asarray(image, dtype=float) / 255


def example_rows(cell: CellRows) -> list[tuple[str, int]]:
    """Rows of the examples of a cell, each with `smallest`, `median` or `largest`, among the stored successes."""
    distance = distortion(cell.columns, norm_of(cell))
    # Distance 0 is an image that was wrong before the attack: nothing to see.
    shown = np.flatnonzero((distance > 0) & (distance < np.inf) & cell.pictured)
    usable = shown[np.argsort(distance[shown], kind="stable")]
    places = dict.fromkeys([0, len(usable) // 2, len(usable) - 1]) if len(usable) else {}
    which = ["smallest", "median", "largest"] if len(places) == 3 else ["smallest", "largest"]
    return [(name, int(usable[at])) for at, name in zip(places, which, strict=False)]


def _examples(cell: CellRows, run: Path) -> tuple[ExampleImages, ...]:
    made = [_example(cell, row, name, run) for name, row in example_rows(cell)]
    return tuple(example for example in made if example is not None)


def _example(cell: CellRows, row: int, which: str, run: Path) -> ExampleImages | None:
    columns, classes = cell.columns, cell.meta.get("class_names")
    last = int(cell.meta.get("classes") or 0) if cell.meta.get("rejects") else None
    try:
        clean, adv = (cell.picture(name, row) for name in PICTURES)
        perturbation, gain = amplified_perturbation(clean, adv)
    except (ContractError, ValueError, OSError):
        return None
    norm = norm_of(cell)
    views = [magnified(run, picture) for picture in (clean, adv)]
    return ExampleImages(
        which=which,
        original=_uri(clean),
        adversarial=_uri(adv),
        perturbation=_uri(perturbation),
        factor=f"×{gain:.3g}",
        before=f"{_class(columns['clean_label'][row], classes, last)}, {fmt.percent(columns['clean_confidence'][row])}",
        after=f"{_class(columns['adv_label'][row], classes, last)}, {fmt.percent(columns['adv_confidence'][row])}",
        distance=f"{fmt.norm_name(norm)} {fmt.distance(float(distortion(columns, norm)[row]), norm)}",
        views=(_uri(views[0].read_bytes()), _uri(views[1].read_bytes())) if all(map(_own, views)) else None,
    )


def _own(view: Path) -> bool:
    """Whether a view is a file of the run itself: a link would bring a file from elsewhere into the page."""
    return view.is_file() and not view.is_symlink() and not view.parent.is_symlink()


def _class(label: float, names: Sequence[str] | None, rejected: int | None) -> str:
    """The name of a class, its number where it has none or a number as its name."""
    index = int(label)
    if index < 0:
        return "no label: non-finite logits"
    if index == rejected:
        return "rejected"
    name = str(names[index]) if names and index < len(names) else str(index)
    return f"class {name}" if name.isdigit() else name


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
