"""The networks of the chapter and their stand-ins, their layers by the chapter's numbers, and codebooks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vauban.defences.features.patch_fitter import FitPatches
from vauban.defences.features.patches import Patches
from vauban.defences.features.strategies import Strategy
from vauban.reproduce.declarations import DefenceOnUse, DefendedRole, Scale
from vauban.reproduce.papers import stand_ins
from vauban.reproduce.papers.stand_ins import C4

RESNET = "timm:name=resnet50.tv_in1k,pretrained=true"
ROBUST = "robust"


@dataclass(frozen=True)
class Base:
    """A network of a scale, and what codebooks for it are learned from.

    Attributes:
        scale: Without defended roles.
        layers: Names of layers by the chapter's numbers; layer 1 is the output of the first convolution, raw.
        fitted_on: Clean images, none of which is attacked.
        attackers: Other clean images, of which an attacker learns codebooks of his own.
        sample: Places sampled, of which numbers of codewords are shares.
        mapped: The last layer whose maps are larger than one pixel, of which pixel deflection makes its map.
        iterations: Of k-means.
    """

    scale: Scale
    layers: Mapping[str, str]
    fitted_on: str
    attackers: str
    sample: int
    mapped: str
    iterations: int = 10


BRANCHED_LAYERS = {"0": "image", "1": "0.0", "4": "1", "7": "3"}
BASES: Mapping[str, Base] = {
    "smoke": Base(
        Scale(
            "colours/test:n=600[172:303:130]",
            {"network": stand_ins.BRANCHED, ROBUST: stand_ins.RESIDUAL},
            2,
            (0,),
            0.2,
            "stand-in",
            "two made-up images, attacks of 2 steps and codebooks of a few images: a trial of the code",
        ),
        {"0": "image", "1": "0.0"},
        "colours/train:n=4",
        "colours/train:n=8[4:]",
        400,
        "5",
        1,
    ),
    "small": Base(
        Scale(
            "cifar10/test[::20]",
            {"network": stand_ins.BRANCHED, ROBUST: stand_ins.RESIDUAL},
            500,
            (0,),
            8,
            "stand-in",
            "small-branched (0.2 million parameters) on 500 CIFAR-10 test images in place of ResNet-50 on 1000 of "
            "ImageNet; codebooks from 2000 training images, 10 000 places",
        ),
        BRANCHED_LAYERS,
        "cifar10/train[::25]",
        "cifar10/train[1::25]",
        10_000,
        "5",
        5,
    ),
    "small-mnist": Base(
        Scale(
            "mnist/test[::20]",
            {},
            500,
            (0,),
            10,
            "stand-in",
            "C4 on 500 MNIST test images in place of ResNet-50 on 1000 of ImageNet; codebooks from 2000 training images, "
            "10 000 places",
            recipes={"network": C4},
        ),
        {"0": "image", "1": "0", "4": "2"},
        "mnist/train[::30]",
        "mnist/train[1::30]",
        10_000,
        "3",
        5,
    ),
    "small-imagenet": Base(
        Scale(
            "imagenet/val1000:crop=227[::20]",
            {"network": stand_ins.SQUEEZENET},
            50,
            (0,),
            30,
            "stand-in",
            "SqueezeNet 1.0 on 50 ImageNet validation images in place of ResNet-50 on 1000, the thesis's protocol alone; "
            "codebooks from 50 other validation images, 10 000 places",
        ),
        {"0": "image", "1": "module.features.0", "4": "module.features.3", "7": "module.features.4"},
        "imagenet/val1000[10:1000:20]:crop=227",
        "imagenet/val1000[5:1000:20]:crop=227",
        10_000,
        "module.features",
        5,
    ),
    "paper": Base(
        Scale(
            "imagenet/val1000:crop=224",
            {
                "network": RESNET,
                ROBUST: "torchvision:name=resnet50,weights={data}/imagenet/resnet50-linf-8.safetensors",
            },
            1000,
            (0,),
            6000,
            "same",
            "timm's ResNet-50 with torchvision's weights; 50 training images of each class for codebooks",
        ),
        {"0": "image", "1": "module.conv1", "4": "module.layer1.0", "7": "module.layer1.1", "10": "module.layer1.2"},
        "imagenet/train:crop=224",
        "imagenet/val:crop=224",
        785_568,
        "module.layer4",
        25,
    ),
}


@dataclass(frozen=True)
class PatchedLayer:
    """Patch replacement in one layer.

    Attributes:
        layer: By the chapter's number.
        share: K as a share of the places sampled, as the chapter's numbers are (3927 is 0.5 %).
        depth: d.
        strategy, epsilon: As of `Patches`.
        step: 1 overlaps, 3 does not.
        lattice: In the place of a codebook, the scale of E8.
        backward: What BPDA differentiates.
        universal: One codebook for all slices.
        attackers: Learned from the attacker's own images.
    """

    layer: str
    share: float = 0.005
    depth: int = 1
    strategy: Strategy = "plain"
    epsilon: float = 0.0
    step: int = 1
    lattice: float | None = None
    backward: str = "identity"
    universal: bool = False
    attackers: bool = False

    @property
    def text(self) -> str:
        """What roles and labels call it."""
        source = f"K {self.share * 100:g} %, d {self.depth}" if self.lattice is None else f"E8 scale {self.lattice:g}"
        source += (", universal" if self.universal else "") + (", attacker's" if self.attackers else "")
        strategy = self.strategy if self.strategy == "plain" else f"{self.strategy} {self.epsilon:g}"
        more = ("" if self.step == 1 else ", no overlap") + (
            "" if self.backward == "identity" else f", {self.backward}"
        )
        return f"layer {self.layer}: {source}, {strategy}{more}"

    def on(self, base: Base) -> DefenceOnUse | Patches:
        """The defence of a base's network."""
        layer = base.layers[self.layer]
        options: dict[str, Any] = {"strategy": self.strategy, "epsilon": self.epsilon, "backward": self.backward}
        if self.lattice is not None:
            return Patches(layer=layer, lattice=self.lattice, **options)
        fitter = FitPatches(
            layer=layer,
            depth=self.depth,
            share=self.share,
            sample=base.sample,
            iterations=base.iterations,
            universal=self.universal,
        )
        learned_on = base.attackers if self.attackers else base.fitted_on
        return DefenceOnUse(fitter, learned_on, tuple({**options, "step": self.step}.items()))


Parts = tuple[PatchedLayer, ...]


def role_of(parts: Parts) -> str:
    """The role of the network behind parts."""
    return " + ".join(part.text for part in parts)


def base_of(scale: Scale) -> Base:
    """The base that a scale was made of."""
    return next(base for base in BASES.values() if (base.scale.data, base.scale.models) == (scale.data, scale.models))


def inner_layers(scale: Scale) -> dict[str, str]:
    """Names in the network by the chapter's numbers, the logits last."""
    return {**{n: name for n, name in base_of(scale).layers.items() if name != "image"}, "logits": ""}


def scales(
    parts: Callable[[Base], list[Parts]],
    names: tuple[str, ...] = tuple(BASES),
    images: Mapping[str, int] | None = None,
    minutes: Mapping[str, float] | None = None,
) -> dict[str, Scale]:
    """The scales with the network behind each of the parts that an experiment asks for.

    Args:
        parts: Of a base, each the parts of one role.
        names: The scales.
        images: How many are attacked where it is fewer, by scale.
        minutes: What it takes where it is more, by scale.
    """
    made = {}
    for name in names:
        base = BASES[name]
        roles = {role_of(some): DefendedRole("network", tuple(part.on(base) for part in some)) for some in parts(base)}
        attacked, lasts = (images or {}).get(name, base.scale.images), (minutes or {}).get(name, base.scale.minutes)
        made[name] = replace(base.scale, defended=roles, images=attacked, minutes=lasts)
    return made


FIRST = PatchedLayer("0", 0.005, 1, "linf", 0.17)
"""The image in the final setting: spec (g)1 reads 71.7 / 64.5 as this strategy."""
FIRST_PLAIN = PatchedLayer("0", 0.005, 1)
SECOND = PatchedLayer("1", 0.4, 4, "linf", 0.01)
FINAL: Mapping[str, Parts] = {
    "patch replacement": (FIRST, SECOND),
    "patch replacement, image plain": (FIRST_PLAIN, SECOND),
}
"""The final setting in both readings, the likelier first."""
RULED: Mapping[str, Parts] = {
    name: tuple(replace(part, backward=rule) for part in FINAL["patch replacement"])
    for name, rule in (("soft assignment", "soft"), ("derivatives of the strategies", "own"))
}
"""The final setting with other rules of BPDA: a soft assignment of codewords, the strategies' own derivatives."""
