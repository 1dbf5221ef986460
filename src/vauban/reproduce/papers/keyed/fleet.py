"""Beyond the paper: images made with the key of one of a fleet of networks, judged by all of it."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Craft, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Matrix, Panel
from vauban.reproduce.papers.keyed.attacks import pgd
from vauban.reproduce.papers.keyed.networks import CLASSICAL, PERMUTED, TABLES, role
from vauban.reproduce.papers.keyed.setting import error, experiment, made_on
from vauban.reproduce.registry import register
from vauban.reproduce.training_seeds import seeded_role

EPSILONS = (0.1, 0.2)
OTHERS, NONE = "all other keys", "no key"


def member(seed: int) -> str:
    """The network of the fleet with the key of a training seed."""
    return seeded_role(role(TABLES[0], PERMUTED), seed)


def made_with(source: int | str, judge: int, eps: float, scale: Scale) -> Craft:
    """The images made with one key, with all but the judge's, or with none.

    Args:
        source: The training seed of a member, OTHERS or NONE.
        judge: The training seed of the member that answers.
        eps: L-infinity radius.
        scale: For its seeds, and for a shorter attack on a few images.
    """
    attack = pgd(eps, scale)
    seeds = scale.training_seeds
    if source == OTHERS:
        return made_on(attack, [member(seed) for seed in seeds if seed != judge])
    if isinstance(source, int):
        return made_on(attack, [member(source)])
    return made_on(attack, [seeded_role(role(TABLES[0], CLASSICAL), judge)])


def label(source: int | str, judge: int, eps: float) -> str:
    made = f"key {source}" if isinstance(source, int) else source
    return f"eps {eps:g}, made with {made}, answered by key {judge}"


def rows(scale: Scale, eps: float) -> dict[str, list[TableCell]]:
    """The matrix: a row for each key, one for all others together and one for none; a column for each judge."""
    sources: list[int | str] = [*scale.training_seeds, OTHERS, NONE]
    return {
        f"{'key ' if isinstance(source, int) else ''}{source}": [
            error(made_with(source, judge, eps, scale), member(judge), label(source, judge, eps))
            for judge in scale.training_seeds
        ]
        for source in sources
    }


def cells(scale: Scale) -> list[TableCell]:
    """The clean error of each member, and the matrix for each eps; its diagonal is a leaked key."""
    made = [error(None, member(seed), f"clean images, answered by key {seed}") for seed in scale.training_seeds]
    return made + [cell for eps in EPSILONS for row in rows(scale, eps).values() for cell in row]


def panels(scale: Scale) -> list[Panel]:
    return [
        Matrix(
            f"Error, eps {eps:g}",
            ("made with", "answered by"),
            [f"key {judge}" for judge in scale.training_seeds],
            rows(scale, eps),
        )
        for eps in EPSILONS
    ]


KEYS = (0, 1, 2, 3, 4)
CLAIMS = (
    Claim(
        "A classifier with its own key stands what was made with another one: no image made with a neighbour's key fools "
        "it as often as its own does, by 20 points",
        "section 3: each classifier has its own key",
        tuple(
            Larger(label(judge, judge, 0.1), label(source, judge, 0.1), by=0.2)
            for judge in KEYS
            for source in KEYS
            if source != judge
        ),
    ),
    Claim(
        "Nor do the keys of all the others together",
        "section 3: each classifier has its own key",
        tuple(Larger(label(judge, judge, 0.1), label(OTHERS, judge, 0.1), by=0.2) for judge in KEYS),
    ),
)


@register("keyed-fleet-mnist")
def fleet() -> Experiment:
    """Images made with the key of one of a fleet, MNIST."""
    return experiment(
        "fleet",
        "mnist",
        "Beyond the paper: a fleet of networks, each with its own key",
        10,
        cells,
        notes=(
            "PGD has 40 steps of a tenth of eps; who holds a key has that network's gradients. Networks have other initial "
            "weights too, so a cell beside the diagonal is what another key and another training do together; the row of "
            "no key, the classical network trained with the judge's seed, tells what a training alone does.",
        ),
        panels=panels,
        claims=CLAIMS,
    )
