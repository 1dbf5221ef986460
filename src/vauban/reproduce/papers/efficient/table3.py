"""Table 3: local sensitivity of the loss of each defence."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.experiment import Experiment
from vauban.reproduce.papers.efficient.networks import PAPER
from vauban.reproduce.papers.efficient.scales import names_of, variant_scales
from vauban.reproduce.papers.efficient.setting import AMBIGUOUS, NOTES, SOURCE
from vauban.reproduce.registry import register


def label(name: str) -> str:
    return f"{name}: loss sensitivity"


CLAIMS = (
    Claim(
        "Gaussian augmentation with ReLU gives the smoothest network",
        "section 4.4",
        tuple(Larger(label(other), label("GDA+RELU")) for other in PAPER if other != "GDA+RELU"),
    ),
    Claim(
        "Squeezing and label smoothing induce higher gradients than the CNN has",
        "section 4.4",
        tuple(Larger(label(name), label("CNN")) for name in ("FS", "LS")),
    ),
)


def cells(scale: Scale) -> list[TableCell]:
    """The loss sensitivity of each variant on clean images."""
    return [TableCell(None, Judge((name,)), "loss-sensitivity", {}, label(name)) for name in names_of(scale)]


def table3(data: str, title: str) -> Experiment:
    """The experiment on one of the two data sets."""
    return Experiment(
        f"efficient-3-{data}",
        f"Table 3: local loss sensitivity of the defences, {title}",
        SOURCE,
        cells,
        variant_scales(data, 0.1),
        None,
        printed_n=10000,
        ambiguous=AMBIGUOUS,
        notes=(
            *NOTES,
            "The numbers of Table 3 and its data set are lost; what the text says of them is answered on both data sets.",
            "That AT, VAT and GDA+BRELU are 'close to' the CNN has no number to be held against.",
        ),
        claims=CLAIMS,
    )


@register("efficient-3-mnist")
def table3_mnist() -> Experiment:
    """Loss sensitivity of the defences, MNIST."""
    return table3("mnist", "MNIST")


@register("efficient-3-cifar10")
def table3_cifar10() -> Experiment:
    """Loss sensitivity of the defences, CIFAR-10."""
    return table3("cifar10", "CIFAR-10")
