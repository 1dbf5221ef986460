"""The attacks of the paper, FGSM, BIM and C&W, on a role, images saved on 8 bits; and one on the features of an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from vauban.attacks.fixed_budget.bim import BIM
from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import random_start
from vauban.attacks.minimal.cw_l2 import CW
from vauban.attacks.parts.ball_steps import ascend
from vauban.core.errors import ContractError
from vauban.core.goals import ResolvedGoal
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Ball, Linf
from vauban.core.parameters import Count, Positive
from vauban.core.tensors import where
from vauban.defences.autoencoders.reconstruction import Reconstruction
from vauban.engine import Attack, Oracle, Result, Steps
from vauban.engine.attack import AroundAttack
from vauban.reproduce.declarations import Craft, Scale, WeightedNetwork
from vauban.reproduce.papers.s2snet.networks import base_of

EPS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Of FGSM and BIM, in units of the scale (1/255; 5/255 on MNIST): the printed list is lost."""
SCALES = (0.5, 1.0, 2.0, 4.0)
"""What the perturbation of C&W is multiplied by: the printed "epsilon" of C&W is read so, after Guo et al."""
PRINTED_EPS = 0.05
ATTACKS = ("FGSM", "BIM", "CW")
SHOWN = {"FGSM": 8.0, "BIM": 8.0, "CW": 1.0}
"""The strength at scale smoke, and of pictures."""


@dataclass(frozen=True)
class Scaled(AroundAttack):
    """x0 + factor (x - x0), x what an attack hands over, clipped to [0,1].

    Attributes:
        attack: The attack.
        factor: Of its perturbation.
    """

    attack: Attack
    factor: Positive = 1.0

    def run(self, oracle: Oracle) -> Result:
        result, x0 = self.attack.run(oracle), oracle.domain.x0
        image = where(result.success, result.adversarial, result.crafted)
        crafted: Tensor = (x0 + self.factor * (image - x0)).clamp(0, 1)
        rate = oracle.check(crafted)
        adversarial = where(rate > 0.5, crafted, x0)
        distance = where(rate > 0.5, self.norm.size(crafted - x0), result.distance.new_full((), float("inf")))
        return replace(result, crafted=crafted, adversarial=adversarial, rate=rate, distance=distance)


def strengths(attack: str, scale: Scale) -> tuple[float, ...]:
    """Those of an attack, one at scale smoke."""
    return (SHOWN[attack],) if base_of(scale).few else SCALES if attack == "CW" else EPS


def attack_of(name: str, strength: float, scale: Scale) -> Attack:
    """An attack by its name: eps in units of the scale, for C&W the factor of its perturbation."""
    base = base_of(scale)
    ball = Linf(strength * base.unit)
    if name == "FGSM":
        return FGSM(ball, loss=cross_entropy)
    if name == "BIM":
        return BIM(ball, steps=2 if base.few else 10, rel_stepsize=0.5 if base.few else 0.1, loss=cross_entropy)
    if name == "BIM, 100 steps":
        return BIM(ball, steps=4 if base.few else 100, rel_stepsize=0.1, loss=cross_entropy)
    return Scaled(CW(1, 2 if base.few else 100, lr=0.05, c=10.0), strength)


def craft(name: str, strength: float, scale: Scale, on: str) -> Craft:
    """The images of an attack on a role, in floating point to the last iterate, then on 8 bits."""
    return Craft(attack_of(name, strength, scale), (WeightedNetwork(on),), targeted=False)


def printed_bim(scale: Scale, on: str) -> Craft:
    """BIM at the eps of Appendix A, read as in pixels of [0,1]."""
    return craft("BIM", PRINTED_EPS / base_of(scale).unit, scale, on)


def crafts(name: str, scale: Scale, on: str) -> Mapping[float, Craft]:
    """The images of an attack on a role by strength."""
    return {strength: craft(name, strength, scale, on) for strength in strengths(name, scale)}


class EncoderOutput(nn.Module):
    """The code that the auto-encoder in front of a network gives each image, `(batch, features)`.

    Attributes:
        inner: The network behind its auto-encoder.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Raises ContractError where the network is behind no auto-encoder."""
        front = next((part for part in self.inner.modules() if isinstance(part, Reconstruction)), None)
        if front is None:
            raise ContractError(
                f"expected a network behind an auto-encoder, got {type(self.inner).__name__} without one"
            )
        code: Tensor = front.autoencoder.encoder(x)[0].flatten(1)
        return code


@dataclass(frozen=True)
class EncoderFeatures:
    """A path that leaves of a network behind an auto-encoder the encoder alone, whose features stand for logits."""

    name = "encoder features"

    def wrap(self, module: nn.Module) -> nn.Module:
        return EncoderOutput(module)


@dataclass(frozen=True)
class FeatureState:
    """State of an attack on features.

    Attributes:
        x: The iterate, `(batch, ...)`.
        origin: The features of the original, `(batch, features)`.
    """

    x: Tensor
    origin: Tensor


@dataclass(frozen=True)
class FeatureDistance(Steps[FeatureState]):
    """Projected ascent on ||h(x) - h(x0)||_2^2, h what the network answers, from a random start.

    Attributes:
        ball: The budget.
        steps: Number of steps of 2.5 eps / steps.
    """

    ball: Ball = L2(0.5)
    steps: Count = 100

    @property
    def passes(self) -> tuple[int, int]:
        return self.steps + 2, self.steps

    def start(self, oracle: Oracle, **per_sample: Tensor) -> FeatureState:
        return FeatureState(random_start(oracle), oracle.scores(oracle.domain.x0))

    def step(self, oracle: Oracle, state: FeatureState, t: int) -> FeatureState:
        def distance(features: Tensor, goal: ResolvedGoal) -> Tensor:
            return (features - state.origin).square().sum(1)

        _, (g,) = oracle.gradient(state.x, distance)
        return replace(state, x=ascend(oracle, state.x, g, 2.5 / self.steps))
