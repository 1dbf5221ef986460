"""Half and double precision end to end: the answers of float32, in the type that was given."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vauban as vb
from vauban import L2, Linf, attacks, threats
from vauban.core.contracts import Batch
from vauban.core.errors import ContractError
from vauban.data.dataset import Dataset, InMemory
from vauban.defences.inputs.jpeg import JPEG
from vauban.defences.voting import vote
from vauban.engine.samples import as_samples
from vauban.evaluate.study import Study
from vauban.evaluate.verify import verify
from vauban.store.query import load
from vauban.training.adversarial_set import adversarial_set
from vauban.training.objectives.adversarial import AdversarialObjective

HALF = [torch.float16, torch.bfloat16]
halves = pytest.mark.parametrize("dtype", HALF, ids=str)
PGD = attacks.PGD(Linf(0.2), steps=10)


@pytest.fixture(scope="module")
def batch(digits_test: tuple[Tensor, Tensor]) -> Batch:
    return Batch(digits_test[0][:16], digits_test[1][:16], torch.arange(16))


def of(dtype: torch.dtype, net: nn.Module) -> nn.Module:
    return copy.deepcopy(net).to(dtype)


def attacked(net: Any, batch: Batch, dtype: torch.dtype, attack: Any = PGD, **options: Any) -> Any:
    """The report, after a look at what it hands over."""
    report = vb.attack(attack, net, Batch(batch.x.to(dtype), batch.y, batch.ids, batch.levels), **options)
    assert report.crafted.dtype == report.adversarial.dtype == dtype
    return report


@pytest.mark.slow
@pytest.mark.parametrize("levels", [256, None])
@pytest.mark.parametrize(
    "attack", [PGD, attacks.PGD(L2(1.0), steps=10), attacks.DDN(steps=10)], ids=["pgd-linf", "pgd-l2", "ddn"]
)
@halves
def test_no_success_is_lost_to_rounding(
    dtype: torch.dtype, attack: Any, levels: int | None, batch: Batch, digits_cnn: nn.Module
) -> None:
    batch = Batch(batch.x, batch.y, batch.ids, levels)
    plain, net = attacked(digits_cnn, batch, torch.float32, attack), of(dtype, digits_cnn)
    report = attacked(net, batch, dtype, attack)
    assert abs(report.robust_accuracy - plain.robust_accuracy) <= 1 / 16
    assert plain.robust_accuracy < 0.2
    wrong = net(report.crafted).argmax(1) != batch.y
    assert torch.equal(wrong, report.success | (net(batch.x.to(dtype)).argmax(1) != batch.y))
    size = attack.norm.size((report.adversarial.double() - batch.x.to(dtype).double()).flatten(1))
    if attack.ball is not None:  # of the values as they are in half precision: two roundings of a pixel further
        slack = torch.finfo(dtype).eps / 2 * (1 if attack.norm is Linf else 64**0.5) if levels else 1e-6
        assert (size <= float(attack.ball.radius) + slack).all()
    torch.testing.assert_close(
        report.distance[report.success].median(), plain.distance[plain.success].median(), rtol=0.05, atol=0
    )


@halves
def test_a_tie_in_half_precision_does_not_hold_deepfool(
    dtype: torch.dtype, batch: Batch, digits_cnn: nn.Module
) -> None:
    plain = attacked(digits_cnn, batch, torch.float32, attacks.DeepFool())
    report = attacked(of(dtype, digits_cnn), batch, dtype, attacks.DeepFool())
    assert report.robust_accuracy <= plain.robust_accuracy <= 1 / 16
    torch.testing.assert_close(report.distance.median(), plain.distance.median(), rtol=0.1, atol=0)


@halves
def test_a_mask_stays_to_the_bit(dtype: torch.dtype, batch: Batch, digits_cnn: nn.Module) -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.bool)
    mask[:, 2:6] = True
    report = attacked(of(dtype, digits_cnn), batch, dtype, mask=mask)
    assert report.success.any()
    outside = ~mask.expand_as(batch.x)
    assert torch.equal(report.crafted[outside], batch.x.to(dtype)[outside])


class Mean(nn.Module):
    """A network without parameters: the type of the images is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add(x.dtype)
        value = 40 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-value, value], 1)


@halves
def test_a_network_without_parameters_is_shown_the_type_of_the_batch(dtype: torch.dtype) -> None:
    net, x = Mean(), torch.full((2, 1, 4, 4), 115 / 255)
    report = attacked(net, Batch(x, torch.tensor([0, 1]), torch.arange(2)), dtype)
    assert report.success.all()
    assert net.seen == {dtype}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["white-box", "adaptive:eot=2", "gray-box", "removed", "scores-only", "labels-only"])
@halves
def test_threats(dtype: torch.dtype, name: str, batch: Batch, digits_cnn: nn.Module) -> None:
    weak: Any = {
        "scores-only": attacks.Square(Linf(0.2), steps=20),
        "labels-only": attacks.HopSkipJump(steps=2, queries=12),
    }
    attack = weak.get(name, attacks.PGD(Linf(0.2), steps=4))
    plain = attacked(JPEG().wrap(digits_cnn), batch, torch.float32, attack, threat=name)
    report = attacked(JPEG().wrap(of(dtype, digits_cnn)), batch, dtype, attack, threat=name)
    assert abs(int(report.success.sum()) - int(plain.success.sum())) <= 2


@pytest.mark.slow
@halves
def test_a_half_target_and_sources_of_several_types(dtype: torch.dtype, batch: Batch, digits_cnn: nn.Module) -> None:
    half = of(dtype, digits_cnn)
    plain = attacked(digits_cnn, batch, torch.float32)
    for threat in (threats.transfer(digits_cnn), threats.ensemble([digits_cnn, half])):
        report = attacked(half, batch, dtype, threat=threat)
        assert abs(int(report.success.sum()) - int(plain.success.sum())) <= 1
    for given in (torch.float32, dtype):
        voted = attacked(vote([digits_cnn, half], "mean"), batch, given)
        assert abs(int(voted.success.sum()) - int(plain.success.sum())) <= 1


def test_a_black_box_gets_float32(batch: Batch, digits_cnn: nn.Module) -> None:
    seen: set[Any] = set()

    def ask(images: Any) -> Any:
        seen.add(str(images.dtype))
        return digits_cnn(torch.from_numpy(images)).detach().numpy()

    attack = attacks.Square(Linf(0.2), steps=20)
    answers = [
        attacked(vb.models.black_box(ask), batch, dtype, attack, threat="scores-only").success
        for dtype in (torch.float32, *HALF)
    ]
    assert seen == {"float32"}
    assert int((answers[0] != answers[1]).sum()) <= 1


def test_single_and_double_are_not_exchanged(batch: Batch, digits_cnn: nn.Module) -> None:
    for net, x in ((digits_cnn, batch.x.double()), (of(torch.float64, digits_cnn), batch.x)):
        with pytest.raises(ContractError, match=r"its parameters are .*convert the images") as refusal:
            vb.attack(PGD, net, (x, batch.y))
        assert len(str(refusal.value).splitlines()) == 1
    plain = attacked(digits_cnn, batch, torch.float32)
    double = attacked(of(torch.float64, digits_cnn), batch, torch.float64)
    assert torch.equal(double.success, plain.success)
    # Random numbers have more digits in double precision: a pixel may round to the next level.
    torch.testing.assert_close(double.adversarial.float(), plain.adversarial, atol=1.001 / 255, rtol=0)


STANDARD = "standard:eps=0.1,steps=10,n_target=3,queries=100"


@pytest.mark.slow
@pytest.mark.parametrize("word", ["make", "normalised", "wide"])
def test_a_half_network_and_double_logits_on_the_data_sets_of_a_study(word: str, tmp_path: Path) -> None:
    """A file's `.half()` network meets float32 data: preflight, attacks, metrics and the report go through."""
    (tmp_path / "net.py").write_text(
        """
import torch, vauban as vb
def make(): return vb.models.load("digits-cnn").half()
def normalised(): return vb.models.wrap(vb.models.load("digits-cnn").bfloat16(), mean=0.0, std=1.0)
class Wide(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = vb.models.load("digits-cnn")
    def forward(self, x):
        return self.net(x).double()
def wide(): return Wide()
"""
    )
    plan = {"data": "digits/test[:24]", "attacks": ["pgd:steps=6", "fmn:steps=6", STANDARD]}
    for name in ("digits-cnn", f"{tmp_path}/net.py:{word}"):
        Study(tmp_path / name.rpartition(":")[2], models=name, metrics=["mad"], **plan).run()
    plain, other = (sorted(load(tmp_path / name).cells, key=label) for name in ("digits-cnn", word))
    assert len(plain) == len(other) == 3
    for a, b in zip(plain, other, strict=True):
        assert abs(int(a.columns["success"].sum()) - int(b.columns["success"].sum())) <= 2
        assert b.columns["success"].any()
    assert [f["code"] for f in load(tmp_path / word).findings] == [
        f["code"] for f in load(tmp_path / "digits-cnn").findings
    ]


def label(cell: Any) -> str:
    return str(cell.meta["attack"])


@halves
def test_images_saved_in_half_precision_are_verified_as_their_levels(
    dtype: torch.dtype, batch: Batch, digits_cnn: nn.Module, tmp_path: Path
) -> None:
    data = Dataset("d", "", InMemory((batch.x * 255).round().to(torch.uint8)), batch.y, tuple("0123456789"))
    report = attacked(of(dtype, digits_cnn), batch, dtype)
    torch.save(report.crafted, tmp_path / "made.pt")
    verified = verify(of(dtype, digits_cnn), data, tmp_path / "made.pt", "linf:0.2")
    assert verified.in_budget == verified.on_grid == 1
    assert verified.robust_accuracy == report.robust_accuracy


@halves
def test_training_on_crafted_images(dtype: torch.dtype, batch: Batch, digits_cnn: nn.Module) -> None:
    net, attack = of(dtype, digits_cnn), attacks.FGSM(Linf(0.1))
    for given in (torch.float32, dtype):
        part = Batch(batch.x.to(given), batch.y, batch.ids)
        loss, logits = AdversarialObjective(attack)(net, part, 0)
        assert loss.isfinite()
        assert logits is not None
        loss.backward()
        made = adversarial_set(attack, net, as_samples(part))
        assert made.batch(torch.arange(4)).x.dtype == given
    plain = adversarial_set(attack, digits_cnn, as_samples(batch))
    assert (made.values != plain.values).float().mean() < 0.05
