"""Shared by the experiments of the paper: sources, open questions, cells of a scenario, registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from vauban.reproduce.claims import Claim, CurveAbove
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell
from vauban.reproduce.experiment import Ambiguity, Experiment
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.s2snet.attacks import ATTACKS, EPS, SCALES, crafts
from vauban.reproduce.papers.s2snet.networks import BARE, BASES, TUNED, UNTUNED

SOURCE = (
    "J. Folz, S. Palacio, J. Hees, D. Borth, A. Dengel, Adversarial defense based on structure-to-signal autoencoders, "
    "2018 (arXiv:1803.07994)"
)
AMBIGUOUS = (
    Ambiguity("the lists of eps, the iterations of BIM and a constant of C&W are lost in the text"),
    Ambiguity("losses, optimiser, epochs and image size of both stages are not printed"),
    Ambiguity(
        'which symbol "= 0.05" belongs to is lost: read as eps in pixels of [0,1]; it may be a dissimilarity',
        {"attack": "BIM"},
    ),
)
NOTES = (
    "WhiteBox: gradients of the system that answers. WhiteBox+: gradients of the bare f, answered by f o A_f. GrayBox-: "
    "gradients of f o A_f, answered by f, the S2SNet removed. All images are saved on 8 bits.",
    "P_suc is the newly misclassified share and relative accuracy 1 - P_suc; their denominator is the clean true positives "
    "of the system that answers. Accuracy is over all images.",
    "eps is in units of 1/255 (5/255 on MNIST); BIM has 10 steps of eps/10, C&W 100 of Adam at c = 10 without a search for "
    "c, and its strength multiplies the perturbation.",
)
METRICS = ("accuracy", "relative_accuracy", "P_suc", "dissimilarity", "linf")
"""Of every set of images, as in the raw tables: dissimilarity is Eq. 1, linf Eq. 2, in pixels of [0,1]."""
WHITEBOX = ((BARE, BARE), (TUNED, TUNED), (UNTUNED, UNTUNED))
"""Pairs of whose gradients are used and who answers."""
WHITEBOX_PLUS = ((BARE, BARE), (BARE, TUNED))
GRAYBOX_MINUS = ((TUNED, TUNED), (TUNED, BARE), (BARE, BARE))
Pairs = Sequence[tuple[str, str]]


def strength_text(attack: str, strength: float) -> str:
    return f"x {strength:g}" if attack == "CW" else f"eps {strength:g}"


def label(attack: str, strength: float, on: str, judge: str, metric: str) -> str:
    """A cell in words: "BIM eps 8 on f, answered by f o A_f: accuracy"."""
    return f"{attack} {strength_text(attack, strength)} on {on}, answered by {judge}: {metric}"


def clean_label(judge: str) -> str:
    return f"clean, answered by {judge}: accuracy"


def clean(judge: str) -> TableCell:
    return TableCell(None, Judge((judge,)), "accuracy", {}, clean_label(judge))


def measured_cells(
    attack: str, made: Mapping[float, Craft], on: str, judge: str, metrics: Iterable[str] = METRICS
) -> list[TableCell]:
    """The metrics of the images of an attack at each strength, answered by a judge."""
    return [
        TableCell(one, Judge((judge,)), metric, {}, label(attack, strength, on, judge, metric))
        for strength, one in made.items()
        for metric in metrics
    ]


def cells_of(pairs: Pairs, scale: Scale, attacks: Iterable[str] = ATTACKS) -> list[TableCell]:
    """The clean accuracy of every judge, and every metric of every attack by pairs of source and judge."""
    told = [clean(judge) for judge in dict.fromkeys(judge for _, judge in pairs)]
    for attack in attacks:
        for on, judge in pairs:
            told += measured_cells(attack, crafts(attack, scale, on), on, judge)
    return told


def curves(pairs: Pairs, scale: Scale, metric: str = "accuracy") -> list[Panel]:
    """A figure for each attack: a metric over the measured dissimilarity, a curve for each pair of source and judge."""
    drawn: list[Panel] = []
    for attack in ATTACKS:
        lines = {}
        for on, judge in pairs:
            points = []
            for strength, one in crafts(attack, scale, on).items():
                pair = [
                    TableCell(one, Judge((judge,)), name, {}, label(attack, strength, on, judge, name))
                    for name in ("dissimilarity", metric)
                ]
                points.append((pair[0], pair[1]))
            first: list[tuple[float | TableCell, TableCell]] = [(0.0, clean(judge))] if metric == "accuracy" else []
            lines[judge if on == judge else f"{judge}, made on {on}"] = [*first, *points]
        drawn.append(Sweep(attack, "normalised L2 dissimilarity", metric, lines))
    return drawn


def above(attack: str, first: tuple[str, str], second: tuple[str, str], metric: str = "accuracy") -> CurveAbove:
    """The curve of one pair of source and judge above that of another, at equal dissimilarity."""

    def points(pair: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        on, judge = pair
        return tuple(
            (label(attack, s, on, judge, "dissimilarity"), label(attack, s, on, judge, metric))
            for s in (SCALES if attack == "CW" else EPS)
        )

    names = (f"{attack}: {judge} (made on {on})" for on, judge in (first, second))
    return CurveAbove(next(names), next(names), points(first), points(second))


def experiment(
    name: str,
    title: str,
    cells: Callable[[Scale], Sequence[TableCell]],
    *,
    panels: Callable[[Scale], Sequence[Panel]] | None = None,
    printed: str | None = None,
    claims: tuple[Claim, ...] = (),
    notes: tuple[str, ...] = (),
    scales: tuple[str, ...] = tuple(BASES),
    images: Mapping[str, int] | None = None,
    minutes: float = 20,
    roles: Callable[[str], Mapping[str, str]] = lambda name: {},
) -> Experiment:
    """An experiment of the paper, `s2snet-NAME`.

    Args:
        name: "fig4", "table1"; "adaptive" is beyond the paper.
        title: Of its page.
        cells: Numbers at a scale.
        panels: Figures at a scale.
        printed: The packaged printed values.
        claims: What the text says.
        notes: Beside those of the paper.
        scales: The scales.
        images: How many are attacked where it is fewer than the base has, by scale.
        minutes: Of scale small.
        roles: Further networks by the name of a scale.
    """
    made = {}
    for scale in scales:
        base, fewer = BASES[scale], (images or {}).get(scale, BASES[scale].scale.images)
        made[scale] = replace(
            base.scale,
            models={**base.scale.models, **roles(scale)},
            defended=base.defended,
            images=fewer,
            minutes=minutes if scale.startswith("small") else base.scale.minutes,
        )
    return Experiment(
        f"s2snet-{name}",
        title,
        SOURCE,
        cells,
        made,
        printed,
        50_000,
        AMBIGUOUS,
        (*NOTES, *notes),
        panels=panels,
        claims=claims,
    )
