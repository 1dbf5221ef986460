"""Indicators after a run: sound attacks on honest networks stay silent, cut-short, misled and lying ones do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vauban.attacks.fixed_budget.fgsm import FGSM
from vauban.attacks.fixed_budget.pgd import PGD
from vauban.attacks.fixed_budget.random_noise import RandomNoise
from vauban.attacks.minimal.ddn import DDN
from vauban.core.goals import Untargeted
from vauban.core.losses import cross_entropy
from vauban.core.norms import L2, Linf
from vauban.core.tensors import flat
from vauban.engine import Attack, BoundThreat, Oracle, Restarts, Result
from vauban.evaluate.diagnostics.findings import Measured
from vauban.evaluate.diagnostics.indicators import after, measure

Net = Callable[..., nn.Module]
Data = tuple[Tensor, Tensor]


class WeightedNetwork(nn.Module):
    def __init__(self, net: nn.Module, front: Callable[[Tensor], Tensor], scale: float = 1.0) -> None:
        super().__init__()
        self.net, self.front, self.scale = net, front, scale

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(self.front(x)) * self.scale
        return out


def sharp(x: Tensor) -> Tensor:
    """Flat but for a narrow slope between two grey levels."""
    return torch.sigmoid(1000 * (x - 0.28))


def look(attack: Any, threat: BoundThreat, data: Data, seed: int = 0, n: int = 64) -> dict[str, Measured]:
    x, y, ids = data[0][:n], data[1][:n], torch.arange(n)
    result = attack.run(Oracle.open(threat, x, y, Untargeted(), ids, seed))
    found = measure(attack, threat, x, y, Untargeted(), ids, result, seed)
    return {m.rule.code: m for m in found}


def codes(found: dict[str, Measured]) -> set[str]:
    return {code for code, m in found.items() if m.fires}


SOUND = [
    PGD(Linf(0.1)),
    PGD(Linf(0.15), loss=cross_entropy),
    PGD(L2(0.8)),
    FGSM(Linf(0.1)),
    DDN(),
    RandomNoise(Linf(0.1)),
    Restarts(PGD(Linf(0.1), steps=10), 2),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clean", "pgd-trained", "linear"])
def test_sound_attacks_are_silent(calibration_net: Net, digits_test: Data, kind: str) -> None:
    for attack in SOUND:
        found = look(attack, BoundThreat(calibration_net(kind)), digits_test, n=32)
        assert codes(found) == set(), attack
        assert found["verdict-disagrees"].count == 0, attack


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clean", "pgd-trained"])
@pytest.mark.parametrize("steps", [3, 6])
def test_an_attack_cut_short(calibration_net: Net, digits_test: Data, kind: str, steps: int) -> None:
    attack = PGD(Linf(0.2), steps=steps, rel_stepsize=0.45 / steps)  # it never reaches the edge of its ball
    found = look(attack, BoundThreat(calibration_net(kind)), digits_test)
    assert {"incomplete-optimisation", "more-steps-help"} <= codes(found)
    assert f"({2 * steps} in place of {steps})" in found["more-steps-help"].finding().message


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["clean", "pgd-trained"])
def test_masked_gradients_fail_even_without_limit(calibration_net: Net, digits_test: Data, kind: str) -> None:
    masked = {
        "rounded": WeightedNetwork(calibration_net(kind), lambda x: torch.round(x * 7) / 7),
        "sharp": WeightedNetwork(calibration_net(kind), sharp),
        "scaled": WeightedNetwork(calibration_net(kind), lambda x: x, 1000.0),
    }
    fired = {
        n: codes(look(PGD(Linf(0.15), loss=cross_entropy), BoundThreat(m), digits_test)) for n, m in masked.items()
    }
    assert all("unconstrained-failure" in found for found in fired.values()), fired
    assert (
        codes(look(PGD(Linf(0.15)), BoundThreat(masked["scaled"]), digits_test)) == set()
    )  # loss=auto sees through a scale


@pytest.mark.slow
def test_noise_against_a_gradient_that_misleads(calibration_net: Net, digits_test: Data) -> None:
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.view_as(x)

        @staticmethod
        def backward(ctx: Any, *grad: Tensor) -> Tensor:
            return -grad[0]

    threat = BoundThreat(WeightedNetwork(calibration_net("clean"), Backwards.apply))
    assert "noise-beats-attack" in codes(look(PGD(Linf(0.2)), threat, digits_test))


@pytest.mark.slow
def test_transfer_failure(calibration_net: Net, digits_test: Data) -> None:
    target, stranger = calibration_net("pgd-trained"), calibration_net("clean")
    for source, expected in ((stranger, True), (target, False)):
        threat = BoundThreat(target, sources=((source, 1.0),), grants=frozenset({"gradients"}))
        found = look(PGD(Linf(0.15)), threat, digits_test)
        assert ("transfer-failure" in codes(found)) is expected


@dataclass(frozen=True)
class Liar(Attack):
    """Claims success (or failure) for what the attack inside did not (did) achieve."""

    attack: PGD
    claim: float

    def run(self, oracle: Oracle) -> Result:
        found = self.attack.run(oracle)
        return replace(found, rate=torch.full_like(found.rate, self.claim), adversarial=found.crafted)


@pytest.mark.slow
@pytest.mark.parametrize("claim", [0.0, 1.0])
def test_claims_are_compared_with_the_verdict(calibration_net: Net, digits_test: Data, claim: float) -> None:
    threat = BoundThreat(calibration_net("clean"))
    honest = PGD(Linf(0.1)).run(
        Oracle.open(threat, digits_test[0][:64], digits_test[1][:64], Untargeted(), torch.arange(64))
    )
    found = look(Liar(PGD(Linf(0.1)), claim), threat, digits_test)["verdict-disagrees"]
    assert found.fires
    assert found.count == int((honest.success != bool(claim)).sum())


def test_the_limit_is_lifted_and_the_budget_ignored(calibration_net: Net, digits_test: Data) -> None:
    threat = BoundThreat(calibration_net("clean"), limit=Linf(0.1), budget=12)
    found = look(PGD(Linf(0.1), steps=10), threat, digits_test)
    assert not found["unconstrained-failure"].fires


def test_findings_are_what_fires(calibration_net: Net, digits_test: Data) -> None:
    threat, (x, y), ids = BoundThreat(calibration_net("clean")), digits_test, torch.arange(40)
    attack = PGD(Linf(0.2), steps=3, rel_stepsize=0.08)
    result = attack.run(Oracle.open(threat, x[:40], y[:40], Untargeted(), ids))
    found = {f.code for f in after(attack, threat, x[:40], y[:40], Untargeted(), ids, result)}
    assert found == codes(look(attack, threat, digits_test, n=40)) >= {"incomplete-optimisation"}


@pytest.mark.slow
def test_only_the_first_samples_are_examined(calibration_net: Net, digits_test: Data) -> None:
    threat, (x, y), ids = BoundThreat(calibration_net("clean")), digits_test, torch.arange(40)
    result = PGD(Linf(0.1)).run(Oracle.open(threat, x[:40], y[:40], Untargeted(), ids))
    found = measure(PGD(Linf(0.1)), threat, x[:40], y[:40], Untargeted(), ids, result, extra=16)
    assert {m.of for m in found} == {16}
    assert float(flat(result.crafted - x[:40]).abs().max()) <= 0.1 + 1e-6
