"""Beyond the papers: what is found of broken defences without a card, beside the best attack known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vauban.attacks.blackbox.square import Square
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.standard import Standard
from vauban.core.cards import Path
from vauban.core.losses import margin
from vauban.engine import Attack
from vauban.reproduce.benchmark import Benchmark, Standing
from vauban.reproduce.declarations import Craft, Evaluation, Judge, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.broken.entries import entries
from vauban.reproduce.papers.broken.networks import SCALES, SMOKE
from vauban.reproduce.papers.broken.setting import SOUND, Examined, Unwrapped
from vauban.reproduce.registry import register
from vauban.threats.access import WhiteBox
from vauban.threats.adaptive import Adaptive
from vauban.threats.auto import Auto

SOURCE = "The papers of its entries; N. Carlini et al., On evaluating adversarial robustness, 2019 (arXiv:1902.06705)"
WHITE_BOX = "white-box"


def small(scale: Scale) -> bool:
    """Whether only the code is tried."""
    return scale.data == SMOKE.data


def battery(entry: Examined, scale: Scale) -> Attack:
    """The battery, shorter than it is by default."""
    if small(scale):
        return Standard(entry.ball, steps=2, n_target=1, queries=5, blind_queries=5)
    full = scale.images >= 500
    if full:
        return Standard(entry.ball)
    return Standard(entry.ball, steps=20, n_target=3, queries=300, blind_queries=1000)


def by_hand(entry: Examined, scale: Scale) -> list[Craft]:
    """The attacks that somebody who knows the defence writes: one for each source, and one by scores."""
    steps, queries = (2, 5) if small(scale) else (40, 1000)
    attack = PGD(entry.ball, steps=steps, loss=margin)
    made = [
        Craft(attack, source, False, draws=entry.draws if source[0].path else 1)
        for source in entry.sources or ((WeightedNetwork(entry.role),),)
    ]
    if entry.asked and entry.defended:
        path = () if entry.defence is None else (entry.defence,)
        source = WeightedNetwork(entry.role, path, bpda="none")
        made.append(Craft(Square(entry.ball, queries), (source,), False, grid=256, keep="best"))
    return made


def standing(entry: Examined, scale: Scale) -> Standing:
    """The cells of an entry."""
    path: tuple[Path, ...] = () if entry.defence is None else (entry.defence,)
    plain: tuple[Path, ...] = (Unwrapped(entry.defence),) if entry.defended else ()
    judge, attack = Judge((entry.role,), path), battery(entry, scale)

    def number(what: str, judge: Judge = judge, craft: Craft | None = None) -> TableCell:
        return TableCell(craft, judge, "accuracy", {}, f"{entry.name}: {what}")

    seen = replace(
        number("white-box and auto", Judge((entry.role,), plain)), study=Evaluation(attack, (WhiteBox(), Auto()))
    )
    adaptive = replace(number("adaptive"), study=Evaluation(attack, (Adaptive(),)))
    return Standing(
        entry.name,
        entry.mechanism,
        "" if entry.claim is None else f"{entry.claim.by}: {entry.claim}",
        f"{entry.ball.norm.name} {float(entry.ball.radius):g}",
        entry.inside,
        entry.mechanism == SOUND,
        number("clean images"),
        tuple(number(f"by hand, {place}", craft=craft) for place, craft in enumerate(by_hand(entry, scale), 1)),
        replace(seen, label=f"{entry.name}: white-box", within=(WHITE_BOX,)),
        seen,
        adaptive if entry.carded else None,
    )


def standings(scale: Scale) -> list[Standing]:
    return [standing(entry, scale) for entry in entries(scale)]


def cells(scale: Scale) -> list[TableCell]:
    """For each entry its clean accuracy, that under the attacks by hand, under white-box, auto, adaptive."""
    return [cell for one in standings(scale) for cell in one.cells]


def panels(scale: Scale) -> Sequence[Panel]:
    return [Benchmark("What an evaluation without cards finds", tuple(standings(scale)))]


@register("broken")
def broken() -> Experiment:
    """Defences that were broken in the literature, without their cards."""
    return Experiment(
        "broken",
        "Beyond the papers: broken defences, without a card",
        SOURCE,
        cells,
        SCALES,
        None,
        notes=(
            "Defences stand in front of networks that were not trained behind them, and are smaller than those of their "
            "papers: a number here is about this construction, not about a paper's network.",
            "An entry is called broken only where the budget lies inside its paper's claim, in the paper's norm and, on "
            "MNIST, radius; else it is 'outside its claim', which is no word against the paper.",
            "The best attack known is the worst case, per image, over the attacks written by hand: PGD with 40 steps on "
            "the margin through the bare network and through what is differentiated in place of the defence, averaged over "
            "draws where it is random, and Square with 1000 queries; and over the adaptive attack by the card.",
            "Thresholds of the probes were set on sound networks alone, never on an entry of this table: leaving a "
            "mechanism out of their calibration changes nothing.",
        ),
        panels=panels,
    )
