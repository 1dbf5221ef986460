"""Figure 6.1: how far DDN's change and noise move every layer, and the entropy of the answers."""

from __future__ import annotations

from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Craft, Judge, Scale, TableCell
from vauban.reproduce.figures import Panel
from vauban.reproduce.papers.thesis6.attacks import noise, runs
from vauban.reproduce.papers.thesis6.networks import Base, Parts, inner_layers
from vauban.reproduce.papers.thesis6.setting import by_layer, register_experiment

KINDS = ("DDN", "noise")


def changed(kind: str, scale: Scale) -> Craft:
    return noise(scale) if kind == "noise" else runs("DDN", scale)[0]


def label(kind: str, layer: str) -> str:
    return f"{kind}: relative distortion at layer {layer}"


def distortion(kind: str, scale: Scale, layer: str, name: str) -> TableCell:
    metric = f"layer-distortion:layer='{name}'" if name else "layer-distortion"
    return TableCell(changed(kind, scale), Judge(("network",)), metric, {}, label(kind, layer))


def cells(scale: Scale) -> list[TableCell]:
    judge = Judge(("network",))
    told = [distortion(kind, scale, layer, name) for kind in KINDS for layer, name in inner_layers(scale).items()]
    for name, run in (("clean", None), *((kind, changed(kind, scale)) for kind in KINDS)):
        told.append(TableCell(run, judge, "accuracy", {}, f"{name}: accuracy"))
        told.append(TableCell(run, judge, "prediction-entropy", {}, f"{name}: entropy"))
    return told


def panels(scale: Scale) -> list[Panel]:
    return [by_layer(KINDS, distortion, scale)]


def settings(base: Base) -> list[Parts]:
    return []


CLAIMS = (
    Claim(
        "Noise moves the first layer more than DDN, and DDN the logits more than noise",
        "section 6.1.1",
        (Larger(label("noise", "1"), label("DDN", "1")), Larger(label("DDN", "logits"), label("noise", "logits"))),
    ),
    Claim(
        "Answers are surer on adversarial images than on clean ones, and less sure on noisy ones",
        "section 6.1.1",
        (Larger("clean: entropy", "DDN: entropy"), Larger("noise: entropy", "clean: entropy")),
    ),
)

register_experiment(
    "fig6.1", "Figure 6.1: distortion of every layer by DDN and by noise", cells, settings, panels=panels, claims=CLAIMS
)
