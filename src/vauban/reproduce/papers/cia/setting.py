"""Shared by the tables of the paper: five networks, their stand-ins, the settings of the attack, a cell per printed row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from vauban.attacks.fixed_budget.cia import CIA
from vauban.core.losses import cross_entropy
from vauban.core.norms import Linf
from vauban.defences.inputs.jpeg import JPEG
from vauban.defences.inputs.mean_filter import MeanFilter
from vauban.reproduce.declarations import Craft, Judge, Path, Scale, TableCell, WeightedNetwork
from vauban.reproduce.experiment import Ambiguity
from vauban.reproduce.papers import stand_ins
from vauban.reproduce.printed import rows_of

SOURCE = "Clipping Free Attacks Against Neural Networks, under review at ICLR 2018"
NETWORKS = ("IncV3_a", "IncV4", "IncRes_a", "IncV3_b", "IncRes_b")
VOTE = (
    Ambiguity(
        "the vote's rule and its ties are not stated; plurality with ties by summed probability is used",
        {"network": "^Vote$"},
    ),
)
FILTER = MeanFilter(size=3, border="edge")

STAND_INS = {
    "IncV3_a": stand_ins.BRANCHED,
    "IncV4": stand_ins.SEPARABLE,
    "IncRes_a": stand_ins.DENSE,
    "IncV3_b": stand_ins.PLAIN,
    "IncRes_b": stand_ins.RESIDUAL,
}
"""Five architectures on CIFAR-10, the last two adversarially trained as the paper's IncV3_b and IncRes_b are."""

ORIGINALS = {
    "IncV3_a": stand_ins.INCEPTION_V3,
    "IncV4": "timm:name=inception_v4.tf_in1k,pretrained=true",
    "IncRes_a": "timm:name=inception_resnet_v2.tf_in1k,pretrained=true",
    "IncV3_b": stand_ins.INCEPTION_V3_ADVERSARIAL,
    "IncRes_b": "timm:name=inception_resnet_v2.tf_ens_adv_in1k,pretrained=true",
}

Row = Mapping[str, str]


def five(small: float, paper: float) -> dict[str, Scale]:
    """Scales of a table over all five networks.

    Args:
        small: minutes at scale small on two cores, as measured.
        paper: minutes at scale paper, estimated from the networks' sizes (5.7 to 13 billion multiplications a pass).
    """
    return {
        "smoke": Scale(
            "colours/test[:6]", STAND_INS, 6, (0,), 0.5, "stand-in", "six made-up images: a trial of the code"
        ),
        "small": Scale(
            "cifar10/test",
            STAND_INS,
            1000,
            (0,),
            small,
            "stand-in",
            "five small networks of different architecture on CIFAR-10, two of them adversarially trained, in place of "
            "five ImageNet networks, 8 epochs each; 32x32 images; targets drawn uniformly among the wrong classes",
        ),
        "paper": Scale(
            "nips2017/dev",
            ORIGINALS,
            1000,
            (0,),
            paper,
            "same",
            "the original architectures with timm's weights on the NIPS 2017 development set and its targets",
        ),
    }


def single(small: float, paper: float, cifar: float = 3) -> dict[str, Scale]:
    """Scales of a table over IncV3_a alone: SqueezeNet on ImageNet images stands in, at scale cifar a small network.

    Args:
        small: minutes at scale small on two cores.
        paper: minutes at scale paper.
        cifar: minutes at scale cifar.
    """
    over_five = five(cifar, paper)
    return {
        "smoke": over_five["smoke"],
        "small": Scale(
            "imagenet/val1000:crop=227",
            {"IncV3_a": stand_ins.SQUEEZENET},
            1000,
            (0,),
            small,
            "stand-in",
            "SqueezeNet 1.0 (62.7 % of these images right) in place of Inception v3; one image of each ImageNet class; "
            "targets drawn uniformly among the wrong classes",
        ),
        "cifar": over_five["small"],
        "paper": over_five["paper"],
    }


def thorough(scale: Scale) -> bool:
    """Whether runs of 100 iterations are affordable: on small networks, and where hours are (scale paper)."""
    return scale.data.startswith(("cifar10", "nips2017"))


def cia(delta: float, steps: int = 20, **options: object) -> CIA:
    """CIA with the paper's settings: Adam(0.2, 0.1, 0.6), 20 iterations, cross-entropy.

    Args:
        delta: the paper's Delta, in 1/255 of the pixel range.
        steps: iterations.
        **options: further parameters of the attack.
    """
    return CIA(Linf(delta / 255), steps=steps, loss=cross_entropy, **options)  # type: ignore[arg-type]


def through(networks: Sequence[str], *path: Path, weight: float = 1.0) -> tuple[WeightedNetwork, ...]:
    """The networks as equally weighted sources, each behind the path."""
    return tuple(WeightedNetwork(network, path, weight) for network in networks)


def hybrid(networks: Sequence[str], a: float = 1.0, b: float = 1.0) -> tuple[WeightedNetwork, ...]:
    """Equations (5) and (6): every network without the filter at weight a, and behind it at weight b."""
    return through(networks, weight=a) + through(networks, FILTER, weight=b)


def on(name: str, path: tuple[Path, ...] = ()) -> Judge:
    """The judge of a printed column: a network, or the vote of all five."""
    return Judge(NETWORKS if name.lower().startswith("vote") else (name,), path)


def filter_deployed(row: Row) -> tuple[Path, ...]:
    """The mean filter where a printed row's defence column names it."""
    return (FILTER,) if row["defence"].startswith("3x3 mean filter") else ()


def jpeg_deployed(row: Row) -> tuple[Path, ...]:
    """JPEG at the quality that a printed row's defence column names."""
    quality = re.search(r"Q=(\d+)", row["defence"])
    return (JPEG(int(quality[1])),) if quality else ()


def printed_cells(
    csv: str, craft: Callable[[Row], Craft | None], deployed: Callable[[Row], tuple[Path, ...]] = filter_deployed
) -> list[TableCell]:
    """One cell for every printed row of a table.

    Args:
        csv: the packaged table.
        craft: from a row to its adversarial images, None for the clean ones.
        deployed: from a row to what stands in front of every judge.
    """
    cells = []
    for row in rows_of(csv):
        delta = f"Δ={row['delta_255']}, " if row["delta_255"] else ""
        defence = "" if row["defence"] == "none" else f", {row['defence']}"
        metric = row["metric"].replace("_", " ")
        goal = "untargeted, " if row["attack"].endswith("untargeted") else ""
        label = f"{delta}{goal}{row['network']}: {metric}{defence}"
        cells.append(TableCell(craft(row), on(row["network"], deployed(row)), row["metric"], row, label))
    return cells


def both_rates(craft: Craft, judge: Judge, label: str) -> list[TableCell]:
    """A cell beyond the paper for each of the two rates; an untargeted craft has no rate of targeted success."""
    return [
        TableCell(craft, judge, metric, {}, f"{label}: {metric.replace('_', ' ')}")
        for metric in ("targeted_success_rate", "misclassification_rate")
        if craft.targeted or metric == "misclassification_rate"
    ]


def present(cells: Sequence[TableCell], scale: Scale) -> list[TableCell]:
    """The cells whose networks the scale has."""
    return [cell for cell in cells if networks_of(cell) <= set(scale.models)]


def networks_of(cell: TableCell) -> set[str]:
    """The networks that a cell attacks or asks."""
    sources = {source.network for source in cell.craft.through} if cell.craft else set()
    return sources | set(cell.judge.networks)
