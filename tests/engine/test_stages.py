"""Which attack of a cascade broke an image: hand-made attacks that break known images."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from vauban.core.norms import L2, Linf
from vauban.engine import Attack, BoundThreat, Cascade, Oracle, Restarts, Result
from vauban.engine.result import untouched


class Bright(nn.Module):
    """Class 1 where the mean is above one half."""

    def forward(self, x: Tensor) -> Tensor:
        value = x.flatten(1).mean(1) - 0.5
        return torch.stack([-value, value], 1)


@dataclass(frozen=True)
class Lift(Attack):
    """Makes every pixel brighter by a number: breaks what is that close to one half."""

    by: float = 0.1

    def run(self, oracle: Oracle) -> Result:
        x0 = oracle.domain.x0
        image, rate = x0 + self.by, oracle.check(x0 + self.by)
        distance = torch.where(rate > 0.5, self.norm.size(image - x0), torch.inf)
        return replace(untouched(x0), crafted=image, adversarial=image, rate=rate, distance=distance)


@dataclass(frozen=True)
class Rated(Attack):
    """Claims given rates."""

    rate: tuple[float, ...] = ()

    def run(self, oracle: Oracle) -> Result:
        return replace(untouched(oracle.domain.x0), rate=torch.tensor(self.rate, dtype=torch.float64))


@dataclass(frozen=True)
class Wrapped(Attack):
    """Runs another attack and says nothing of it."""

    attack: Attack

    def run(self, oracle: Oracle) -> Result:
        return self.attack.run(oracle)


@dataclass(frozen=True)
class Silent(Attack):
    """Runs several attacks and does not say which of them broke what."""

    attacks: tuple[Attack, ...]

    @property
    def members(self) -> tuple[Attack, ...]:
        return self.attacks

    def run(self, oracle: Oracle) -> Result:
        return replace(Cascade(self.attacks).run(oracle), broken_by=torch.full((len(oracle),), -1))


MEANS = (0.45, 0.4, 0.35, 0.3, 0.1)
A, B, C, D = (Lift(by) for by in (0.06, 0.12, 0.17, 0.22))


def opened(random: bool = False) -> Oracle:
    x = torch.tensor(MEANS).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
    threat = BoundThreat(Bright(), levels=None, random=random)
    return Oracle.open(threat, x, torch.zeros(len(x), dtype=torch.int64))


@pytest.mark.parametrize(
    ("attack", "stages", "broken_by"),
    [
        (Cascade((A, B, C, D)), (A, B, C, D), [0, 1, 2, 3]),
        (Cascade((A, C, B, D)), (A, C, B, D), [0, 1, 1, 3]),
        (Cascade((D, A)), (D, A), [0, 0, 0, 0]),
        (Cascade((A, Cascade((B, Restarts(C, 2))), D)), (A, B, Restarts(C, 2), D), [0, 1, 2, 3]),
        (Cascade((Cascade((A, B)), Cascade((C, D)))), (A, B, C, D), [0, 1, 2, 3]),
        (Restarts(Cascade((A, D)), 3), (A, D), [0, 1, 1, 1]),
        (Cascade((Restarts(Cascade((A, B)), 2), D)), (A, B, D), [0, 1, 2, 2]),
        (Cascade((A, Wrapped(Cascade((B, C))), D)), (A, Wrapped(Cascade((B, C))), D), [0, 1, 1, 2]),
        (Cascade((A, Silent((B, C)), D)), (A, B, C, D), [0, -1, -1, 3]),
        (Cascade((D,)), (Cascade((D,)),), [0, 0, 0, 0]),
    ],
)
def test_each_image_is_ascribed_to_the_attack_that_broke_it(
    attack: Attack, stages: tuple[Attack, ...], broken_by: list[int]
) -> None:
    assert attack.stages_on((1, 4, 4)) == stages
    result = attack.run(opened())
    assert result.success.tolist() == [True] * 4 + [False]
    assert result.broken_by[:4].tolist() == broken_by


def test_a_nearer_image_of_a_later_attack_broke_nothing() -> None:
    result = Cascade((C, A, D), want="nearest").run(opened())
    assert (result.adversarial - opened().domain.x0).amax((1, 2, 3))[:4].tolist() == pytest.approx(
        [0.06, 0.17, 0.17, 0.22], abs=1e-6
    )
    assert result.broken_by[:4].tolist() == [0, 0, 0, 2]


def test_on_a_randomised_model_the_attack_of_the_highest_rate_counts_the_first_of_equals() -> None:
    one, two, three = Rated((0.2, 0.9, 0.0, 0.6, 0.7)), Rated((0.8, 0.9, 0.0, 0.7, 0.6)), Rated((0.7, 1.0, 0.1, 0.7, 0))
    result = Cascade((one, two, three)).run(opened(random=True))
    assert result.rate.tolist() == [0.8, 1.0, 0.1, 0.7, 0.7]
    assert result.broken_by.tolist() == [1, 2, 2, 1, 0]


def test_one_attack_says_nothing_and_its_result_can_be_made_without() -> None:
    assert A.stages_on((1, 4, 4)) == (A,)
    assert A.run(opened()).broken_by.tolist() == [-1] * 5
    assert Restarts(A, 2).run(opened()).broken_by.tolist() == [-1] * 5
    x0, zeros = opened().domain.x0, torch.zeros(5, dtype=torch.int64)
    assert Result(x0, x0, zeros.double(), zeros.float(), zeros, zeros, zeros).broken_by.tolist() == [-1] * 5


def test_stages_of_the_battery_are_those_that_the_samples_get() -> None:
    from vauban.attacks.standard import Standard

    names = [type(stage).__name__ for stage in Standard(Linf(0.1)).stages_on((1, 4, 4))]
    assert names == ["RandomNoise", "APGD", "APGDT", "StopInside", "Square", "StopInside"]
    assert [type(stage).__name__ for stage in Standard(L2(0.1)).stages_on((4,))] == [*names[:4], "StopInside"]
    both = Cascade((A, Standard(Linf(0.1))))
    assert [type(stage).__name__ for stage in both.stages_on((1, 4, 4))] == ["Lift", *names]
