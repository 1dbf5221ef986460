"""Declarations that an experiment is made of: the cells of a printed table, and at each scale the data and the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vauban.attacks.parts.fitter import Fitter
from vauban.core.cards import Path as Path
from vauban.defences.autoencoders.autoencoder import AutoEncoderFitter
from vauban.defences.fitter import DefenceFitter
from vauban.engine import Attack
from vauban.metrics import network_registry
from vauban.metrics import registry as pair_metrics
from vauban.threats.base import Threat
from vauban.training.run import TrainingRun

Setting = Literal["same", "stand-in"]
RATES = ("accuracy", "targeted_success_rate", "misclassification_rate", "fooled_or_rejected", "target_confidence")
"""Means over all images. A judge that rejects an image has not misclassified it: `fooled_or_rejected` counts both."""
MAD_SHARES = ("MAD_lower", "MAD_tie", "MAD_higher")
"""Shares of the images that two runs both fool, see ATTAINED; the three sum to one."""
ATTAINED = ("P_suc", "relative_accuracy", "P_upp", "D_avg_L2", "D_median_L2", "MAD_avg", *MAD_SHARES, "roughness_avg")
"""Over the N images that the judge labels right before the attack; an image counts as fooled by the nearest success.

P_suc = N_suc / N, the newly misclassified share of the judge's own N. relative_accuracy = 1 - P_suc: accuracy after the
attack over accuracy before it, where no image that was wrong becomes right. P_upp = P(D_upp), the share fooled within L2
distance D_upp = `TableCell.at`: (3.2) of H. Zhang's thesis (Deep learning in adversarial context, Rennes 2021).
D_avg_L2: mean L2 distance of the successes alone, (3.1).
D_median_L2: median over all N, failures infinite. MAD_avg, roughness_avg: mean of `vauban.metrics` 'mad', 'roughness' over
the successes. MAD_lower, MAD_tie, MAD_higher compare two runs: among the images that the craft and the one of
`TableCell.also` both fool, the shares on which the craft's MAD is lower, exactly the same (0 and 0, mostly), and higher.
"""
METRICS = RATES + ATTAINED
MEASURES: Mapping[str, str] = {"MAD_avg": "mad", **dict.fromkeys(MAD_SHARES, "mad"), "roughness_avg": "roughness"}
"""Metrics that rest on a metric of `vauban.metrics`, and its name there."""


def of_network(metric: str) -> bool:
    """Whether a metric of a cell is one of a network, in `metrics.network_registry`."""
    return metric.partition(":")[0] in network_registry.names()


def of_pair(metric: str) -> bool:
    """Whether a metric of a cell is one of `metrics.registry`, between an original and the saved image."""
    return metric in pair_metrics.names()


@dataclass(frozen=True)
class WeightedNetwork:
    """One weighted source of an attack: the network in the role `network` behind `path`, outermost part first.

    bpda: what is differentiated in place of what is not differentiable: what the cards on the way prescribe, those inside
    the network included; the identity for those of the path; or nothing but the operations themselves.
    """

    network: str
    path: tuple[Path, ...] = ()
    weight: float = 1.0
    bpda: Literal["card", "identity", "none"] = "card"


@dataclass(frozen=True)
class FitOnUse:
    """An attack that is fitted on first use and kept in `OUT/fitted`: on all images of `data`, none of which is attacked,
    through the same networks and the same grid as the images are then crafted."""

    fitter: Fitter
    data: str


@dataclass(frozen=True)
class Craft:
    """One set of adversarial images: `attack` on the weighted sum of the losses of `through`.

    targeted: toward the target of each image, else away from its label. draws: samples per gradient (EOT). clip: the final
    image is clipped to x +- clip before it is saved. mask: the name of a rule of `vauban.reproduce.masks`. grid: pixel
    levels that the images of every query are rounded to, None while attacking unrounded. keep: what is saved, the last
    iterate or the attack's own choice (nearest or first success). saved: as 8-bit PNG, or the float32 image as it is.
    budget: forward passes per image at most; None: no bound. threat: who attacks the one network of `through`, and trains
    or learns something before; None: somebody who has the gradients of all of `through`.
    """

    attack: Attack | FitOnUse
    through: tuple[WeightedNetwork, ...]
    targeted: bool = True
    draws: int = 1
    clip: float | None = None
    mask: str | None = None
    grid: int | None = None
    keep: Literal["last", "best"] = "last"
    saved: Literal["png", "float"] = "png"
    budget: int | None = None
    threat: Threat | None = None


@dataclass(frozen=True)
class Judge:
    """Who judges the saved images: one role, or several that vote, each behind `path`, the defence that is deployed.

    rule: plurality of labels with ties by summed probability, or the mean of the probabilities.
    """

    networks: tuple[str, ...]
    path: tuple[Path, ...] = ()
    rule: Literal["plurality", "mean"] = "plurality"


@dataclass(frozen=True)
class Evaluation:
    """What `vauban evaluate` says of a judge's network: a study of one attack under several threats.

    threats: those of the study; auto becomes a threat for each way that it finds.
    """

    attack: Attack
    threats: tuple[Threat, ...]


@dataclass(frozen=True)
class TableCell:
    """One number of a table. craft None: the clean images.

    metric: one of METRICS; or a metric of a network (`loss-sensitivity`, `training-set-distance:data=mnist/train`) or of a
    pair (`dissimilarity`, `linf`): its mean over the images that have a value. A network is that of the judge, which is
    then one behind no path.
    key: columns of the printed row that stands beside it, {} with a label for a cell that the paper does not have.
    also: further runs (the radii of an attack inside a ball): for the metrics of ATTAINED, the nearest success of an image
    among all runs counts. at: the distance of P_upp. study: an evaluation in the place of a craft, for a metric of RATES;
    an image then counts by the worst case over its threats. within: the threats that count, by name; empty: all.
    """

    craft: Craft | None
    judge: Judge
    metric: str
    key: Mapping[str, str]
    label: str = ""
    also: tuple[Craft, ...] = ()
    at: float | None = None
    study: Evaluation | None = None
    within: tuple[str, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """The networks that the cell needs, each once: those of its judge, then those that its runs attack."""
        crafts = [craft for craft in (self.craft, *self.also) if craft is not None]
        sources = [through.network for craft in crafts for through in craft.through]
        return tuple(dict.fromkeys((*self.judge.networks, *sources)))


@dataclass(frozen=True)
class FitterOnUse:
    """A fitter that reads what others have fitted: in `options`, its parameters, a `DefenceOnUse` stands for its file."""

    make: type[DefenceFitter]
    options: tuple[tuple[str, Any], ...]

    @property
    def kind(self) -> str:
        return self.make.kind

    def without_files(self) -> DefenceFitter | None:
        """The fitter that reads no other fit, for random weights; None for a kind that has none."""
        if not issubclass(self.make, AutoEncoderFitter):
            return None
        return self.make(**{name: value for name, value in self.options if not isinstance(value, DefenceOnUse)})

    def __str__(self) -> str:
        return f"{self.make.__name__}({', '.join(f'{name}={value}' for name, value in self.options)})"


@dataclass(frozen=True)
class DefenceOnUse:
    """A defence that is fitted on first use and kept in `OUT/fitted`: on all images of `data`, none of which is attacked,
    and on the undefended network of its role.

    options: parameters of the defence beside its file; a `DefenceOnUse` stands for the file that it is kept in.
    """

    fitter: DefenceFitter | FitterOnUse
    data: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        given = "".join(f",{name}={value}" for name, value in self.options)
        return f"{self.fitter.kind}:file=...{given}, fitted by {self.fitter} on {self.data}"


@dataclass(frozen=True)
class DefendedRole:
    """A role that is the network of another one behind `parts`, the first of which an image meets first."""

    network: str
    parts: tuple[DefenceOnUse | Path, ...]

    def __str__(self) -> str:
        parts = " + ".join(str(part) if isinstance(part, DefenceOnUse) else part.name for part in self.parts)
        return f"{self.network} behind {parts}"


@dataclass(frozen=True)
class Scale:
    """How much of an experiment is run, on which data, with which network in each role.

    models: specs by role; `{weights}` in a spec is the folder of the packaged weights, `{data}` the data root. minutes:
    expected, on two CPU cores. recipes: networks of further roles, trained on first use
    and kept in `OUT/networks`; `start` of one is a role. training_seeds: every recipe is trained with each of them, and a
    number that rests on one has a value for each; empty: once, with its own seed. keys: for each training seed the key by
    name that `{key}` stands for in what a recipe is trained behind; empty: `public:SEED`. defended: networks of further
    roles, behind defences that are fitted on first use; not together with training seeds.
    setting: "same" as in the paper, or "stand-in" for other data or networks, which `note` names.
    """

    data: str
    models: Mapping[str, str]
    images: int
    seeds: tuple[int, ...]
    minutes: float
    setting: Setting
    note: str
    recipes: Mapping[str, TrainingRun] = field(default_factory=dict)
    training_seeds: tuple[int, ...] = ()
    keys: tuple[str, ...] = ()
    defended: Mapping[str, DefendedRole] = field(default_factory=dict)
