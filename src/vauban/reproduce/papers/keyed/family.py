"""Beyond the paper: other transforms that follow from a key, of the broad family that its conclusion names."""

from __future__ import annotations

from dataclasses import replace

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.keyed.attacks import PLAIN, pgd
from vauban.reproduce.papers.keyed.networks import CLASSICAL, KEYS, OWN, PERMUTED, TABLES, role, scales
from vauban.reproduce.papers.keyed.setting import error, experiment, made_on
from vauban.reproduce.registry import register

EPS = 0.1
TRANSFORMS = {
    "pixels": "pixel-permutation:key={key}",
    "pixels of blocks": "block-permutation:block=4,key={key}",
    "blocks": "block-permutation:block=4,within=false,key={key}",
    "signs of DCT coefficients": "keyed-signs:key={key}",
    "inverted pixels": "pixel-substitution:key={key}",
    "three channels of signs": "keyed-channels:transform=[keyed-signs:key={key}]",
}
"""What the key changes, and the defence."""
MADE = {
    "the classical network": CLASSICAL,
    "a network behind a key of the attacker's": OWN,
    "the key (leaked)": PERMUTED,
}
"""On what images are made, and the kind of that role."""


def keyed(transform: str, kind: str) -> str:
    """The role of the target behind a transform, or of the attacker's own network behind it."""
    return PLAIN if kind == CLASSICAL else role(f"{TABLES[0]}, {transform}", kind)


def family_scale(scale: Scale) -> Scale:
    """A scale with the network of Table 1 in the clear, and behind every transform with the target's and another key."""
    run = scale.recipes[PLAIN]
    recipes = {PLAIN: run}
    for transform, defence in TRANSFORMS.items():
        for kind, key in KEYS.items():
            recipes[keyed(transform, kind)] = replace(run, defence=defence.replace("{key}", key))
    return replace(scale, recipes=recipes)


def label(transform: str, made: str) -> str:
    return f"{transform}: images made on {made}"


def clean(transform: str) -> str:
    return f"{transform}: clean images"


BARE = "without a key: its own gradients"


def cells(scale: Scale) -> list[TableCell]:
    """The clean error behind each transform, and the error at EPS under PGD by who makes the images."""
    made = [error(None, PLAIN, clean("without a key")), error(made_on(pgd(EPS, scale), [PLAIN]), PLAIN, BARE)]
    for transform in TRANSFORMS:
        target = keyed(transform, PERMUTED)
        made.append(error(None, target, clean(transform)))
        for text, kind in MADE.items():
            made.append(error(made_on(pgd(EPS, scale), [keyed(transform, kind)]), target, label(transform, text)))
    return made


def panels(scale: Scale) -> list[Panel]:
    by_label = {cell.label: cell for cell in cells(scale)}
    curves = {
        made: [(float(number), by_label[label(transform, made)]) for number, transform in enumerate(TRANSFORMS, 1)]
        for made in MADE
    }
    return [Sweep(f"Error at eps {EPS:g} by transform", "number of the transform in the table", "error", curves)]


CLAIMS = (
    Claim(
        "P may be chosen from a broad family: behind every transform the classical network's images fool 20 points fewer "
        "than a network without a key is fooled by its own",
        "section 4.3 and conclusion; one transform is tested in the paper",
        tuple(Larger(BARE, label(transform, "the classical network"), by=0.2) for transform in TRANSFORMS),
    ),
    Claim(
        "So do the images that the attacker makes behind a key of his own",
        "section 4.3 and conclusion, in the other reading of the attacker",
        tuple(
            Larger(BARE, label(transform, "a network behind a key of the attacker's"), by=0.2)
            for transform in TRANSFORMS
        ),
    ),
    Claim(
        "None costs more than two points of accuracy on clean images",
        "section 4.3, of the permutation alone",
        tuple(Larger(clean("without a key"), clean(transform), by=-0.02) for transform in TRANSFORMS),
    ),
)


@register("keyed-family-mnist")
def family() -> Experiment:
    """Keyed transforms beside the permutation of the pixels, MNIST."""
    declared = experiment(
        "family",
        "mnist",
        "Beyond the paper: transforms of the broad family",
        30,
        cells,
        notes=(f"PGD has 40 steps of a tenth of eps {EPS:g}. Blocks are 4 x 4 pixels.",),
        panels=panels,
        claims=CLAIMS,
    )
    return replace(declared, scales={name: family_scale(scale) for name, scale in scales("mnist", 30).items()})
