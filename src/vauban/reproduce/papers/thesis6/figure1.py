"""Figure 6.1: how far DDN's change and noise move every layer, and the entropy of the answers."""

from __future__ import annotations

from vauban.attacks.fixed_budget.random_noise import RandomNoise
from vauban.core.norms import L2
from vauban.reproduce.claims import Claim, Larger
from vauban.reproduce.declarations import Judge, Scale, TableCell
from vauban.reproduce.figures import Panel, Sweep
from vauban.reproduce.papers.thesis6.attacks import Runs, craft, runs
from vauban.reproduce.papers.thesis6.networks import Base, Parts, base_of
from vauban.reproduce.papers.thesis6.setting import register_experiment

SIGMA = 0.05
"""Of the noise, in pixels of [0,1]: the printed variance 0.05 on them would hurt far more than the printed accuracy."""
SIDES = {"colours": 3 * 32**2, "cifar10": 3 * 32**2, "mnist": 28**2, "imagenet/val1000:crop=227": 3 * 227**2}
"""Components of an image by the data's name, the longest name that fits; else those of 224 pixels."""
KINDS = ("DDN", "noise")


def components(scale: Scale) -> int:
    return next((n for name, n in SIDES.items() if scale.data.startswith(name)), 3 * 224**2)


def made(kind: str, scale: Scale) -> Runs:
    """Images of DDN, or with Gaussian noise of the length that it has in the mean."""
    if kind == "DDN":
        return runs("DDN", scale)
    return (craft(RandomNoise(L2(SIGMA * components(scale) ** 0.5), steps=1), "network"),)


def layers(scale: Scale) -> dict[str, str]:
    """Names in the network by the chapter's numbers, the logits last."""
    return {**{n: name for n, name in base_of(scale).layers.items() if name != "image"}, "logits": ""}


def label(kind: str, layer: str) -> str:
    return f"{kind}: relative distortion at layer {layer}"


def distortion(kind: str, scale: Scale, layer: str, name: str) -> TableCell:
    metric = f"layer-distortion:layer='{name}'" if name else "layer-distortion"
    return TableCell(made(kind, scale)[0], Judge(("network",)), metric, {}, label(kind, layer))


def cells(scale: Scale) -> list[TableCell]:
    judge = Judge(("network",))
    told = [distortion(kind, scale, layer, name) for kind in KINDS for layer, name in layers(scale).items()]
    for name, run in (("clean", None), *((kind, made(kind, scale)[0]) for kind in KINDS)):
        told.append(TableCell(run, judge, "accuracy", {}, f"{name}: accuracy"))
        told.append(TableCell(run, judge, "prediction-entropy", {}, f"{name}: entropy"))
    return told


def panels(scale: Scale) -> list[Panel]:
    names = list(layers(scale).items())
    curves = {kind: [(float(i), distortion(kind, scale, *at)) for i, at in enumerate(names, 1)] for kind in KINDS}
    shown = ", ".join(f"{i} {layer}" for i, (layer, _) in enumerate(names, 1))
    return [Sweep("Relative distortion", f"layer: {shown}", "distortion", curves)]


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
