"""What an experiment is: the cells of a printed table, and at each scale the data and networks they are measured on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vauban.core.cards import Path as Path
from vauban.engine import Attack

Setting = Literal["same", "stand-in"]
METRICS = ("accuracy", "targeted_success_rate", "misclassification_rate", "target_confidence")


@dataclass(frozen=True)
class Through:
    """One weighted source of an attack: the network in the role `network` behind `path`, outermost part first.

    bpda: what is differentiated in place of parts of the path that are not differentiable: what their cards prescribe, or
    the identity.
    """

    network: str
    path: tuple[Path, ...] = ()
    weight: float = 1.0
    bpda: Literal["card", "identity"] = "card"


@dataclass(frozen=True)
class Craft:
    """One set of adversarial images: `attack` on the weighted sum of the losses of `through`.

    targeted: toward the target of each image, else away from its label. draws: samples per gradient (EOT). clip: the final
    image is clipped to x +- clip before it is saved. mask: the name of a rule of `vauban.experiments.masks`.
    """

    attack: Attack
    through: tuple[Through, ...]
    targeted: bool = True
    draws: int = 1
    clip: float | None = None
    mask: str | None = None


@dataclass(frozen=True)
class Judge:
    """Who judges the saved images: one role, or several that vote, each behind `path`, the defence that is deployed.

    rule: plurality of labels with ties by summed probability, or the mean of the probabilities.
    """

    networks: tuple[str, ...]
    path: tuple[Path, ...] = ()
    rule: Literal["plurality", "mean"] = "plurality"


@dataclass(frozen=True)
class Cell:
    """One number of a table. craft None: the clean images. metric: one of METRICS.

    key: columns of the printed row that stands beside it, {} with a label for a cell that the paper does not have.
    """

    craft: Craft | None
    judge: Judge
    metric: str
    key: Mapping[str, str]
    label: str = ""


@dataclass(frozen=True)
class Scale:
    """How much of an experiment is run, on which data, with which network in each role.

    models: specs by role; `{weights}` in a spec is the folder of the packaged weights, `{data}` the data root. minutes:
    expected, on two CPU cores.
    setting: "same" as in the paper, or "stand-in" for other data or networks, which `note` names.
    """

    data: str
    models: Mapping[str, str]
    images: int
    seeds: tuple[int, ...]
    minutes: float
    setting: Setting
    note: str


@dataclass(frozen=True)
class Experiment:
    """A table or figure of a paper. printed: the CSV with the printed values, packaged or a path; printed_n: their
    sample size.

    ambiguous: what the text leaves open that bears on the numbers, "" for nothing. `cells` may depend on the scale.
    """

    id: str
    title: str
    source: str
    cells: Callable[[Scale], Sequence[Cell]]
    scales: Mapping[str, Scale]
    printed: str | None
    printed_n: int = 1000
    ambiguous: str = ""
    notes: tuple[str, ...] = ()
